// The address space: mmap(2) and its kin. Rules and errors: kernel/mm.
#include <sys/mman.h>

#include "host/membarrier.h"
#include "kernel/kernel.h"
#include "kernel/mm/memory_manager.h"
#include "kernel/vfs/memory_inode.h"
#include "syscalls/handlers_memory.h"

namespace cofferdam::syscalls {
namespace {

constexpr uint64_t page_mask = 4095;

}  // namespace

Result<uint64_t> sys_mmap(Task& task, uint64_t address, uint64_t length, int protection, int flags, Fd fd,
                          uint64_t offset) {
  if (offset & page_mask) return fail(Errno::Inval);
  kernel::MmapRequest request{.address = address, .length = length, .protection = protection, .flags = flags};
  if (!(flags & MAP_ANONYMOUS)) {
    request.file = TRY(task.file(fd.value));
    request.offset = offset;
  }
  return task.mm()->mmap(task, request);
}

Result<void> sys_munmap(Task& task, uint64_t address, uint64_t length) {
  return task.mm()->munmap(task, address, length);
}

Result<void> sys_mprotect(Task& task, uint64_t address, uint64_t length, int protection) {
  return task.mm()->mprotect(task, address, length, protection);
}

Result<uint64_t> sys_mremap(Task& task, uint64_t old_address, uint64_t old_length, uint64_t new_length, int flags,
                            uint64_t new_address) {
  return task.mm()->mremap(task, old_address, old_length, new_length, flags, new_address);
}

Result<uint64_t> sys_brk(Task& task, uint64_t new_break) { return task.mm()->brk(task, new_break); }

Result<void> sys_madvise(Task& task, uint64_t address, uint64_t length, int advice) {
  return task.mm()->madvise(task, address, length, advice);
}

Result<void> sys_mlock(Task& task, uint64_t address, uint64_t length) {
  return task.mm()->mlock(task, address, length, 0);
}

Result<void> sys_mlock2(Task& task, uint64_t address, uint64_t length, int flags) {
  return task.mm()->mlock(task, address, length, flags);
}

Result<void> sys_munlock(Task& task, uint64_t address, uint64_t length) {
  return task.mm()->munlock(task, address, length);
}

Result<void> sys_mlockall(Task& task, int flags) { return task.mm()->mlockall(task, flags); }

Result<void> sys_munlockall(Task& task) { return task.mm()->munlockall(task); }

Result<void> sys_mincore(Task& task, uint64_t address, uint64_t length, UserAddr vector) {
  return task.mm()->mincore(task, address, length, vector);
}

Result<void> sys_msync(Task& task, uint64_t address, uint64_t length, int flags) {
  return task.mm()->msync(task, address, length, flags);
}

Result<void> sys_mseal(Task& task, uint64_t address, uint64_t length, uint64_t flags) {
  if (flags != 0) return fail(Errno::Inval);
  return task.mm()->seal(task, address, length);
}

Result<int> sys_memfd_create(Task& task, UserCString name, uint32_t flags) {
  constexpr uint32_t noexec_seal = 8, exec = 0x10, known = MFD_CLOEXEC | MFD_ALLOW_SEALING | noexec_seal | exec;
  constexpr size_t longest_name = 249;
  if (flags & MFD_HUGETLB) return fail(Errno::NoSys);  // a kernel without hugetlbfs
  if (flags & ~known) return fail(Errno::Inval);
  if ((flags & exec) && (flags & noexec_seal)) return fail(Errno::Inval);
  auto text = task.read_string(name, longest_name + 1);
  if (!text) return fail(text.error() == Errno::NameTooLong ? Errno::Inval : text.error().code);
  auto file = TRY(kernel::create_memfd(task.kernel(), *task.credentials(), *text, flags));
  return task.files()->install(std::move(file), flags & MFD_CLOEXEC, task.thread_group().limits.current(RLIMIT_NOFILE));
}

// Only what the host does for all processors alike: the expedited commands would have to know the guest's threads.
Result<int> sys_membarrier(Task&, int command, uint32_t flags, int) {
  constexpr int query = 0, global = 1;
  if (flags != 0) return fail(Errno::Inval);
  switch (command) {
    case query:
      return host::has_global_barrier() ? global : 0;
    case global:
      TRY(host::global_barrier());
      return 0;
    default:
      return fail(Errno::Inval);
  }
}

// Deprecated since Linux 3.16; emulated there by mmap(2) of the part, and here too.
Result<void> sys_remap_file_pages(Task& task, uint64_t address, uint64_t size, uint64_t protection,
                                  uint64_t page_offset, uint64_t /*flags*/) {
  if (protection != 0) return fail(Errno::Inval);
  address &= ~page_mask;
  size &= ~page_mask;
  if (size == 0 || address + size <= address || page_offset + (size >> 12) < page_offset) return fail(Errno::Inval);
  auto vma = task.mm()->find(address);
  if (!vma || !(vma->flags & MAP_SHARED) || !vma->file || address + size > vma->end) return fail(Errno::Inval);
  (void)TRY(task.mm()->mmap(task, {.address = address,
                                   .length = size,
                                   .protection = vma->protection,
                                   .flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE | MAP_NONBLOCK,
                                   .file = vma->file,
                                   .offset = page_offset << 12}));
  return {};
}

}  // namespace cofferdam::syscalls
