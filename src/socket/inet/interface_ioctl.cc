#include "socket/inet/interface_ioctl.h"

#include <linux/ethtool.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>

#include <algorithm>

#include "kernel/task/task.h"
#include "socket/inet/inet_socket.h"

namespace cofferdam::inet {

using kernel::Task;
using kernel::UserAddr;
using kernel::UserPtr;
using netstack::Address;

namespace {

struct InterfaceRequest {  // struct ifreq
  char name[IFNAMSIZ];
  std::byte data[24];
};
static_assert(sizeof(InterfaceRequest) == sizeof(ifreq));

void put_address(InterfaceRequest& r, Address const& a) {
  auto address = to_sockaddr({a, 0, 0}, AF_INET);
  std::memcpy(r.data, &address.storage, sizeof(sockaddr_in));
}
template <class T>
void put(InterfaceRequest& r, T const& value) {
  std::memcpy(r.data, &value, sizeof value);
}
void put_name(InterfaceRequest& r, std::string const& name) {
  std::memset(r.name, 0, sizeof r.name);
  std::memcpy(r.name, name.data(), std::min(name.size(), sizeof r.name - 1));
}
std::optional<netstack::InterfaceAddress> first_v4(netstack::Interface const& i) {
  for (auto const& a : i.addresses())
    if (a.prefix.address.is_v4()) return a;
  return std::nullopt;
}

// SIOCETHTOOL: which timestamps there are, and whether there is a carrier.
Result<uint64_t> tell_of_device(Task& task, netstack::Interface const& i, InterfaceRequest const& r) {
  uint64_t argument;
  std::memcpy(&argument, r.data, sizeof argument);
  switch (TRY(task.read(UserPtr<uint32_t>(argument)))) {
    case ETHTOOL_GET_TS_INFO: {
      ethtool_ts_info info{};
      info.cmd = ETHTOOL_GET_TS_INFO;
      info.so_timestamping = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
      info.phc_index = -1;
      TRY(task.write(UserPtr<ethtool_ts_info>(argument), info));
      return 0;
    }
    case ETHTOOL_GLINK:
      TRY(task.write(UserPtr<ethtool_value>(argument), ethtool_value{ETHTOOL_GLINK, i.up() ? 1u : 0u}));
      return 0;
    default:
      return fail(Errno::OpNotSupp);
  }
}

}  // namespace

static Result<uint64_t> list_interfaces(Task& task, netstack::Stack& stack, uint64_t argument) {
  struct Conf {
    int32_t length, padding;
    uint64_t buffer;
  };
  auto conf = TRY(task.read(UserPtr<Conf>(argument)));
  if (conf.length < 0) return fail(Errno::Inval);
  std::vector<std::byte> list;
  for (auto* i : stack.interfaces()) {
    auto a = first_v4(*i);
    if (!a) continue;
    InterfaceRequest r{};
    put_name(r, i->name());
    put_address(r, a->prefix.address);
    auto b = std::as_bytes(std::span(&r, 1));
    list.insert(list.end(), b.begin(), b.end());
  }
  if (conf.buffer != 0) {
    list.resize(
        std::min(list.size(), static_cast<size_t>(conf.length) / sizeof(InterfaceRequest) * sizeof(InterfaceRequest)));
    TRY(task.copy_out(UserAddr{conf.buffer}, std::span<std::byte const>(list)));
  }
  conf.length = static_cast<int32_t>(list.size());
  TRY(task.write(UserPtr<Conf>(argument), conf));
  return 0;
}

Result<uint64_t> interface_ioctl(Task& task, netstack::Stack& stack, uint32_t request, uint64_t argument) {
  if (request == SIOCGIFCONF) return list_interfaces(task, stack, argument);
  bool const known = (request >= SIOCGIFNAME && request <= SIOCGIFTXQLEN) || request == SIOCETHTOOL;
  if (!known) return fail(Errno::NoTty);
  auto r = TRY(task.read(UserPtr<InterfaceRequest>(argument)));
  r.name[IFNAMSIZ - 1] = 0;
  netstack::Interface* i;
  if (request == SIOCGIFNAME) {
    int32_t index;
    std::memcpy(&index, r.data, sizeof index);
    i = stack.interface(static_cast<uint32_t>(index));
    if (!i) return fail(Errno::NoDev);
    put_name(r, i->name());
    TRY(task.write(UserPtr<InterfaceRequest>(argument), r));
    return 0;
  }
  i = stack.interface(std::string_view(r.name));
  if (!i) return fail(Errno::NoDev);
  if (request == SIOCETHTOOL) return tell_of_device(task, *i, r);
  auto a = first_v4(*i);
  std::memset(r.data, 0, sizeof r.data);
  switch (request) {
    case SIOCGIFFLAGS:
      put(r, static_cast<int16_t>((i->is_loopback() ? IFF_LOOPBACK : IFF_BROADCAST | IFF_MULTICAST) |
                                  (i->up() ? IFF_UP | IFF_RUNNING : 0)));
      break;
    case SIOCGIFADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFBRDADDR:
    case SIOCGIFDSTADDR: {
      if (!a) return fail(Errno::AddrNotAvail);
      uint8_t n = a->prefix.length;
      Address mask = Address::v4(n == 0 ? 0 : ~uint32_t{0} << (32 - n));
      put_address(r, request == SIOCGIFNETMASK   ? mask
                     : request == SIOCGIFBRDADDR ? (i->is_loopback() ? Address::any_v4() : a->prefix.broadcast())
                                                 : a->prefix.address);
      break;
    }
    case SIOCGIFHWADDR:
      put(r, static_cast<uint16_t>(i->is_loopback() ? ARPHRD_LOOPBACK : ARPHRD_ETHER));
      std::memcpy(r.data + 2, i->facts().hardware.data(), i->facts().hardware.size());
      break;
    case SIOCGIFINDEX:
      put(r, static_cast<int32_t>(i->index()));
      break;
    case SIOCGIFMTU:
      put(r, static_cast<int32_t>(i->mtu()));
      break;
    case SIOCGIFMETRIC:
      put(r, int32_t{0});
      break;
    case SIOCGIFTXQLEN:
      put(r, int32_t{1000});
      break;
    default:
      return fail(request % 2 == 0 ? Errno::Perm : Errno::NoTty);  // setters have even numbers
  }
  TRY(task.write(UserPtr<InterfaceRequest>(argument), r));
  return 0;
}

}  // namespace cofferdam::inet
