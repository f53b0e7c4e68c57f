// futex(2) as far as it is not the host's: priority inheritance; and robust lists.
#include <linux/futex.h>

#include "kernel/kernel.h"
#include "kernel/task/task_internal.h"
#include "kernel/time/guest_clock.h"
#include "syscalls/handlers_futex.h"

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

constexpr uint64_t robust_list_head_size = 24;

Result<Deadline> absolute_deadline(Task& task, UserAddr timeout, clockid_t clock) {
  if (!timeout) return Deadline::never();
  return Deadline::at(monotonic_of(clock, TRY(to_nanoseconds(TRY(task.read(UserPtr<timespec>(timeout)))))));
}

}  // namespace

// Plain waits and wakes run in the host's kernel, on the guest's own memory, and come here only with addresses that
// nobody can have.
Result<uint64_t> sys_futex(Task& task, UserAddr word, int32_t operation, uint32_t value, UserAddr timeout_or_count,
                           UserAddr second, uint32_t third) {
  int command = operation & FUTEX_CMD_MASK;
  bool real_time = operation & FUTEX_CLOCK_REALTIME;
  if (real_time && command != FUTEX_WAIT_BITSET && command != FUTEX_WAIT_REQUEUE_PI && command != FUTEX_LOCK_PI2)
    return fail(Errno::NoSys);
  clockid_t clock = real_time || command == FUTEX_LOCK_PI ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  auto& futexes = task.kernel().pi_futexes();
  auto as_zero = [](Result<void> r) { return r ? Result<uint64_t>(0) : std::unexpected(r.error()); };
  switch (command) {
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
      return as_zero(futexes.lock(task, word.value, TRY(absolute_deadline(task, timeout_or_count, clock))));
    case FUTEX_TRYLOCK_PI:
      return as_zero(futexes.try_lock(task, word.value));
    case FUTEX_UNLOCK_PI:
      return as_zero(futexes.unlock(task, word.value));
    case FUTEX_WAIT_REQUEUE_PI:
      return as_zero(futexes.wait_requeue(task, word.value, value,
                                          TRY(absolute_deadline(task, timeout_or_count, clock)), second.value));
    case FUTEX_CMP_REQUEUE_PI:
      if (value != 1) return fail(Errno::Inval);
      return futexes.requeue(task, word.value, third, second.value, static_cast<uint32_t>(timeout_or_count.value));
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAKE_BITSET:
      return fail(third == 0 || word.value % 4 != 0 ? Errno::Inval : Errno::Fault);
    case FUTEX_WAIT:
    case FUTEX_WAKE:
      return fail(word.value % 4 != 0 ? Errno::Inval : Errno::Fault);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
      return fail(word.value % 4 != 0 || second.value % 4 != 0 ? Errno::Inval : Errno::Fault);
    default:
      return fail(Errno::NoSys);
  }
}

Result<void> sys_set_robust_list(Task& task, UserAddr head, uint64_t length) {
  if (length != robust_list_head_size) return fail(Errno::Inval);
  task.implementation().robust_list_head = head.value;
  task.implementation().robust_list_length = length;
  return {};
}

Result<void> sys_get_robust_list(Task& task, int32_t tid, UserPtr<uint64_t> head, UserPtr<uint64_t> length) {
  uint64_t address = task.implementation().robust_list_head;
  if (tid != 0 && tid != task.tid()) {
    ProcessLocked lock(task.kernel());
    auto other = task.pids().task(tid, lock);
    if (!other) return fail(Errno::Srch);
    // Another thread changes it without a lock: the value is a hint, as on Linux.
    bool same =
        &other->thread_group() == &task.thread_group() || other->credentials()->euid == task.credentials()->euid;
    if (!same && !task.capable(CAP_SYS_PTRACE)) return fail(Errno::Perm);
    address = __atomic_load_n(&other->implementation().robust_list_head, __ATOMIC_RELAXED);
  }
  TRY(task.write(length, robust_list_head_size));
  return task.write(head, address);
}

}  // namespace cofferdam::syscalls
