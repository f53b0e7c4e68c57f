#include "socket/unix/endpoint.h"

#include <functional>
#include <limits>

#include "kernel/vfs/dentry.h"
#include "kernel/vfs/inode.h"
#include "socket/unix/family.h"

namespace cofferdam::unix_sockets {
namespace {

constexpr kernel::PollMask all_events =
    EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

}  // namespace

Endpoint::Endpoint(Family& family, int type, int send_buffer)
    : family_(family), type_(type), send_buffer_(send_buffer) {}

Endpoint::~Endpoint() = default;

void Endpoint::uncharge(size_t n) {
  size_t before = charged_.fetch_sub(n, std::memory_order_seq_cst);
  // Wakes once when the quarter mark is passed, not for every message (unix_write_space of Linux).
  if ((before - n) * 4 <= static_cast<size_t>(send_buffer())) queue.wake(EPOLLOUT | EPOLLWRNORM, everybody);
}

PairLock::PairLock(Endpoint& a, Endpoint& b) : first_(&a), second_(&b) {
  if (std::less<>()(second_, first_)) std::swap(first_, second_);
  first_->mutex.lock();
  if (first_ != second_) second_->mutex.lock();
}

PairLock::~PairLock() {
  if (first_ != second_) second_->mutex.unlock();
  first_->mutex.unlock();
}

void part(Endpoint& leaving, Endpoint& left, bool reset) {
  {
    MutexLock lock(left.mutex);
    if (left.peer != &leaving) return;
    if (!left.is_datagram()) left.shut_read = left.shut_write = true;
    if (reset) left.pending_error = ECONNRESET;
  }
  left.queue.wake(all_events, everybody);
}

void Endpoint::close(bool unaccepted) {
  MessageQueue unread;
  std::list<Ref<Endpoint>> clients;
  std::vector<Ref<Endpoint>> senders;
  Ref<Endpoint> old_peer;
  Ref<Name const> old_name;
  kernel::Path path;
  bool connected = false;
  {
    MutexLock lock(mutex);
    closed = shut_read = shut_write = true;
    socket = nullptr;
    unread.swap(messages);
    clients.swap(waiting_clients);
    senders.swap(blocked_senders);
    old_peer = std::move(peer);
    old_name = std::move(name);
    path = std::move(bound_path);
    connected = state == State::Connected;
    state = State::Unconnected;
  }
  if (old_name && old_name->is_abstract()) family_.unregister_name(*old_name, *this);
  if (path) {
    path.dentry->inode()->with_attachment(kernel::Attachment::BoundSocket, [&](Ref<RefCounted>& slot) {
      if (slot == this) slot = {};
    });
  }
  for (auto const& client : clients) client->close(true);
  if (old_peer && connected && !is_datagram()) part(*this, *old_peer, unaccepted || !unread.empty());
  for (auto const& s : senders) s->queue.wake(EPOLLOUT | EPOLLWRNORM, everybody);
  room.wake(all_events, everybody);
}

}  // namespace cofferdam::unix_sockets
