#include "kernel/task/robust_list.h"

#include <linux/futex.h>

#include "kernel/kernel.h"
#include "kernel/task/futex_pi.h"
#include "kernel/task/task_internal.h"

namespace cofferdam::kernel {
namespace {

constexpr int max_entries = ROBUST_LIST_LIMIT;  // the list is the guest's: it may be a circle

struct Head {  // struct robust_list_head
  uint64_t next;
  int64_t futex_offset;
  uint64_t pending;
};

struct Entry {
  uint64_t address = 0;
  bool priority_inheriting = false;  // bit 0 of the pointer to it
};

Entry entry_of(uint64_t pointer) { return {pointer & ~uint64_t{1}, (pointer & 1) != 0}; }

// handle_futex_death of Linux: the owner's word says that it died, and one waiter is told. `is_pending`: the task was
// about to take or leave it.
void release(Task& task, uint64_t word_address, bool priority_inheriting, bool is_pending) {
  if (word_address % 4 != 0) return;
  auto& context = task.context();
  auto word = context.load32(word_address);
  // A thread that died between the unlock in user space and the wake-up: wake a waiter, the word is free.
  if (is_pending && !priority_inheriting && word && *word == 0) {
    (void)context.futex_wake(word_address, 1, true);
    return;
  }
  while (word) {
    if ((*word & FUTEX_TID_MASK) != static_cast<uint32_t>(task.tid())) return;
    uint32_t dead = (*word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
    auto found = context.compare_exchange32(word_address, *word, dead);
    if (!found) return;
    if (*found == *word) break;
    word = found;
  }
  if (!word || !(*word & FUTEX_WAITERS)) return;
  // Who waits for a priority-inheriting one is told when the locks of this thread pass on.
  if (!priority_inheriting) (void)context.futex_wake(word_address, 1, true);
}

}  // namespace

static void walk_robust_list(Task& task) {
  auto& own = task.implementation();
  uint64_t head_address = std::exchange(own.robust_list_head, 0);
  if (head_address == 0) return;
  auto head = task.read(UserPtr<Head>(head_address));
  if (!head) return;
  auto word_of = [&](Entry e) { return e.address + static_cast<uint64_t>(head->futex_offset); };
  Entry pending = entry_of(head->pending);
  Entry entry = entry_of(head->next);
  for (int n = 0; n < max_entries && entry.address != head_address && entry.address != 0; ++n) {
    auto next = task.read(UserPtr<uint64_t>(entry.address));  // before the word is released: its memory may go then
    if (entry.address != pending.address) release(task, word_of(entry), entry.priority_inheriting, false);
    if (!next) break;
    entry = entry_of(*next);
  }
  if (pending.address) release(task, word_of(pending), pending.priority_inheriting, true);
}

void exit_robust_list(Task& task) {
  walk_robust_list(task);
  task.kernel().pi_futexes().owner_exits(task);
}

}  // namespace cofferdam::kernel
