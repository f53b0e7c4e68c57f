// The table of descriptors that a stub answers calls on: what the sentry keeps of it, and what it believes.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <map>
#include <random>

#include "platform/trap/services_unsafe.h"

namespace cofferdam::platform::trap {
namespace {

struct ServicesTest : testing::Test {
  AreaFile file{std::move(*AreaFile::create_memfd())};
  uint32_t window = file.allocate_window()->index;
  Ref<StubServices> services = *StubServices::create(file, window);
  // As the stub sees the table.
  stub::Service* table = static_cast<stub::Service*>(
      ::mmap(nullptr, sizeof(stub::Service) * stub::max_services, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(),
             static_cast<off_t>(AreaFile::window_offset(window) + stub::services_offset)));
  ~ServicesTest() override { ::munmap(table, sizeof(stub::Service) * stub::max_services); }

  PreparedService of_file(uint64_t size, std::optional<uint64_t> position = {}) {
    auto const range = services->reserve((size + 4095) / 4096 * 4096);
    PreparedService p{.service = {.file = FileMapping{0, 0, true}, .size = size, .position = position}};
    if (range) p.address = range->address, p.length = range->length;
    return p;
  }
};

TEST_F(ServicesTest, ranges_do_not_overlap_and_are_reused_late) {
  std::mt19937 random(7);
  std::map<uint64_t, uint64_t> live;
  uint64_t last = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (live.size() > 50 || (!live.empty() && random() % 3 == 0)) {
      auto const victim = std::next(live.begin(), static_cast<ptrdiff_t>(random() % live.size()));
      services->released({.address = victim->first, .length = victim->second});
      live.erase(victim);
      continue;
    }
    uint64_t const length = (random() % 4096 + 1) * 4096;
    auto const range = services->reserve(length);
    ASSERT_TRUE(range);
    EXPECT_GE(range->address, stub::served_files_address);
    EXPECT_LE(range->address + range->length, stub::served_files_address + stub::served_files_size);
    auto const next = live.lower_bound(range->address);
    if (next != live.end()) EXPECT_LE(range->address + length, next->first);
    if (next != live.begin()) EXPECT_LE(std::prev(next)->first + std::prev(next)->second, range->address);
    EXPECT_NE(range->address, last);
    last = range->address;
    live.emplace(range->address, length);
  }
  EXPECT_FALSE(services->reserve(stub::served_files_size + 4096));
  EXPECT_FALSE(services->reserve(0));
}

TEST_F(ServicesTest, what_is_served_stands_in_the_table) {
  ASSERT_TRUE(services->start(70, of_file(5000, 17)));
  auto const& s = table[70 % stub::max_services];
  EXPECT_EQ(s.version % 2, 0u);
  EXPECT_EQ(s.descriptor, 70u);
  EXPECT_EQ(s.served, uint32_t{stub::serve_file | stub::serve_position});
  EXPECT_EQ(s.size, 5000u);
  EXPECT_EQ(s.position, 17u);
  EXPECT_TRUE(services->serves(70));
  EXPECT_FALSE(services->serves(6));
  uint32_t const version = s.version;
  services->stop(70);
  EXPECT_EQ(s.served, 0u);
  EXPECT_NE(s.version, version);
  EXPECT_FALSE(services->serves(70));
  ASSERT_TRUE(services->has_discarded());
  EXPECT_EQ(services->take_discarded().size(), 1u);
  EXPECT_FALSE(services->has_discarded());
}

TEST_F(ServicesTest, an_entry_that_is_taken_is_not_taken_again) {
  ASSERT_TRUE(services->start(1, of_file(10)));
  EXPECT_FALSE(services->start(1 + stub::max_services, of_file(10)));
  EXPECT_TRUE(services->serves(1));
  EXPECT_EQ(services->take_discarded().size(), 1u);  // of the second
  EXPECT_FALSE(services->start(-1, of_file(10)));
}

TEST_F(ServicesTest, positions_of_the_stub_are_bounded) {
  ASSERT_TRUE(services->start(3, of_file(10, 5)));
  table[3].position = 9;
  table[3].used = 1;
  EXPECT_EQ(services->position(3), 9u);
  EXPECT_EQ(services->used(), std::vector<int>{3});
  EXPECT_TRUE(services->used().empty());
  table[3].position = ~uint64_t{0};
  EXPECT_EQ(services->position(3), std::nullopt);
  services->set_position(3, 4);
  EXPECT_EQ(table[3].position, 4u);
  EXPECT_EQ(services->position(4), std::nullopt);
}

TEST_F(ServicesTest, a_position_survives_that_all_is_stopped) {
  ASSERT_TRUE(services->start(3, of_file(10, 5)));
  ASSERT_TRUE(services->start(4, of_file(10)));
  table[3].position = 8;
  services->stop_all();
  EXPECT_EQ(table[3].served, 0u);
  EXPECT_EQ(table[4].served, 0u);
  EXPECT_EQ(services->used(), std::vector<int>{3});
  EXPECT_EQ(services->position(3), 8u);
  EXPECT_FALSE(services->serves(3));
  services->stop(3);
  EXPECT_EQ(services->position(3), std::nullopt);
  EXPECT_TRUE(services->used().empty());
  EXPECT_TRUE(services->start(3, of_file(10)));
}

TEST_F(ServicesTest, counts_are_summed) {
  table[0].reads = 2;
  table[0].read_bytes = 100;
  table[63].reads = 3;
  table[63].writes = 4;
  table[63].written_bytes = 5;
  auto const counts = services->counts();
  EXPECT_EQ(counts.reads, 5u);
  EXPECT_EQ(counts.read_bytes, 100u);
  EXPECT_EQ(counts.writes, 4u);
  EXPECT_EQ(counts.written_bytes, 5u);
}

TEST_F(ServicesTest, after_the_process_nothing_is_touched) {
  ASSERT_TRUE(services->start(3, of_file(10, 5)));
  services->detach();
  table[3].served = 77;  // the window is another process's now
  services->stop(3);
  services->stop_all();
  services->set_position(3, 1);
  EXPECT_FALSE(services->start(3, of_file(10)));
  EXPECT_EQ(table[3].served, 77u);
  EXPECT_EQ(services->counts().reads, 0u);
}

}  // namespace
}  // namespace cofferdam::platform::trap
