#include "syscalls/poll_set.h"

namespace cofferdam::syscalls {

using kernel::Deadline;
using kernel::PollMask;

PollSet::~PollSet() {
  for (auto& e : entries_)
    if (e.queue) e.queue->remove(e.waiter);
}

size_t PollSet::add(Ref<kernel::File> file, PollMask interest) {
  entries_.emplace_back(task_, std::move(file), interest);
  return entries_.size() - 1;
}

size_t PollSet::look() {
  size_t count = 0;
  for (auto& e : entries_) {
    e.ready = e.file->poll_as(task_) & e.interest;
    if (e.ready != 0) ++count;
  }
  return count;
}

void PollSet::enqueue() {
  for (auto& e : entries_) {
    e.queue = e.file->wait_queue_as(task_);
    if (e.queue) e.queue->add(e.waiter, e.interest);
  }
}

Result<size_t> PollSet::wait(Deadline deadline) {
  if (size_t count = look()) return count;
  if (deadline.expired()) return 0;
  enqueue();
  for (;;) {
    task_.prepare_to_wait();
    if (size_t count = look()) return count;
    auto waited = task_.wait(deadline);
    if (waited) continue;
    if (waited.error() == Errno::TimedOut) return look();
    return std::unexpected(waited.error());
  }
}

}  // namespace cofferdam::syscalls
