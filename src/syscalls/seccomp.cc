// seccomp(2).
#include <linux/seccomp.h>

#include "kernel/kernel.h"
#include "kernel/seccomp/seccomp.h"
#include "kernel/task/task_internal.h"
#include "syscalls/handlers_process.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

struct FilterProgram {  // struct sock_fprog
  uint16_t length;
  uint16_t padding[3];
  uint64_t instructions;
};

constexpr uint32_t thread_sync_esrch = 16;  // SECCOMP_FILTER_FLAG_TSYNC_ESRCH

Result<uint64_t> set_filter(Task& task, uint32_t flags, UserAddr arguments) {
  // Listeners of SECCOMP_RET_USER_NOTIF are not built: EINVAL, as from a kernel without them.
  constexpr uint32_t known =
      SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW | thread_sync_esrch;
  if (flags & ~known) return fail(Errno::Inval);
  auto header = TRY(task.read(UserPtr<FilterProgram>(arguments)));
  if (header.length == 0 || header.length > BPF_MAXINSNS) return fail(Errno::Inval);
  if (!task.no_new_privileges.load() && !task.capable(CAP_SYS_ADMIN)) return fail(Errno::Acces);
  auto code = TRY(task.read_array(UserPtr<sock_filter>(header.instructions), header.length));
  auto program = TRY(seccomp::Program::check(std::move(code)));
  int32_t const stray = TRY(seccomp::install(task, std::move(program), flags & SECCOMP_FILTER_FLAG_TSYNC));
  if (stray != 0 && (flags & thread_sync_esrch)) return fail(Errno::Srch);
  return static_cast<uint64_t>(stray);
}

Result<uint64_t> action_is_available(Task& task, uint32_t flags, UserAddr arguments) {
  if (flags != 0) return fail(Errno::Inval);
  switch (TRY(task.read(UserPtr<uint32_t>(arguments)))) {
    case SECCOMP_RET_KILL_PROCESS:
    case SECCOMP_RET_KILL_THREAD:
    case SECCOMP_RET_TRAP:
    case SECCOMP_RET_ERRNO:
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_ALLOW:
      return 0;
    default:
      return fail(Errno::OpNotSupp);
  }
}

}  // namespace

Result<uint64_t> sys_seccomp(Task& task, uint32_t operation, uint32_t flags, UserAddr arguments) {
  switch (operation) {
    case SECCOMP_SET_MODE_STRICT:
      if (flags != 0 || arguments) return fail(Errno::Inval);
      TRY(seccomp::enter_strict_mode(task));
      return 0;
    case SECCOMP_SET_MODE_FILTER:
      return set_filter(task, flags, arguments);
    case SECCOMP_GET_ACTION_AVAIL:
      return action_is_available(task, flags, arguments);
    default:
      return fail(Errno::Inval);
  }
}

}  // namespace cofferdam::syscalls
