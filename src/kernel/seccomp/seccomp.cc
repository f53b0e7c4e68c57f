#include "kernel/seccomp/seccomp.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <sys/syscall.h>

#include <algorithm>
#include <bit>

#include "base/log.h"
#include "kernel/kernel.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel::seccomp {
namespace {

constexpr size_t most_instructions_per_path = 32768, penalty_per_filter = 4;  // of Linux
constexpr uint32_t largest_errno = 4095;
constexpr int core_dumped = 0x80;  // WCOREFLAG
constexpr int seccomp_code = 1;    // SYS_SECCOMP

// What the trap platform may answer on the spot (platform::Context::Facts).
constexpr uint64_t trivial_calls[] = {SYS_sched_yield,     SYS_getpid,         SYS_getuid, SYS_getgid, SYS_geteuid,
                                      SYS_getegid,         SYS_getppid,        SYS_gettid, SYS_rseq,   SYS_arch_prctl,
                                      SYS_set_robust_list, SYS_rt_sigprocmask, SYS_madvise};

int32_t severity(uint32_t value) { return static_cast<int32_t>(value & SECCOMP_RET_ACTION_FULL); }

void raise_trap(Task& task, platform::Syscall const& call, uint32_t data) {
  SignalInfo info;
  info.raw.si_signo = SIGSYS;
  info.raw.si_code = seccomp_code;
  info.raw.si_errno = static_cast<int>(data);
  info.raw.si_call_addr = std::bit_cast<void*>(task.context().registers().rip);
  info.raw.si_syscall = static_cast<int>(call.number);
  info.raw.si_arch = AUDIT_ARCH_X86_64;
  task.force_signal(info);
}

void kill_process(Task& task) {
  auto& group = task.thread_group();
  bool dumps = group.implementation().dumpable && group.limits.current(RLIMIT_CORE) > 0;
  run_loop::request_group_exit(task, SIGSYS | (dumps ? core_dumped : 0));
}

void kill_thread(Task& task) {
  bool last = false;
  {
    ProcessLocked lock(task.kernel());
    last = task.thread_group().implementation().tasks.size() <= 1;
  }
  if (last)
    kill_process(task);
  else
    run_loop::request_exit(task, SIGSYS);
}

void tell(Task& task, platform::Syscall const& call, std::string_view what) {
  log::info("seccomp: task {} ({}): system call {}: {}", task.tid(), log::escape(task.name()), call.number, what);
}

bool admit_strict(Task& task, platform::Syscall const& call) {
  if (call.number == SYS_read || call.number == SYS_write || call.number == SYS_exit || call.number == SYS_rt_sigreturn)
    return true;
  run_loop::request_exit(task, SIGKILL);
  return false;
}

bool carry_out(Task& task, platform::Syscall const& call, uint32_t value) {
  uint32_t const data = value & SECCOMP_RET_DATA;
  switch (value & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
      return true;
    case SECCOMP_RET_LOG:
      tell(task, call, "logged");
      return true;
    case SECCOMP_RET_ERRNO:
      task.context().set_syscall_result(0 - static_cast<uint64_t>(std::min(data, largest_errno)));
      return false;
    case SECCOMP_RET_TRAP:
      raise_trap(task, call, data);
      return false;
    case SECCOMP_RET_TRACE:       // without a tracer
    case SECCOMP_RET_USER_NOTIF:  // without a listener
      task.context().set_syscall_result(0 - static_cast<uint64_t>(ENOSYS));
      return false;
    case SECCOMP_RET_KILL_THREAD:
      tell(task, call, "the thread ends");
      kill_thread(task);
      return false;
    default:
      tell(task, call, "the process ends");
      kill_process(task);
      return false;
  }
}

// Whether `filter` is `of` or one of those that it was installed upon.
bool is_ancestor(Filter const* filter, Filter const* of) {
  for (; of != nullptr; of = of->earlier())
    if (of == filter) return true;
  return filter == nullptr;
}

void put_filter(Task& task, Ref<Filter> filter) {
  auto& own = task.implementation();
  // The task may be reading the old pointer: the old filter lives on as a part of the new chain.
  own.seccomp_filter.store(filter.get(), std::memory_order_release);
  own.seccomp_chain = std::move(filter);
  own.seccomp_mode.store(Mode::Filter, std::memory_order_release);
  if (auto files = task.files()) files->stop_serving();
  task.notify_work(work::credentials);  // what is answered without us may have to come to us now
}

}  // namespace

Result<Ref<Filter>> Filter::create(Program program, Ref<Filter> earlier) {
  size_t const cost = program.length() + (earlier ? earlier->chain_cost_ + penalty_per_filter : 0);
  if (cost > most_instructions_per_path) return fail(Errno::NoMem);
  auto made = Ref<Filter>::adopt(new Filter(std::move(program), std::move(earlier)));
  made->chain_cost_ = cost;
  Filter const* before = made->earlier_.get();
  if (before) made->chain_length_ = before->chain_length_ + 1;
  for (size_t number = 0; number < made->always_.size(); ++number)
    made->always_[number] =
        (!before || before->always_[number]) && made->program_.always_allows(static_cast<int>(number));
  made->leaves_trivial_calls_alone_ =
      std::ranges::all_of(trivial_calls, [&](uint64_t number) { return made->always_allows(number); });
  return made;
}

// Without recursion: a guest can make the chain thousands long.
Filter::~Filter() {
  Ref<Filter> next = std::move(earlier_);
  while (next && next->ref_count() == 1) next = std::exchange(next->earlier_, {});
}

uint32_t Filter::decide(seccomp_data const& call) const {
  if (call.nr >= 0 && always_allows(static_cast<uint64_t>(call.nr))) return SECCOMP_RET_ALLOW;
  uint32_t worst = SECCOMP_RET_ALLOW;
  for (Filter const* f = this; f != nullptr; f = f->earlier_.get())
    if (uint32_t value = f->program_.run(call); severity(value) < severity(worst)) worst = value;
  return worst;
}

bool admit(Task& task, platform::Syscall const& call) {
  auto& own = task.implementation();
  if (own.seccomp_mode.load(std::memory_order_acquire) == Mode::Strict) return admit_strict(task, call);
  Filter const* filter = own.seccomp_filter.load(std::memory_order_acquire);
  if (filter == nullptr || filter->always_allows(call.number)) return true;
  seccomp_data data{};
  data.nr = static_cast<int>(call.number);
  data.arch = AUDIT_ARCH_X86_64;
  data.instruction_pointer = task.context().registers().rip;
  std::ranges::copy(call.args, data.args);
  return carry_out(task, call, filter->decide(data));
}

Result<void> enter_strict_mode(Task& task) {
  auto& own = task.implementation();
  ProcessLocked lock(task.kernel());
  Mode const now = own.seccomp_mode.load();
  if (now == Mode::Filter) return fail(Errno::Inval);
  own.seccomp_mode.store(Mode::Strict, std::memory_order_release);
  task.files()->stop_serving();
  task.notify_work(work::credentials);
  return {};
}

Result<int32_t> install(Task& task, Program program, bool all_threads) {
  if (!task.no_new_privileges.load() && !task.capable(CAP_SYS_ADMIN)) return fail(Errno::Acces);
  auto& own = task.implementation();
  ProcessLocked lock(task.kernel());
  if (own.seccomp_mode.load() == Mode::Strict) return fail(Errno::Inval);
  auto const& threads = task.thread_group().implementation().tasks;
  if (all_threads)
    for (auto const& other : threads) {
      auto& theirs = other->implementation();
      if (other.get() == &task) continue;
      if (theirs.seccomp_mode.load() == Mode::Strict ||
          !is_ancestor(theirs.seccomp_chain.get(), own.seccomp_chain.get()))
        return other->tid();
    }
  auto filter = TRY(Filter::create(std::move(program), own.seccomp_chain));
  put_filter(task, filter);
  if (all_threads)
    for (auto const& other : threads) {
      if (other.get() == &task) continue;
      put_filter(*other, filter);
      if (task.no_new_privileges.load()) other->no_new_privileges.store(true);
    }
  return 0;
}

}  // namespace cofferdam::kernel::seccomp
