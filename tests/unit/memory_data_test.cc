// The bytes of files in memory: growth, holes, budgets, mappings.
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include <random>
#include <string>

#include "kernel/vfs/memory_data.h"

namespace cofferdam::kernel {
namespace {

class MemoryDataTest : public ::testing::Test {
 protected:
  Result<size_t> put(MemoryData& d, uint64_t at, std::string_view text) {
    KernelSource source(as_bytes(text));
    return d.write(source, at, false);
  }
  std::string get(MemoryData& d, uint64_t at, size_t n) {
    std::string text(n, '?');
    KernelSink sink(std::as_writable_bytes(std::span(text.data(), n)));
    auto r = d.read(sink, at);
    text.resize(r ? *r : 0);
    return text;
  }
  std::unique_ptr<MemoryFile> memory_ = std::move(*MemoryFile::create());
};

TEST_F(MemoryDataTest, random_writes_read_back_and_are_counted) {
  MemoryData data(*memory_, {}, 0);
  std::mt19937 random(7);
  std::string model;
  for (int i = 0; i < 400; ++i) {
    uint64_t at = random() % 3'000'000;
    std::string text(random() % 20'000 + 1, static_cast<char>('a' + i % 26));
    ASSERT_EQ(*put(data, at, text), text.size());
    if (model.size() < at + text.size()) model.resize(at + text.size());
    model.replace(at, text.size(), text);
    if (i % 40 == 39) {
      uint64_t cut = random() % model.size();
      ASSERT_TRUE(data.truncate(cut));
      model.resize(cut);
    }
    if (i % 25 == 24 && model.size() > 10'000) {
      uint64_t from = random() % (model.size() - 9'000);
      ASSERT_TRUE(data.allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, 9'000));
      model.replace(from, 9'000, std::string(9'000, '\0'));
    }
  }
  EXPECT_EQ(data.size(), model.size());
  EXPECT_TRUE(get(data, 0, model.size() + 10) == model);
  ASSERT_TRUE(data.truncate(0));
  EXPECT_EQ(data.allocated_pages(), 0u);
}

TEST_F(MemoryDataTest, holes_cost_nothing_and_are_found) {
  MemoryData data(*memory_, {}, 0);
  ASSERT_TRUE(put(data, 1 << 20, "x"));
  EXPECT_EQ(data.allocated_pages(), 1u);
  EXPECT_EQ(*data.seek(0, true), 1u << 20);
  EXPECT_EQ(*data.seek(0, false), 0u);
  EXPECT_EQ(*data.seek(1 << 20, false), (1u << 20) + 1);
  EXPECT_EQ(data.seek((1 << 20) + 1, true).error().code, Errno::NxIo);
}

TEST_F(MemoryDataTest, budget_is_kept) {
  auto budget = make_ref<PageBudget>(4);
  {
    MemoryData data(*memory_, budget, 0);
    EXPECT_EQ(*put(data, 0, std::string(10 * 4096, 'x')), 4u * 4096);
    EXPECT_EQ(put(data, 4 * 4096, "y").error().code, Errno::NoSpc);
    EXPECT_EQ(*put(data, 100, "z"), 1u);
    ASSERT_TRUE(data.truncate(4096));
    EXPECT_EQ(budget->used(), 1u);
  }
  EXPECT_EQ(budget->used(), 0u);
}

TEST_F(MemoryDataTest, mappings_see_later_writes_and_growth) {
  MemoryData data(*memory_, {}, 0);
  ASSERT_TRUE(put(data, 0, std::string(5000, 'a')));
  auto target = data.map({.offset = 0, .length = 8192, .protection = PROT_READ | PROT_WRITE, .shared = true}, true);
  ASSERT_TRUE(target);
  void* p =
      ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, target->fd->get(), static_cast<off_t>(target->offset));
  ASSERT_NE(p, MAP_FAILED);
  auto* bytes = static_cast<char*>(p);
  EXPECT_EQ(bytes[4999], 'a');
  ASSERT_TRUE(put(data, 5000, std::string(3 << 20, 'b')));
  EXPECT_EQ(bytes[5000], 'b');
  bytes[0] = 'c';
  EXPECT_EQ(get(data, 0, 1), "c");
  EXPECT_EQ(data.add_seals(F_SEAL_WRITE).error().code, Errno::Busy);
  ::munmap(p, 8192);
  target->backing = nullptr;
  EXPECT_TRUE(data.add_seals(F_SEAL_WRITE));
  EXPECT_EQ(put(data, 0, "x").error().code, Errno::Perm);
}

}  // namespace
}  // namespace cofferdam::kernel
