// The options by which a socket joins multicast groups and says what it wants of them: ip(7), ipv6(7), RFC 3678.
#include <netinet/in.h>

#include <algorithm>

#include "kernel/task/task.h"
#include "socket/inet/inet_socket.h"

namespace cofferdam::inet {

using kernel::Task;
using netstack::Address;
using netstack::FilterMode;
using netstack::Memberships;
using netstack::SourceFilter;

namespace {

using Value = std::span<std::byte const>;

constexpr size_t most_sources = 128;  // of one filter, whatever the settings say

bool is_common(int name) {
  return name == MCAST_JOIN_GROUP || name == MCAST_LEAVE_GROUP || name == MCAST_JOIN_SOURCE_GROUP ||
         name == MCAST_LEAVE_SOURCE_GROUP || name == MCAST_BLOCK_SOURCE || name == MCAST_UNBLOCK_SOURCE ||
         name == MCAST_MSFILTER;
}

Address ipv4_address(in_addr const& a) { return Address::v4(ntohl(a.s_addr)); }
Address ipv6_address(in6_addr const& a) { return Address::v6(std::as_bytes(std::span(&a, 1))); }

// The address in a sockaddr_storage. EADDRNOTAVAIL: another family.
Result<Address> address_in(sockaddr_storage const& s, bool v4) {
  if (s.ss_family != (v4 ? AF_INET : AF_INET6)) return fail(Errno::AddrNotAvail);
  if (v4) {
    sockaddr_in in;
    std::memcpy(&in, &s, sizeof in);
    return ipv4_address(in.sin_addr);
  }
  sockaddr_in6 in;
  std::memcpy(&in, &s, sizeof in);
  return ipv6_address(in.sin6_addr);
}

sockaddr_storage storage_of(Address const& a) {
  sockaddr_storage s{};
  auto const address = to_sockaddr({a, 0, 0}, a.is_v4() ? AF_INET : AF_INET6);
  std::memcpy(&s, &address.storage, address.length);
  return s;
}

Memberships::Change change_of(int name) {
  switch (name) {
    case IP_ADD_SOURCE_MEMBERSHIP:
    case MCAST_JOIN_SOURCE_GROUP:
      return Memberships::Change::AddSource;
    case IP_DROP_SOURCE_MEMBERSHIP:
    case MCAST_LEAVE_SOURCE_GROUP:
      return Memberships::Change::DropSource;
    case IP_BLOCK_SOURCE:
    case MCAST_BLOCK_SOURCE:
      return Memberships::Change::BlockSource;
    default:
      return Memberships::Change::UnblockSource;
  }
}

// struct group_filter and struct ip_msfilter without their lists.
struct GroupFilter {
  uint32_t interface = 0, padding = 0;
  sockaddr_storage group{};
  uint32_t mode = 0, count = 0;
};
struct Ipv4Filter {
  in_addr group{}, interface{};
  uint32_t mode = 0, count = 0;
};
static_assert(sizeof(GroupFilter) == offsetof(group_filter, gf_slist));
static_assert(sizeof(Ipv4Filter) == offsetof(ip_msfilter, imsf_slist));

Result<FilterMode> mode_of(uint32_t mode) {
  if (mode != MCAST_INCLUDE && mode != MCAST_EXCLUDE) return fail(Errno::Inval);
  return mode == MCAST_INCLUDE ? FilterMode::Include : FilterMode::Exclude;
}
uint32_t number_of(FilterMode mode) { return mode == FilterMode::Include ? MCAST_INCLUDE : MCAST_EXCLUDE; }

// The n-th element of the list behind a fixed part.
template <class T>
T element(Value bytes, size_t fixed, size_t n) {
  T value;
  std::memcpy(&value, bytes.data() + fixed + n * sizeof value, sizeof value);
  return value;
}

template <class T>
void append(std::vector<std::byte>& to, T const& value) {
  auto const b = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), b.begin(), b.end());
}

}  // namespace

bool is_membership_option(int name) {
  return is_common(name) || (name >= IP_ADD_MEMBERSHIP && name <= IP_DROP_SOURCE_MEMBERSHIP) || name == IP_MSFILTER;
}
bool is_membership_option6(int name) {
  return is_common(name) || name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP;
}

Result<uint32_t> InetSocket::group_interface(Address const& group, uint32_t index, Address const& local) const {
  if (!group.is_multicast()) return fail(Errno::Inval);
  return stack().interface_for_group(group, index, local);
}

// struct ip_mreqn, or its shorter forms. IP_MULTICAST_IF.
Result<void> InetSocket::set_multicast_interface(Value bytes) {
  if (type() == SOCK_STREAM) return fail(Errno::Inval);
  ip_mreqn request{};
  if (bytes.size() >= sizeof request) {
    std::memcpy(&request, bytes.data(), sizeof request);
  } else if (bytes.size() >= sizeof(ip_mreq)) {
    std::memcpy(&request, bytes.data(), sizeof(ip_mreq));
  } else {
    request.imr_address = TRY(option_value<in_addr>(bytes));
  }
  auto const address = ipv4_address(request.imr_address);
  auto index = static_cast<uint32_t>(request.imr_ifindex);
  if (index == 0 && !address.is_any()) {
    for (auto* i : stack().interfaces())
      if (i->has_address(address)) index = i->index();
    if (index == 0) return fail(Errno::AddrNotAvail);
  }
  if (index != 0 && !stack().interface(index)) return fail(Errno::AddrNotAvail);
  if (index != 0 && bound_interface_ != 0 && bound_interface_ != index) return fail(Errno::Inval);
  ip_.multicast_interface = index;
  ip_.multicast_source.with([&](Address& a) { a = address; });
  return {};
}

Result<void> InetSocket::set_membership(Task&, int level, int name, Value bytes) {
  auto* groups = memberships();
  bool const v4 = level == IPPROTO_IP;
  if (!groups) return fail(Errno{EPROTO});  // of a connection
  switch (name) {
    case MCAST_JOIN_GROUP:
    case MCAST_LEAVE_GROUP: {
      auto const r = TRY(option_value<group_req>(bytes));
      auto const group = TRY(address_in(r.gr_group, v4));
      auto const interface = TRY(group_interface(group, r.gr_interface, Address::any(v4)));
      return name == MCAST_JOIN_GROUP ? groups->join(group, interface) : groups->leave(group, interface);
    }
    case MCAST_JOIN_SOURCE_GROUP:
    case MCAST_LEAVE_SOURCE_GROUP:
    case MCAST_BLOCK_SOURCE:
    case MCAST_UNBLOCK_SOURCE: {
      auto const r = TRY(option_value<group_source_req>(bytes));
      auto const group = TRY(address_in(r.gsr_group, v4)), source = TRY(address_in(r.gsr_source, v4));
      auto const interface = TRY(group_interface(group, r.gsr_interface, Address::any(v4)));
      return groups->change(group, interface, source, change_of(name));
    }
    case MCAST_MSFILTER: {
      auto const f = TRY(option_value<GroupFilter>(bytes));
      if (f.count > most_sources) return fail(Errno::NoBufs);
      if (bytes.size() < sizeof f + f.count * sizeof(sockaddr_storage)) return fail(Errno::Inval);
      auto const group = TRY(address_in(f.group, v4));
      SourceFilter filter{TRY(mode_of(f.mode)), {}};
      filter.sources.reserve(f.count);
      for (uint32_t n = 0; n < f.count; ++n)
        filter.sources.push_back(TRY(address_in(element<sockaddr_storage>(bytes, sizeof f, n), v4)));
      return groups->set_filter(group, TRY(group_interface(group, f.interface, Address::any(v4))), std::move(filter));
    }
    default:
      return v4 ? set_membership4(name, bytes) : set_membership6(name, bytes);
  }
}

// The forms that are IPv4's own.
Result<void> InetSocket::set_membership4(int name, Value bytes) {
  auto* groups = memberships();
  if (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP) {
    if (bytes.size() < sizeof(ip_mreq)) return fail(Errno::Inval);
    ip_mreqn r{};
    std::memcpy(&r, bytes.data(), std::min(bytes.size(), bytes.size() >= sizeof r ? sizeof r : sizeof(ip_mreq)));
    auto const group = ipv4_address(r.imr_multiaddr);
    auto const interface =
        TRY(group_interface(group, static_cast<uint32_t>(r.imr_ifindex), ipv4_address(r.imr_address)));
    return name == IP_ADD_MEMBERSHIP ? groups->join(group, interface) : groups->leave(group, interface);
  }
  if (name == IP_MSFILTER) {
    auto const f = TRY(option_value<Ipv4Filter>(bytes));
    if (f.count > most_sources) return fail(Errno::NoBufs);
    if (bytes.size() < sizeof f + f.count * sizeof(in_addr)) return fail(Errno::Inval);
    SourceFilter filter{TRY(mode_of(f.mode)), {}};
    filter.sources.reserve(f.count);
    for (uint32_t n = 0; n < f.count; ++n) filter.sources.push_back(ipv4_address(element<in_addr>(bytes, sizeof f, n)));
    auto const group = ipv4_address(f.group);
    return groups->set_filter(group, TRY(group_interface(group, 0, ipv4_address(f.interface))), std::move(filter));
  }
  auto const r = TRY(option_value<ip_mreq_source>(bytes));
  auto const group = ipv4_address(r.imr_multiaddr);
  auto const interface = TRY(group_interface(group, 0, ipv4_address(r.imr_interface)));
  return groups->change(group, interface, ipv4_address(r.imr_sourceaddr), change_of(name));
}

Result<void> InetSocket::set_membership6(int name, Value bytes) {
  auto const r = TRY(option_value<ipv6_mreq>(bytes));
  auto const group = ipv6_address(r.ipv6mr_multiaddr);
  auto const interface = TRY(group_interface(group, r.ipv6mr_interface, Address::any_v6()));
  return name == IPV6_ADD_MEMBERSHIP ? memberships()->join(group, interface) : memberships()->leave(group, interface);
}

// --- what a filter is: the guest's buffer says which ---

Result<std::vector<std::byte>> InetSocket::get_filter(int level, int name, Value given) {
  auto* groups = memberships();
  bool const v4 = level == IPPROTO_IP;
  if (!groups) return fail(Errno::AddrNotAvail);
  std::vector<std::byte> answer;
  if (name == MCAST_MSFILTER) {
    auto f = TRY(option_value<GroupFilter>(given));
    auto const group = TRY(address_in(f.group, v4));
    auto const filter = TRY(groups->filter(group, TRY(group_interface(group, f.interface, Address::any(v4)))));
    size_t const room = std::min<size_t>(f.count, (given.size() - sizeof f) / sizeof(sockaddr_storage));
    f.mode = number_of(filter.mode);
    f.count = static_cast<uint32_t>(filter.sources.size());
    append(answer, f);
    for (size_t n = 0; n < std::min(room, filter.sources.size()); ++n) append(answer, storage_of(filter.sources[n]));
    return answer;
  }
  auto f = TRY(option_value<Ipv4Filter>(given));
  auto const group = ipv4_address(f.group);
  auto const filter = TRY(groups->filter(group, TRY(group_interface(group, 0, ipv4_address(f.interface)))));
  size_t const room = std::min<size_t>(f.count, (given.size() - sizeof f) / sizeof(in_addr));
  f.mode = number_of(filter.mode);
  f.count = static_cast<uint32_t>(filter.sources.size());
  append(answer, f);
  for (size_t n = 0; n < std::min(room, filter.sources.size()); ++n)
    append(answer, in_addr{htonl(filter.sources[n].v4())});
  return answer;
}

}  // namespace cofferdam::inet
