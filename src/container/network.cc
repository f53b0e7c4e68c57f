#include "container/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <thread>

#include <fmt/format.h>

namespace cofferdam::container {

namespace {

constexpr int buffer_bytes = 4 << 20;

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Socket = std::unique_ptr<nl_sock, FreeWith<nl_socket_free>>;
using Cache = std::unique_ptr<nl_cache, FreeWith<nl_cache_free>>;

std::unexpected<std::string> not_taken(std::string_view step, std::string_view why) {
  return refuse(fmt::format("cannot take over the container's network: {}: {}", step, why));
}

template <class F>
void for_each(nl_cache* cache, F&& f) {
  for (nl_object* o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) f(o);
}

std::string text_of(nl_addr* address) {
  char text[INET6_ADDRSTRLEN + 8];
  return nl_addr2str(address, text, sizeof text);
}

std::string ipv6_setting(std::string const& interface, char const* name) {
  return fmt::format("/proc/sys/net/ipv6/conf/{}/{}", interface, name);
}

// 0: the host has no such setting.
int read_number(std::string const& path) {
  host::OwnedFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[16] = {};
  if (!fd || ::read(fd.get(), text, sizeof text - 1) <= 0) return 0;
  return atoi(text);
}

void write_number(std::string const& path, char digit) {
  host::OwnedFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd) (void)!::write(fd.get(), &digit, 1);  // no harm: there is no address and no route left
}

// accept_ra: 1 where it does not forward, 2 always.
bool listens_to_routers(std::string const& interface) {
  int const accepts = read_number(ipv6_setting(interface, "accept_ra"));
  return read_number(ipv6_setting(interface, "disable_ipv6")) == 0 &&
         read_number(ipv6_setting(interface, "autoconf")) != 0 &&
         (accepts == 2 || (accepts == 1 && read_number(ipv6_setting(interface, "forwarding")) == 0));
}

// A frame comes and goes with a struct virtio_net_hdr, which lets the host leave checksums and segments to us and us
// leave them to the host.
Outcome<host::OwnedFd> open_packets(int interface) {
  host::OwnedFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int const on = 1;
  sockaddr_ll place{};
  place.sll_family = AF_PACKET;
  place.sll_protocol = htons(ETH_P_ALL);
  place.sll_ifindex = interface;
  if (!fd || ::setsockopt(fd.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0 ||
      ::setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
      ::bind(fd.get(), reinterpret_cast<sockaddr const*>(&place), sizeof place) != 0)
    return not_taken("packet socket", strerror(errno));
  for (int option : {SO_RCVBUFFORCE, SO_SNDBUFFORCE})  // larger if that is allowed
    (void)::setsockopt(fd.get(), SOL_SOCKET, option, &buffer_bytes, sizeof buffer_bytes);
  return fd;
}

class Taker {
 public:
  Outcome<sentry::NetworkSetup> run() {
    socket_.reset(nl_socket_alloc());
    if (!socket_) return not_taken("netlink", "out of memory");
    if (int e = nl_connect(socket_.get(), NETLINK_ROUTE); e < 0) return not_taken("netlink", nl_geterror(e));
    ATTEMPT(take_links());
    ATTEMPT(take_addresses());
    if (setup_.links.empty()) return std::move(setup_);
    ATTEMPT(take_routes());
    ATTEMPT(open_sockets());
    return std::move(setup_);
  }

  // What the host's kernel shall no longer answer to. Afterwards nothing can fail.
  void clear_host() {
    for (rtnl_addr* address : taken_) (void)rtnl_addr_delete(socket_.get(), address, 0);
    write_number("/proc/sys/net/ipv4/ip_forward", '0');
    // Or it would take the addresses that routers advertise, and refuse the guest's connections.
    for (auto const& link : names_) write_number(ipv6_setting(link, "accept_ra"), '0');
  }

 private:
  Outcome<> take_links() {
    nl_cache* cache = nullptr;
    if (int e = rtnl_link_alloc_cache(socket_.get(), AF_UNSPEC, &cache); e < 0)
      return not_taken("interfaces", nl_geterror(e));
    links_.reset(cache);
    return {};
  }

  Outcome<> take_addresses() {
    nl_cache* cache = nullptr;
    if (int e = rtnl_addr_alloc_cache(socket_.get(), &cache); e < 0) return not_taken("addresses", nl_geterror(e));
    addresses_.reset(cache);
    std::string wrong;
    for_each(cache, [&](nl_object* o) {
      auto* address = reinterpret_cast<rtnl_addr*>(o);
      auto prefix = sentry::parse_prefix(text_of(rtnl_addr_get_local(address)));
      size_t const n = link_of(rtnl_addr_get_ifindex(address));
      if (n == 0) return;
      if (!prefix) {
        wrong = prefix.error();
        return;
      }
      prefix->length = static_cast<uint8_t>(rtnl_addr_get_prefixlen(address));
      setup_.links[n - 1].addresses.push_back(*prefix);
      taken_.push_back(address);
    });
    return wrong.empty() ? Outcome<>() : Outcome<>(not_taken("addresses", wrong));
  }

  // The number in `setup_` of the interface with this index, made at its first address. 0: none of ours.
  size_t link_of(int index) {
    if (auto known = numbers_.find(index); known != numbers_.end()) return known->second;
    rtnl_link* link = rtnl_link_get(links_.get(), index);
    if (!link) return 0;
    size_t number = 0;
    nl_addr* hardware = rtnl_link_get_addr(link);
    if (rtnl_link_get_arptype(link) == ARPHRD_ETHER && (rtnl_link_get_flags(link) & IFF_UP) && hardware &&
        nl_addr_get_len(hardware) == 6) {
      inet::HostLink taken;
      taken.name = rtnl_link_get_name(link);
      taken.mtu = rtnl_link_get_mtu(link);
      taken.autoconfigure = listens_to_routers(taken.name);
      names_.push_back(taken.name);
      memcpy(taken.hardware.data(), nl_addr_get_binary_addr(hardware), 6);
      setup_.links.push_back(std::move(taken));
      number = setup_.links.size();
    }
    numbers_[index] = number;
    rtnl_link_put(link);
    return number;
  }

  Outcome<> take_routes() {
    nl_cache* cache = nullptr;
    if (int e = rtnl_route_alloc_cache(socket_.get(), AF_UNSPEC, 0, &cache); e < 0)
      return not_taken("routes", nl_geterror(e));
    Cache const routes(cache);
    for_each(cache, [&](nl_object* o) { take_route(reinterpret_cast<rtnl_route*>(o)); });
    return {};
  }

  // Unicast routes of the main table; broadcast, multicast and local ones follow from the addresses.
  void take_route(rtnl_route* route) {
    rtnl_nexthop* hop = rtnl_route_nexthop_n(route, 0);
    if (!hop || rtnl_route_get_type(route) != RTN_UNICAST || rtnl_route_get_table(route) != RT_TABLE_MAIN) return;
    auto known = numbers_.find(rtnl_route_nh_get_ifindex(hop));
    if (known == numbers_.end() || known->second == 0) return;
    bool const four = rtnl_route_get_family(route) == AF_INET;
    netstack::Route taken;
    taken.interface = static_cast<uint32_t>(known->second);
    nl_addr* destination = rtnl_route_get_dst(route);
    auto prefix = destination && nl_addr_get_len(destination) != 0
                      ? sentry::parse_prefix(text_of(destination))
                      : Outcome<netstack::Prefix>(netstack::Prefix{netstack::Address::any(four), 0});
    if (!prefix) return;
    taken.destination = *prefix;
    if (nl_addr* gateway = rtnl_route_nh_get_gateway(hop))
      if (auto parsed = sentry::parse_address(text_of(gateway))) taken.gateway = *parsed;
    if (nl_addr* source = rtnl_route_get_pref_src(route))
      if (auto parsed = sentry::parse_address(text_of(source))) taken.source = *parsed;
    taken.metric = rtnl_route_get_priority(route);
    setup_.routes.push_back(taken);
  }

  Outcome<> open_sockets() {
    for (auto const& [index, number] : numbers_)
      if (number != 0) setup_.links[number - 1].socket = ATTEMPT(open_packets(index));
    return {};
  }

  Socket socket_;
  Cache links_, addresses_;
  std::map<int, size_t> numbers_;  // by index: 1 for the first of setup_.links; 0: left alone
  std::vector<rtnl_addr*> taken_;  // in addresses_
  std::vector<std::string> names_;
  sentry::NetworkSetup setup_;
};

Outcome<sentry::NetworkSetup> take_in(int space) {
  if (::setns(space, CLONE_NEWNET) != 0) return not_taken("setns", strerror(errno));
  Taker taker;
  auto setup = taker.run();
  if (setup && !setup->links.empty()) taker.clear_host();
  return setup;
}

}  // namespace

Outcome<sentry::NetworkSetup> take_network(std::string const& path) {
  host::OwnedFd const space(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!space) return not_taken(path, strerror(errno));
  Outcome<sentry::NetworkSetup> result = sentry::NetworkSetup();
  // On a thread of its own, which takes the other namespace along when it ends.
  std::thread([&] { result = take_in(space.get()); }).join();
  return result;
}

}  // namespace cofferdam::container
