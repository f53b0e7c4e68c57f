// The queue of errors of a socket (ip(7), IP_RECVERR), as recvmsg(2) with MSG_ERRQUEUE tells it.
#pragma once

#include <deque>

#include "kernel/ipc/socket.h"
#include "netstack/error_queue.h"

namespace cofferdam::inet {

// The packet that the error is about, its destination, and struct sock_extended_err with the address of who told.
Result<kernel::ReceiveResult> tell_error(netstack::ErrorRecord const&, kernel::IoSink& to, int domain);

// MSG_ZEROCOPY (the kernel's page msg_zerocopy): each send has a number, and the queue tells which are done. They are
// copied at once, and that is said too (SO_EE_CODE_ZEROCOPY_COPIED), as Linux does on the loopback.
class ZeroCopySends {
 public:
  // Counts a send. Neighbours that nobody has heard of yet are told of together.
  void note();
  std::optional<netstack::ErrorRecord> take();
  bool empty() const { return waiting_.load(std::memory_order_relaxed) == 0; }

 private:
  // The next number, and how many before it nobody has heard of.
  Guarded<uint32_t> next_{0};
  std::atomic<uint32_t> waiting_{0};
};

}  // namespace cofferdam::inet
