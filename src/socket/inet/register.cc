#include "socket/inet/register.h"

#include <linux/capability.h>
#include <netinet/in.h>

#include "base/log.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "socket/inet/echo_socket.h"
#include "socket/inet/interface_ioctl.h"
#include "socket/inet/netlink.h"
#include "socket/inet/packet_link.h"
#include "socket/inet/packet_socket.h"
#include "socket/inet/proc_net.h"
#include "socket/inet/raw_socket.h"
#include "socket/inet/sock_diag.h"
#include "socket/inet/tcp_socket.h"
#include "socket/inet/udp_socket.h"

namespace cofferdam::inet {
namespace {

class Family final : public kernel::SocketFamily {
 public:
  Family(std::shared_ptr<Network> network, int domain) : network_(std::move(network)), domain_(domain) {}
  ~Family() override { network_->stop(); }
  Network& network() { return *network_; }

  Result<Ref<kernel::Socket>> create(kernel::Task& task, int type, int protocol, int flags) override {
    if (protocol < 0 || protocol >= IPPROTO_MAX) return fail(Errno::Inval);
    int const echo = domain_ == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
    switch (type) {
      case SOCK_STREAM:
        if (protocol != 0 && protocol != IPPROTO_TCP) return fail(Errno::ProtoNoSupport);
        return make_ref<TcpSocket>(task, network_, domain_, flags);
      case SOCK_DGRAM:
        if (protocol == echo) {
          TRY(check_may_ping(task));
          return make_ref<EchoSocket>(task, network_, domain_, flags);
        }
        if (protocol != 0 && protocol != IPPROTO_UDP) return fail(Errno::ProtoNoSupport);
        return make_ref<UdpSocket>(task, network_, domain_, flags);
      case SOCK_RAW:
        if (protocol == 0 || protocol > 255) return fail(Errno::ProtoNoSupport);
        if (!task.capable(CAP_NET_RAW)) return fail(Errno::Perm);
        return make_ref<RawSocket>(task, network_, domain_, protocol, flags);
      default:
        return fail(Errno::SockTNoSupport);
    }
  }

  Result<uint64_t> interface_ioctl(kernel::Task& task, uint32_t request, uint64_t argument) override {
    return inet::interface_ioctl(task, network_->stack(), request, argument);
  }

  Result<std::vector<kernel::NetlinkBody>> diagnose(std::span<std::byte const> request, bool dump) override {
    return inet::diagnose(network_->stack(), request, dump);
  }

  std::optional<std::string> proc_net(std::string_view file) override {
    return inet::proc_net(network_->stack(), file);
  }

 private:
  std::shared_ptr<Network> const network_;
  int const domain_;
};

// packet(7).
class PacketFamily final : public kernel::SocketFamily {
 public:
  explicit PacketFamily(std::shared_ptr<Network> network)
      : network_(std::move(network)), sockets_(make_ref<PacketSockets>()) {}

  Result<Ref<kernel::Socket>> create(kernel::Task& task, int type, int protocol, int flags) override {
    if (!task.capable(CAP_NET_RAW)) return fail(Errno::Perm);
    if (type != SOCK_RAW && type != SOCK_DGRAM) return fail(Errno::SockTNoSupport);
    return make_ref<PacketSocket>(task, network_, sockets_, type, ntohs(static_cast<uint16_t>(protocol)), flags);
  }
  Result<std::vector<kernel::NetlinkBody>> diagnose(std::span<std::byte const> request, bool dump) override {
    return sockets_->diagnose(request, dump);
  }
  std::optional<std::string> proc_net(std::string_view file) override {
    if (file != "packet") return std::nullopt;
    return sockets_->text();
  }

 private:
  std::shared_ptr<Network> const network_;
  Ref<PacketSockets> const sockets_;
};

}  // namespace

void register_families(kernel::Kernel& kernel) {
  auto network = std::make_shared<Network>(kernel.timers());
  auto& sockets = kernel.ipc().sockets;
  sockets.add(AF_INET, std::make_unique<Family>(network, AF_INET));
  sockets.add(AF_NETLINK, std::make_unique<NetlinkFamily>(network));
  sockets.add(AF_PACKET, std::make_unique<PacketFamily>(network));
  sockets.add(AF_INET6, std::make_unique<Family>(network, AF_INET6));
}

void add_links(kernel::Kernel& kernel, std::vector<HostLink> links, std::vector<netstack::Route> const& routes) {
  auto& stack = static_cast<Family*>(kernel.ipc().sockets.find(AF_INET))->network().stack();
  std::vector<netstack::Interface*> added;
  for (HostLink& l : links) {
    auto link = std::make_unique<PacketLink>(std::move(l.socket), l.mtu, l.hardware);
    PacketLink& started = *link;
    auto& interface = stack.add_interface(l.name, std::move(link));
    for (auto const& prefix : l.addresses)
      if (!stack.add_address(interface, prefix)) log::warning("network: {} has an address twice", l.name);
    started.start(stack, interface);
    if (l.autoconfigure) stack.autoconfigure(interface);
    added.push_back(&interface);
  }
  for (netstack::Route route : routes) {
    if (route.interface == 0 || route.interface > added.size()) continue;
    route.interface = added[route.interface - 1]->index();
    (void)stack.routes().add(route);  // the addresses have brought some of them
  }
}

}  // namespace cofferdam::inet
