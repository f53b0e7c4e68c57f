// System V semaphores (semget(2), semop(2), semctl(2)).
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "kernel/ipc/sysv.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel::sysv {
namespace {

constexpr int largest_value = 32767;
constexpr size_t most_semaphores = 1'000'000;  // of all sets: a bound on our memory, where Linux has a cgroup's
constexpr int sem_stat_any = 20;

}  // namespace

Result<int> Semaphores::get(Task& task, key_t key, int count, int flags) {
  auto const& limits = limits_;
  if (count < 0 || static_cast<uint64_t>(count) > limits.semaphores_per_set.load(std::memory_order_relaxed))
    return fail(Errno::Inval);
  auto who = task.credentials();
  MutexLock lock(mutex_);
  return table_.get(
      *who, key, flags,
      [&](SemaphoreSet const& s) -> Result<void> {
        if (static_cast<size_t>(count) > s.semaphores.size()) return fail(Errno::Inval);
        return {};
      },
      [&]() NO_THREAD_SAFETY_ANALYSIS -> Result<Ref<SemaphoreSet>> {
        if (count == 0) return fail(Errno::Inval);
        size_t const most = std::min<uint64_t>(most_semaphores, limits.semaphores.load(std::memory_order_relaxed));
        if (total_ + static_cast<size_t>(count) > most) return fail(Errno::NoSpc);
        if (table_.all().size() >= limits.semaphore_sets.load(std::memory_order_relaxed)) return fail(Errno::NoSpc);
        total_ += static_cast<size_t>(count);
        auto set = make_ref<SemaphoreSet>();
        set->semaphores.resize(static_cast<size_t>(count));
        return set;
      });
}

Result<Semaphores::Outcome> Semaphores::attempt(SemaphoreSet& set, std::vector<sembuf> const& operations,
                                                Ref<Pid> const& process, size_t& blocker) {
  auto old = [&](size_t done) {  // takes back what the first `done` operations did
    while (done-- > 0) {
      auto const& o = operations[done];
      set.semaphores[o.sem_num].value = static_cast<uint16_t>(set.semaphores[o.sem_num].value - o.sem_op);
    }
  };
  std::map<uint16_t, int32_t> const* undo = nullptr;
  if (auto it = set.undo.find(process.get()); it != set.undo.end()) undo = &it->second;
  std::map<uint16_t, int32_t> adjustments;
  for (size_t i = 0; i < operations.size(); ++i) {
    auto const& o = operations[i];
    int value = set.semaphores[o.sem_num].value, result = value + o.sem_op;
    if ((o.sem_op == 0 && value != 0) || result < 0) {
      old(i);
      blocker = i;
      return Outcome::WouldBlock;
    }
    if (result > largest_value) {
      old(i);
      return fail(Errno::Range);
    }
    if (o.sem_flg & SEM_UNDO) {
      auto [it, fresh] = adjustments.try_emplace(o.sem_num, 0);
      if (fresh && undo)
        if (auto u = undo->find(o.sem_num); u != undo->end()) it->second = u->second;
      it->second -= o.sem_op;
      if (it->second < -largest_value - 1 || it->second > largest_value) {
        old(i);
        return fail(Errno::Range);
      }
    }
    set.semaphores[o.sem_num].value = static_cast<uint16_t>(result);
  }
  for (auto const& o : operations) set.semaphores[o.sem_num].last_pid = process;
  if (!adjustments.empty()) {
    auto& own = set.undo[process.get()];
    for (auto const& [number, adjustment] : adjustments) own[number] = adjustment;
  }
  return Outcome::Done;
}

Result<void> Semaphores::operate(Task& task, int id, std::vector<sembuf> const& operations, Deadline const& deadline) {
  bool alters = std::any_of(operations.begin(), operations.end(), [](auto const& o) { return o.sem_op != 0; });
  Ref<SemaphoreSet> set;
  {
    MutexLock lock(mutex_);
    set = TRY(table_.find(id));
    for (auto const& o : operations)
      if (o.sem_num >= set->semaphores.size()) return fail(Errno::FBig);
    TRY(set->check(*task.credentials(), alters ? alterable : readable));
  }
  Ref<Pid> const process(&task.thread_group().pid());
  Result<void> outcome;
  size_t blocker = 0;
  bool counted = false;
  auto counter = [&]() -> uint32_t& {
    Semaphore& s = set->semaphores[operations[blocker].sem_num];
    return operations[blocker].sem_op == 0 ? s.waiting_for_zero : s.waiting_for_more;
  };
  // One attempt; true when there is nothing to wait for any more.
  auto settled = [&]() {
    MutexLock lock(mutex_);
    if (counted) {
      --counter();
      counted = false;
    }
    if (set->removed) {
      outcome = fail(Errno::IdRm);
      return true;
    }
    auto done = attempt(*set, operations, process, blocker);
    if (!done) {
      outcome = fail(done.error().code);
      return true;
    }
    if (*done == Outcome::Done) {
      set->operated = now();
      if (alters) set->queue.wake(EPOLLIN, SIZE_MAX);
      return true;
    }
    if (operations[blocker].sem_flg & IPC_NOWAIT) {
      outcome = fail(Errno::Again);
      return true;
    }
    ++counter();
    counted = true;
    return false;
  };
  auto waited = task.wait_until(set->queue, EPOLLIN, deadline, settled);
  if (waited) return outcome;
  MutexLock lock(mutex_);
  if (counted) --counter();
  return fail(waited.error() == Errno::TimedOut ? Errno::Again : Errno::Intr);  // never restarted (signal(7))
}

semid_ds Semaphores::status(SemaphoreSet const& s) {
  semid_ds d{};
  d.sem_perm = s.permission();
  d.sem_otime = s.operated;
  d.sem_ctime = s.changed;
  d.sem_nsems = s.semaphores.size();
  return d;
}

Result<int> Semaphores::control_values(Task& task, SemaphoreSet& set, int number, int command, uint64_t argument) {
  if (number < 0 || static_cast<size_t>(number) >= set.semaphores.size()) return fail(Errno::Inval);
  Semaphore& s = set.semaphores[static_cast<size_t>(number)];
  switch (command) {
    case GETVAL:
      return s.value;
    case GETPID:
      return number_of(s.last_pid, task.pids());
    case GETNCNT:
      return static_cast<int>(s.waiting_for_more);
    case GETZCNT:
      return static_cast<int>(s.waiting_for_zero);
    default: {  // SETVAL
      int value = static_cast<int>(argument);
      if (value < 0 || value > largest_value) return fail(Errno::Range);
      s.value = static_cast<uint16_t>(value);
      for (auto& [process, undo] : set.undo) undo.erase(static_cast<uint16_t>(number));
      set.changed = now();
      set.queue.wake(EPOLLIN, SIZE_MAX);
      return 0;
    }
  }
}

Result<int> Semaphores::control(Task& task, int id, int number, int command, uint64_t argument) {
  if (id < 0) return fail(Errno::Inval);
  auto who = task.credentials();
  UserAddr address{argument};
  semid_ds wanted{};
  std::vector<uint16_t> values;
  if (command == IPC_SET) wanted = TRY(task.read(UserPtr<semid_ds>(address)));
  if (command == SETALL) {
    size_t count;
    {
      MutexLock lock(mutex_);
      auto set = TRY(table_.find(id));
      TRY(set->check(*who, alterable));
      count = set->semaphores.size();
    }
    values = TRY(task.read_array(UserPtr<uint16_t>(address), count));
    for (uint16_t v : values)
      if (v > largest_value) return fail(Errno::Range);
  }
  auto const& limits = limits_;
  MutexLock lock(mutex_);
  if (command == IPC_INFO || command == SEM_INFO) {
    seminfo info{};
    info.semmni = static_cast<int>(limits.semaphore_sets.load(std::memory_order_relaxed));
    info.semmns = static_cast<int>(limits.semaphores.load(std::memory_order_relaxed));
    info.semmsl = static_cast<int>(limits.semaphores_per_set.load(std::memory_order_relaxed));
    info.semopm = static_cast<int>(limits.operations_per_call.load(std::memory_order_relaxed));
    info.semvmx = info.semaem = largest_value;
    info.semmap = info.semmnu = info.semmns;
    info.semume = info.semopm;
    info.semusz = 20;
    if (command == SEM_INFO) {
      info.semusz = static_cast<int>(table_.all().size());
      info.semaem = static_cast<int>(total_);
    }
    int highest = table_.highest_index();
    lock.unlock();
    TRY(task.write(UserPtr<seminfo>(address), info));
    return highest;
  }
  bool by_index = command == SEM_STAT || command == sem_stat_any;
  auto set = TRY(by_index ? table_.at_index(id) : table_.find(id));
  switch (command) {
    case IPC_STAT:
    case SEM_STAT:
    case sem_stat_any: {
      if (command != sem_stat_any) TRY(set->check(*who, readable));
      semid_ds out = status(*set);
      int result = by_index ? set->id : 0;
      lock.unlock();
      TRY(task.write(UserPtr<semid_ds>(address), out));
      return result;
    }
    case IPC_SET:
      if (!set->owned_by(*who)) return fail(Errno::Perm);
      set->set(wanted.sem_perm);
      return 0;
    case IPC_RMID:
      if (!set->owned_by(*who)) return fail(Errno::Perm);
      total_ -= set->semaphores.size();
      table_.remove(*set);
      set->queue.wake(EPOLLIN, SIZE_MAX);
      return 0;
    case GETALL: {
      TRY(set->check(*who, readable));
      for (auto const& s : set->semaphores) values.push_back(s.value);
      lock.unlock();
      TRY(task.write_array<uint16_t>(UserPtr<uint16_t>(address), values));
      return 0;
    }
    case SETALL:
      if (values.size() != set->semaphores.size()) return fail(Errno::IdRm);
      for (size_t i = 0; i < values.size(); ++i) {
        set->semaphores[i].value = values[i];
        set->semaphores[i].last_pid = Ref<Pid>(&task.thread_group().pid());
      }
      set->undo.clear();
      set->changed = now();
      set->queue.wake(EPOLLIN, SIZE_MAX);
      return 0;
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
      TRY(set->check(*who, readable));
      return control_values(task, *set, number, command, argument);
    case SETVAL:
      TRY(set->check(*who, alterable));
      return control_values(task, *set, number, command, argument);
    default:
      return fail(Errno::Inval);
  }
}

void Semaphores::process_exited(Pid& pid) {
  Ref<Pid> const process(&pid);
  MutexLock lock(mutex_);
  for (auto const& [slot, set] : table_.all()) {
    auto it = set->undo.find(&pid);
    if (it == set->undo.end()) continue;
    for (auto const& [number, adjustment] : it->second) {
      Semaphore& s = set->semaphores[number];
      s.value = static_cast<uint16_t>(std::clamp(s.value + adjustment, 0, largest_value));
      s.last_pid = process;
    }
    set->undo.erase(it);
    set->operated = now();
    set->queue.wake(EPOLLIN, SIZE_MAX);
  }
}

std::string Semaphores::text() {
  std::string out = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
  MutexLock lock(mutex_);
  for (auto const& [slot, s] : table_.all())
    out += fmt::format("{:10} {:10}  {:4o} {:10} {:5} {:5} {:5} {:5} {:10} {:10}\n", s->key, s->id, s->mode,
                       s->semaphores.size(), s->uid, s->gid, s->creator_uid, s->creator_gid, s->operated, s->changed);
  return out;
}

}  // namespace cofferdam::kernel::sysv
