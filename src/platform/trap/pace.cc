#include "platform/trap/pace.h"

#include <pthread.h>
#include <signal.h>
#include <x86intrin.h>

#include <algorithm>
#include <chrono>

#include "host/futex.h"

namespace cofferdam::platform::trap {
namespace {

constexpr uint64_t spin_us = 30;
constexpr uint64_t leash_us = 1000;  // a bound guest that runs for longer is let loose
constexpr auto watch_interval = std::chrono::microseconds(1500);

uint32_t current_cpu() {
  unsigned aux;
  __rdtscp(&aux);
  return aux & 0xfff;
}

cpu_set_t only(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(cpu), &one);
  return one;
}

}  // namespace

void PaceShared::calibrate() {
  using Clock = std::chrono::steady_clock;
  constexpr uint64_t pauses = 2000;
  uint64_t best_cycles = ~0ull, best_ns = ~0ull;
  for (int i = 0; i < 5; ++i) {
    auto const began = Clock::now();
    uint64_t const cycles = __rdtsc();
    for (uint64_t n = 0; n < pauses; ++n) _mm_pause();
    best_cycles = std::min<uint64_t>(best_cycles, __rdtsc() - cycles);
    best_ns = std::min<uint64_t>(best_ns, static_cast<uint64_t>((Clock::now() - began).count()));
  }
  best_ns = std::max<uint64_t>(best_ns, 1);
  cycles_per_us = std::clamp<uint64_t>(best_cycles * 1000 / best_ns, 500, 10000);
  pauses_per_spin = static_cast<uint32_t>(std::clamp<uint64_t>(spin_us * 1000 * pauses / best_ns, 50, 20000));
}

void PaceShared::wake_watch() {
  if (watching.exchange(1, std::memory_order_relaxed) == 0) host::futex_wake(watching);
}

Pace::Pace(PaceShared& shared, pid_t peer) : shared_(shared), peer_(peer) {
  MutexLock lock(placing_);
  guest_mask_ = shared.allowed;
}

Pace::~Pace() {
  leave();
  if (!listed_) return;
  MutexLock lock(shared_.bound_mutex);
  std::erase(shared_.bound_pairs, this);
}

void Pace::set_guest_mask(cpu_set_t const& mask) {
  MutexLock lock(placing_);
  guest_mask_ = mask;
  bound_.store(nowhere, std::memory_order_relaxed);
}

void Pace::made_by(Pace& maker, bool side_by_side) {
  if (shared_.cpus == 1) return;
  int const cpu = maker.bound_.load(std::memory_order_relaxed);
  {
    MutexLock lock(maker.placing_);
    MutexLock own_lock(placing_);
    guest_mask_ = maker.guest_mask_;
    if (side_by_side || cpu == nowhere) ::sched_setaffinity(peer_, sizeof guest_mask_, &guest_mask_);
  }
  if (!side_by_side && cpu != nowhere) bind(cpu);
}

void Pace::summon() {
  if (shared_.cpus > 1) bind(static_cast<int>(current_cpu()));
}

void Pace::adopt() {
  if (own_cpu_ != nowhere || shared_.cpus == 1) return;
  int const cpu = bound_.load(std::memory_order_relaxed);
  move_self(cpu != nowhere ? cpu : static_cast<int>(current_cpu()));
}

void Pace::move_self(int cpu) {
  cpu_set_t const one = only(cpu);
  if (!CPU_ISSET(static_cast<size_t>(cpu), &shared_.allowed) || ::sched_setaffinity(0, sizeof one, &one) != 0) return;
  own_cpu_ = cpu;
}

// Binds the stub's thread, which sleeps.
void Pace::bind(int cpu) {
  if (!listed_) {
    listed_ = true;
    MutexLock lock(shared_.bound_mutex);
    shared_.bound_pairs.push_back(this);
  }
  MutexLock lock(placing_);
  if (bound_.load(std::memory_order_relaxed) == cpu || !CPU_ISSET(static_cast<size_t>(cpu), &guest_mask_)) return;
  cpu_set_t const one = only(cpu);
  if (::sched_setaffinity(peer_, sizeof one, &one) == 0) bound_.store(cpu, std::memory_order_relaxed);
}

// By the watch: the guest that was resumed then still runs.
void Pace::let_loose(uint64_t resumed_at) {
  MutexLock lock(placing_);
  if (resumed_at_.load(std::memory_order_relaxed) != resumed_at || bound_.load(std::memory_order_relaxed) == nowhere)
    return;
  bound_.store(nowhere, std::memory_order_relaxed);
  ::sched_setaffinity(peer_, sizeof guest_mask_, &guest_mask_);
}

void Pace::resumed(bool peer_slept) {
  if (slot_ != nullptr) {
    if (peer_slept) credit_ -= failure_cost;
    return;
  }
  loose_since_ = __rdtsc();
  if (bound_.load(std::memory_order_relaxed) == nowhere) return;
  resumed_at_.store(loose_since_, std::memory_order_relaxed);
  if (shared_.watching.load(std::memory_order_relaxed) == 0) [[unlikely]]
    shared_.wake_watch();
}

void Pace::sleeps() {
  if (slot_ == nullptr) return;
  slot_->active_at.store(0, std::memory_order_relaxed);
  resumed_at_.store(__rdtsc(), std::memory_order_relaxed);
  if (shared_.watching.load(std::memory_order_relaxed) == 0) [[unlikely]]
    shared_.wake_watch();
}

void Pace::stopped(uint32_t peer_cpu, bool slept) {
  // The clock costs as much as the rest of a hot hand-over.
  if (slot_ != nullptr && !slept && credit_ > failure_cost && ++unclocked_ < most_unclocked &&
      slot_->owner.load(std::memory_order_relaxed) == this) {
    credit_ = std::min(credit_ + 1, full_credit);
    return;
  }
  unclocked_ = 0;
  uint64_t const now = __rdtsc();
  bool const quick = now - stopped_at_ < quick_us * shared_.cycles_per_us;
  stopped_at_ = now;
  if (uint64_t const since = resumed_at_.load(std::memory_order_relaxed); since != 0) {
    resumed_at_.store(0, std::memory_order_relaxed);
    guest_cycles_.store(guest_cycles_.load(std::memory_order_relaxed) + (now - since), std::memory_order_relaxed);
  }
  if (slot_ != nullptr) {
    credit_ = slept ? credit_ - failure_cost : std::min(credit_ + 1, full_credit);
    if (slot_->owner.load(std::memory_order_relaxed) != this) {
      slot_ = nullptr;
      settle(peer_cpu, now);
    } else if (credit_ <= 0) {
      cool(peer_cpu, now);
    } else {
      slot_->active_at.store(now, std::memory_order_relaxed);
    }
    return;
  }
  streak_ = quick ? streak_ + 1 : 0;
  if (streak_ >= streak_to_heat) try_to_heat(peer_cpu, now);
  if (slot_ == nullptr) settle(peer_cpu, now);
}

// Both threads of the pair on one CPU. The guest, which sleeps, comes to us; but where the host has let it run for long
// it has its reasons, and we go there, which costs a migration.
void Pace::settle(uint32_t peer_cpu, uint64_t now) {
  if (shared_.cpus == 1) return;
  int const bound = bound_.load(std::memory_order_relaxed);
  int const wanted = wanted_.load(std::memory_order_relaxed);
  if (bound != nowhere && bound == own_cpu_ && wanted == nowhere) [[likely]]
    return;
  if (wanted != nowhere) wanted_.store(nowhere, std::memory_order_relaxed);
  bool const ran_long = now - loose_since_ > leash_us * shared_.cycles_per_us;
  bool const stays = !ran_long && own_cpu_ != elsewhere;
  int const here = static_cast<int>(stays ? current_cpu() : peer_cpu);
  int const cpu = wanted != nowhere ? wanted : bound != nowhere ? bound : here;
  if (own_cpu_ != cpu) move_self(cpu);
  if (own_cpu_ == cpu) bind(cpu);
}

bool Pace::take_slot(uint64_t now) {
  size_t const count = std::min<size_t>(static_cast<size_t>(shared_.cpus) / 2, PaceShared::max_slots);
  for (size_t i = 0; i < count; ++i) {
    auto& slot = shared_.slots[i];
    Pace* owner = slot.owner.load(std::memory_order_relaxed);
    uint64_t const active = slot.active_at.load(std::memory_order_relaxed);
    if (owner != nullptr && active != 0 && now - active < idle_us * shared_.cycles_per_us) continue;
    if (!slot.owner.compare_exchange_strong(owner, this)) continue;
    slot.active_at.store(now, std::memory_order_relaxed);
    slot_ = &slot;
    return true;
  }
  return false;
}

void Pace::try_to_heat(uint32_t peer_cpu, uint64_t now) {
  streak_ = 0;
  if (!shared_.may_spin || now < not_before_ || !take_slot(now)) return;
  cpu_set_t others = shared_.allowed;
  CPU_CLR(peer_cpu, &others);
  if (CPU_COUNT(&others) == 0 || ::sched_setaffinity(0, sizeof others, &others) != 0) {
    leave();
    return;
  }
  own_cpu_ = elsewhere;
  heated_at_ = now;
  credit_ = full_credit;  // the first rounds fail: the guest still sleeps, on a CPU that halts
}

void Pace::leave() {
  if (slot_ == nullptr) return;
  Pace* self = this;
  slot_->owner.compare_exchange_strong(self, nullptr);
  slot_ = nullptr;
}

void Pace::cool(uint32_t peer_cpu, uint64_t now) {
  leave();
  // Pairs that are hot for moments only wait longer each time.
  bool const brief = now - heated_at_ < 10 * backoff_us_ * shared_.cycles_per_us;
  backoff_us_ = brief ? std::min<uint64_t>(backoff_us_ * 2, 200000) : 1000;
  not_before_ = now + backoff_us_ * shared_.cycles_per_us;
  settle(peer_cpu, now);
}

PlacementWatch::PlacementWatch(PaceShared& shared) : shared_(shared) {
  if (shared.cpus == 1) return;
  sigset_t all, old;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &old);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

PlacementWatch::~PlacementWatch() {
  if (!thread_.joinable()) return;
  ending_.store(true);
  shared_.wake_watch();
  thread_.join();
}

void PlacementWatch::run() {
  constexpr int idle_looks_before_sleep = 4;
  int idle = 0;
  while (!ending_.load()) {
    idle = look(__rdtsc()) ? 0 : idle + 1;
    if (idle >= idle_looks_before_sleep) {
      shared_.watching.store(0);
      while (shared_.watching.load() == 0 && !ending_.load()) host::futex_wait(shared_.watching, 0);
      idle = 0;
    }
    timespec const until = host::monotonic_after(watch_interval);
    host::futex_wait_until(shared_.watching, 1, &until);
  }
}

// Whether any bound guest has run since the last look.
bool PlacementWatch::look(uint64_t now) {
  bool any = false;
  load_.fill(0);
  uint64_t const interval = std::max<uint64_t>(now - looked_at_, 1);
  looked_at_ = now;
  MutexLock lock(shared_.bound_mutex);
  std::array<Pace*, CPU_SETSIZE> busiest{}, second{};
  std::array<uint64_t, CPU_SETSIZE> most{}, next{};
  for (Pace* pace : shared_.bound_pairs) {
    uint64_t const cycles = pace->guest_cycles_.load(std::memory_order_relaxed);
    uint64_t const ran = cycles - pace->seen_cycles_;
    pace->seen_cycles_ = cycles;
    uint64_t const since = pace->resumed_at_.load(std::memory_order_relaxed);
    int const cpu = pace->bound_.load(std::memory_order_relaxed);
    any |= ran != 0 || (since != 0 && cpu != Pace::nowhere);
    if (cpu == Pace::nowhere) continue;
    if (since != 0 && now > since && now - since > leash_us * shared_.cycles_per_us) {
      pace->let_loose(since);
      continue;
    }
    auto const c = static_cast<size_t>(cpu);
    load_[c] += ran;
    if (ran > most[c]) {
      second[c] = busiest[c], next[c] = most[c];
      busiest[c] = pace, most[c] = ran;
    } else if (ran > next[c]) {
      second[c] = pace, next[c] = ran;
    }
  }
  // Two guests that both want most of one CPU, while another has little to do: one goes there. Seen twice in a row, for
  // a parent and its child that take turns look like that for a moment.
  size_t full = CPU_SETSIZE, empty = CPU_SETSIZE;
  for (size_t c = 0; c < CPU_SETSIZE; ++c) {
    if (!CPU_ISSET(c, &shared_.allowed)) continue;
    if (second[c] != nullptr && load_[c] > interval * 5 / 4 && next[c] > interval / 4) full = c;
    if (load_[c] < interval / 4) empty = c;
  }
  if (full == CPU_SETSIZE || empty == CPU_SETSIZE) {
    crowded_ = 0;
  } else if (++crowded_ >= 2) {
    crowded_ = 0;
    second[full]->wanted_.store(static_cast<int>(empty), std::memory_order_relaxed);
  }
  return any;
}

}  // namespace cofferdam::platform::trap
