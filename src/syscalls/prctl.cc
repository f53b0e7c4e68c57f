// prctl(2), arch_prctl(2).
#include <asm/prctl.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "kernel/cred/credential_control.h"
#include "kernel/kernel.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"
#include "syscalls/handlers_process.h"

namespace cofferdam::syscalls {

using namespace kernel;

Result<uint64_t> sys_arch_prctl(Task& task, int32_t option, uint64_t address) {
  auto& context = task.context();
  switch (option) {
    case ARCH_SET_FS:
      if (address >= task.kernel().platform().user_limit()) return fail(Errno::Perm);
      context.set_fs_base(address);
      return 0;
    case ARCH_GET_FS:
      TRY(task.write(UserPtr<uint64_t>(address), context.registers().fs_base));
      return 0;
    case ARCH_SET_GS: {
      if (address >= task.kernel().platform().user_limit()) return fail(Errno::Perm);
      auto registers = context.registers();
      registers.gs_base = address;
      context.set_registers(registers);
      return 0;
    }
    case ARCH_GET_GS:
      TRY(task.write(UserPtr<uint64_t>(address), context.registers().gs_base));
      return 0;
    default:
      return fail(Errno::Inval);  // CPUID faulting, shadow stacks: as on a CPU without them
  }
}

namespace {

Result<uint64_t> process_name(Task& task, int32_t option, uint64_t address) {
  char name[16] = {};
  if (option == PR_SET_NAME) {
    // Up to 16 bytes; the string may end before an unmapped page.
    size_t got = task.context().copy_in_partial(address, std::as_writable_bytes(std::span(name)));
    if (got < sizeof name && strnlen(name, got) == got) return fail(Errno::Fault);
    name[15] = 0;
    task.set_name(name);
    return 0;
  }
  auto current = task.name();
  current.copy(name, 15);
  TRY(task.copy_out(UserAddr{address}, std::as_bytes(std::span(name))));
  return 0;
}

Result<uint64_t> parent_death_signal(Task& task, int32_t option, uint64_t argument) {
  auto& own = task.implementation();
  if (option == PR_GET_PDEATHSIG) {
    TRY(task.write(UserPtr<int32_t>(argument), own.parent_death_signal));
    return 0;
  }
  if (argument > signal_count) return fail(Errno::Inval);
  ProcessLocked lock(task.kernel());
  own.parent_death_signal = static_cast<int>(argument);
  return 0;
}

}  // namespace

Result<uint64_t> sys_prctl(Task& task, int32_t option, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5) {
  auto& own = task.implementation();
  auto& group = task.thread_group().implementation();
  switch (option) {
    case PR_SET_NAME:
    case PR_GET_NAME:
      return process_name(task, option, a2);
    case PR_SET_PDEATHSIG:
    case PR_GET_PDEATHSIG:
      return parent_death_signal(task, option, a2);
    case PR_GET_DUMPABLE:
      return group.dumpable ? 1 : 0;
    case PR_SET_DUMPABLE:
      if (a2 > 1) return fail(Errno::Inval);
      group.dumpable = a2 == 1;
      return 0;
    case PR_SET_CHILD_SUBREAPER: {
      ProcessLocked lock(task.kernel());
      group.child_subreaper = a2 != 0;
      return 0;
    }
    case PR_GET_CHILD_SUBREAPER:
      TRY(task.write(UserPtr<int32_t>(a2), int32_t{group.child_subreaper}));
      return 0;
    case PR_GET_TIMERSLACK:
      return own.timer_slack_ns;
    case PR_SET_TIMERSLACK:
      own.timer_slack_ns = static_cast<int64_t>(a2) <= 0 ? 50'000 : a2;
      return 0;
    case PR_GET_TIMING:
      return 0;  // PR_TIMING_STATISTICAL
    case PR_SET_TIMING:
      return a2 == 0 ? Result<uint64_t>(0) : fail(Errno::Inval);
    case PR_GET_TID_ADDRESS:
      TRY(task.write(UserPtr<uint64_t>(a2), own.clear_child_tid));
      return 0;
    case PR_SET_NO_NEW_PRIVS:
      if (a2 != 1 || a3 || a4 || a5) return fail(Errno::Inval);
      task.no_new_privileges.store(true);
      return 0;
    case PR_GET_NO_NEW_PRIVS:
      if (a2 || a3 || a4 || a5) return fail(Errno::Inval);
      return task.no_new_privileges.load() ? 1 : 0;
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_CAP_AMBIENT:
      return control_credentials(task, option, a2, a3, a4, a5);
    case PR_SET_VMA: {
      if (a2 != PR_SET_VMA_ANON_NAME) return fail(Errno::Inval);
      std::string name;
      if (a5) name = TRY(task.read_string(UserCString{UserAddr{a5}}, 80));
      TRY(task.mm()->set_anonymous_name(task, a3, a4, name));
      return 0;
    }
    case PR_GET_SECCOMP:
      return static_cast<uint64_t>(own.seccomp_mode.load());
    case PR_SET_SECCOMP:  // the flags and the strict mode's argument are not looked at
      if (a2 == SECCOMP_MODE_STRICT) return sys_seccomp(task, SECCOMP_SET_MODE_STRICT, 0, UserAddr{});
      if (a2 == SECCOMP_MODE_FILTER) return sys_seccomp(task, SECCOMP_SET_MODE_FILTER, 0, UserAddr{a3});
      return fail(Errno::Inval);
    case PR_MCE_KILL_GET:
      return 2;  // PR_MCE_KILL_DEFAULT
    case PR_GET_THP_DISABLE:
      return 0;
    case PR_GET_SPECULATION_CTRL:
      return fail(Errno::NoDev);
    default:
      return fail(Errno::Inval);
  }
}

}  // namespace cofferdam::syscalls
