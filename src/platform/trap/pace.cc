#include "platform/trap/pace.h"

#include <x86intrin.h>

#include <algorithm>
#include <chrono>

namespace cofferdam::platform::trap {
namespace {

constexpr uint64_t spin_us = 30;

uint32_t own_cpu() {
  unsigned aux;
  __rdtscp(&aux);
  return aux & 0xfff;
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

void Pace::stopped(uint32_t peer_cpu, bool slept) {
  uint64_t const now = __rdtsc();
  // Where the two sleep on different CPUs the wake-ups alone take long.
  bool const quick = now - stopped_at_ < (apart_ > 0 ? quick_apart_us : quick_us) * shared_.cycles_per_us;
  stopped_at_ = now;
  if (slot_ != nullptr) {
    credit_ = slept ? credit_ - failure_cost : std::min(credit_ + 1, full_credit);
    if (slot_->owner.load(std::memory_order_relaxed) != this) {
      slot_ = nullptr;
      place_beside(peer_cpu);
    } else if (credit_ <= 0) {
      cool(peer_cpu, now);
    } else {
      slot_->active_at.store(now, std::memory_order_relaxed);
    }
    return;
  }
  streak_ = quick ? streak_ + 1 : 0;
  if (streak_ >= streak_to_heat) {
    try_to_heat(peer_cpu, now);
    return;
  }
  // Both sleep: on one CPU, unless the scheduler insists.
  if (peer_cpu == own_cpu()) {
    apart_ = 0;
  } else if (++apart_ % apart_limit == 0) {
    place_beside(peer_cpu);
  }
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
  heated_at_ = now;
  credit_ = full_credit / 2;
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
  place_beside(peer_cpu);
}

// Moves this thread to the peer's CPU. The first times the scheduler may move it away again; after that it is bound.
void Pace::place_beside(uint32_t peer_cpu) {
  if (CPU_ISSET(peer_cpu, &shared_.allowed)) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(peer_cpu, &one);
    ::sched_setaffinity(0, sizeof one, &one);
  }
  if (placements_ < free_placements) {
    ++placements_;
    ::sched_setaffinity(0, sizeof shared_.allowed, &shared_.allowed);
  }
}

}  // namespace cofferdam::platform::trap
