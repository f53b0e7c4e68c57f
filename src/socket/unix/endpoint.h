// One end of AF_UNIX communication. An open socket owns one; peers, messages and names refer to it without keeping the
// socket open.
//
// Lock order: the flight mutex of the family, mutexes of endpoints (two at a time only through PairLock), wait queues.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "kernel/ipc/socket.h"
#include "kernel/vfs/path.h"
#include "kernel/wait_queue.h"
#include "socket/unix/message.h"

namespace cofferdam::unix_sockets {

inline constexpr size_t everybody = SIZE_MAX;  // of a wait queue

class Family;
class UnixSocket;

enum class State { Unconnected, Listening, Connected };

class Endpoint : public RefCounted {
 public:
  Endpoint(Family& family, int type, int send_buffer);
  ~Endpoint() override;

  int type() const { return type_; }
  bool is_datagram() const { return type_ == SOCK_DGRAM; }
  bool is_stream() const { return type_ == SOCK_STREAM; }
  Family& family() const { return family_; }

  Mutex mutex;
  State state GUARDED_BY(mutex) = State::Unconnected;
  bool closed GUARDED_BY(mutex) = false;
  bool shut_read GUARDED_BY(mutex) = false, shut_write GUARDED_BY(mutex) = false;
  int pending_error GUARDED_BY(mutex) = 0;
  Ref<Endpoint> peer GUARDED_BY(mutex);
  Ref<Name const> name GUARDED_BY(mutex);
  kernel::Path bound_path GUARDED_BY(mutex);
  MessageQueue messages GUARDED_BY(mutex);
  std::list<Ref<Endpoint>> waiting_clients GUARDED_BY(mutex);  // server ends that nobody has accepted yet
  size_t backlog GUARDED_BY(mutex) = 10;                       // max_dgram_qlen, until listen(2) says otherwise
  kernel::SocketIdentity own_credentials GUARDED_BY(mutex), peer_credentials GUARDED_BY(mutex);
  // Datagram sockets that were told that they cannot write because this one's queue is full.
  std::vector<Ref<Endpoint>> blocked_senders GUARDED_BY(mutex);
  UnixSocket* socket GUARDED_BY(mutex) = nullptr;  // the open file, while there is one

  void assert_locked() const ASSERT_CAPABILITY(mutex) {}  // where a PairLock holds it
  bool queue_full() const REQUIRES(mutex) { return messages.count() > backlog; }
  bool backlog_full() const REQUIRES(mutex) { return waiting_clients.size() > backlog; }

  // Serialises receivers, who copy to guest memory without `mutex`. Before `mutex`.
  Mutex receive_mutex;

  // Bytes that its unreceived messages occupy.
  void charge(size_t n) { charged_.fetch_add(n, std::memory_order_relaxed); }
  void uncharge(size_t n);
  size_t charged() const { return charged_.load(std::memory_order_relaxed); }
  int send_buffer() const { return send_buffer_.load(std::memory_order_relaxed); }
  void set_send_buffer(int n) { send_buffer_.store(n, std::memory_order_relaxed); }
  bool may_charge() const { return charged() < static_cast<size_t>(send_buffer()); }
  // Few enough bytes are on their way that poll(2) says EPOLLOUT.
  bool writable() const { return charged() * 4 <= static_cast<size_t>(send_buffer()); }

  // The socket was closed, or an unaccepted server end is given up.
  void close(bool unaccepted);

  kernel::WaitQueue queue;  // everything: data, room, clients, changes of state
  kernel::WaitQueue room;   // others, who wait for room in this one's queue or backlog

 private:
  Family& family_;
  int const type_;
  std::atomic<int> send_buffer_;
  std::atomic<size_t> charged_{0};
};

// Locks two endpoints (or one, given twice) in an order of their own.
class PairLock {
 public:
  PairLock(Endpoint& a, Endpoint& b) NO_THREAD_SAFETY_ANALYSIS;
  ~PairLock() NO_THREAD_SAFETY_ANALYSIS;
  PairLock(PairLock const&) = delete;
  PairLock& operator=(PairLock const&) = delete;

 private:
  Endpoint *first_, *second_;
};

// Cuts the tie between an endpoint and its peer when one of them goes; `reset`: the other learns ECONNRESET.
void part(Endpoint& leaving, Endpoint& left, bool reset);

}  // namespace cofferdam::unix_sockets
