// Descriptors: close(2), dup(2), fcntl(2), ioctl(2), flock(2).
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#include "kernel/ipc/async_signal.h"
#include "kernel/ipc/directory_notify.h"
#include "kernel/ipc/pipe.h"
#include "kernel/ipc/socket.h"
#include "kernel/kernel.h"
#include "kernel/vfs/close.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/leases.h"
#include "kernel/vfs/locks.h"
#include "syscalls/handlers_descriptor.h"
#include "syscalls/path_arguments.h"

template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<struct flock> = true;  // only what was read is written back

namespace cofferdam::syscalls {

using namespace kernel;

Result<void> sys_close(Task& task, Fd fd) {
  auto table = task.files();
  auto file = TRY(table->remove(fd.value));
  return close_descriptor(task, *table, *file);
}

Result<void> sys_close_range(Task& task, uint32_t first, uint32_t last, uint32_t flags) {
  if (flags & ~uint32_t{CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC}) return fail(Errno::Inval);
  if (first > last) return fail(Errno::Inval);
  if (flags & CLOSE_RANGE_UNSHARE) task.unshare_files();
  auto table = task.files();
  if (flags & CLOSE_RANGE_CLOEXEC) {
    table->set_close_on_exec_range(first, last);
    return {};
  }
  for (auto& file : table->remove_range(first, last)) (void)close_descriptor(task, *table, *file);
  return {};
}

Result<int> sys_dup(Task& task, Fd fd) {
  auto table = task.files();
  return table->install(TRY(table->get(fd.value, true)), false, descriptor_limit(task));
}

static Result<int> duplicate_to(Task& task, Fd from, Fd to, bool close_on_exec) {
  auto table = task.files();
  auto file = TRY(table->get(from.value, true));
  auto replaced = TRY(table->install_at(to.value, std::move(file), close_on_exec, descriptor_limit(task)));
  if (replaced) (void)close_descriptor(task, *table, *replaced);
  return to.value;
}

Result<int> sys_dup2(Task& task, Fd from, Fd to) {
  if (from.value == to.value) {
    TRY(task.file(from.value, true));
    return to.value;
  }
  return duplicate_to(task, from, to, false);
}

Result<int> sys_dup3(Task& task, Fd from, Fd to, int32_t flags) {
  if ((flags & ~O_CLOEXEC) || from.value == to.value) return fail(Errno::Inval);
  return duplicate_to(task, from, to, flags & O_CLOEXEC);
}

namespace {

Result<LockRange> range_of(File& file, struct flock const& l) {
  int64_t base = 0;
  if (l.l_whence == SEEK_CUR) {
    MutexLock lock(file.position_lock);
    base = static_cast<int64_t>(file.position);
  } else if (l.l_whence == SEEK_END) {
    base = static_cast<int64_t>(TRY(file.attributes()).size);
  } else if (l.l_whence != SEEK_SET) {
    return fail(Errno::Inval);
  }
  int64_t first, last;
  if (__builtin_add_overflow(base, l.l_start, &first)) return fail(Errno::Overflow);
  if (l.l_len == 0) {
    if (first < 0) return fail(Errno::Inval);
    return LockRange{static_cast<uint64_t>(first), UINT64_MAX};
  }
  if (__builtin_add_overflow(first, l.l_len, &last)) return fail(Errno::Overflow);
  if (l.l_len < 0) std::swap(first, last);
  if (first < 0) return fail(Errno::Inval);
  return LockRange{static_cast<uint64_t>(first), static_cast<uint64_t>(last) - 1};
}

Result<LockType> lock_type(uint64_t type) {
  switch (type) {
    case F_RDLCK:
      return LockType::Shared;
    case F_WRLCK:
      return LockType::Exclusive;
    case F_UNLCK:
      return LockType::Unlock;
    default:
      return fail(Errno::Inval);
  }
}

uint64_t lease_number(LockType type) {
  return type == LockType::Shared ? F_RDLCK : type == LockType::Exclusive ? F_WRLCK : F_UNLCK;
}

Result<uint64_t> record_lock(Task& task, File& file, int command, uint64_t argument) {
  UserPtr<struct flock> user(argument);
  struct flock l = TRY(task.read(user));
  bool open_file = command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
  if (open_file && l.l_pid != 0) return fail(Errno::Inval);
  auto type = TRY(lock_type(static_cast<uint64_t>(l.l_type)));
  auto range = TRY(range_of(file, l));
  if (!file.inode()) return fail(Errno::Inval);
  auto table = task.files();
  LockOwner owner =
      open_file ? LockOwner{.key = &file}
                : LockOwner{.key = table.get(), .pid = Ref<Pid>(&task.thread_group().pid()), .detect_deadlock = true};
  auto locks = FileLocks::of(*file.inode());
  if (command == F_GETLK || command == F_OFD_GETLK) {
    if (type == LockType::Unlock) return fail(Errno::Inval);
    auto conflict = locks->test(owner, type, range);
    if (!conflict) {
      l.l_type = F_UNLCK;
    } else {
      l.l_type = conflict->type == LockType::Shared ? F_RDLCK : F_WRLCK;
      l.l_whence = SEEK_SET;
      l.l_start = static_cast<off_t>(conflict->range.first);
      l.l_len =
          conflict->range.last == UINT64_MAX ? 0 : static_cast<off_t>(conflict->range.last - conflict->range.first + 1);
      l.l_pid = conflict->of_open_file ? -1 : conflict->pid ? conflict->pid->number_in(task.pids()) : 0;
    }
    TRY(task.write(user, l));
    return 0;
  }
  if (type == LockType::Shared && !file.readable()) return fail(Errno::BadF);
  if (type == LockType::Exclusive && !file.writable()) return fail(Errno::BadF);
  TRY(locks->set(task, task.kernel().vfs().lock_waits(), owner, type, range,
                 command == F_SETLKW || command == F_OFD_SETLKW));
  return 0;
}

Result<uint64_t> set_owner(Task& task, File& file, int type, int32_t id) {
  Ref<Pid> pid;
  if (id != 0) {
    ProcessLocked lock(task.kernel());
    auto& pids = task.pids();
    bool exists = type == F_OWNER_PGRP  ? static_cast<bool>(pids.process_group(id))
                  : type == F_OWNER_PID ? static_cast<bool>(pids.group(id, lock))
                                        : static_cast<bool>(pids.task(id, lock));
    if (!exists) return fail(Errno::Srch);
    pid = pids.find(id);
  }
  auto credentials = task.credentials();
  file.owner.with([&](File::Owner& o) {
    o.type = type;
    std::swap(o.pid, pid);
    o.uid = credentials->uid;
    o.euid = credentials->euid;
  });
  if (kernel::socket_of(file)) kernel::tell_of_urgent_data(task.kernel(), file, id != 0);
  return 0;
}

struct OwnerArgument {  // struct f_owner_ex
  int32_t type, id;
};

void change_flags(Task& task, File& file, int fd, int flags) {
  bool const was = file.flags() & O_ASYNC;
  file.set_status_flags(flags);
  if (bool const on = flags & O_ASYNC; on != was) set_async(task.kernel(), file, fd, on);
}

Result<uint64_t> owner_command(Task& task, File& file, int command, uint64_t argument) {
  auto owner = file.owner.with([](File::Owner& o) { return o; });
  int32_t const number = owner.pid ? owner.pid->number_in(task.pids()) : 0;
  switch (command) {
    case F_GETOWN:
      return static_cast<uint64_t>(static_cast<int64_t>(owner.type == F_OWNER_PGRP ? -number : number));
    case F_SETOWN: {
      auto id = static_cast<int32_t>(argument);
      if (id == INT32_MIN) return fail(Errno::Inval);
      return id < 0 ? set_owner(task, file, F_OWNER_PGRP, -id) : set_owner(task, file, F_OWNER_PID, id);
    }
    case F_GETOWN_EX:
      TRY(task.write(UserPtr<OwnerArgument>(argument), OwnerArgument{owner.type, number}));
      return 0;
    case F_SETOWN_EX: {
      auto given = TRY(task.read(UserPtr<OwnerArgument>(argument)));
      if (given.type < F_OWNER_TID || given.type > F_OWNER_PGRP) return fail(Errno::Inval);
      return set_owner(task, file, given.type, given.id);
    }
    case F_GETSIG:
      return static_cast<uint64_t>(owner.signal);
    default:  // F_SETSIG
      if (argument > signal_count) return fail(Errno::Inval);
      file.owner.with([&](File::Owner& o) { o.signal = static_cast<int>(argument); });
      return 0;
  }
}

}  // namespace

Result<uint64_t> sys_fcntl(Task& task, Fd fd, int32_t command, uint64_t argument) {
  auto table = task.files();
  bool path_allowed = command == F_DUPFD || command == F_DUPFD_CLOEXEC || command == F_GETFD || command == F_SETFD ||
                      command == F_GETFL;
  auto file = TRY(table->get(fd.value, path_allowed));
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: {
      auto minimum = static_cast<int>(argument);
      if (minimum < 0 || static_cast<uint64_t>(minimum) >= descriptor_limit(task)) return fail(Errno::Inval);
      return static_cast<uint64_t>(
          TRY(table->install(file, command == F_DUPFD_CLOEXEC, descriptor_limit(task), minimum)));
    }
    case F_GETFD:
      return TRY(table->close_on_exec(fd.value)) ? FD_CLOEXEC : 0;
    case F_SETFD:
      TRY(table->set_close_on_exec(fd.value, argument & FD_CLOEXEC));
      return 0;
    case F_GETFL:
      return static_cast<uint64_t>(file->flags() & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC));
    case F_SETFL:
      change_flags(task, *file, fd.value, static_cast<int>(argument));
      return 0;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return record_lock(task, *file, command, argument);
    case F_GETOWN:
    case F_SETOWN:
    case F_GETOWN_EX:
    case F_SETOWN_EX:
    case F_GETSIG:
    case F_SETSIG:
      return owner_command(task, *file, command, argument);
    case F_GETPIPE_SZ:
      return pipe_size(*file);
    case F_SETPIPE_SZ:
      return set_pipe_size(task, *file, argument);
    case F_ADD_SEALS:
      TRY(file->add_seals(task, static_cast<uint32_t>(argument)));
      return 0;
    case F_GET_SEALS:
      return file->seals();
    case F_SETLEASE:
      TRY(set_lease(task, *file, fd.value, TRY(lock_type(argument))));
      return 0;
    case F_GETLEASE:
      return lease_number(lease_of(*file));
    case F_NOTIFY:
      TRY(set_directory_notify(task, *file, fd.value, static_cast<uint32_t>(argument)));
      return 0;
    default:
      return fail(Errno::Inval);
  }
}

Result<uint64_t> sys_ioctl(Task& task, Fd fd, uint32_t request, uint64_t argument) {
  auto table = task.files();
  auto file = TRY(table->get(fd.value));
  switch (request) {
    case FIOCLEX:
      TRY(table->set_close_on_exec(fd.value, true));
      return 0;
    case FIONCLEX:
      TRY(table->set_close_on_exec(fd.value, false));
      return 0;
    case FIONBIO: {
      int32_t on = TRY(task.read(UserPtr<int32_t>(argument)));
      file->set_status_flags(on ? file->flags() | O_NONBLOCK : file->flags() & ~O_NONBLOCK);
      return 0;
    }
    case FIOASYNC: {
      int32_t on = TRY(task.read(UserPtr<int32_t>(argument)));
      change_flags(task, *file, fd.value, on ? file->flags() | O_ASYNC : file->flags() & ~O_ASYNC);
      return 0;
    }
    case FIONREAD:
      if (file->inode() && S_ISREG(file->inode()->type())) {
        uint64_t size = TRY(file->attributes()).size;
        MutexLock lock(file->position_lock);
        auto left = static_cast<int32_t>(size > file->position ? size - file->position : 0);
        TRY(task.write(UserPtr<int32_t>(argument), left));
        return 0;
      }
      return file->ioctl(task, request, argument);
    default:
      return file->ioctl(task, request, argument);
  }
}

Result<void> sys_flock(Task& task, Fd fd, int32_t operation) {
  auto file = TRY(task.file(fd.value));
  if (!file->inode()) return fail(Errno::BadF);
  LockType type;
  switch (operation & ~LOCK_NB) {
    case LOCK_SH:
      type = LockType::Shared;
      break;
    case LOCK_EX:
      type = LockType::Exclusive;
      break;
    case LOCK_UN:
      type = LockType::Unlock;
      break;
    default:
      return fail(Errno::Inval);
  }
  return FileLocks::of(*file->inode())->flock(task, file.get(), type, !(operation & LOCK_NB));
}

}  // namespace cofferdam::syscalls
