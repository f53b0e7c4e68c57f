#include "socket/inet/sock_diag.h"

#include <linux/inet_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "socket/inet/socket_list.h"
#include "socket/inet/tcp_socket.h"

namespace cofferdam::inet {

using kernel::netlink_fixed;
using kernel::netlink_value;
using kernel::NetlinkBody;
using netstack::Address;
using netstack::Peer;

namespace {

using Bytes = std::span<std::byte const>;

// The filter of a request: tests of ports, addresses and interfaces that jump forwards (linux/inet_diag.h).
class Filter {
 public:
  explicit Filter(Bytes code) : code_(code) {}

  // Every operation is whole and jumps to another one's place or to the end.
  bool is_valid() const {
    size_t const whole = code_.size();
    for (size_t at = 0; at != whole;) {
      if (whole - at < sizeof(inet_diag_bc_op)) return false;
      auto const op = operation(at);
      size_t const size = size_of(op.code, at), left = whole - at;
      bool const no_is_good = op.code == INET_DIAG_BC_NOP || (op.no >= 4 && op.no <= left + 4 && op.no % 4 == 0);
      if (size == 0 || size > left || op.yes < size || op.yes > left || op.yes % 4 != 0 || !no_is_good) return false;
      at += op.yes;
    }
    return true;
  }

  bool fits(SocketRow const& row) const {
    size_t at = 0;
    while (at + sizeof(inet_diag_bc_op) <= code_.size()) {
      auto const op = operation(at);
      size_t const size = size_of(op.code, at);
      if (size == 0 || size > code_.size() - at) return false;
      size_t const step = holds(op.code, at, row) ? op.yes : op.no;
      if (step < sizeof(inet_diag_bc_op)) return false;
      at += step;
    }
    return at == code_.size();  // a jump beyond the end is "no"
  }

 private:
  inet_diag_bc_op operation(size_t at) const { return netlink_fixed<inet_diag_bc_op>(code_.subspan(at)); }

  // Of the operation there; 0: unknown, or cut short.
  size_t size_of(uint8_t code, size_t at) const {
    constexpr size_t op = sizeof(inet_diag_bc_op);
    switch (code) {
      case INET_DIAG_BC_NOP:
      case INET_DIAG_BC_JMP:
        return op;
      case INET_DIAG_BC_S_GE:
      case INET_DIAG_BC_S_LE:
      case INET_DIAG_BC_S_EQ:
      case INET_DIAG_BC_D_GE:
      case INET_DIAG_BC_D_LE:
      case INET_DIAG_BC_D_EQ:
      case INET_DIAG_BC_DEV_COND:
        return 2 * op;
      case INET_DIAG_BC_S_COND:
      case INET_DIAG_BC_D_COND: {
        if (code_.size() - at < op + sizeof(inet_diag_hostcond)) return 0;
        auto const c = netlink_fixed<inet_diag_hostcond>(code_.subspan(at + op));
        size_t const address = c.family == AF_INET ? 4 : c.family == AF_INET6 ? 16 : 0;
        if (c.prefix_len > 8 * address || (c.family != AF_UNSPEC && address == 0)) return 0;
        return op + sizeof c + address;
      }
      default:
        return 0;
    }
  }

  bool holds(uint8_t code, size_t at, SocketRow const& row) const {
    Bytes const argument = code_.subspan(at + sizeof(inet_diag_bc_op));
    uint16_t const port = netlink_fixed<inet_diag_bc_op>(argument).no;
    switch (code) {
      case INET_DIAG_BC_NOP:
        return true;
      case INET_DIAG_BC_S_GE:
        return row.local.port >= port;
      case INET_DIAG_BC_S_LE:
        return row.local.port <= port;
      case INET_DIAG_BC_S_EQ:
        return row.local.port == port;
      case INET_DIAG_BC_D_GE:
        return row.remote.port >= port;
      case INET_DIAG_BC_D_LE:
        return row.remote.port <= port;
      case INET_DIAG_BC_D_EQ:
        return row.remote.port == port;
      case INET_DIAG_BC_DEV_COND:
        return row.interface == netlink_fixed<uint32_t>(argument);
      case INET_DIAG_BC_S_COND:
        return is_at(row.local, argument);
      case INET_DIAG_BC_D_COND:
        return is_at(row.remote, argument);
      default:
        return false;
    }
  }

  static bool is_at(Peer const& peer, Bytes argument) {
    auto const c = netlink_fixed<inet_diag_hostcond>(argument);
    if (c.port != -1 && c.port != peer.port) return false;
    if (c.family == AF_UNSPEC || c.prefix_len == 0) return true;
    Bytes const address = argument.subspan(sizeof c);
    bool const four = c.family == AF_INET;
    if (four != peer.address.is_v4()) return false;
    auto const wanted = four ? Address::v4(netstack::load32(address, 0)) : Address::v6(address.first(16));
    return netstack::Prefix{wanted, c.prefix_len}.contains(peer.address);
  }

  Bytes code_;
};

void put_address(Address const& a, bool four, __be32 (&to)[4]) {
  auto const bytes = four ? a.v4_bytes() : a.bytes();
  std::memcpy(to, bytes.data(), bytes.size());
}

Address address_of(__be32 const (&from)[4], bool four) {
  auto const bytes = std::as_bytes(std::span(from));
  return four ? Address::v4(netstack::load32(bytes, 0)) : Address::v6(bytes);
}

NetlinkBody body_of(SocketRow const& row, inet_diag_req_v2 const& request) {
  bool const four = request.sdiag_family == AF_INET;
  inet_diag_msg m{};
  m.idiag_family = request.sdiag_family;
  m.idiag_state = static_cast<uint8_t>(row.state);
  m.id.idiag_sport = htons(row.local.port);
  m.id.idiag_dport = htons(row.remote.port);
  put_address(row.local.address, four, m.id.idiag_src);
  put_address(row.remote.address, four, m.id.idiag_dst);
  m.id.idiag_if = row.interface;
  m.id.idiag_cookie[0] = static_cast<uint32_t>(row.inode);
  m.id.idiag_cookie[1] = static_cast<uint32_t>(row.inode >> 32);
  m.idiag_rqueue = static_cast<uint32_t>(row.receive_queue);
  m.idiag_wqueue = static_cast<uint32_t>(row.send_queue);
  m.idiag_uid = row.uid;
  m.idiag_inode = static_cast<uint32_t>(row.inode);
  NetlinkBody body(m);
  auto const asked = [&](unsigned extension) { return request.idiag_ext >> (extension - 1) & 1; };
  auto const received = static_cast<uint32_t>(row.receive_queue), sent = static_cast<uint32_t>(row.send_queue);
  if (asked(INET_DIAG_MEMINFO)) body.attribute(INET_DIAG_MEMINFO, inet_diag_meminfo{received, sent, 0, sent});
  if (!row.tcp) return body;
  if (asked(INET_DIAG_SKMEMINFO)) {
    auto const [send_limit, receive_limit] = row.tcp->buffer_sizes();
    uint32_t const memory[9] = {
        received, static_cast<uint32_t>(receive_limit), sent, static_cast<uint32_t>(send_limit), 0, sent, 0, 0, 0};
    body.attribute(INET_DIAG_SKMEMINFO, memory);
  }
  if (asked(INET_DIAG_INFO)) body.raw_attribute(INET_DIAG_INFO, tcp_info_of(*row.tcp));
  if (asked(INET_DIAG_CONG)) body.text(INET_DIAG_CONG, row.tcp->options().cubic ? "cubic" : "reno");
  return body;
}

bool has_cookie(SocketRow const& row, uint32_t const (&cookie)[2]) {
  uint64_t const whole = cookie[0] | uint64_t{cookie[1]} << 32;
  return whole == ~uint64_t{0} || whole == row.inode;
}

// Whether a request for one socket means this one.
bool is_named(SocketRow const& row, inet_diag_req_v2 const& request) {
  bool const four = request.sdiag_family == AF_INET;
  auto const& id = request.id;
  return row.local.port == ntohs(id.idiag_sport) && row.remote.port == ntohs(id.idiag_dport) &&
         row.local.address == address_of(id.idiag_src, four) && row.remote.address == address_of(id.idiag_dst, four);
}

}  // namespace

Result<std::vector<NetlinkBody>> diagnose(netstack::Stack& stack, Bytes bytes, bool dump) {
  if (bytes.size() < sizeof(inet_diag_req_v2)) return fail(Errno::Inval);
  auto const request = netlink_fixed<inet_diag_req_v2>(bytes);
  Filter filter({});
  kernel::NetlinkAttributes attributes(bytes, sizeof request);
  while (auto a = attributes.next())
    if (a->type == INET_DIAG_REQ_BYTECODE) filter = Filter(a->value);
  if (!filter.is_valid()) return fail(Errno::Inval);
  bool const four = request.sdiag_family == AF_INET, tcp = request.sdiag_protocol == IPPROTO_TCP;
  if (!tcp && request.sdiag_protocol != IPPROTO_UDP) return fail(Errno::NoEnt);
  std::vector<NetlinkBody> bodies;
  for (auto const& row : tcp ? tcp_rows(stack, four) : udp_rows(stack, four)) {
    bool const wanted = dump ? (request.idiag_states >> static_cast<unsigned>(row.state) & 1) && filter.fits(row)
                             : is_named(row, request);
    if (wanted && !dump && !has_cookie(row, request.id.idiag_cookie)) return fail(Errno::NoEnt);
    if (wanted) bodies.push_back(body_of(row, request));
    if (wanted && !dump) break;
  }
  if (bodies.empty() && !dump) return fail(Errno::NoEnt);
  return bodies;
}

}  // namespace cofferdam::inet
