#include "jail/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <fmt/format.h>
#include <seccomp.h>

#include "base/log.h"
#include "host/fd.h"

namespace cofferdam::jail {

namespace {

struct Releaser {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, Releaser>;

scmp_arg_cmp comparison(host::ArgumentCheck const& check) {
  switch (check.compare) {
    case host::Compare::Equal:
      return {check.index, SCMP_CMP_EQ, check.value, 0};
    case host::Compare::MaskedEqual:
      return {check.index, SCMP_CMP_MASKED_EQ, check.mask, check.value};
    case host::Compare::LessOrEqual:
      break;
  }
  return {check.index, SCMP_CMP_LE, check.value, 0};
}

Outcome<Context> build(RuleSets rule_sets, std::span<host::CallRule const> absent, FilterOptions options) {
  uint32_t const otherwise = options.violation == Violation::Kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_TRAP;
  Context context(seccomp_init(otherwise));
  if (!context) return refuse("cannot build the sentry's seccomp filter: out of memory");
  for (auto rules : rule_sets) {
    for (auto& rule : rules) {
      scmp_arg_cmp checks[3];
      for (unsigned n = 0; n < rule.check_count; ++n) checks[n] = comparison(rule.checks[n]);
      uint32_t const action = options.listener && !is_unobserved(rule.number) ? SCMP_ACT_NOTIFY : SCMP_ACT_ALLOW;
      int error = seccomp_rule_add_array(context.get(), action, rule.number, rule.check_count, checks);
      if (error == -EEXIST) continue;  // two rules say the same
      if (error != 0)
        return refuse(
            fmt::format("cannot build the sentry's seccomp filter: call {}: {}", rule.number, strerror(-error)));
    }
  }
  for (auto& rule : absent)
    if (int error = seccomp_rule_add_array(context.get(), SCMP_ACT_ERRNO(ENOSYS), rule.number, 0, nullptr); error != 0)
      return refuse(
          fmt::format("cannot build the sentry's seccomp filter: call {}: {}", rule.number, strerror(-error)));
  seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, otherwise);
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE,
                   2);  // a binary tree: tens of instructions a call, not hundreds
  return context;
}

Outcome<std::vector<uint64_t>> export_program(Context const& context) {
  host::OwnedFd fd(::memfd_create("filter", MFD_CLOEXEC));
  if (!fd || seccomp_export_bpf(context.get(), fd.get()) != 0) return refuse("cannot export the filter");
  std::vector<uint64_t> program(static_cast<size_t>(::lseek(fd.get(), 0, SEEK_END)) / sizeof(sock_filter));
  if (::pread(fd.get(), program.data(), program.size() * sizeof(uint64_t), 0) < 0)
    return refuse("cannot read the filter");
  return program;
}

// Async-signal-safe: no allocation, one write.
void report_violation(int, siginfo_t* info, void* opaque) {
  auto* context = static_cast<ucontext_t*>(opaque);
  char line[256];
  auto& r = context->uc_mcontext.gregs;
  auto end = fmt::format_to_n(
      line, sizeof line - 1,
      "jail: host call {} ({:#x}, {:#x}, {:#x}, {:#x}, {:#x}, {:#x}) at {} is not in the allowlist\n", info->si_syscall,
      r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9], info->si_call_addr);
  [[maybe_unused]] auto n =
      ::write(log::sink().fd.load(std::memory_order_relaxed), line, static_cast<size_t>(end.out - line));
  r[REG_RAX] = -ENOSYS;
}

}  // namespace

bool is_unobserved(int number) {
  return number == SYS_futex || number == SYS_process_vm_readv || number == SYS_process_vm_writev;
}

Outcome<> install_filter(RuleSets rule_sets, std::span<host::CallRule const> absent, FilterOptions options) {
  Context context = ATTEMPT(build(rule_sets, absent, options));
  if (options.violation == Violation::Report) {
    struct sigaction action{};
    action.sa_sigaction = report_violation;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    ::sigaction(SIGSYS, &action, nullptr);
  }
  auto not_installed = [](int error) {
    return refuse(fmt::format("cannot install the sentry's seccomp filter: {}", strerror(error)));
  };
  if (!options.listener) {
    if (int error = seccomp_load(context.get()); error != 0) return not_installed(-error);
    return {};
  }
  // seccomp_load gives memory back before it returns, by calls that nobody would answer yet.
  std::vector<uint64_t> program = ATTEMPT(export_program(context));
  sock_fprog const given{static_cast<unsigned short>(program.size()), reinterpret_cast<sock_filter*>(program.data())};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return not_installed(errno);
  long const listener =
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_NEW_LISTENER, &given);
  if (listener < 0) return not_installed(errno);
  options.listener->store(static_cast<int>(listener), std::memory_order_release);
  return {};
}

Outcome<std::vector<uint64_t>> compile_filter(RuleSets rule_sets, std::span<host::CallRule const> absent,
                                              FilterOptions options) {
  return export_program(ATTEMPT(build(rule_sets, absent, options)));
}

}  // namespace cofferdam::jail
