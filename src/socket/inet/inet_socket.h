// What sockets of AF_INET and AF_INET6 have in common: addresses, options of SOL_SOCKET, IPPROTO_IP and IPPROTO_IPV6,
// ioctls about interfaces.
#pragma once

#include <memory>

#include "kernel/bpf/socket_filter.h"
#include "kernel/ipc/socket.h"
#include "netstack/datagram_endpoint.h"
#include "socket/inet/error_queue.h"
#include "socket/inet/ip_options.h"
#include "socket/inet/network.h"
#include "socket/inet/timestamps.h"

namespace cofferdam::inet {

kernel::SocketAddress to_sockaddr(netstack::Peer const&, int family);

// Options about multicast groups, of level IPPROTO_IP and IPPROTO_IPV6.
bool is_membership_option(int name);
bool is_membership_option6(int name);

class InetSocket : public kernel::Socket {
 public:
  InetSocket(kernel::Task& creator, std::shared_ptr<Network>, int domain, int type, int protocol, int flags);
  Result<std::vector<std::byte>> get_option(kernel::Task&, int level, int name, size_t room) override;
  Result<std::vector<std::byte>> get_option_with(kernel::Task&, int level, int name,
                                                 std::span<std::byte const> given) override;
  Result<void> set_option(kernel::Task&, int level, int name, std::span<std::byte const> value) override;
  Result<uint64_t> ioctl(kernel::Task&, uint32_t request, uint64_t argument) override;
  kernel::WaitQueue* wait_queue() override { return &notifier_->queue; }

 protected:
  using OptionValue = std::span<std::byte const>;
  bool is_v4() const { return domain() == AF_INET; }
  netstack::Stack& stack() const { return network_->stack(); }
  enum class AddressUse { Bind, Connect };
  // EINVAL, EAFNOSUPPORT, ENETUNREACH (an IPv4-mapped address where only IPv6 is wanted).
  Result<netstack::Peer> parse(kernel::SocketAddress const&, AddressUse) const;
  // What bind needs to know; EACCES for a port that is reserved.
  Result<netstack::BindRequest> bind_request(kernel::Task&, netstack::Peer const&) const;

  // What protocols answer: bytes waiting (SIOCINQ), bytes on their way (SIOCOUTQ), options of their own.
  virtual Result<int> input_queue() = 0;
  virtual Result<int> output_queue() = 0;
  virtual Result<std::optional<std::vector<std::byte>>> get_own_option(int /*level*/, int /*name*/, size_t /*room*/) {
    return std::nullopt;
  }
  virtual Result<bool> set_own_option(kernel::Task&, int /*level*/, int /*name*/, OptionValue) { return false; }
  virtual void ip_options_changed() {}
  virtual void socket_option_changed(int /*name*/, int /*value*/) {}
  virtual bool bound() const = 0;
  virtual void set_bound_interface(uint32_t) = 0;
  virtual uint32_t path_mtu() const { return 65535; }
  virtual netstack::Memberships* memberships() const { return nullptr; }  // null: it cannot be in groups
  virtual netstack::DatagramEndpoint* datagrams() const { return nullptr; }
  virtual Result<void> set_filter(Ref<kernel::bpf::SocketFilter> const&) { return fail(Errno::NoProtoOpt); }
  // SO_MEMINFO: bytes that wait to be read, bytes that wait to be acknowledged.
  virtual std::pair<size_t, size_t> queued_bytes() const { return {0, 0}; }

  // Of a send with MSG_ZEROCOPY, if the socket has SO_ZEROCOPY.
  void note_zero_copy();

  std::shared_ptr<Network> const network_;
  Ref<Notifier> const notifier_;
  IpOptions ip_;
  Timestamps timestamps_;
  std::atomic<bool> reuse_address_{false}, reuse_port_{false}, tell_drops_{false}, select_error_queue_{false},
      no_check_{false}, zero_copy_{false};
  ZeroCopySends zero_copies_;
  std::atomic<int> peek_offset_{-1};
  std::atomic<uint32_t> bound_interface_{0};

 private:
  // socket_level_options.cc
  Result<std::optional<std::vector<std::byte>>> get_socket_level(int name, size_t room);
  Result<bool> set_socket_level(kernel::Task&, int name, OptionValue);
  Result<void> bind_to_device(kernel::Task&, uint32_t index);
  Result<void> attach_filter(kernel::Task&, OptionValue);
  Result<void> detach_filter();
  Result<void> lock_filter(kernel::Task&, bool on);
  // ip_options.cc, ipv6_options.cc
  Result<std::vector<std::byte>> get_ip_option(int name, size_t room);
  Result<void> set_ip_option(kernel::Task&, int name, OptionValue);
  Result<void> set_ip_flag(kernel::Task&, int name, bool on);
  Result<std::vector<std::byte>> get_ipv6_option(int name, size_t room);
  Result<void> set_ipv6_option(kernel::Task&, int name, OptionValue);
  Result<void> set_ipv6_flag(kernel::Task&, int name, bool on);
  Result<void> set_ipv6_multicast(int name, int value);
  // multicast_options.cc
  Result<void> set_multicast_interface(OptionValue);
  Result<uint32_t> group_interface(netstack::Address const& group, uint32_t index, netstack::Address const&) const;
  Result<void> set_membership(kernel::Task&, int level, int name, OptionValue);
  Result<void> set_membership4(int name, OptionValue);
  Result<void> set_membership6(int name, OptionValue);
  Result<std::vector<std::byte>> get_filter(int level, int name, OptionValue given);

  Mutex filter_mutex_;
  bool has_filter_ GUARDED_BY(filter_mutex_) = false, filter_locked_ GUARDED_BY(filter_mutex_) = false;
};

}  // namespace cofferdam::inet
