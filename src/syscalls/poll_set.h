// Files that one call waits for together: poll(2) and select(2).
#pragma once

#include <deque>
#include <memory>

#include "kernel/task/task.h"
#include "kernel/vfs/file.h"
#include "kernel/wait_queue.h"

namespace cofferdam::syscalls {

class PollSet {
 public:
  explicit PollSet(kernel::Task& task) : task_(task) {}
  ~PollSet();
  PollSet(PollSet const&) = delete;
  PollSet& operator=(PollSet const&) = delete;

  // Exactly these events count. Gives the entry's index.
  size_t add(Ref<kernel::File>, kernel::PollMask interest);
  // Waits until an entry is ready: how many are. 0 when the deadline passes. RestartSys.
  Result<size_t> wait(kernel::Deadline);
  // What of the interest was ready at the last look.
  kernel::PollMask ready(size_t index) const { return entries_[index].ready; }

 private:
  struct Entry {
    Entry(kernel::Task& task, Ref<kernel::File> f, kernel::PollMask i)
        : file(std::move(f)), interest(i), waiter(task) {}
    Ref<kernel::File> file;
    kernel::PollMask interest, ready = 0;
    kernel::WaitQueue* queue = nullptr;
    kernel::TaskWaiter waiter;
  };
  size_t look();
  void enqueue();

  kernel::Task& task_;
  std::deque<Entry> entries_;  // entries never move: queues point at their waiters
};

}  // namespace cofferdam::syscalls
