// Another process's memory: process_vm_readv(2), process_vm_writev(2), process_madvise(2).
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <algorithm>

#include "kernel/ipc/pidfd.h"
#include "kernel/kernel.h"
#include "kernel/mm/memory_manager.h"
#include "kernel/task/process_internal.h"
#include "syscalls/handlers_memory.h"
#include "syscalls/io_vector.h"

namespace cofferdam::syscalls {
namespace {

constexpr size_t chunk_size = 64 * 1024;

// ptrace(2), "access mode checking": PTRACE_MODE_ATTACH_REALCREDS.
Result<void> check_access(Task& task, Task& target) {
  if (&task.thread_group() == &target.thread_group()) return {};
  auto own = task.credentials(), theirs = target.credentials();
  bool privileged = own->capable(CAP_SYS_PTRACE);
  bool same = own->uid == theirs->uid && own->uid == theirs->euid && own->uid == theirs->suid &&
              own->gid == theirs->gid && own->gid == theirs->egid && own->gid == theirs->sgid;
  if (privileged) return {};
  if (!same || !theirs->permitted.subset_of(own->permitted)) return fail(Errno::Perm);
  kernel::ProcessLocked lock(task.kernel());
  if (!target.thread_group().implementation().dumpable) return fail(Errno::Perm);
  return {};
}

Result<Ref<kernel::MemoryManager>> memory_of(Task& task, Ref<Task> const& target) {
  if (!target) return fail(Errno::Srch);
  auto mm = target->mm();
  if (!mm) return fail(Errno::Srch);
  TRY(check_access(task, *target));
  return mm;
}

Result<Ref<kernel::MemoryManager>> memory_of(Task& task, int32_t pid) {
  Ref<Task> target;
  {
    kernel::ProcessLocked lock(task.kernel());
    target = task.pids().task(pid, lock);
  }
  return memory_of(task, target);
}

Ref<Task> leader_of(Task& task, kernel::ThreadGroup& group) {
  kernel::ProcessLocked lock(task.kernel());
  return group.leader(lock);
}

// Moves bytes until one side ends or faults; `move` handles one piece of remote memory and gives how much it did.
template <class Move>
Result<uint64_t> transfer(std::vector<UserSlice> const& remote, uint64_t local_total, Move&& move) {
  uint64_t done = 0;
  for (auto const& slice : remote)
    for (uint64_t at = 0; at < slice.length;) {
      size_t n = static_cast<size_t>(std::min({slice.length - at, local_total - done, uint64_t{chunk_size}}));
      if (n == 0) return done;
      Result<size_t> moved = move(slice.address.value + at, n);
      if (!moved || *moved == 0) {
        if (done != 0) return done;
        return fail(Errno::Fault);
      }
      done += *moved;
      at += *moved;
      if (*moved < n) return done;
    }
  return done;
}

uint64_t total_of(std::vector<UserSlice> const& slices) {
  uint64_t total = 0;
  for (auto const& s : slices) total += s.length;
  return total;
}

}  // namespace

Result<uint64_t> sys_process_vm_readv(Task& task, int32_t pid, UserAddr local, uint64_t local_count, UserAddr remote,
                                      uint64_t remote_count, uint64_t flags) {
  if (flags != 0) return fail(Errno::Inval);
  auto to = TRY(read_io_vector(task, local, local_count));
  uint64_t room = total_of(to);
  if (room == 0) return 0;
  auto from = TRY(read_io_vector(task, remote, remote_count, UINT64_MAX));
  if (from.empty()) return 0;
  auto mm = TRY(memory_of(task, pid));
  kernel::UserSink sink(task, std::move(to));
  std::vector<std::byte> buffer(std::min<uint64_t>(room, chunk_size));
  return transfer(from, room, [&](uint64_t address, size_t n) -> Result<size_t> {
    size_t got = TRY(mm->address_space().read(address, std::span(buffer).first(n)));
    return sink.put(std::span(buffer).first(got));
  });
}

Result<uint64_t> sys_process_vm_writev(Task& task, int32_t pid, UserAddr local, uint64_t local_count, UserAddr remote,
                                       uint64_t remote_count, uint64_t flags) {
  if (flags != 0) return fail(Errno::Inval);
  auto from = TRY(read_io_vector(task, local, local_count));
  uint64_t have = total_of(from);
  if (have == 0) return 0;
  auto to = TRY(read_io_vector(task, remote, remote_count, UINT64_MAX));
  if (to.empty()) return 0;
  auto mm = TRY(memory_of(task, pid));
  kernel::UserSource source(task, std::move(from));
  std::vector<std::byte> buffer(std::min<uint64_t>(have, chunk_size));
  return transfer(to, have, [&](uint64_t address, size_t n) -> Result<size_t> {
    size_t got = TRY(source.get(std::span(buffer).first(n)));
    return mm->address_space().write(address, std::span(buffer).first(got));
  });
}

// process_madvise(2). Another process's memory gets no hint, since only its own threads can give it: what would be
// advised is checked and counted, as on a Linux that has nothing to reclaim.
Result<uint64_t> sys_process_madvise(Task& task, Fd pidfd, UserAddr vector, uint64_t count, int advice,
                                     uint32_t flags) {
  if (flags != 0) return fail(Errno::Inval);
  auto slices = TRY(read_io_vector(task, vector, count));
  auto file = TRY(task.file(pidfd.value));
  auto group = kernel::group_of(*file);
  if (!group) return fail(Errno::BadF);
  constexpr int madv_collapse = 25;  // not in every libc's headers
  bool const own = group.get() == &task.thread_group();
  bool const remote =
      advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED || advice == madv_collapse;
  if (!own && !remote) return fail(Errno::Inval);
  auto mm = TRY(memory_of(task, leader_of(task, *group)));
  if (!own && !task.capable(CAP_SYS_NICE)) return fail(Errno::Perm);
  uint64_t done = 0;
  for (auto const& s : slices) {
    Result<void> one;
    if (own)
      one = mm->madvise(task, s.address.value, s.length, advice);
    else if (s.address.value & 4095)
      one = fail(Errno::Inval);
    else if (!mm->range_is_mapped(s.address.value, s.length))
      one = fail(Errno::NoMem);
    if (!one) return done != 0 ? Result<uint64_t>(done) : std::unexpected(one.error());
    done += s.length;
  }
  return done;
}

}  // namespace cofferdam::syscalls
