#include "socket/inet/proc_statistics.h"

#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "socket/inet/socket_list.h"

namespace cofferdam::inet {

using netstack::Stack;
using netstack::TcpState;

namespace {

struct Column {
  char const* name;
  int64_t value;
};

// A line of names and one of values, each behind the name of the group.
std::string lines(char const* group, std::span<Column const> columns) {
  std::string names = fmt::format("{}:", group), values = names;
  for (auto const& c : columns) {
    names += fmt::format(" {}", c.name);
    values += fmt::format(" {}", c.value);
  }
  return names + "\n" + values + "\n";
}

int64_t of(netstack::Counter const& c) { return static_cast<int64_t>(c.value()); }

int64_t established(Stack& stack) {
  int64_t n = 0;
  for (bool four : {true, false})
    for (auto const& row : tcp_rows(stack, four))
      n += row.state == TcpState::Established || row.state == TcpState::CloseWait;
  return n;
}

std::string plain_hex(netstack::Bytes bytes) {
  std::string text;
  for (std::byte b : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(b));
  return text;
}

}  // namespace

std::string snmp_table(Stack& stack) {
  auto& s = stack.statistics();
  auto const& set = stack.settings();
  constexpr int64_t not_forwarding = 2;
  Column const ip[] = {{"Forwarding", not_forwarding},
                       {"DefaultTTL", set.default_ttl.load()},
                       {"InReceives", of(s.ip_received)},
                       {"InHdrErrors", of(s.ip_header_errors)},
                       {"InAddrErrors", of(s.ip_address_errors)},
                       {"ForwDatagrams", 0},
                       {"InUnknownProtos", of(s.ip_unknown_protocols)},
                       {"InDiscards", of(s.ip_discarded)},
                       {"InDelivers", of(s.ip_delivered)},
                       {"OutRequests", of(s.ip_sent)},
                       {"OutNoRoutes", of(s.ip_no_routes)},
                       {"ReasmReqds", of(s.ip_reassembly_needed)},
                       {"ReasmOKs", of(s.ip_reassembled)},
                       {"FragOKs", of(s.ip_fragmented)},
                       {"FragCreates", of(s.ip_fragments_made)}};
  Column const icmp[] = {
      {"InMsgs", of(s.icmp_received)}, {"InErrors", of(s.icmp_errors)}, {"OutMsgs", of(s.icmp_sent)}};
  constexpr int64_t rto_by_rfc_6298 = 1, rto_min_ms = 200, rto_max_ms = netstack::maximum_rto / netstack::millisecond;
  Column const tcp[] = {{"RtoAlgorithm", rto_by_rfc_6298},
                        {"RtoMin", rto_min_ms},
                        {"RtoMax", rto_max_ms},
                        {"MaxConn", -1},
                        {"ActiveOpens", of(s.tcp_active_opens)},
                        {"PassiveOpens", of(s.tcp_passive_opens)},
                        {"AttemptFails", of(s.tcp_attempt_failures)},
                        {"EstabResets", of(s.tcp_resets_received)},
                        {"CurrEstab", established(stack)},
                        {"InSegs", of(s.tcp_segments_received)},
                        {"OutSegs", of(s.tcp_segments_sent)},
                        {"RetransSegs", of(s.tcp_retransmitted)},
                        {"InErrs", of(s.tcp_input_errors)},
                        {"OutRsts", of(s.tcp_resets_sent)},
                        {"InCsumErrors", of(s.tcp_checksum_errors)}};
  Column const udp[] = {{"InDatagrams", of(s.udp_received)},
                        {"NoPorts", of(s.udp_no_ports)},
                        {"InErrors", of(s.udp_input_errors)},
                        {"OutDatagrams", of(s.udp_sent)},
                        {"RcvbufErrors", of(s.udp_receive_buffer_errors)},
                        {"InCsumErrors", of(s.udp_checksum_errors)}};
  return lines("Ip", ip) + lines("Icmp", icmp) + lines("Tcp", tcp) + lines("Udp", udp);
}

std::string netstat_table(Stack& stack) {
  auto& s = stack.statistics();
  Column const tcp[] = {{"SyncookiesSent", of(s.tcp_syn_cookies_sent)},
                        {"SyncookiesRecv", of(s.tcp_syn_cookies_accepted)},
                        {"SyncookiesFailed", of(s.tcp_syn_cookies_failed)},
                        {"TW", of(s.tcp_time_waited)},
                        {"PAWSEstab", of(s.tcp_paws_rejected)},
                        {"DelayedACKs", of(s.tcp_delayed_acks)},
                        {"ListenOverflows", of(s.tcp_listen_overflows)},
                        {"ListenDrops", of(s.tcp_listen_drops)},
                        {"TCPSackRecovery", of(s.tcp_recoveries)},
                        {"TCPTimeouts", of(s.tcp_timeouts)},
                        {"TCPLossProbes", of(s.tcp_loss_probes)},
                        {"TCPChallengeACK", of(s.tcp_challenge_acks)},
                        {"TCPWinProbe", of(s.tcp_zero_window_probes)}};
  int64_t in = 0, out = 0, multicast = 0;
  for (auto* i : stack.interfaces()) {
    auto& c = i->counters();
    in += static_cast<int64_t>(c.received_bytes.load());
    out += static_cast<int64_t>(c.sent_bytes.load());
    multicast += static_cast<int64_t>(c.multicast.load());
  }
  Column const ip[] = {{"InMcastPkts", multicast}, {"InOctets", in}, {"OutOctets", out}};
  return lines("TcpExt", tcp) + lines("IpExt", ip);
}

std::string arp_table(Stack& stack) {
  std::string text = "IP address       HW type     Flags       HW address            Mask     Device\n";
  for (auto* i : stack.interfaces()) {
    auto* known = stack.neighbours(*i);
    if (!known) continue;
    for (auto const& n : known->entries()) {
      if (!n.address.is_v4()) continue;
      constexpr unsigned ethernet = 1, complete = 2;
      bool const has_address =
          n.state != netstack::NeighbourState::Incomplete && n.state != netstack::NeighbourState::Failed;
      text += fmt::format("{:<16} 0x{:<10x}0x{:<10x}{:02x}     *        {}\n", n.address.text(), ethernet,
                          has_address ? complete : 0, fmt::join(n.hardware, ":"), i->name());
    }
  }
  return text;
}

std::string route6_table(Stack& stack) {
  std::string text;
  for (auto const& r : stack.routes().all()) {
    if (r.destination.address.is_v4()) continue;
    auto* i = stack.interface(r.interface);
    constexpr unsigned up = 1, gateway = 2, host = 4;
    unsigned const flags = up | (r.has_gateway() ? gateway : 0) | (r.destination.length == 128 ? host : 0);
    text += fmt::format("{} {:02x} {:032x} 00 {} {:08x} {:08x} {:08x} {:08x} {:>8}\n",
                        plain_hex(r.destination.address.bytes()), r.destination.length, 0, plain_hex(r.gateway.bytes()),
                        r.metric, 1, 0, flags, i ? i->name() : "*");
  }
  return text;
}

std::string socket6_account(Stack& stack) {
  return fmt::format("TCP6: inuse {}\nUDP6: inuse {}\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n",
                     tcp_rows(stack, false).size(), udp_rows(stack, false).size());
}

}  // namespace cofferdam::inet
