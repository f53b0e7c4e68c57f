#include "platform/trap/area_unsafe.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>

namespace cofferdam::platform::trap {
namespace {
constexpr uint32_t max_windows = 1u << 20;
}

Result<host::OwnedFd> AreaFile::create_memfd() {
  host::OwnedFd fd(::memfd_create("cofferdam-areas", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_host(errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(max_windows * stub::window_size)) != 0) return fail_host(errno);
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) return fail_host(errno);
  return fd;
}

Result<AreaFile::Window> AreaFile::allocate_window() {
  MutexLock lock(mutex_);
  if (!free_.empty()) {
    Window window = std::move(free_.back());
    free_.pop_back();
    return window;
  }
  if (next_ == max_windows) return fail(Errno::Again);
  return Window{next_++, {}};
}

void AreaFile::release_window(Window window) {
  constexpr size_t most_mapped = 16;
  // Also takes what a dead process left behind out of the next one's sight.
  ::fallocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(window_offset(window.index)),
              static_cast<off_t>(stub::window_size));
  MutexLock lock(mutex_);
  if (free_.size() >= most_mapped) window.area = {};
  free_.push_back(std::move(window));
}

Result<Area> Area::map(AreaFile const& file, uint32_t window, uint32_t slot) {
  off_t const offset = static_cast<off_t>(AreaFile::window_offset(window) + uint64_t{slot} * stub::area_size);
  void* p = ::mmap(nullptr, stub::area_size, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), offset);
  if (p == MAP_FAILED) return fail_host(errno);
  Area area;
  area.base_ = static_cast<std::byte*>(p);
  area.slot_ = slot;
  return area;
}

Area::~Area() {
  if (base_ != nullptr) ::munmap(base_, stub::area_size);
}

void Area::initialize() const {
  auto& c = control();
  uint64_t const self = stub_address();
  c.self = self;
  c.stack_top = self + stub::stack_top;
  c.event = 0;
  c.frame = 0;
  c.interrupted = 0;
  c.set_bases = 0;
  c.altstack.sp = self + stub::altstack;
  c.altstack.flags = 0;
  c.altstack.size = stub::altstack_end - stub::altstack;
  c.facts.flags = stub::native_futex;
  c.futex_skip = 0;
  c.futex_misses = 0;
  c.native_answers = 0;
  c.next_patch_hint = 16;
  turn().store(stub::turn_guest, std::memory_order_release);
}

}  // namespace cofferdam::platform::trap
