// The policy of address spaces against a fake host: errors as Linux's, tree and host always agreeing.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <random>

#include "fake_context.h"
#include "kernel/mm/address_map.h"

namespace cofferdam::kernel {
namespace {

constexpr uint64_t base = 0x7ffd00000000, limit = 0x7ffe00000000;

struct AddressMapTest : testing::Test {
  std::unique_ptr<MemoryFile> file = *MemoryFile::create();
  platform::FakeContext context;
  AddressMap map{{0x10000, limit, base}, file.get(), context.space.get()};
  MapCaller caller{.context = context};

  static MapPlan plan(uint64_t length, uint64_t address = 0, bool fixed = false) {
    MapPlan p{.address = address, .length = length, .fixed = fixed};
    p.vma.protection = PROT_READ | PROT_WRITE;
    p.vma.flags = MAP_PRIVATE;
    return p;
  }
  uint64_t must_map(MapPlan p) {
    auto at = map.map(caller, std::move(p));
    EXPECT_TRUE(at) << errno_name(at.error().code);
    return at.value_or(0);
  }
  // Every page of the tree is the host's, and no other.
  void expect_agreement(uint64_t unmapped_reserve_from = 0, uint64_t unmapped_reserve_to = 0) {
    std::map<uint64_t, platform::FakeContext::Page> expected;
    uint64_t last_end = 0, total = 0;
    for (Vma const& v : map.snapshot()) {
      ASSERT_LT(v.start, v.end);
      ASSERT_GE(v.start, last_end);
      last_end = v.end;
      total += v.end - v.start;
      for (uint64_t a = v.start; a < v.end; a += page_size) {
        platform::FakeContext::Page p{v.protection};
        if (v.memory) p = {v.protection, v.memory->get(), v.memory_offset + (a - v.start), (v.flags & MAP_SHARED) != 0};
        expected[a] = p;
      }
    }
    ASSERT_EQ(total, map.usage().total);
    auto host = context.pages;
    host.erase(host.lower_bound(unmapped_reserve_from), host.lower_bound(unmapped_reserve_to));
    ASSERT_TRUE(host == expected);
  }
};

TEST_F(AddressMapTest, placement_goes_down_from_the_base_and_neighbours_merge) {
  uint64_t first = must_map(plan(page_size));
  EXPECT_EQ(first, base - page_size);
  EXPECT_EQ(must_map(plan(3 * page_size)), base - 4 * page_size);
  EXPECT_EQ(map.snapshot().size(), 1u);
  EXPECT_EQ(context.calls, 2);
  expect_agreement();
}

TEST_F(AddressMapTest, freed_room_is_used_again_from_the_top) {
  uint64_t a = must_map(plan(16 * page_size));
  must_map(plan(16 * page_size));
  ASSERT_TRUE(map.unmap(caller, a + 4 * page_size, 4 * page_size));
  EXPECT_EQ(must_map(plan(2 * page_size)), a + 6 * page_size);
  EXPECT_EQ(must_map(plan(4 * page_size)), a - 20 * page_size);
  EXPECT_EQ(must_map(plan(2 * page_size)), a + 4 * page_size);
  expect_agreement();
}

TEST_F(AddressMapTest, large_anonymous_mappings_are_aligned_for_huge_pages) {
  EXPECT_EQ(must_map(plan(page_size)) % huge_page_size, huge_page_size - page_size);
  EXPECT_EQ(must_map(plan(huge_page_size)) % huge_page_size, 0u);
  uint64_t odd = must_map(plan(huge_page_size + page_size));
  EXPECT_NE(odd % huge_page_size, 0u);
}

TEST_F(AddressMapTest, errors_of_mmap) {
  EXPECT_EQ(map.map(caller, plan(page_size, limit, true)).error(), Errno::NoMem);
  EXPECT_EQ(map.map(caller, plan(page_size, base + 1, true)).error(), Errno::Inval);
  EXPECT_EQ(map.map(caller, plan(page_size, 0x1000, true)).error(), Errno::Perm);
  uint64_t at = must_map(plan(page_size));
  auto taken = plan(page_size, at, true);
  taken.no_replace = true;
  EXPECT_EQ(map.map(caller, std::move(taken)).error(), Errno::Exist);
  caller.address_space_limit = 2 * page_size;
  EXPECT_EQ(map.map(caller, plan(2 * page_size)).error(), Errno::NoMem);
  must_map(plan(2 * page_size, at, true));  // replaces one of its two pages
  caller.address_space_limit = UINT64_MAX;
  caller.data_limit = 2 * page_size;
  EXPECT_EQ(map.map(caller, plan(page_size)).error(), Errno::NoMem);
}

TEST_F(AddressMapTest, a_refusal_of_the_host_leaves_the_tree) {
  uint64_t at = must_map(plan(8 * page_size));
  context.fail_after = 0;
  EXPECT_FALSE(map.map(caller, plan(page_size)));
  context.fail_after = 0;
  EXPECT_FALSE(map.unmap(caller, at, page_size));
  context.fail_after = 0;
  EXPECT_FALSE(map.protect(caller, at, page_size, PROT_READ));
  expect_agreement();
  EXPECT_EQ(map.snapshot().size(), 1u);
}

TEST_F(AddressMapTest, protect_changes_the_part_before_a_hole) {
  uint64_t at = must_map(plan(8 * page_size));
  ASSERT_TRUE(map.unmap(caller, at + 4 * page_size, page_size));
  EXPECT_EQ(map.protect(caller, at, 8 * page_size, PROT_READ).error(), Errno::NoMem);
  EXPECT_EQ(map.find(at)->protection, PROT_READ);
  EXPECT_EQ(map.find(at + 5 * page_size)->protection, PROT_READ | PROT_WRITE);
  expect_agreement();
}

TEST_F(AddressMapTest, unmap_of_nothing_asks_no_host) {
  ASSERT_TRUE(map.unmap(caller, 0x200000, 16 * page_size));
  EXPECT_EQ(context.calls, 0);
  EXPECT_EQ(map.unmap(caller, 0x200000, 0).error(), Errno::Inval);
  EXPECT_EQ(map.unmap(caller, 0x200001, page_size).error(), Errno::Inval);
  EXPECT_EQ(map.unmap(caller, limit, page_size).error(), Errno::Inval);
}

TEST_F(AddressMapTest, break_grows_and_shrinks) {
  map.set_break_range(0x1000000, 0x1000000);
  EXPECT_EQ(map.set_break(caller, 0x1000800, 0), 0x1000800u);
  EXPECT_EQ(map.set_break(caller, 0x1003000, 0), 0x1003000u);
  EXPECT_EQ(map.snapshot().size(), 1u);
  EXPECT_EQ(map.set_break(caller, 0x1001000, 0), 0x1001000u);
  EXPECT_EQ(map.usage().total, page_size);
  EXPECT_EQ(map.set_break(caller, 0x0fff000, 0), 0x1001000u);
  must_map(plan(page_size, 0x1004000, true));
  EXPECT_EQ(map.set_break(caller, 0x1004000, 0), 0x1001000u);  // a page of room is kept
  EXPECT_EQ(map.set_break(caller, 0x1003000, 0), 0x1003000u);
  expect_agreement();
}

TEST_F(AddressMapTest, remap_grows_in_place_moves_and_shrinks) {
  uint64_t at = must_map(plan(4 * page_size));
  uint64_t low = must_map(plan(4 * page_size, 0x1000000, true));
  EXPECT_EQ(*map.remap(caller, low, 4 * page_size, 8 * page_size, 0, 0), low);
  EXPECT_EQ(map.remap(caller, at, 4 * page_size, uint64_t{1} << 50, 0, 0).error(), Errno::NoMem);
  EXPECT_EQ(map.remap(caller, at + page_size, 4 * page_size, 5 * page_size, 0, 0).error(), Errno::Fault);
  must_map(plan(page_size, at + 4 * page_size, true));
  EXPECT_EQ(map.remap(caller, at, 4 * page_size, 6 * page_size, 0, 0).error(), Errno::NoMem);  // merged: not at its end
  auto moved = map.remap(caller, low, 8 * page_size, 16 * page_size, MREMAP_MAYMOVE | MREMAP_FIXED, 0x2000000);
  EXPECT_EQ(*moved, 0x2000000u);
  EXPECT_FALSE(map.find(low));
  EXPECT_EQ(*map.remap(caller, *moved, 16 * page_size, page_size, 0, 0), *moved);
  EXPECT_FALSE(map.find(*moved + page_size));
  EXPECT_EQ(map.remap(caller, 0x5000000, page_size, page_size, 0, 0).error(), Errno::Fault);
  EXPECT_EQ(map.remap(caller, *moved, page_size, page_size, MREMAP_FIXED, 0x3000000).error(), Errno::Inval);
  expect_agreement();
}

TEST_F(AddressMapTest, remap_keeps_the_old_range_when_asked) {
  uint64_t at = must_map(plan(2 * page_size));
  auto to = map.remap(caller, at, 2 * page_size, 2 * page_size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
  ASSERT_TRUE(to);
  EXPECT_NE(*to, at);
  EXPECT_TRUE(map.find(at));
  expect_agreement();
}

TEST_F(AddressMapTest, shared_anonymous_memory_is_an_extent_that_never_grows) {
  auto p = plan(2 * page_size);
  p.vma.flags = MAP_SHARED;
  p.shared_anonymous = true;
  uint64_t at = must_map(std::move(p));
  EXPECT_EQ(file->allocated_bytes(), 2 * page_size);
  EXPECT_EQ(map.remap(caller, at, 2 * page_size, 4 * page_size, MREMAP_MAYMOVE, 0).error(), Errno::NoMem);
  auto second = map.remap(caller, at, 0, 2 * page_size, MREMAP_MAYMOVE, 0);
  ASSERT_TRUE(second);
  expect_agreement();
  ASSERT_TRUE(map.unmap(caller, at, 2 * page_size));
  EXPECT_EQ(file->allocated_bytes(), 2 * page_size);
  ASSERT_TRUE(map.unmap(caller, *second, 2 * page_size));
  EXPECT_EQ(file->allocated_bytes(), 0u);
}

TEST_F(AddressMapTest, stack_shows_what_was_touched_and_grows_to_its_limit) {
  constexpr uint64_t top = limit - 0x100000, size = 1u << 20;
  ASSERT_TRUE(map.map_stack(caller, top, size, top - 4 * page_size, PROT_READ | PROT_WRITE));
  EXPECT_EQ(map.find(top - page_size)->start, top - 4 * page_size);
  context.space->resident.insert(top - 10 * page_size);
  EXPECT_EQ(map.find(top - 5 * page_size)->start, top - 10 * page_size);
  caller.stack_limit = 4u << 20;
  EXPECT_TRUE(*map.grow_stack(caller, top - size - page_size));
  EXPECT_FALSE(*map.grow_stack(caller, top - size - page_size));  // it is there now: a fault of permission
  EXPECT_FALSE(*map.grow_stack(caller, top - (8u << 20)));
  EXPECT_FALSE(*map.grow_stack(caller, top + page_size));
}

TEST_F(AddressMapTest, mappings_keep_a_gap_below_stacks) {
  auto p = plan(page_size, 0x40000000, true);
  p.vma.flags |= MAP_GROWSDOWN;
  must_map(std::move(p));
  uint64_t hint = 0x40000000 - page_size;
  EXPECT_NE(must_map(plan(page_size, hint)), hint);
  EXPECT_EQ(must_map(plan(page_size, 0x40000000 - stack_guard_gap - page_size)),
            0x40000000 - stack_guard_gap - page_size);
  EXPECT_FALSE(*map.grow_stack(caller, 0x40000000 - 8 * page_size));  // would come too near
  ASSERT_TRUE(map.unmap(caller, 0x40000000 - stack_guard_gap - page_size, page_size));
  EXPECT_TRUE(*map.grow_stack(caller, 0x40000000 - 8 * page_size));
  expect_agreement();
}

TEST_F(AddressMapTest, locked_memory_is_limited) {
  caller.lock_limit = 4 * page_size;
  uint64_t at = must_map(plan(8 * page_size));
  EXPECT_EQ(map.lock(caller, at, 8 * page_size, true).error(), Errno::NoMem);
  EXPECT_TRUE(map.lock(caller, at, 4 * page_size, true));
  EXPECT_TRUE(map.lock(caller, at, 4 * page_size, true));
  EXPECT_EQ(map.usage().locked, 4 * page_size);
  std::vector<AddressMap::FileRange> ranges;
  EXPECT_EQ(map.advise(caller, at, page_size, MADV_DONTNEED, ranges).error(), Errno::Inval);
  EXPECT_TRUE(map.unlock(at, 8 * page_size));
  EXPECT_EQ(map.snapshot().size(), 1u);
  caller.lock_limit = 0;
  EXPECT_EQ(map.lock(caller, at, page_size, false).error(), Errno::Perm);
}

TEST_F(AddressMapTest, sealed_ranges_stay) {
  uint64_t at = must_map(plan(4 * page_size));
  ASSERT_TRUE(map.seal(at + page_size, page_size));
  EXPECT_EQ(map.unmap(caller, at, 4 * page_size).error(), Errno::Perm);
  EXPECT_EQ(map.protect(caller, at + page_size, page_size, PROT_READ).error(), Errno::Perm);
  EXPECT_EQ(map.map(caller, plan(4 * page_size, at, true)).error(), Errno::Perm);
  EXPECT_TRUE(map.unmap(caller, at, page_size));
  expect_agreement();
}

TEST_F(AddressMapTest, fork_leaves_out_what_must_not_be_inherited) {
  uint64_t at = must_map(plan(4 * page_size));
  std::vector<AddressMap::FileRange> ranges;
  ASSERT_TRUE(map.advise(caller, at, page_size, MADV_DONTFORK, ranges));
  ASSERT_TRUE(map.lock(caller, at, 4 * page_size, true));
  auto child = map.fork(nullptr);
  EXPECT_EQ(child->usage().total, 3 * page_size);
  EXPECT_EQ(child->usage().locked, 0u);
}

// Random operations on a small window, against an array of pages.
class ModelTest : public AddressMapTest, public testing::WithParamInterface<int> {};

TEST_P(ModelTest, random_operations) {
  constexpr uint64_t window = 0x10000000, pages = 48;
  struct ModelPage {
    bool mapped = false;
    int protection = 0;
  };
  std::vector<ModelPage> model(pages);
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  auto below = [&](uint64_t n) { return static_cast<uint64_t>(random()) % n; };
  constexpr int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
  for (int step = 0; step < 3000; ++step) {
    uint64_t first = below(pages), count = 1 + below(std::min<uint64_t>(pages - first, 12));
    uint64_t address = window + first * page_size, length = count * page_size;
    int protection = protections[below(3)];
    bool host_refuses = below(16) == 0;
    if (host_refuses) context.fail_after = 0;
    switch (below(5)) {
      case 0: {
        auto p = plan(length, address, true);
        p.vma.protection = protection;
        if (below(4) == 0) {
          p.vma.flags = MAP_SHARED;
          p.shared_anonymous = true;
        }
        auto done = map.map(caller, std::move(p));
        ASSERT_EQ(done.has_value(), !host_refuses);
        if (done)
          for (uint64_t i = first; i < first + count; ++i) model[i] = {true, protection};
        break;
      }
      case 1: {
        auto done = map.unmap(caller, address, length);
        if (done)
          for (uint64_t i = first; i < first + count; ++i) model[i] = {};
        else
          ASSERT_TRUE(host_refuses);
        break;
      }
      case 2: {
        auto done = map.protect(caller, address, length, protection);
        if (!done && host_refuses && context.fail_after == -1) break;
        uint64_t i = first;
        for (; i < first + count && model[i].mapped; ++i) model[i].protection = protection;
        ASSERT_EQ(done.has_value(), i == first + count);
        break;
      }
      case 3: {  // to a place that does not overlap
        uint64_t to = below(pages - count + 1);
        if (to < first + count && first < to + count) break;
        auto done = map.remap(caller, address, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, window + to * page_size);
        if (done) {
          for (uint64_t i = 0; i < count; ++i) {
            ASSERT_TRUE(model[first + i].mapped);
            model[to + i] = model[first + i];
            model[first + i] = {};
          }
        } else {  // whatever was refused: the model follows the tree
          for (uint64_t i = 0; i < pages; ++i) {
            auto v = map.find(window + i * page_size);
            if (!v) model[i] = {};
          }
        }
        break;
      }
      default: {
        std::vector<AddressMap::FileRange> ranges;
        constexpr int advices[] = {MADV_DONTFORK, MADV_DOFORK, MADV_SEQUENTIAL, MADV_NORMAL, MADV_DONTNEED};
        (void)map.advise(caller, address, length, advices[below(5)], ranges);
        break;
      }
    }
    context.fail_after = -1;
    for (uint64_t i = 0; i < pages; ++i) {
      auto v = map.find(window + i * page_size);
      ASSERT_EQ(v.has_value(), model[i].mapped) << "page " << i << " step " << step;
      if (v) ASSERT_EQ(v->protection, model[i].protection) << "page " << i << " step " << step;
    }
    if (step % 16 == 0) expect_agreement();
    if (HasFatalFailure()) return;
  }
  expect_agreement();
}
INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, testing::Range(0, 8));

// The search for room against a plain one.
TEST_F(AddressMapTest, placement_is_the_highest_gap) {
  std::mt19937 random(7);
  std::vector<std::pair<uint64_t, uint64_t>> made;
  for (int step = 0; step < 2000; ++step) {
    if (!made.empty() && random() % 3 == 0) {
      size_t i = random() % made.size();
      ASSERT_TRUE(map.unmap(caller, made[i].first, made[i].second));
      made.erase(made.begin() + static_cast<ptrdiff_t>(i));
      continue;
    }
    uint64_t length = (1 + random() % 20) * page_size;
    auto vmas = map.snapshot();
    uint64_t top = base;
    for (auto it = vmas.rbegin(); it != vmas.rend() && top - it->end < length; ++it) top = it->start;
    uint64_t at = must_map(plan(length));
    ASSERT_EQ(at, top - length) << step;
    made.emplace_back(at, length);
  }
}

TEST(MemoryFile, extents_are_disjoint_and_freed) {
  auto file = *MemoryFile::create();
  auto a = *file->allocate(100), b = *file->allocate(5 << 20), c = *file->allocate(4096);
  EXPECT_EQ(a->length(), 4096u);
  EXPECT_EQ(b->offset() % (2u << 20), 0u);
  EXPECT_GE(c->offset(), b->offset() + b->length());
  EXPECT_EQ(file->allocated_bytes(), 4096u + (5u << 20) + 4096u);
  char byte = 'x';
  ASSERT_EQ(pwrite(file->fd()->get(), &byte, 1, static_cast<off_t>(c->offset())), 1);
  file->punch(c->offset(), 4096);
  ASSERT_EQ(pread(file->fd()->get(), &byte, 1, static_cast<off_t>(c->offset())), 1);
  EXPECT_EQ(byte, 0);
  a = {};
  b = {};
  EXPECT_EQ(file->allocated_bytes(), 4096u);
}

}  // namespace
}  // namespace cofferdam::kernel
