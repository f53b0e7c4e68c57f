#include "kernel/task/run_loop.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "kernel/kernel.h"
#include "kernel/signal/delivery.h"
#include "kernel/task/exit.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_access.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel {

namespace run_loop {
namespace {

// Whether nobody's filter has to see the calls that the platform answers on the spot.
bool trivial_calls_pass(Task::Implementation const& own) {
  seccomp::Mode const mode = own.seccomp_mode.load(std::memory_order_acquire);
  if (mode == seccomp::Mode::Disabled) return true;
  auto const* filter = own.seccomp_filter.load(std::memory_order_acquire);
  return mode == seccomp::Mode::Filter && filter && filter->leaves_trivial_calls_alone();
}

void refresh_facts(Task& task) {
  task.clear_work(work::credentials);
  auto credentials = task.credentials();
  auto const& own = task.implementation();
  auto const* filter = own.seccomp_filter.load(std::memory_order_acquire);
  bool const strict = own.seccomp_mode.load(std::memory_order_acquire) == seccomp::Mode::Strict;
  bool const traced = task.thread_group().control_group().traced();
  task.context().set_facts(
      {.pid = task.tgid(),
       .tid = task.tid(),
       .ppid = task.thread_group().parent_tgid(),
       .uid = credentials->uid,
       .euid = credentials->euid,
       .gid = credentials->gid,
       .egid = credentials->egid,
       .answer_natively = trivial_calls_pass(own) && !traced,
       .services = own.seccomp_mode.load(std::memory_order_acquire) == seccomp::Mode::Disabled && !traced,
       .futex_natively = !strict && !traced && (!filter || filter->always_allows(SYS_futex))});
}

// Sleeps while its group is stopped; a kill ends the stop.
void wait_out_group_stop(Task& task) {
  auto& group = task.thread_group().implementation();
  task.implementation().state.store(TaskState::Stopped);
  for (;;) {
    task.prepare_to_wait();
    {
      ProcessLocked lock(task.kernel());
      if (!group.stopped || (task.pending_work() & work::kill)) {
        task.clear_work(work::stop);
        break;
      }
    }
    if (!task.wait_killable(Deadline::never())) break;
  }
  task.implementation().state.store(TaskState::Running);
}

// Sleeps while its container is paused; a kill ends it.
void wait_out_freeze(Task& task) {
  ControlGroup& control_group = task.thread_group().control_group();
  TaskWaiter waiter(task);
  control_group.thaw_queue().add(waiter, EPOLLIN);
  for (;;) {
    task.prepare_to_wait();
    {
      ProcessLocked lock(task.kernel());  // set_frozen changes it under this lock: none is missed
      if (!control_group.frozen()) task.clear_work(work::freeze);
    }
    if ((task.pending_work() & work::kill) || !(task.pending_work() & work::freeze)) break;
    if (!task.wait_killable(Deadline::never())) break;
  }
  control_group.thaw_queue().remove(waiter);
}

// Does what Task::work_ asks for. false: the task has to exit.
bool handle_work(Task& task) {
  for (;;) {
    uint32_t pending = task.pending_work();
    if (pending & work::kill) return false;
    if (pending & work::stop) {
      wait_out_group_stop(task);
      continue;
    }
    if (pending & work::freeze) {
      wait_out_freeze(task);
      continue;
    }
    if (pending & work::credentials) refresh_facts(task);
    bool call_to_resolve =
        task.implementation().interrupted.has_value() || task.implementation().saved_mask.has_value();
    if ((pending & work::signals) || call_to_resolve) {
      deliver_pending_signals(task);
      if (task.pending_work() & (work::kill | work::stop | work::freeze)) continue;
    }
    if ((task.pending_work() & (work::kill | work::stop | work::freeze | work::credentials)) == 0) return true;
  }
}

void trace_result(Task& task, std::string const& call, Result<uint64_t> const& result) {
  if (result)
    log::write_line(log::Level::Info, fmt::format("[{:5}] {} = {}", task.tid(), call, static_cast<int64_t>(*result)));
  else
    log::write_line(log::Level::Info,
                    fmt::format("[{:5}] {} = -1 {} [{}:{}]", task.tid(), call, errno_name(result.error().code),
                                result.error().where.file_name(), result.error().where.line()));
}

// Waits and wakes are the host's (architecture, 4.3), after a look at the call where somebody asks for one. Priority
// inheritance is served by the sentry, and so is what the platform hands back: calls that no futex can answer.
bool is_hosts_futex(Task& task, platform::Syscall const& call) {
  if (call.number != SYS_futex) return false;
  uint64_t const limit = task.kernel().platform().user_limit();
  if (call.args[0] >= limit) return false;
  switch (static_cast<int32_t>(call.args[1]) & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAKE:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAKE_BITSET:
      return true;
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
      return call.args[4] < limit;
    default:
      return false;
  }
}

void handle(Task& task, platform::Syscall const& call) {
  auto& own = task.implementation();
  if (own.seccomp_mode.load(std::memory_order_relaxed) != seccomp::Mode::Disabled) [[unlikely]]
    if (!seccomp::admit(task, call)) return;
  own.last_read = {};
  bool trace = task.thread_group().control_group().traced();
  std::string text = trace ? task.kernel().dispatcher().describe(task, call) : std::string();
  if (is_hosts_futex(task, call)) {
    if (trace) log::write_line(log::Level::Info, fmt::format("[{:5}] {} = ? (the host's)", task.tid(), text));
    task.context().serve_futex_natively_once();
    return;
  }
  Result<uint64_t> result = task.kernel().dispatcher().invoke(task, call);
  if (trace) [[unlikely]]
    trace_result(task, text, result);
  if (own.registers_replaced) [[unlikely]] {
    own.registers_replaced = false;
    return;
  }
  if (result) {
    task.context().set_syscall_result(*result);
  } else if (!result.error().is_restart()) {
    task.context().set_syscall_result(static_cast<uint64_t>(-static_cast<int64_t>(result.error().code)));
  } else {
    own.interrupted = InterruptedCall{call.number, result.error().code};
    task.context().set_syscall_result(static_cast<uint64_t>(-EINTR));
  }
  // The mask of a call like ppoll ends with it, unless a handler is to run first: delivery sees to that.
  if (own.saved_mask && !own.interrupted) own.interrupted = InterruptedCall{call.number, Errno::None};
}

void handle(Task& task, platform::Fault const& fault) {
  if (fault.signal == SIGSEGV) {
    if (auto mm = task.mm()) {
      auto grown = mm->grow_stack(task, fault.address, task.context().registers().rsp);
      if (grown && *grown) return;
    }
  }
  task.implementation().last_fault = fault;
  SignalInfo info = SignalInfo::fault(fault.signal, fault.code, fault.address);
  task.force_signal(info);
}

// A futex wait that the host served and that was cut short ends as if it had come here: with a timeout it is made again
// only when no handler runs, without one as the handler's flags say.
void handle(Task& task, platform::Interrupted const& stop) {
  if (!stop.futex_wait_cut) return;
  auto registers = task.context().registers();
  bool has_timeout = registers.r10 != 0;
  task.implementation().interrupted =
      InterruptedCall{registers.rax, has_timeout ? Errno::RestartNoHand : Errno::RestartSys};
  registers.rip += 2;
  registers.rax = static_cast<uint64_t>(-EINTR);
  task.context().set_registers(registers);
}

void handle(Task& task, platform::Died const& died) {
  log::debug("task {}: its host thread is gone (signal {})", task.tid(), died.signal);
  request_group_exit(task, died.signal > 0 && died.signal < 65 ? died.signal : SIGKILL);
}

// A new mapping that the host refused after all is taken back; that anything else fails means that the host is out of
// memory.
void handle(Task& task, platform::MemoryCallFailed const& failed) {
  if (!failed.is_mapping) {
    log::warning("task {}: the host refused a change of memory: {}", task.tid(), errno_name(failed.error));
    request_group_exit(task, SIGKILL);
    return;
  }
  if (auto mm = task.mm()) mm->forget_mapping(failed.address, failed.length);
  task.context().set_syscall_result(static_cast<uint64_t>(-static_cast<int64_t>(failed.error)));
}

// read(2) moved the position by bytes that the guest did not get.
void handle(Task& task, platform::DataMissing const& missing) {
  auto const& last = task.implementation().last_read;
  auto const file = last.file != nullptr ? TaskAccess::own_files(task).get(last.fd) : fail(Errno::BadF);
  if (!file || file->get() != last.file) return;
  MutexLock lock((*file)->position_lock);
  (*file)->position -= std::min((*file)->position, missing.bytes);
}

// What the guest changed of its state without a call to us, and what it may change until the next stop. With a signal
// pending it may not: a change could have to deliver it.
void take_native_state(Task& task) {
  auto changed = task.context().changed_native_state();
  if (!changed) return;
  task.implementation().robust_list_head = changed->robust_list;
  task.set_blocked_signals(SignalSet(changed->blocked_signals));
}

void give_native_state(Task& task) {
  auto& own = task.implementation();
  bool const may_change = !task.thread_group().control_group().traced() && trivial_calls_pass(own) &&
                          own.pending.empty() && task.thread_group().implementation().pending.empty();
  task.context().set_native_state({task.blocked_signals().bits(), own.robust_list_head}, may_change);
}

}  // namespace

void run(Task& task) {
  auto& in_guest = TaskAccess::in_guest(task);
  auto const& own = task.implementation();
  constexpr uint32_t loop_work = ~uint32_t{0};
  for (;;) {
    if ((task.pending_work() & loop_work) || own.interrupted || own.saved_mask) [[unlikely]]
      if (!handle_work(task)) break;
    in_guest.store(true, std::memory_order_seq_cst);
    if (task.pending_work() & loop_work) {  // came in between: notify_work may have seen in_guest false
      in_guest.store(false, std::memory_order_relaxed);
      continue;
    }
    give_native_state(task);
    if (own.is_served) [[unlikely]]
      TaskAccess::own_files(task).give_positions();
    platform::Stop stop = task.context().run();
    in_guest.store(false, std::memory_order_relaxed);
    take_native_state(task);
    if (own.is_served) [[unlikely]]
      TaskAccess::own_files(task).take_served();
    std::visit([&](auto const& s) { handle(task, s); }, stop);
  }
  exit_task(task);
}

void request_exit(Task& task, int32_t status) {
  ProcessLocked lock(task.kernel());
  task.implementation().exit_status = status;
  task.implementation().told_to_exit = true;
  task.notify_work(work::kill);
}

static void request_group_exit_locked(ThreadGroup& group, int32_t status, ProcessLocked const&) {
  auto& g = group.implementation();
  if (!g.group_exiting) {
    g.group_exiting = true;
    g.exit_status = status;
  }
  g.stopped = false;
  for (auto const& t : g.tasks) {
    t->implementation().told_to_exit = true;
    t->notify_work(work::kill);
  }
}

void request_group_exit(Task& task, int32_t status) {
  ProcessLocked lock(task.kernel());
  request_group_exit_locked(task.thread_group(), status, lock);
}

void request_group_kill(ThreadGroup& group, int32_t status, ProcessLocked const& lock) {
  request_group_exit_locked(group, status, lock);
}

void request_group_stop(Task& task, int signal, ProcessLocked const& lock) {
  auto& group = task.thread_group();
  auto& g = group.implementation();
  if (g.group_exiting || g.stopped) return;
  g.stopped = true;
  g.stop_signal = signal;
  g.stop_reported = false;
  g.continue_unreported = false;
  for (auto const& t : g.tasks) t->notify_work(work::stop);
  notify_parent_of_stop(group, CLD_STOPPED, signal, lock);
}

void continue_group(ThreadGroup& group, ProcessLocked const& lock) {
  auto& g = group.implementation();
  if (!g.stopped) return;
  g.stopped = false;
  g.stop_reported = false;
  g.continue_unreported = true;
  for (auto const& t : g.tasks)
    t->notify_work(work::stop);  // its loop looks, sees that the stop is over, and clears it
  notify_parent_of_stop(group, CLD_CONTINUED, SIGCONT, lock);
}

}  // namespace run_loop
}  // namespace cofferdam::kernel
