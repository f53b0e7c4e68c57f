// Sockets that only messages refer to. A socket may be sent through itself, or two through each other, and then be
// closed: no descriptor leads to them any more, yet each holds the other. Found as in Linux's unix_gc: a socket all of
// whose references are in flight is a candidate; references from the queues of candidates are taken off; what still has
// one is reachable from outside, and so is what waits in its queue; the rest is garbage.
//
// A collection sees a consistent picture because files take off and land under flight_mutex_. A message that is in no
// queue at the moment (just built, just taken out) only makes its files look reachable.
#include <utility>

#include "socket/unix/family.h"
#include "socket/unix/socket.h"

namespace cofferdam::unix_sockets {
namespace {

Ref<Endpoint> endpoint_of(kernel::File& f) {
  auto* socket = dynamic_cast<UnixSocket*>(&f);
  return socket ? socket->endpoint() : Ref<Endpoint>();
}

// Server ends that nobody has accepted belong to their listener.
std::vector<Ref<Endpoint>> queues_of(Endpoint& e) {
  std::vector<Ref<Endpoint>> all{Ref<Endpoint>(&e)};
  MutexLock lock(e.mutex);
  all.insert(all.end(), e.waiting_clients.begin(), e.waiting_clients.end());
  return all;
}

// Every socket in the messages that wait for `e`.
template <class F>
void for_each_inner(Endpoint& e, F&& f) {
  for (auto const& queue : queues_of(e)) {
    MutexLock lock(queue->mutex);
    for (Message* m = queue->messages.front(); m != nullptr; m = m->next)
      for (auto const& file : m->files.files())
        if (auto inner = endpoint_of(*file)) f(*inner);
  }
}

void steal_files(Endpoint& e, std::vector<FlyingFiles>& to) {
  for (auto const& queue : queues_of(e)) {
    MutexLock lock(queue->mutex);
    for (Message* m = queue->messages.front(); m != nullptr; m = m->next)
      if (!m->files.files().empty()) to.push_back(std::exchange(m->files, FlyingFiles()));
  }
}

}  // namespace

void Family::take_off(std::vector<Ref<kernel::File>> const& files) {
  bool collect;
  {
    MutexLock lock(flight_mutex_);
    in_flight_.fetch_add(files.size(), std::memory_order_relaxed);
    for (auto const& file : files)
      if (auto e = endpoint_of(*file)) ++flying_sockets_[e.get()];
    collect = flying_sockets_.size() > collect_at_;
  }
  if (collect) collect_garbage();
}

void Family::land(std::vector<Ref<kernel::File>> const& files) {
  MutexLock lock(flight_mutex_);
  in_flight_.fetch_sub(files.size(), std::memory_order_relaxed);
  for (auto const& file : files) {
    auto e = endpoint_of(*file);
    if (!e) continue;
    auto it = flying_sockets_.find(e.get());
    if (it != flying_sockets_.end() && --it->second == 0) flying_sockets_.erase(it);
  }
}

void Family::bury(std::vector<Ref<kernel::File>> files) {
  {
    MutexLock lock(graves_mutex_);
    for (auto& f : files) graves_.push_back(std::move(f));
    if (digging_) return;  // whoever digs takes these too: the depth of the stack stays bounded
    digging_ = true;
  }
  for (;;) {
    std::vector<Ref<kernel::File>> batch;
    {
      MutexLock lock(graves_mutex_);
      batch.swap(graves_);
      if (batch.empty()) {
        digging_ = false;
        return;
      }
    }
    batch.clear();
  }
}

void Family::collect_after_close() {
  {
    MutexLock lock(flight_mutex_);
    if (flying_sockets_.empty()) return;
    // The more sockets fly, the rarer: the cost of a close stays bounded.
    if (++closed_since_ * size_t{16} < flying_sockets_.size()) return;
    closed_since_ = 0;
  }
  collect_garbage();
}

Family::Marks Family::find_candidates() {
  Marks marks;
  for (auto [endpoint, count] : flying_sockets_) {
    MutexLock lock(endpoint->mutex);
    // Its messages hold it, so the open file is there.
    if (endpoint->socket && endpoint->socket->ref_count() == count) marks[endpoint] = count;
  }
  return marks;
}

void Family::spare_reachable(Marks& marks) {
  std::vector<Endpoint*> reachable;
  for (auto const& [endpoint, references] : marks)
    if (references != 0) reachable.push_back(endpoint);
  for (auto* e : reachable) marks.erase(e);
  while (!reachable.empty()) {
    Endpoint* e = reachable.back();
    reachable.pop_back();
    for_each_inner(*e, [&](Endpoint& inner) {
      if (marks.erase(&inner) != 0) reachable.push_back(&inner);
    });
  }
}

void Family::collect_garbage() {
  std::vector<FlyingFiles> garbage;  // dropped without the lock
  MutexLock lock(flight_mutex_);
  Marks marks = find_candidates();
  std::vector<Endpoint*> candidates;
  for (auto const& [endpoint, references] : marks) candidates.push_back(endpoint);
  for (auto* e : candidates) {
    for_each_inner(*e, [&](Endpoint& inner) {
      if (auto it = marks.find(&inner); it != marks.end() && it->second != 0) --it->second;
    });
  }
  spare_reachable(marks);
  for (auto const& [endpoint, references] : marks) steal_files(*endpoint, garbage);
  collect_at_ = std::max<size_t>(1024, 2 * (flying_sockets_.size() - marks.size()));
  lock.unlock();
}

}  // namespace cofferdam::unix_sockets
