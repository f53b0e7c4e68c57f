// What sockets of AF_INET and AF_INET6 have in common: addresses, IP-level options, ioctls about interfaces.
#pragma once

#include <memory>

#include "kernel/ipc/socket.h"
#include "socket/inet/network.h"

namespace cofferdam::inet {

// The bytes of an option's value, cut at the guest's room.
template <class T>
std::vector<std::byte> option_bytes(T const& value, size_t room) {
  auto all = std::as_bytes(std::span(&value, 1));
  auto some = all.first(std::min(room, all.size()));
  return {some.begin(), some.end()};
}
// EINVAL when there are too few.
template <class T>
Result<T> option_value(std::span<std::byte const> bytes) {
  if (bytes.size() < sizeof(T)) return fail(Errno::Inval);
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

kernel::SocketAddress to_sockaddr(netstack::Peer const&, int family);

class InetSocket : public kernel::Socket {
 public:
  InetSocket(kernel::Task& creator, std::shared_ptr<Network>, int domain, int type, int protocol, int flags);
  Result<std::vector<std::byte>> get_option(kernel::Task&, int level, int name, size_t room) override;
  Result<void> set_option(kernel::Task&, int level, int name, std::span<std::byte const> value) override;
  Result<uint64_t> ioctl(kernel::Task&, uint32_t request, uint64_t argument) override;
  kernel::WaitQueue* wait_queue() override { return &notifier_->queue; }

 protected:
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
  virtual Result<bool> set_own_option(kernel::Task&, int /*level*/, int /*name*/, std::span<std::byte const>) {
    return false;
  }
  virtual void ip_options_changed() {}
  virtual void socket_option_changed(int /*name*/, int /*value*/) {}
  virtual bool bound() const = 0;
  virtual void set_bound_interface(uint32_t) = 0;
  virtual uint32_t path_mtu() const { return 65535; }

  std::shared_ptr<Network> const network_;
  Ref<Notifier> const notifier_;
  std::atomic<bool> v6_only_{false}, reuse_address_{false}, reuse_port_{false};
  std::atomic<uint8_t> ttl_{0}, tos_{0}, hop_limit_{0}, traffic_class_{0}, multicast_ttl_{1};
  std::atomic<bool> receive_info_{false}, receive_ttl_{false}, receive_tos_{false}, multicast_loop_{true};
  std::atomic<bool> receive_info6_{false}, receive_ttl6_{false}, receive_tos6_{false};
  std::atomic<int> mtu_discover_{1}, mtu_discover6_{1};
  std::atomic<uint32_t> bound_interface_{0};

 private:
  Result<std::vector<std::byte>> get_ip_option(int name, size_t room);
  Result<void> set_ip_option(int name, std::span<std::byte const> value);
  Result<std::vector<std::byte>> get_ipv6_option(int name, size_t room);
  Result<void> set_ipv6_option(int name, std::span<std::byte const> value);
};

}  // namespace cofferdam::inet
