// AF_NETLINK, NETLINK_ROUTE: what there is of links, addresses, routes and neighbours (rtnetlink(7)). It tells and
// changes nothing; since nothing else does either, there are no notices to subscribers.
#pragma once

#include <deque>

#include "base/mutex.h"
#include "kernel/ipc/socket.h"
#include "socket/inet/network.h"

namespace cofferdam::inet {

class NetlinkFamily final : public kernel::SocketFamily {
 public:
  explicit NetlinkFamily(std::shared_ptr<Network> network) : network_(std::move(network)) {}
  Result<Ref<kernel::Socket>> create(kernel::Task&, int type, int protocol, int flags) override;

 private:
  std::shared_ptr<Network> const network_;
  std::atomic<uint32_t> next_port_{0xffffefff};  // for the second socket of a process, counting down
};

class NetlinkSocket final : public kernel::Socket {
 public:
  NetlinkSocket(kernel::Task& creator, std::shared_ptr<Network>, int type, int flags, uint32_t port);
  Result<void> bind(kernel::Task&, kernel::SocketAddress const&) override;
  Result<void> connect(kernel::Task&, kernel::SocketAddress const&) override;
  Result<kernel::SocketAddress> local_address() override;
  Result<kernel::SocketAddress> peer_address() override;
  Result<size_t> send(kernel::Task&, kernel::IoSource&, kernel::SendRequest&) override;
  Result<kernel::ReceiveResult> receive(kernel::Task&, kernel::IoSink&, int flags) override;
  Result<std::vector<std::byte>> get_option(kernel::Task&, int level, int name, size_t room) override;
  Result<void> set_option(kernel::Task&, int level, int name, std::span<std::byte const> value) override;
  kernel::PollMask poll() override;
  kernel::WaitQueue* wait_queue() override { return &queue_; }

 private:
  using Message = std::vector<std::byte>;
  void answer(std::span<std::byte const> request);

  std::shared_ptr<Network> const network_;
  kernel::WaitQueue queue_;
  Mutex mutex_;
  uint32_t port_ GUARDED_BY(mutex_), groups_ GUARDED_BY(mutex_) = 0;
  std::deque<Message> messages_ GUARDED_BY(mutex_);
  size_t queued_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cofferdam::inet
