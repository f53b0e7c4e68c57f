#include "kernel/task/task.h"

#include <limits.h>
#include <unistd.h>

#include "host/futex.h"
#include "kernel/kernel.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel {
namespace {

// States of Task::wake_word_. A waker that finds the task awake makes no host call.
constexpr uint32_t awake = 0, woken = 1, asleep = 2;

constexpr uint32_t interrupting_work = work::signals | work::kill | work::stop;

// Sleeps until the word is no longer `asleep` or the deadline passes; false when it passed.
bool sleep_on(std::atomic<uint32_t>& word, Deadline deadline) {
  uint32_t expected = awake;
  if (!word.compare_exchange_strong(expected, asleep)) return true;  // woken since prepare_to_wait
  while (word.load(std::memory_order_acquire) == asleep) {
    timespec until{};
    if (deadline.at_ns) until = to_timespec(*deadline.at_ns);
    if (!host::futex_wait_until(word, asleep, deadline.at_ns ? &until : nullptr)) {
      expected = asleep;
      return !word.compare_exchange_strong(expected, awake);
    }
  }
  return true;
}

}  // namespace

Task::Task(Kernel& kernel, Ref<ThreadGroup> group, Ref<Pid> pid, std::unique_ptr<platform::Context> context)
    : kernel_(kernel),
      thread_group_(std::move(group)),
      pids_(pid->space()),
      tid_(pid->number()),
      context_(std::move(context)),
      implementation_(std::make_unique<Implementation>()) {
  implementation_->pid = std::move(pid);
  implementation_->start_time_ns = host_now(CLOCK_MONOTONIC);
}

Task::~Task() = default;

int32_t Task::tgid() const { return thread_group_->tgid(); }

Ref<Pid> Task::pid() const {
  MutexLock lock(implementation_->shared_mutex);
  return implementation_->pid;
}

Ref<Credentials const> Task::credentials() const {
  MutexLock lock(implementation_->shared_mutex);
  return implementation_->credentials;
}

void Task::set_credentials(Ref<Credentials const> c) {
  {
    MutexLock lock(implementation_->shared_mutex);
    std::swap(implementation_->credentials, c);
  }
  work_.fetch_or(work::credentials, std::memory_order_acq_rel);
}

std::string Task::name() const {
  MutexLock lock(implementation_->shared_mutex);
  return implementation_->name;
}

void Task::set_name(std::string_view name) {
  MutexLock lock(implementation_->shared_mutex);
  implementation_->name = name.substr(0, 15);
}

Ref<FdTable> Task::files() const {
  MutexLock lock(implementation_->shared_mutex);
  return implementation_->files;
}

// Nobody but this thread changes the reference.
Result<Ref<File>> Task::file(int fd, bool allow_path) const NO_THREAD_SAFETY_ANALYSIS {
  return implementation_->files->get(fd, allow_path);
}

void Task::unshare_files() {
  Ref<FdTable> table = files();
  if (table->ref_count() <= 2) return;  // this reference and the task's own
  table->stop_serving();                // other threads of the address space go on with the old one
  table = table->clone();
  MutexLock lock(implementation_->shared_mutex);
  std::swap(implementation_->files, table);
}

Ref<FsContext> Task::fs() const {
  MutexLock lock(implementation_->shared_mutex);
  return implementation_->fs;
}

Ref<MemoryManager> Task::mm() const {
  MutexLock lock(implementation_->shared_mutex);
  return implementation_->mm;
}

Ref<NamespaceSet const> Task::namespaces() const {
  MutexLock lock(implementation_->shared_mutex);
  return implementation_->namespaces;
}

void Task::set_namespaces(Ref<NamespaceSet const> namespaces) {
  MutexLock lock(implementation_->shared_mutex);
  std::swap(implementation_->namespaces, namespaces);
}

Result<std::string> Task::read_path(UserCString from) { return read_string(from, PATH_MAX); }

Result<std::string> Task::read_string(UserCString from, size_t max) {
  return context_->copy_in_string(from.address.value, max);
}

bool Task::signal_pending() const { return (pending_work() & interrupting_work) != 0; }

void Task::prepare_to_wait() { wake_word_.store(awake, std::memory_order_seq_cst); }

Result<void> Task::wait(Deadline deadline) {
  if (signal_pending()) return fail(Errno::RestartSys);
  implementation_->state.store(TaskState::Sleeping, std::memory_order_relaxed);
  bool in_time = sleep_on(wake_word_, deadline);
  implementation_->state.store(TaskState::Running, std::memory_order_relaxed);
  if (signal_pending()) return fail(Errno::RestartSys);
  if (!in_time) return fail(Errno::TimedOut);
  return {};
}

Result<void> Task::wait_killable(Deadline deadline) {
  if (pending_work() & work::kill) return fail(Errno::RestartNoIntr);
  bool in_time = sleep_on(wake_word_, deadline);
  if (pending_work() & work::kill) return fail(Errno::RestartNoIntr);
  if (!in_time) return fail(Errno::TimedOut);
  return {};
}

void Task::wake() {
  if (wake_word_.exchange(woken, std::memory_order_seq_cst) == asleep) host::futex_wake(wake_word_);
}

void Task::notify_work(uint32_t kinds) {
  work_.fetch_or(kinds, std::memory_order_seq_cst);
  wake();
  if (!in_guest_.load(std::memory_order_seq_cst)) return;
  // Between the load and here the task may have left the guest and exchanged its context: the mutex keeps the
  // one interrupted alive. An interrupt too many is harmless.
  MutexLock lock(context_mutex_);
  if (context_) context_->interrupt();
}

Result<uint64_t> Task::restart() {
  if (!restart_) return fail(Errno::Intr);
  auto f = std::move(restart_);
  restart_ = nullptr;
  return f(*this);
}

}  // namespace cofferdam::kernel
