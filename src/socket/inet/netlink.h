// AF_NETLINK (netlink(7)): NETLINK_ROUTE (route_netlink.h), NETLINK_SOCK_DIAG (answered by the families themselves) and
// NETLINK_KOBJECT_UEVENT, where nothing ever arrives.
#pragma once

#include <deque>

#include <absl/container/flat_hash_set.h>

#include "base/mutex.h"
#include "kernel/ipc/netlink_body.h"
#include "kernel/ipc/socket.h"
#include "socket/inet/network.h"

namespace cofferdam::inet {

class NetlinkSocket;

// All netlink sockets of a sandbox. Its lock comes before a socket's.
class NetlinkSockets {
 public:
  void add(NetlinkSocket&);
  void remove(NetlinkSocket&);
  // To all sockets of the protocol that have joined the group.
  void tell(int protocol, uint32_t group, std::vector<std::byte> const& message);
  std::string table();  // /proc/net/netlink

 private:
  Mutex mutex_;
  absl::flat_hash_set<NetlinkSocket*> sockets_ GUARDED_BY(mutex_);
};

class NetlinkFamily final : public kernel::SocketFamily {
 public:
  explicit NetlinkFamily(std::shared_ptr<Network> network) : network_(std::move(network)) {}
  Result<Ref<kernel::Socket>> create(kernel::Task&, int type, int protocol, int flags) override;
  std::optional<std::string> proc_net(std::string_view file) override;

 private:
  std::shared_ptr<Network> const network_;
  std::shared_ptr<NetlinkSockets> const sockets_ = std::make_shared<NetlinkSockets>();
  std::atomic<uint32_t> next_port_{0xffffefff};  // for the second socket of a process, counting down
};

class NetlinkSocket final : public kernel::Socket {
 public:
  NetlinkSocket(kernel::Task& creator, std::shared_ptr<Network>, std::shared_ptr<NetlinkSockets>, int type,
                int protocol, int flags, uint32_t port);
  ~NetlinkSocket() override;
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

  void notify(uint32_t group, std::vector<std::byte> const& message);
  std::string row();

 private:
  struct Message {
    std::vector<std::byte> bytes;
    uint32_t group = 0;  // 0: to this socket alone
  };
  void answer(kernel::Task&, std::span<std::byte const> request);
  void enqueue(Message) REQUIRES(mutex_);

  std::shared_ptr<Network> const network_;
  std::shared_ptr<NetlinkSockets> const sockets_;
  kernel::WaitQueue queue_;
  Mutex mutex_;
  uint32_t port_ GUARDED_BY(mutex_);
  bool bound_ GUARDED_BY(mutex_) = false;   // to that port, by bind or by sending
  uint64_t groups_ GUARDED_BY(mutex_) = 0;  // bit n: group n + 1
  std::deque<Message> messages_ GUARDED_BY(mutex_);
  size_t queued_ GUARDED_BY(mutex_) = 0;
  uint64_t drops_ GUARDED_BY(mutex_) = 0;
  bool overrun_ GUARDED_BY(mutex_) = false;  // the next receive is ENOBUFS
};

}  // namespace cofferdam::inet
