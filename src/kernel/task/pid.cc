#include "kernel/task/pid.h"

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {

namespace {
constexpr int32_t pid_max = 32768, reserved = 300;  // numbers wrap to 300 as Linux's (RESERVED_PIDS)
}

// ---- Pid

Pid::Pid(Ref<PidNamespace> space, std::vector<int32_t> numbers)
    : space_(std::move(space)), numbers_(std::move(numbers)) {}

Pid::~Pid() = default;

Result<Ref<Pid>> Pid::allocate(PidNamespace& space, std::span<int32_t const> wanted) {
  if (wanted.size() > static_cast<size_t>(space.level()) + 1) return fail(Errno::Inval);
  if (std::ranges::find(wanted, 0) != wanted.end()) return fail(Errno::Inval);
  if (space.closed()) return fail(Errno::NoMem);
  // Taken from the inside outward, and placed when all are there.
  std::vector<int32_t> numbers(static_cast<size_t>(space.level()) + 1);
  size_t left = numbers.size();
  Result<void> outcome;
  for (PidNamespace* s = &space; s != nullptr && outcome; s = s->parent()) {
    size_t const index = static_cast<size_t>(space.level() - s->level());
    auto taken = s->take(index < wanted.size() ? wanted[index] : 0);
    if (taken)
      numbers[--left] = *taken;
    else
      outcome = std::unexpected(taken.error());
  }
  if (!outcome) {
    PidNamespace* s = &space;
    for (size_t i = numbers.size(); i-- > left; s = s->parent()) s->release(numbers[i]);
    return std::unexpected(outcome.error());
  }
  auto pid = Ref<Pid>::adopt(new Pid(Ref<PidNamespace>(&space), std::move(numbers)));
  pid->add_user();  // the task that it is made for: PidNamespace::remove
  for (PidNamespace* s = &space; s != nullptr; s = s->parent())
    s->put(pid->numbers_[static_cast<size_t>(s->level())], pid.get());
  return pid;
}

Ref<Pid> Pid::without_number(PidNamespace& space) {
  return Ref<Pid>::adopt(
      new Pid(Ref<PidNamespace>(&space), std::vector<int32_t>(static_cast<size_t>(space.level()) + 1, 0)));
}

int32_t Pid::number_in(PidNamespace const& space) const {
  if (&space == space_.get()) return numbers_.back();
  return space_->is_within(space) ? numbers_[static_cast<size_t>(space.level())] : 0;
}

std::span<int32_t const> Pid::numbers_from(PidNamespace const& outer) const {
  if (!space_->is_within(outer)) return {};
  return std::span(numbers_).subspan(static_cast<size_t>(outer.level()));
}

// Who calls it holds a reference: a look-up that still finds the numbers finds a living object.
void Pid::remove_user() {
  if (users_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  for (PidNamespace* s = space_.get(); s != nullptr; s = s->parent())
    s->release(numbers_[static_cast<size_t>(s->level())]);
}

// ---- PidNamespace

Result<Ref<PidNamespace>> PidNamespace::create(Kernel& kernel, Ref<PidNamespace> parent) {
  if (parent && parent->level() + 1 >= max_pid_namespace_level) return fail(Errno::NoSpc);
  return Ref<PidNamespace>::adopt(new PidNamespace(kernel, std::move(parent)));
}

PidNamespace::PidNamespace(Kernel& kernel, Ref<PidNamespace> parent)
    : Namespace(kernel, NamespaceKind::Pid),
      kernel_(kernel),
      parent_(std::move(parent)),
      level_(parent_ ? parent_->level_ + 1 : 0) {
  if (!parent_) kernel_.add_top_pid_namespace(*this);
}

PidNamespace::~PidNamespace() {
  if (!parent_) kernel_.remove_top_pid_namespace(*this);
}

bool PidNamespace::is_within(PidNamespace const& other) const {
  PidNamespace const* s = this;
  while (s != nullptr && s->level_ > other.level_) s = s->parent_.get();
  return s == &other;
}

Result<int32_t> PidNamespace::take(int32_t wanted) {
  MutexLock lock(mutex_);
  if (wanted != 0) {
    if (wanted < 1 || wanted >= pid_max) return fail(Errno::Inval);
    // Whoever comes first must be init (clone3(2)).
    if (wanted != 1 && last_ == 0) return fail(Errno::Inval);
    if (!numbers_.try_emplace(wanted, nullptr).second) return fail(Errno::Exist);
    if (last_ == 0) last_ = 1;
    return wanted;
  }
  for (int32_t tries = 0; tries < pid_max; ++tries) {
    if (++last_ >= pid_max) last_ = reserved;
    if (numbers_.try_emplace(last_, nullptr).second) return last_;
  }
  return fail(Errno::Again);
}

void PidNamespace::put(int32_t number, Pid* pid) {
  MutexLock lock(mutex_);
  numbers_[number] = pid;
}

void PidNamespace::release(int32_t number) {
  MutexLock lock(mutex_);
  numbers_.erase(number);
}

Ref<Pid> PidNamespace::find(int32_t number) const {
  MutexLock lock(mutex_);
  auto it = numbers_.find(number);
  return it == numbers_.end() ? Ref<Pid>() : Ref<Pid>(it->second);
}

Ref<Task> PidNamespace::task(int32_t tid, ProcessLocked const& lock) const {
  auto pid = find(tid);
  return pid ? pid->task(lock) : Ref<Task>();
}

Ref<ThreadGroup> PidNamespace::group(int32_t tgid, ProcessLocked const& lock) const {
  auto pid = find(tgid);
  if (!pid || !pid->task(lock)) return {};
  ThreadGroup& group = pid->task(lock)->thread_group();
  return &group.pid() == pid.get() ? Ref<ThreadGroup>(&group) : Ref<ThreadGroup>();
}

Ref<ProcessGroup> PidNamespace::process_group(int32_t pgid) const {
  auto pid = find(pgid);
  if (!pid) return {};
  MutexLock lock(pid->mutex_);
  if (pid->process_group_ == nullptr || !pid->process_group_->try_ref()) return {};
  return Ref<ProcessGroup>::adopt(pid->process_group_);
}

std::vector<Ref<ThreadGroup>> PidNamespace::groups(ProcessLocked const& process_lock) const {
  std::vector<Ref<ThreadGroup>> all;
  MutexLock lock(mutex_);
  for (auto const& [number, pid] : numbers_) {
    if (pid == nullptr || !pid->task(process_lock)) continue;
    ThreadGroup& group = pid->task(process_lock)->thread_group();
    if (&group.pid() == pid) all.emplace_back(&group);
  }
  return all;
}

int32_t PidNamespace::number_of(Task const& task) const {
  return &task.pids() == this ? task.tid() : task.pid()->number_in(*this);
}

int32_t PidNamespace::number_of(ThreadGroup const& group) const { return group.pid().number_in(*this); }

void PidNamespace::add(Pid& pid, Ref<Task> task, ProcessLocked const&) {
  if (!pid.task_)
    for (PidNamespace* s = pid.space_.get(); s != nullptr; s = s->parent()) ++s->task_count_;
  pid.task_ = std::move(task);
}

void PidNamespace::remove(Pid& pid, ProcessLocked const&) {
  if (!pid.task_) return;
  Ref<Pid> keep(&pid);
  Ref<Task> task = std::exchange(pid.task_, nullptr);
  pid.remove_user();
  for (PidNamespace* s = pid.space_.get(); s != nullptr; s = s->parent()) {
    --s->task_count_;
    s->departures_.wake(EPOLLIN, SIZE_MAX);
  }
}

void PidNamespace::keep_init_number() {
  MutexLock lock(mutex_);
  last_ = std::max(last_, 1);
}

int32_t PidNamespace::last_pid() const {
  MutexLock lock(mutex_);
  return last_;
}

}  // namespace cofferdam::kernel
