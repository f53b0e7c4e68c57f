// Sending: who takes a signal, what it discards, and when it is dropped at once (prepare_signal and complete_signal of
// Linux).
#include <linux/capability.h>
#include <sys/epoll.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/signal/delivery.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_access.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel {
namespace {

constexpr SignalSet stop_signals = SignalSet::of_all(SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU);
constexpr SignalSet uncatchable = SignalSet::of_all(SIGKILL, SIGSTOP);

// By kill(2) from a namespace above, or by the kernel itself: what can end or stop init.
bool from_outside(SignalInfo const& info) {
  return info.code() == SI_KERNEL || (info.code() == SI_USER && info.raw.si_pid == 0);
}

bool is_protected_init(ThreadGroup& group) { return group.is_init() && !group.implementation().init_may_die; }

// Would the signal do nothing? Blocked signals are kept: the disposition may change before they are unblocked.
bool is_ignored(Task& target, SignalInfo const& info) {
  int signal = info.signal();
  if (TaskAccess::current_mask(target).has(signal)) return false;
  uint64_t handler = (*target.thread_group().implementation().handlers)[signal].handler;
  if (handler == signal_default && is_protected_init(target.thread_group()) &&
      !(from_outside(info) && uncatchable.has(signal)))
    return true;
  return handler == signal_ignore || (handler == signal_default && default_is_ignore(signal));
}

void discard_everywhere(ThreadGroup& group, SignalSet set) {
  auto& g = group.implementation();
  g.pending.discard(set);
  for (auto const& t : g.tasks) t->implementation().pending.discard(set);
}

bool wants(Task& t, int signal) {
  auto& own = t.implementation();
  return !own.exiting && !own.told_to_exit && !TaskAccess::current_mask(t).has(signal) &&
         !(t.pending_work() & work::signals);
}

bool is_fatal_at_once(ThreadGroup& group, int signal) {
  if (is_protected_init(group)) return false;
  return (*group.implementation().handlers)[signal].handler == signal_default && !default_is_ignore(signal) &&
         !default_is_stop(signal) && !default_dumps_core(signal);
}

// Makes a thread look at the signal. preferred: the thread it was sent to, or the leader; alone: no other may take it.
void choose_taker(ThreadGroup& group, Task* preferred, bool alone, int signal, ProcessLocked const& lock) {
  auto& g = group.implementation();
  Task* taker = preferred && wants(*preferred, signal) ? preferred : nullptr;
  if (!taker && !alone) {
    auto it = std::ranges::find_if(g.tasks, [&](Ref<Task> const& t) { return wants(*t, signal); });
    if (it != g.tasks.end()) taker = it->get();
  }
  if (!taker) {
    // Blocked, or every thread that may take it looks at its signals anyway. Who runs now and changes its mask by
    // itself has to do that here from now on.
    for (auto const& t : g.tasks)
      if ((!alone || t.get() == preferred) && TaskAccess::in_guest(*t).load()) t->notify_work(work::signals);
    return;
  }
  if (!g.stopped && is_fatal_at_once(group, signal)) return run_loop::request_group_kill(group, signal, lock);
  taker->notify_work(work::signals);
}

uint64_t queue_limit(ThreadGroup& group, PendingSignals const& queue) {
  auto& g = group.implementation();
  size_t elsewhere = g.pending.queued() - (&queue == &g.pending ? queue.queued() : 0);
  for (auto const& t : g.tasks)
    if (&t->implementation().pending != &queue) elsewhere += t->implementation().pending.queued();
  uint64_t limit = group.limits.current(RLIMIT_SIGPENDING);
  return limit > elsewhere ? limit - elsewhere : 0;
}

enum class Sent { Queued, Dropped, Full };
enum class Kind { Ordinary, Timer };

// to: the thread it is for, or null for the group as a whole.
Sent send(ThreadGroup& group, Task* to, SignalInfo const& info, Kind kind, ProcessLocked const& lock) {
  auto& g = group.implementation();
  int signal = info.signal();
  if (g.group_exiting || g.zombie || g.tasks.empty() || (to && to->implementation().exiting)) return Sent::Dropped;
  if (stop_signals.has(signal)) {
    discard_everywhere(group, SignalSet::of(SIGCONT));
  } else if (signal == SIGCONT) {
    discard_everywhere(group, stop_signals);
    run_loop::continue_group(group, lock);
  }
  Task* first = to ? to : g.tasks.front().get();
  if (is_ignored(*first, info)) return Sent::Dropped;
  if (signal == SIGKILL) {
    run_loop::request_group_kill(group, SIGKILL, lock);
    return Sent::Queued;
  }
  PendingSignals& queue = to ? to->implementation().pending : g.pending;
  if (kind == Kind::Timer) {
    queue.enqueue_timer(info);
  } else {
    auto outcome = queue.enqueue(info, queue_limit(group, queue));
    if (outcome == PendingSignals::Outcome::Full) return Sent::Full;
    if (outcome == PendingSignals::Outcome::Merged) return Sent::Queued;
  }
  g.signal_arrival.wake(EPOLLIN);
  choose_taker(group, first, to != nullptr, signal, lock);
  return Sent::Queued;
}

Result<void> send_ordinary(ThreadGroup& group, Task* to, SignalInfo const& info, ProcessLocked const& lock) {
  if (send(group, to, info, Kind::Ordinary, lock) == Sent::Full) return fail(Errno::Again);
  return {};
}

}  // namespace

Result<void> Task::send_signal(SignalInfo const& info, ProcessLocked const& lock) {
  return send_ordinary(*thread_group_, this, info, lock);
}

Result<void> Task::send_signal(SignalInfo const& info) {
  ProcessLocked lock(kernel_);
  return send_signal(info, lock);
}

Result<void> ThreadGroup::send_signal(SignalInfo const& info, ProcessLocked const& lock) {
  return send_ordinary(*this, nullptr, info, lock);
}

Result<void> ThreadGroup::send_signal(SignalInfo const& info) {
  ProcessLocked lock(kernel_);
  return send_signal(info, lock);
}

void Task::force_signal(SignalInfo const& info) {
  ProcessLocked lock(kernel_);
  auto& g = thread_group_->implementation();
  int signal = info.signal();
  bool blocked = blocked_signals().has(signal);
  SignalAction& action = (*g.handlers)[signal];
  if (blocked || action.handler == signal_ignore) action.handler = signal_default;
  if (blocked) blocked_.store((blocked_signals() & ~SignalSet::of(signal)).bits(), std::memory_order_seq_cst);
  if (action.handler == signal_default) g.init_may_die = true;
  (void)send_ordinary(*thread_group_, this, info, lock);  // a standard signal of the kernel is never refused
  recalculate_pending(*this, lock);
}

void Task::set_blocked_signals(SignalSet set) {
  set = set.maskable();
  SignalSet before = blocked_signals();
  if (set == before) return;
  blocked_.store(set.bits(), std::memory_order_seq_cst);
  // A sender makes its signal pending before it looks at the mask, and the mask has changed before we look at what is
  // pending: one of the two sees the other, so nothing pending means nothing to do.
  auto& g = thread_group_->implementation();
  if (g.pending.empty() && implementation_->pending.empty()) return;
  ProcessLocked lock(kernel_);
  SignalSet handed_over = g.pending.set() & set & ~before;
  for (int signal = 1; signal <= signal_count && !handed_over.empty(); ++signal)
    if (handed_over.has(signal)) choose_taker(*thread_group_, nullptr, false, signal, lock);
  recalculate_pending(*this, lock);
}

void Task::set_temporary_signal_mask(SignalSet set) {
  if (!implementation_->saved_mask) implementation_->saved_mask = blocked_signals();
  set_blocked_signals(set);
}

void recalculate_pending(Task& task, ProcessLocked const&) {
  SignalSet waiting = task.implementation().pending.set() | task.thread_group().implementation().pending.set();
  if ((waiting & ~task.blocked_signals()).empty())
    task.clear_work(work::signals);
  else
    task.notify_work(work::signals);
}

void hand_over_group_signals(Task& leaving, ProcessLocked const& lock) {
  auto& group = leaving.thread_group();
  if (group.implementation().group_exiting) return;
  SignalSet left = group.implementation().pending.set() & ~leaving.blocked_signals();
  for (int signal = 1; signal <= signal_count && !left.empty(); ++signal)
    if (left.has(signal)) choose_taker(group, nullptr, false, signal, lock);
}

SignalSet pending_signals(Task& task) {
  return task.implementation().pending.set() | task.thread_group().implementation().pending.set();
}

bool send_timer_signal(ThreadGroup& group, Task* to, SignalInfo const& info, ProcessLocked const& lock) {
  return send(group, to, info, Kind::Timer, lock) == Sent::Queued;
}

Result<void> may_signal(Task& sender, ThreadGroup& target, int signal, ProcessLocked const& lock) {
  if (&sender.thread_group() == &target) return {};
  auto mine = sender.credentials();
  auto leader = target.leader(lock);
  if (!leader) return fail(Errno::Srch);
  auto theirs = leader->credentials();
  if (mine->euid == theirs->suid || mine->euid == theirs->uid || mine->uid == theirs->suid || mine->uid == theirs->uid)
    return {};
  if (mine->capable(CAP_KILL)) return {};
  if (signal == SIGCONT) {
    auto from = sender.thread_group().process_group(lock), to = target.process_group(lock);
    if (from && to && &from->session() == &to->session()) return {};
  }
  return fail(Errno::Perm);
}

WaitQueue& signal_arrival(Task& task) { return task.thread_group().implementation().signal_arrival; }

}  // namespace cofferdam::kernel
