#include "socket/inet/socket_list.h"

#include "netstack/echo_endpoint.h"
#include "netstack/raw_endpoint.h"

namespace cofferdam::inet {

using netstack::Address;
using netstack::Peer;
using netstack::Stack;
using netstack::TcpEndpoint;
using netstack::TcpState;
using netstack::TcpTimeWait;
using netstack::UdpEndpoint;

namespace {

constexpr size_t max_rows = 65536;

void add_endpoint(Ref<TcpEndpoint> const& e, bool listening, std::vector<SocketRow>& rows) {
  SocketRow r;
  r.local = e->local();
  r.remote = e->remote().value_or(Peer{Address::any(e->is_v4_socket()), 0, 0});
  r.state = e->state();
  r.send_queue = listening ? e->backlog() : e->unacked_bytes();
  r.receive_queue = listening ? e->accept_queue_length() : e->readable_bytes();
  r.inode = e->owner.inode;
  r.uid = e->owner.uid;
  r.interface = e->bound_interface;
  r.tcp = e;
  rows.push_back(std::move(r));
}

void add_datagram_endpoint(netstack::DatagramEndpoint const& e, std::vector<SocketRow>& rows) {
  auto const s = e.summary();
  SocketRow r;
  r.local = s.local;
  r.remote = s.remote.value_or(Peer{Address::any(e.is_v4_socket()), 0, 0});
  r.state = s.remote ? TcpState::Established : TcpState::Closed;
  r.receive_queue = s.queued_bytes;
  r.drops = s.drops;
  r.inode = e.owner.inode;
  r.uid = e.owner.uid;
  r.interface = e.bound_interface;
  rows.push_back(std::move(r));
}

}  // namespace

std::vector<SocketRow> tcp_rows(Stack& stack, bool four) {
  std::vector<SocketRow> rows;
  for (auto const& owner : stack.tcp_ports().owners())
    if (auto e = ref_cast<TcpEndpoint>(owner); e && e->is_v4_socket() == four && e->state() == TcpState::Listen)
      add_endpoint(e, true, rows);
  for (auto const& receiver : stack.tcp().all()) {
    if (rows.size() >= max_rows) break;
    if (auto e = ref_cast<TcpEndpoint>(receiver); e && e->is_v4_socket() == four) add_endpoint(e, false, rows);
    if (auto w = ref_cast<TcpTimeWait>(receiver); w && w->tuple().local.address.is_v4() == four) {
      SocketRow r;
      r.local = w->tuple().local;
      r.remote = w->tuple().remote;
      r.state = TcpState::TimeWait;
      rows.push_back(std::move(r));
    }
  }
  return rows;
}

std::vector<SocketRow> udp_rows(Stack& stack, bool four) {
  std::vector<SocketRow> rows;
  for (auto const& owner : stack.udp_ports().owners())
    if (auto e = ref_cast<UdpEndpoint>(owner); e && e->is_v4_socket() == four && rows.size() < max_rows)
      add_datagram_endpoint(*e, rows);
  return rows;
}

std::vector<SocketRow> raw_rows(Stack& stack, bool four) {
  std::vector<SocketRow> rows;
  for (auto const& e : stack.raw().all())
    if (e->is_v4_socket() == four && rows.size() < max_rows) add_datagram_endpoint(*e, rows);
  return rows;
}

std::vector<SocketRow> echo_rows(Stack& stack, bool four) {
  std::vector<SocketRow> rows;
  for (auto const& owner : stack.echo_ports().owners())
    if (auto e = ref_cast<netstack::EchoEndpoint>(owner); e && e->is_v4_socket() == four && rows.size() < max_rows)
      add_datagram_endpoint(*e, rows);
  return rows;
}

}  // namespace cofferdam::inet
