// pipe(2), pipe2(2), eventfd(2), signalfd(2), pidfd_open(2), pidfd_getfd(2).
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "kernel/ipc/eventfd.h"
#include "kernel/ipc/pidfd.h"
#include "kernel/ipc/pipe.h"
#include "kernel/ipc/signalfd.h"
#include "kernel/kernel.h"
#include "kernel/task/thread_group.h"
#include "syscalls/handlers_ipc.h"

namespace cofferdam::syscalls {
namespace {

using kernel::EventFile;
using kernel::File;
using kernel::SignalFile;
using kernel::SignalSet;

Result<int> install(Task& task, Ref<File> file, bool close_on_exec) {
  return task.files()->install(std::move(file), close_on_exec, task.thread_group().limits.current(RLIMIT_NOFILE));
}

Result<void> make_pipe_pair(Task& task, UserPtr<PipeDescriptors> address, int flags) {
  auto [reader, writer] = TRY(kernel::make_pipe(task, flags));
  bool close_on_exec = flags & O_CLOEXEC;
  PipeDescriptors fds{};
  fds.read_end = TRY(install(task, std::move(reader), close_on_exec));
  auto files = task.files();
  auto second = install(task, std::move(writer), close_on_exec);
  if (!second) {
    static_cast<void>(files->remove(fds.read_end));
    return std::unexpected(second.error());
  }
  fds.write_end = *second;
  auto written = task.write(address, fds);
  if (!written) {
    static_cast<void>(files->remove(fds.read_end));
    static_cast<void>(files->remove(fds.write_end));
  }
  return written;
}

Result<int> make_event(Task& task, uint32_t initial, uint64_t flags) {
  auto mode = flags & EFD_SEMAPHORE ? EventFile::Mode::Semaphore : EventFile::Mode::Counter;
  return install(task, make_ref<EventFile>(initial, mode, static_cast<int>(flags)), flags & EFD_CLOEXEC);
}

Result<int> make_or_change_signalfd(Task& task, Fd fd, UserPtr<uint64_t> mask, uint64_t size, uint64_t flags) {
  if (size != sizeof(uint64_t)) return fail(Errno::Inval);
  SignalSet wanted(TRY(task.read(mask)));
  if (fd.value == -1) return install(task, make_ref<SignalFile>(wanted, static_cast<int>(flags)), flags & SFD_CLOEXEC);
  auto file = TRY(task.file(fd.value));
  auto* signals = dynamic_cast<SignalFile*>(file.get());
  if (!signals) return fail(Errno::Inval);
  signals->set_wanted(wanted);
  return fd.value;
}

}  // namespace

Result<void> sys_pipe(Task& task, UserPtr<PipeDescriptors> fds) { return make_pipe_pair(task, fds, 0); }

Result<void> sys_pipe2(Task& task, UserPtr<PipeDescriptors> fds, PipeFlags flags) {
  return make_pipe_pair(task, fds, static_cast<int>(flags.bits));
}

Result<int> sys_eventfd(Task& task, uint32_t initial) { return make_event(task, initial, 0); }

Result<int> sys_eventfd2(Task& task, uint32_t initial, EventFlags flags) {
  return make_event(task, initial, flags.bits);
}

Result<int> sys_signalfd(Task& task, Fd fd, UserPtr<uint64_t> mask, uint64_t size) {
  return make_or_change_signalfd(task, fd, mask, size, 0);
}

Result<int> sys_signalfd4(Task& task, Fd fd, UserPtr<uint64_t> mask, uint64_t size, SignalFileFlags flags) {
  return make_or_change_signalfd(task, fd, mask, size, flags.bits);
}

Result<int> sys_pidfd_open(Task& task, int32_t pid, PidFileFlags flags) {
  if (pid <= 0) return fail(Errno::Inval);
  Ref<kernel::ThreadGroup> group;
  {
    auto& kernel = task.kernel();
    kernel::ProcessLocked locked(kernel);
    group = task.pids().group(pid, locked);
    if (!group) return fail(task.pids().task(pid, locked) ? Errno::Inval : Errno::Srch);
  }
  return install(task, kernel::make_pidfd(std::move(group), static_cast<int>(flags.bits)), true);
}

Result<int> sys_pidfd_getfd(Task& task, Fd pidfd, Fd target_fd, Flags<struct PidGetFlags, 0>) {
  auto file = TRY(task.file(pidfd.value));
  auto group = kernel::group_of(*file);
  if (!group) return fail(Errno::BadF);
  Ref<Task> target;
  {
    kernel::ProcessLocked locked(task.kernel());
    if (group->exited(locked)) return fail(Errno::Srch);
    target = group->leader(locked);
  }
  if (!target) return fail(Errno::Srch);
  auto files = target->files();
  if (!files) return fail(Errno::Srch);
  // ptrace(2)'s rule for attaching: the same user in every respect and no more capabilities, or CAP_SYS_PTRACE.
  auto mine = task.credentials(), theirs = target->credentials();
  bool same = mine->fsuid == theirs->uid && mine->fsuid == theirs->euid && mine->fsuid == theirs->suid &&
              mine->fsgid == theirs->gid && mine->fsgid == theirs->egid && mine->fsgid == theirs->sgid &&
              theirs->permitted.subset_of(mine->permitted);
  if (&target->thread_group() != &task.thread_group() && !same && !task.capable(CAP_SYS_PTRACE))
    return fail(Errno::Perm);
  files->stop_serving(target_fd.value);
  return install(task, TRY(files->get(target_fd.value, true)), true);
}

}  // namespace cofferdam::syscalls
