#include "netstack/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace cofferdam::netstack {

TimerWheel::TimerWheel(Environment& environment)
    : environment_(environment), now_(static_cast<uint64_t>(environment.now() / tick)) {}

TimerWheel::~TimerWheel() {
  std::vector<Timed*> left;
  {
    MutexLock lock(mutex_);
    for (auto& level : wheel_)
      for (Timed*& head : level)
        while (head) {
          left.push_back(head);
          unlink(*head);
        }
  }
  for (Timed* t : left) t->unref();
}

size_t TimerWheel::armed() const {
  MutexLock lock(mutex_);
  return armed_;
}

void TimerWheel::link(Timed& t, uint64_t at) {
  uint64_t delta = at - now_;
  unsigned level = 0;
  while (level + 1 < levels && delta >= uint64_t{1} << (bits * (level + 1))) ++level;
  // Beyond the top level's reach: as far as it goes; on_timer comes early then.
  delta = std::min(delta, (uint64_t{1} << (bits * levels)) - 1);
  t.tick_ = now_ + delta;
  auto slot = static_cast<unsigned>(t.tick_ >> (bits * level)) & (slots - 1);
  Timed*& head = wheel_[level][slot];
  t.slot_ = static_cast<uint16_t>(level * slots + slot);
  t.next_timer_ = head;
  t.link_ = &head;
  if (head) head->link_ = &t.next_timer_;
  head = &t;
  occupied_[level] |= uint64_t{1} << slot;
  ++armed_;
}

void TimerWheel::unlink(Timed& t) {
  *t.link_ = t.next_timer_;
  if (t.next_timer_) t.next_timer_->link_ = t.link_;
  t.link_ = nullptr;
  t.next_timer_ = nullptr;
  unsigned level = t.slot_ / slots, slot = t.slot_ % slots;
  if (!wheel_[level][slot]) occupied_[level] &= ~(uint64_t{1} << slot);
  --armed_;
}

void TimerWheel::arm(Timed& t, Time when) {
  MutexLock lock(mutex_);
  uint64_t at = std::max(static_cast<uint64_t>((when + tick - 1) / tick), now_ + 1);
  if (t.link_) {
    if (t.tick_ <= at) return;
    unlink(t);
  } else {
    t.ref();
  }
  link(t, at);
  if (t.tick_ < promised_) {
    promised_ = t.tick_;
    environment_.wake_at(static_cast<Time>(t.tick_) * tick);
  }
}

void TimerWheel::cancel(Timed& t) {
  {
    MutexLock lock(mutex_);
    if (!t.link_) return;
    unlink(t);
  }
  t.unref();
}

// Distributes the slot of a level that begins now over the levels below.
void TimerWheel::cascade(unsigned level) {
  auto slot = static_cast<unsigned>(now_ >> (bits * level)) & (slots - 1);
  while (Timed* t = wheel_[level][slot]) {
    uint64_t at = t->tick_;
    unlink(*t);
    link(*t, std::max(at, now_));
  }
  if (slot == 0 && level + 1 < levels) cascade(level + 1);
}

void TimerWheel::collect(uint64_t target, std::vector<Timed*>& due) {
  while (now_ < target) {
    if (armed_ == 0) {
      now_ = target;
      return;
    }
    uint64_t boundary = (now_ | (slots - 1)) + 1;  // where the next slot of level 1 begins
    now_ = occupied_[0] == 0 ? std::min(boundary, target) : now_ + 1;
    if ((now_ & (slots - 1)) == 0) cascade(1);
    unsigned slot = static_cast<unsigned>(now_) & (slots - 1);
    while (Timed* t = wheel_[0][slot]) {
      unlink(*t);
      due.push_back(t);
    }
  }
}

uint64_t TimerWheel::next_tick() const {
  if (armed_ == 0) return UINT64_MAX;
  for (unsigned level = 0; level < levels; ++level) {
    if (occupied_[level] == 0) continue;
    uint64_t position = now_ >> (bits * level);
    uint64_t ahead = std::rotr(occupied_[level], static_cast<int>((position + 1) & (slots - 1)));
    uint64_t at = (position + 1 + static_cast<uint64_t>(std::countr_zero(ahead))) << (bits * level);
    // A higher level's slot may begin before what is in this one.
    if (level == 0 && (occupied_[1] | occupied_[2] | occupied_[3]) != 0) at = std::min(at, (now_ | (slots - 1)) + 1);
    return at;
  }
  return UINT64_MAX;
}

Time TimerWheel::run(Time now) {
  std::vector<Timed*> due;
  {
    MutexLock lock(mutex_);
    collect(static_cast<uint64_t>(now / tick), due);
    promised_ = UINT64_MAX;
  }
  for (Timed* t : due) {
    t->on_timer(now);
    t->unref();
  }
  MutexLock lock(mutex_);
  promised_ = std::min(promised_, next_tick());
  return promised_ == UINT64_MAX ? never : static_cast<Time>(promised_) * tick;
}

}  // namespace cofferdam::netstack
