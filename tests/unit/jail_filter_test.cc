// The sentry's seccomp filter: what its rules say over numbers and arguments at their borders, and that the kernel
// obeys.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "bpf_interpreter.h"
#include "jail/filter.h"
#include "jail/sentry_rules.h"
#include "jail/used_rules.h"

namespace cofferdam::jail {
namespace {

using Arguments = std::array<uint64_t, 6>;

std::span<host::CallRule const> const sets[] = {sentry_rules};

std::vector<sock_filter> program() {
  auto const words = compile_filter(sets, absent_calls, {}).value();
  std::vector<sock_filter> out(words.size());
  static_assert(sizeof(sock_filter) == sizeof(uint64_t));
  std::memcpy(out.data(), words.data(), words.size() * sizeof(uint64_t));
  return out;
}

seccomp_data call(long number, Arguments const& arguments = {}, uint32_t arch = AUDIT_ARCH_X86_64) {
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = arch;
  std::memcpy(data.args, arguments.data(), sizeof data.args);
  return data;
}

// What the rules say, without BPF.
uint32_t expected(long number, Arguments const& arguments) {
  for (auto& rule : sentry_rules)
    if (allows(rule, static_cast<int>(number), arguments)) return SECCOMP_RET_ALLOW;
  for (auto& rule : absent_calls)
    if (rule.number == number) return SECCOMP_RET_ERRNO | ENOSYS;
  return SECCOMP_RET_KILL_PROCESS;
}

TEST(JailFilter, every_number) {
  auto const filter = program();
  for (long number = 0; number < 2000; ++number)
    for (uint64_t value : {uint64_t{0}, uint64_t{1}, uint64_t{4}, ~uint64_t{0}}) {
      Arguments arguments;
      arguments.fill(value);
      ASSERT_EQ(evaluate(filter, call(number, arguments)), expected(number, arguments)) << number << " " << value;
    }
  // -1 is how a tracer skips a call.
  EXPECT_EQ(evaluate(filter, call(-2)), SECCOMP_RET_KILL_PROCESS);
}

TEST(JailFilter, arguments_at_their_borders) {
  auto const filter = program();
  size_t allowed = 0, refused = 0;
  for (auto& rule : sentry_rules) {
    if (rule.check_count == 0) continue;
    Arguments good{};
    for (size_t n = 0; n < rule.check_count; ++n) good[rule.checks[n].index] |= rule.checks[n].value;
    EXPECT_EQ(evaluate(filter, call(rule.number, good)), SECCOMP_RET_ALLOW) << rule.number << " " << rule.reason;
    for (size_t index = 0; index < 6; ++index)
      for (int bit = 0; bit < 64; ++bit)
        for (uint64_t value : {good[index] ^ (uint64_t{1} << bit), good[index] + (uint64_t{1} << bit),
                               good[index] - (uint64_t{1} << bit)}) {
          Arguments arguments = good;
          arguments[index] = value;
          uint32_t const verdict = evaluate(filter, call(rule.number, arguments));
          ASSERT_EQ(verdict, expected(rule.number, arguments)) << rule.number << " " << index << " " << value;
          ++(verdict == SECCOMP_RET_ALLOW ? allowed : refused);
        }
  }
  EXPECT_GT(allowed, 1000u);
  EXPECT_GT(refused, 1000u);
}

TEST(JailFilter, other_architectures_and_x32_are_killed) {
  auto const filter = program();
  for (long number = 0; number < 500; ++number) {
    for (uint32_t arch : {uint32_t{AUDIT_ARCH_I386}, uint32_t{AUDIT_ARCH_AARCH64}, 0u})
      ASSERT_EQ(evaluate(filter, call(number, {}, arch)), SECCOMP_RET_KILL_PROCESS) << number;
    ASSERT_EQ(evaluate(filter, call(number | 0x40000000)), SECCOMP_RET_KILL_PROCESS) << number;
  }
}

TEST(JailFilter, what_an_attacker_would_want_is_killed) {
  auto const filter = program();
  for (long number : {SYS_execve,
                      SYS_execveat,
                      SYS_fork,
                      SYS_vfork,
                      SYS_ptrace,
                      SYS_mount,
                      SYS_umount2,
                      SYS_pivot_root,
                      SYS_chroot,
                      SYS_unshare,
                      SYS_setns,
                      SYS_open_tree,
                      SYS_move_mount,
                      SYS_fsopen,
                      SYS_fsmount,
                      SYS_socket,
                      SYS_socketpair,
                      SYS_connect,
                      SYS_bind,
                      SYS_listen,
                      SYS_bpf,
                      SYS_perf_event_open,
                      SYS_userfaultfd,
                      SYS_io_uring_setup,
                      SYS_io_uring_enter,
                      SYS_keyctl,
                      SYS_add_key,
                      SYS_init_module,
                      SYS_finit_module,
                      SYS_kexec_load,
                      SYS_reboot,
                      SYS_setuid,
                      SYS_setresuid,
                      SYS_capset,
                      SYS_seccomp,
                      SYS_open_by_handle_at,
                      SYS_pidfd_getfd,
                      SYS_process_madvise,
                      SYS_open,
                      SYS_creat,
                      SYS_chmod,
                      SYS_setrlimit,
                      SYS_swapon,
                      SYS_settimeofday,
                      SYS_clock_settime,
                      SYS_iopl,
                      SYS_modify_ldt})
    EXPECT_EQ(evaluate(filter, call(number)), SECCOMP_RET_KILL_PROCESS) << number;
  for (uint64_t flags : {uint64_t{CLONE_NEWUSER}, uint64_t{CLONE_NEWNS}, uint64_t{CLONE_NEWNET}, uint64_t{CLONE_VM},
                         uint64_t{SIGCHLD}, uint64_t{thread_clone_flags} | CLONE_NEWUSER, uint64_t{0}})
    EXPECT_EQ(evaluate(filter, call(SYS_clone, {flags})), SECCOMP_RET_KILL_PROCESS) << flags;
  for (long number : {SYS_mmap, SYS_mprotect})
    for (uint64_t protection : {4u, 5u, 6u, 7u})
      EXPECT_EQ(evaluate(filter, call(number, {0, 4096, protection})), SECCOMP_RET_KILL_PROCESS) << protection;
  EXPECT_EQ(evaluate(filter, call(SYS_mknodat, {3, 0, 0, 0x103})), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(evaluate(filter, call(SYS_ioctl, {0, TIOCSTI})), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(evaluate(filter, call(SYS_tgkill, {2, 2, 9})), SECCOMP_RET_KILL_PROCESS);
}

// A child under the real filter that does `what`: its wait status.
template <class What>
int status_under_filter(What what) {
  pid_t const child = ::fork();
  if (child == 0) {
    if (!install_filter(sets, absent_calls, {})) ::_exit(99);
    what();
    ::_exit(7);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST(JailFilter, the_kernel_kills_a_process_that_makes_a_call_without_rule) {
#ifdef COFFERDAM_SANITIZED
  GTEST_SKIP() << "the sanitizer's run time makes calls of its own";
#endif
  int status = status_under_filter([] {});
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
  status = status_under_filter([] { ::syscall(SYS_socket, 1, 1, 0); });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
  status = status_under_filter([] { ::syscall(SYS_mmap, 0, 4096, 7, 0x22, -1, 0); });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
  status = status_under_filter([] {
    if (::syscall(SYS_clone3, nullptr, 0) == -1 && errno == ENOSYS) ::_exit(8);
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 8) << status;
}

TEST(JailFilter, threads_that_were_there_before_are_under_it) {
#ifdef COFFERDAM_SANITIZED
  GTEST_SKIP() << "the sanitizer's run time makes calls of its own";
#endif
  pid_t const child = ::fork();
  if (child == 0) {
    std::atomic<bool> go{false};
    std::thread other([&] {
      while (!go) ::sched_yield();
      ::syscall(SYS_socket, 1, 1, 0);
      ::_exit(9);
    });
    if (!install_filter(sets, absent_calls, {})) ::_exit(99);
    go = true;
    other.join();
    ::_exit(7);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
}

}  // namespace
}  // namespace cofferdam::jail
