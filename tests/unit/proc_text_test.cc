#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/proc/proc_file_system.h"
#include "kernel/host_facts.h"
#include "kernel/vfs/pseudo_fs.h"

namespace cofferdam {
namespace {

TEST(ProcText, numbers_are_parsed_as_the_kernel_does) {
  struct {
    char const* text;
    std::optional<int64_t> value;
  } const cases[] = {
      {"0", 0},   {"17\n", 17}, {" 5 ", 5},  {"-17\n", -17}, {"0x10", 16}, {"010", 8}, {"", {}},
      {"\n", {}}, {"12a", {}},  {"1 2", {}}, {"--1", {}},    {"0x", {}},   {"+3", 3},  {"99999999999999999999", {}}};
  for (auto const& c : cases) {
    Result<int64_t> const got = kernel::parse_number(c.text);
    EXPECT_EQ(got.has_value(), c.value.has_value()) << c.text;
    if (got && c.value) EXPECT_EQ(*got, *c.value) << c.text;
  }
}

std::vector<bool> cpus(std::initializer_list<int> set, size_t count) {
  std::vector<bool> result(count);
  for (int cpu : set) result[static_cast<size_t>(cpu)] = true;
  return result;
}

TEST(ProcText, cpu_sets_as_lists_and_masks) {
  EXPECT_EQ(kernel::cpu_list(cpus({0}, 1)), "0");
  EXPECT_EQ(kernel::cpu_list(cpus({0, 1, 2, 5, 7}, 8)), "0-2,5,7");
  EXPECT_EQ(kernel::cpu_list(cpus({}, 4)), "");
  EXPECT_EQ(kernel::cpu_mask(cpus({0, 1}, 2)), "3");
  EXPECT_EQ(kernel::cpu_mask(cpus({1, 4}, 8)), "12");
  EXPECT_EQ(kernel::cpu_mask(cpus({0, 32}, 33)), "1,00000001");
  EXPECT_EQ(kernel::cpu_mask(cpus({63}, 64)), "80000000,00000000");
}

TEST(ProcText, cpuinfo_is_cut_to_the_sandbox_and_numbered_anew) {
  std::string const text =
      "processor\t: 4\ncore id\t\t: 2\nflags\t\t: a b\n\nprocessor\t: 5\ncore id\t\t: 3\n\nprocessor\t: 6\n\n";
  int const fd = memfd_create("cpuinfo", 0);
  ASSERT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  kernel::HostFacts const facts{.cpuinfo = make_ref<host::SharedFd>(host::OwnedFd(fd))};
  auto const paragraphs = kernel::cpu_paragraphs(facts, 2);
  ASSERT_EQ(paragraphs.size(), 2u);
  EXPECT_EQ(paragraphs[0], "processor\t: 0\ncore id\t\t: 2\nflags\t\t: a b");
  EXPECT_EQ(paragraphs[1], "processor\t: 1\ncore id\t\t: 3");
  EXPECT_EQ(kernel::cpu_field(paragraphs[0], "core id"), "2");
  EXPECT_EQ(kernel::cpu_field(paragraphs[0], "core"), "");
  EXPECT_EQ(kernel::cpu_field(paragraphs[0], "flags"), "a b");
  EXPECT_TRUE(kernel::cpu_paragraphs({}, 2).empty());
}

TEST(ProcText, load_averages_follow_the_use_of_cpus) {
  constexpr kernel::Nanoseconds second = 1'000'000'000;
  fs::proc::LoadAverage load;
  load.update(100 * second, 0);
  EXPECT_EQ(load.update(160 * second, 0).one, 0);
  auto const busy = load.update(220 * second, 120 * second);  // two CPUs for a minute
  EXPECT_NEAR(busy.one, 2 * (1 - 0.3679), 0.01);
  EXPECT_LT(busy.fifteen, busy.five);
  auto const idle = load.update(820 * second, 120 * second);
  EXPECT_LT(idle.one, 0.01);
  EXPECT_GT(idle.fifteen, idle.one);
  EXPECT_GE(load.update(830 * second, 100 * second).one, 0);  // an account that fell counts as no use
}

}  // namespace
}  // namespace cofferdam
