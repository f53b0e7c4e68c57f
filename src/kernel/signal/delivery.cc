#include "kernel/signal/delivery.h"

#include "kernel/kernel.h"
#include "kernel/signal/frame.h"
#include "kernel/task/exit.h"
#include "kernel/task/process_internal.h"
#include "kernel/time/group_timers.h"

namespace cofferdam::kernel {
namespace {

constexpr uint64_t restart_syscall_number = 219;
constexpr uint64_t syscall_instruction_length = 2;
constexpr int core_dumped = 0x80;  // WCOREFLAG

struct Delivery {
  SignalInfo info;
  SignalAction action;
};

// The wait(2) status of a death by signal. Cores are discarded, as by a core_pattern that pipes them away: the flag
// tells that the limit would have let one be written.
int death_status(ThreadGroup& group, int signal) {
  bool dumps = default_dumps_core(signal) && group.implementation().dumpable && group.limits.current(RLIMIT_CORE) > 0;
  return signal | (dumps ? core_dumped : 0);
}

bool init_is_spared(ThreadGroup& group, int signal) {
  return group.is_init() && !group.implementation().init_may_die && signal != SIGKILL && signal != SIGSTOP;
}

std::optional<SignalInfo> dequeue(Task& task, SignalSet blocked, ProcessLocked const& lock) {
  auto info = task.implementation().pending.dequeue(blocked);
  if (!info) info = task.thread_group().implementation().pending.dequeue(blocked);
  if (info) signal_taken(task.thread_group(), *info, lock);
  return info;
}

// SIGSTOP stops always, the terminal's stop signals not in an orphaned process group, where nobody could continue it.
void stop_by_default(Task& task, int signal, ProcessLocked const& lock) {
  auto& group = task.thread_group();
  auto process_group = group.process_group(lock);
  if (signal != SIGSTOP && process_group && process_group_is_orphaned(*process_group, nullptr, lock)) return;
  run_loop::request_group_stop(task, signal, lock);
}

// Takes signals until one needs a handler, the task has to stop or die, or none is left. Default actions are done here.
std::optional<Delivery> next_handled(Task& task) {
  auto& group = task.thread_group();
  ProcessLocked lock(task.kernel());
  while ((task.pending_work() & (work::kill | work::stop)) == 0) {
    auto info = dequeue(task, task.blocked_signals(), lock);
    if (!info) break;
    int signal = info->signal();
    SignalAction& action = (*group.implementation().handlers)[signal];
    if (action.handler == signal_ignore) continue;
    if (action.handler != signal_default) {
      Delivery delivery{*info, action};
      if (action.flags & SA_RESETHAND) action.handler = signal_default;
      return delivery;
    }
    if (default_is_ignore(signal) || init_is_spared(group, signal)) continue;
    if (default_is_stop(signal))
      stop_by_default(task, signal, lock);
    else
      run_loop::request_group_kill(group, death_status(group, signal), lock);
  }
  recalculate_pending(task, lock);
  return std::nullopt;
}

// Puts the call back so that the guest makes it again.
void make_call_again(Task& task, uint64_t number) {
  auto registers = task.context().registers();
  registers.rax = number;
  registers.rip -= syscall_instruction_length;
  task.context().set_registers(registers);
}

// The call has the result EINTR already, which stays when it is not restarted.
void resolve_call_before_handler(Task& task, SignalAction const& action) {
  auto call = std::exchange(task.implementation().interrupted, std::nullopt);
  if (!call) return;
  if (call->code == Errno::RestartNoIntr || (call->code == Errno::RestartSys && (action.flags & SA_RESTART)))
    make_call_again(task, call->number);
}

void resolve_call_without_handler(Task& task) {
  auto call = std::exchange(task.implementation().interrupted, std::nullopt);
  if (!call || call->code == Errno::None) return;
  make_call_again(task, call->code == Errno::RestartRestartBlock ? restart_syscall_number : call->number);
}

void restore_saved_mask(Task& task) {
  if (auto saved = std::exchange(task.implementation().saved_mask, std::nullopt)) task.set_blocked_signals(*saved);
}

// A call with a temporary mask that was not interrupted has done its work under it: the mask ends before signals are
// looked at. One that says EINTR was interrupted by a signal that only the temporary mask lets through.
void end_undisturbed_mask(Task& task) {
  auto& own = task.implementation();
  if (!own.interrupted || own.interrupted->code != Errno::None) return;
  own.interrupted.reset();
  if (static_cast<int64_t>(task.context().registers().rax) != -EINTR) restore_saved_mask(task);
}

void run_handler(Task& task, Delivery const& delivery) {
  auto& own = task.implementation();
  int signal = delivery.info.signal();
  resolve_call_before_handler(task, delivery.action);
  SignalSet to_restore = own.saved_mask.value_or(task.blocked_signals());
  if (!build_signal_frame(task, delivery.info, delivery.action, to_restore)) {
    if (signal == SIGSEGV) {  // its own handler cannot be entered: the default then
      ProcessLocked lock(task.kernel());
      (*task.thread_group().implementation().handlers)[SIGSEGV].handler = signal_default;
    }
    return task.force_signal(SignalInfo::from_kernel(SIGSEGV));
  }
  own.saved_mask.reset();
  SignalSet blocked = task.blocked_signals() | delivery.action.mask;
  if (!(delivery.action.flags & SA_NODEFER)) blocked.add(signal);
  task.set_blocked_signals(blocked);
  if (own.signal_stack.flags & signal_stack_autodisarm) own.signal_stack = SignalStack{};
}

}  // namespace

void deliver_pending_signals(Task& task) {
  end_undisturbed_mask(task);
  while (auto delivery = next_handled(task)) run_handler(task, *delivery);
  if (task.pending_work() & (work::kill | work::stop)) return;
  resolve_call_without_handler(task);
  restore_saved_mask(task);
}

std::optional<SignalInfo> take_signal(Task& task, SignalSet wanted) {
  if ((pending_signals(task) & wanted).empty()) return std::nullopt;
  ProcessLocked lock(task.kernel());
  auto info = dequeue(task, ~wanted, lock);
  if (info) recalculate_pending(task, lock);
  return info;
}

void reset_signals_for_exec(Task& task, ProcessLocked const&) {
  auto& g = task.thread_group().implementation();
  auto fresh = make_ref<SignalHandlers>();
  for (int signal = 1; signal <= signal_count; ++signal)
    if ((*g.handlers)[signal].handler == signal_ignore) (*fresh)[signal].handler = signal_ignore;
  g.handlers = std::move(fresh);
  task.implementation().signal_stack = SignalStack{};
}

}  // namespace cofferdam::kernel
