// What a cached name costs, and that the cache of them has a bound.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "fs/host/host_file_system.h"
#include "kernel/kernel.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/mount.h"

namespace cofferdam {
namespace {

using namespace kernel;

size_t allocated() {
  struct mallinfo2 const m = ::mallinfo2();
  return m.uordblks + m.hblkhd;
}

TEST(DentryMemory, the_cache_keeps_to_its_bound_and_keeps_what_is_used) {
  constexpr size_t bound = 1000;
  DentryCache cache(bound);
  auto root = make_ref<Dentry>(Ref<Inode>());
  cache.insert(root, "often", {});
  for (int i = 0; i < 20'000; ++i) {
    cache.insert(root, "name" + std::to_string(i), {});
    ASSERT_LE(cache.size(), bound + bound / 10);
    ReadLock lock(cache.lock());
    ASSERT_TRUE(cache.find(root.get(), "often")) << "after " << i;
  }
  cache.shrink();
  EXPECT_EQ(cache.size(), 0u);
}

TEST(DentryMemory, bytes_of_a_cached_name_of_a_host_directory) {
#if defined(COFFERDAM_SANITIZED)
  GTEST_SKIP() << "the sanitizer's allocator does not tell";
#endif
  constexpr int files = 20'000;
  constexpr size_t name_length = 6;
  // Dentry, inode and their share of the hash table, as the allocator counts them.
  constexpr size_t most = 300;
  char directory[] = "/tmp/cofferdam-dentries-XXXXXX";
  ASSERT_TRUE(::mkdtemp(directory));
  for (int i = 0; i < files; ++i) std::ofstream(std::string(directory) + "/" + std::to_string(100'000 + i));
  {
    auto kernel = std::move(*Kernel::create({}));
    host::OwnedFd fd(::open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC));
    auto fs = *fs::host::create(kernel->vfs(), std::move(fd), {.exclusive = true, .source = "test"});
    ASSERT_TRUE(kernel->vfs().attach(kernel->root_mounts(), fs, std::nullopt, 0));
    size_t const before = allocated();
    for (int i = 0; i < files; ++i)
      ASSERT_TRUE(kernel->vfs().resolve(kernel->root_mounts(), "/" + std::to_string(100'000 + i)));
    EXPECT_LE((allocated() - before) / files, most + name_length);
    EXPECT_GE((allocated() - before) / files, 100u) << "they were cached at all";
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace cofferdam
