// Receiving on AF_UNIX sockets.
#include <algorithm>
#include <cstring>
#include <utility>

#include "kernel/task/task.h"
#include "socket/unix/family.h"
#include "socket/unix/socket.h"

namespace cofferdam::unix_sockets {

using kernel::Deadline;
using kernel::IoSink;
using kernel::ReceiveResult;
using kernel::Task;

Result<ReceiveResult> UnixSocket::receive(Task& task, IoSink& to, int flags) {
  if (flags & MSG_OOB) return fail(Errno::OpNotSupp);
  if (HostPeer* peer = host()) return receive_from_host(task, *peer, to, flags);
  if (nonblocking()) flags |= MSG_DONTWAIT;
  return endpoint_->is_stream() ? receive_stream(task, to, flags) : receive_datagram(task, to, flags);
}

// Passed files: out of the message, or copies of the references when peeking.
void UnixSocket::take_control(Message& message, int flags, ReceiveResult& result) {
  auto files = flags & MSG_PEEK ? message.files.files() : message.files.land();
  std::ranges::move(files, std::back_inserter(result.control.rights));
}

// With an empty queue: a pending error, the end of the stream (true), or nothing yet (false).
Result<bool> UnixSocket::nothing_to_read(bool& end_of_file) {
  MutexLock lock(endpoint_->mutex);
  if (!endpoint_->messages.empty()) return false;
  if (endpoint_->pending_error != 0) return fail_host(std::exchange(endpoint_->pending_error, 0));
  end_of_file = endpoint_->shut_read;
  return true;
}

Result<void> UnixSocket::wait_for_message(Task& task, int flags, Deadline deadline) {
  if (flags & MSG_DONTWAIT) return fail(Errno::Again);
  auto waited = task.wait_until(endpoint_->queue, EPOLLIN, deadline, [&] {
    MutexLock lock(endpoint_->mutex);
    return !endpoint_->messages.empty() || endpoint_->shut_read || endpoint_->pending_error != 0;
  });
  if (!waited) return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
  return {};
}

// --- streams ---

Result<size_t> UnixSocket::copy_stream(Task& task, IoSink& to, int flags, ReceiveResult& result,
                                       StreamProgress& progress) {
  auto& [stop, sender] = progress;
  bool credentials_wanted = pass_credentials_.load(std::memory_order_relaxed);
  size_t total = 0;
  to.need_exact_counts();
  Message* message;
  {
    MutexLock lock(endpoint_->mutex);
    message = endpoint_->messages.front();
  }
  // Only receivers take messages out, and this one has receive_mutex: `message` stays while it is copied.
  while (message != nullptr && to.remaining() != 0 && !stop) {
    if (credentials_wanted) {
      if (sender && *sender != message->credentials) {
        stop = true;
        break;
      }
      sender = message->credentials;
      result.control.credentials = sender->seen_by(task);
    }
    if (result.address.length == 0 && message->from) result.address = message->from->address();
    size_t const wanted = std::min(message->rest().size(), to.remaining());
    auto const put = to.put(message->rest().first(wanted));
    if (!put || *put < wanted) {  // what does not arrive whole stays
      stop = true;
      if (total == 0 && result.bytes == 0) return put ? fail(Errno::Fault) : put;
      break;
    }
    total += *put;
    if (!message->files.files().empty()) {
      take_control(*message, flags, result);
      stop = true;
    }
    std::unique_ptr<Message> done;
    MutexLock lock(endpoint_->mutex);
    if (flags & MSG_PEEK) {
      message = message->next;
      continue;
    }
    message->read += *put;
    endpoint_->messages.note_read(*put);
    if (message->read < message->size) break;
    done = endpoint_->messages.pop();
    message = endpoint_->messages.front();
    lock.unlock();
  }
  return total;
}

Result<ReceiveResult> UnixSocket::receive_stream(Task& task, IoSink& to, int flags) {
  {
    MutexLock lock(endpoint_->mutex);
    if (endpoint_->state != State::Connected) return fail(Errno::Inval);
  }
  ReceiveResult result;
  if (to.remaining() == 0) return result;
  auto deadline = receive_deadline();
  StreamProgress progress;
  for (;;) {
    {
      MutexLock receiving(endpoint_->receive_mutex);
      result.bytes += TRY(copy_stream(task, to, flags, result, progress));
    }
    bool enough = result.bytes != 0 && (!(flags & MSG_WAITALL) || (flags & MSG_PEEK));
    if (to.remaining() == 0 || progress.stop || enough) return result;
    bool end_of_file = false;
    auto empty = nothing_to_read(end_of_file);
    if (!empty && result.bytes != 0) return result;
    if (!TRY(std::move(empty))) continue;
    if (end_of_file) return result;
    auto waited = wait_for_message(task, flags, deadline);
    if (waited) continue;
    if (result.bytes != 0) return result;
    return std::unexpected(waited.error());
  }
}

// --- datagrams and sequenced packets ---

// There may be room in the queue now for senders who found it full.
void UnixSocket::tell_senders() {
  std::vector<Ref<Endpoint>> senders;
  {
    MutexLock lock(endpoint_->mutex);
    if (endpoint_->queue_full()) return;
    senders.swap(endpoint_->blocked_senders);
  }
  for (auto const& s : senders) s->queue.wake(EPOLLOUT | EPOLLWRNORM, SIZE_MAX);
  endpoint_->room.wake(EPOLLOUT, SIZE_MAX);
}

Result<ReceiveResult> UnixSocket::receive_datagram(Task& task, IoSink& to, int flags) {
  auto deadline = receive_deadline();
  to.need_exact_counts();
  for (;;) {
    {
      MutexLock receiving(endpoint_->receive_mutex);
      std::unique_ptr<Message> taken;
      Message* message;
      {
        MutexLock lock(endpoint_->mutex);
        if (!endpoint_->is_datagram() && endpoint_->state != State::Connected) return fail(Errno::NotConn);
        if (endpoint_->pending_error != 0) return fail_host(std::exchange(endpoint_->pending_error, 0));
        message = endpoint_->messages.front();
        if (message && !(flags & MSG_PEEK)) taken = endpoint_->messages.pop();
      }
      if (message) {
        if (taken) tell_senders();
        ReceiveResult result;
        size_t whole = message->size, n = std::min(whole, to.remaining());
        if (n != 0 && TRY(to.put(message->rest().first(n))) < n) return fail(Errno::Fault);
        result.bytes = flags & MSG_TRUNC ? whole : n;
        if (n < whole) result.flags |= MSG_TRUNC;
        if (message->from) result.address = message->from->address();
        if (pass_credentials_.load(std::memory_order_relaxed))
          result.control.credentials = message->credentials.seen_by(task);
        take_control(*message, flags, result);
        return result;
      }
    }
    bool end_of_file = false;
    if (!TRY(nothing_to_read(end_of_file))) continue;
    if (end_of_file && (!endpoint_->is_datagram() || !(flags & MSG_DONTWAIT))) return ReceiveResult();
    TRY(wait_for_message(task, flags, deadline));
  }
}

}  // namespace cofferdam::unix_sockets
