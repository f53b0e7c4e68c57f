#include "socket/inet/proc_net.h"

#include <bit>

#include <fmt/format.h>

#include "netstack/raw_endpoint.h"
#include "socket/inet/proc_statistics.h"
#include "socket/inet/socket_list.h"

namespace cofferdam::inet {

using netstack::Address;
using netstack::Peer;
using netstack::Stack;
using netstack::TcpEndpoint;

namespace {

// Words of the address as the host reads them.
std::string hex(Peer const& p, bool four) {
  std::string text;
  auto bytes = four ? p.address.v4_bytes() : p.address.bytes();
  for (size_t i = 0; i < bytes.size(); i += 4) text += fmt::format("{:08X}", std::byteswap(netstack::load32(bytes, i)));
  return text + fmt::format(":{:04X}", p.port);
}

std::string tcp_row(size_t number, SocketRow const& r, bool four) {
  return fmt::format(
      "{:>4}: {} {} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:>5}        0 {} 1 0000000000000000 20 0 0 10 -1",
      number, hex(r.local, four), hex(r.remote, four), static_cast<unsigned>(r.state), r.send_queue, r.receive_queue,
      r.uid, r.inode);
}

std::string udp_row(size_t number, SocketRow const& r, bool four) {
  return fmt::format("{:>5}: {} {} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:>5}        0 {} 2 0000000000000000 {}",
                     number, hex(r.local, four), hex(r.remote, four), static_cast<unsigned>(r.state), r.send_queue,
                     r.receive_queue, r.uid, r.inode, r.drops);
}

std::string tcp_table(Stack& stack, bool four) {
  auto const rows = tcp_rows(stack, four);
  std::string text = four ? fmt::format("{:<149}\n",
                                        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   "
                                        "uid  timeout inode")
                          : "  sl  local_address                         remote_address                        st "
                            "tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    auto row = tcp_row(i, rows[i], four);
    text += four ? fmt::format("{:<149}\n", row) : row + "\n";
  }
  return text;
}

// Of UDP, raw and ping sockets: one format for all (udp4_format_sock, raw_sock_seq_show, ping_v4_format_sock of Linux).
std::string datagram_table(std::vector<SocketRow> const& rows, bool four) {
  std::string text = four
                         ? fmt::format("{:<127}\n",
                                       "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   "
                                       "uid  timeout inode ref pointer drops")
                         : "  sl  local_address                         remote_address                        st "
                           "tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    auto row = udp_row(i, rows[i], four);
    text += four ? fmt::format("{:<127}\n", row) : row + "\n";
  }
  return text;
}

std::string raw_table(Stack& stack, bool four) {
  auto const rows = raw_rows(stack, four);
  if (!four) return datagram_table(rows, four);
  std::string text =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer "
      "drops\n";
  for (size_t i = 0; i < rows.size(); ++i) text += udp_row(i, rows[i], four).substr(1) + "\n";
  return text;
}

std::string device_table(Stack& stack) {
  std::string text =
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier "
      "compressed\n";
  for (auto* i : stack.interfaces()) {
    auto& c = i->counters();
    text += fmt::format(
        "{:>6}: {:>7} {:>7} {:>4} {:>4} {:>4} {:>5} {:>10} {:>9} {:>8} {:>7} {:>4} {:>4} {:>4} {:>5} "
        "{:>7} {:>10}\n",
        i->name(), c.received_bytes.load(), c.received_packets.load(), c.received_errors.load(),
        c.received_dropped.load(), 0, 0, 0, c.multicast.load(), c.sent_bytes.load(), c.sent_packets.load(), 0,
        c.sent_dropped.load(), 0, 0, 0, 0);
  }
  return text;
}

std::string inet6_table(Stack& stack) {
  std::string text;
  for (auto* i : stack.interfaces())
    for (auto const& a : i->addresses()) {
      if (a.prefix.address.is_v4()) continue;
      for (std::byte b : a.prefix.address.bytes()) text += fmt::format("{:02x}", static_cast<unsigned>(b));
      unsigned scope = a.prefix.address.is_loopback() ? 0x10 : a.prefix.address.is_link_local() ? 0x20 : 0;
      text += fmt::format(" {:02x} {:02x} {:02x} 80 {:>8}\n", i->index(), a.prefix.length, scope, i->name());
    }
  return text;
}

std::string route_table(Stack& stack) {
  std::string text =
      fmt::format("{:<127}\n", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT");
  auto word = [](Address const& a) { return std::byteswap(a.is_v4() ? a.v4() : 0); };
  for (auto const& r : stack.routes().all()) {
    if (!r.destination.address.is_v4()) continue;
    auto* i = stack.interface(r.interface);
    uint8_t n = r.destination.length;
    Address mask = Address::v4(n == 0 ? 0 : ~uint32_t{0} << (32 - n));
    auto row = fmt::format("{}\t{:08X}\t{:08X}\t{:04X}\t0\t0\t{}\t{:08X}\t0\t0\t0", i ? i->name() : "*",
                           word(r.destination.address), r.has_gateway() ? word(r.gateway) : 0,
                           1 | (r.has_gateway() ? 2 : 0) | (n == 32 ? 4 : 0), r.metric, word(mask));
    text += fmt::format("{:<127}\n", row);
  }
  return text;
}

// Groups of IPv4 (igmp_mc_seq_show of Linux).
std::string igmp_table(Stack& stack) {
  std::string text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n";
  for (auto* i : stack.interfaces()) {
    auto const groups = stack.groups(i->index());
    if (!groups) continue;
    auto all = groups->all();
    std::erase_if(all, [](auto const& g) { return !g.group.is_v4(); });
    if (all.empty()) continue;
    text += fmt::format("{}\t{:<10}: {:5} {:>7}\n", i->index(), i->name(), all.size(),
                        fmt::format("V{}", groups->version(true)));
    for (auto const& g : all)
      text += fmt::format("\t\t\t\t{:08X} {:5} {}:{:08X}\t\t{}\n", std::byteswap(g.group.v4()), g.users,
                          g.timer_running ? 1 : 0, 0, g.last_reporter ? 1 : 0);
  }
  return text;
}

std::string igmp6_table(Stack& stack) {
  std::string text;
  for (auto* i : stack.interfaces()) {
    auto const groups = stack.groups(i->index());
    if (!groups) continue;
    for (auto const& g : groups->all()) {
      if (g.group.is_v4()) continue;
      text += fmt::format("{:<4} {:<15} ", i->index(), i->name());
      for (std::byte b : g.group.bytes()) text += fmt::format("{:02x}", static_cast<unsigned>(b));
      text += fmt::format(" {:5} {:08X} {}\n", g.users, g.last_reporter ? 2 : 0, 0);
    }
  }
  return text;
}

std::string socket_account(Stack& stack) {
  size_t const udp = stack.udp_ports().owners().size(), raw = stack.raw().all().size();
  size_t tcp = 0, orphans = 0;
  for (auto const& r : stack.tcp().all())
    if (auto e = ref_cast<TcpEndpoint>(r)) e->owner.inode != 0 ? ++tcp : ++orphans;
  tcp += stack.tcp_ports().owners().size();
  size_t pages = (stack.memory() + 4095) / 4096;
  return fmt::format(
      "sockets: used {}\nTCP: inuse {} orphan {} tw {} alloc {} mem {}\nUDP: inuse {} mem 0\nUDPLITE: inuse 0\nRAW: "
      "inuse {}\nFRAG: inuse 0 memory 0\n",
      tcp + udp + raw, tcp, orphans, stack.time_wait_count().load(), tcp + orphans, pages, udp, raw);
}

}  // namespace

std::optional<std::string> proc_net(Stack& stack, std::string_view file) {
  if (file == "tcp" || file == "tcp6") return tcp_table(stack, file == "tcp");
  if (file == "udp" || file == "udp6") return datagram_table(udp_rows(stack, file == "udp"), file == "udp");
  if (file == "raw" || file == "raw6") return raw_table(stack, file == "raw");
  if (file == "icmp" || file == "icmp6") return datagram_table(echo_rows(stack, file == "icmp"), file == "icmp");
  if (file == "igmp") return igmp_table(stack);
  if (file == "igmp6") return igmp6_table(stack);
  if (file == "dev") return device_table(stack);
  if (file == "if_inet6") return inet6_table(stack);
  if (file == "route") return route_table(stack);
  if (file == "sockstat") return socket_account(stack);
  if (file == "sockstat6") return socket6_account(stack);
  if (file == "snmp") return snmp_table(stack);
  if (file == "netstat") return netstat_table(stack);
  if (file == "arp") return arp_table(stack);
  if (file == "ipv6_route") return route6_table(stack);
  return std::nullopt;
}

}  // namespace cofferdam::inet
