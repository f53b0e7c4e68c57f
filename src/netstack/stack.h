// A TCP/IP host: interfaces, addresses, routes and the protocols between them and the endpoints.
//
// Locks, outermost first: an endpoint (TCP: a connection before its listener); tables of ports and connections (each
// sharded); neighbours; reassembly, routes, interface addresses; the loopback's queues and the timer wheel. A link's
// transmit may be called under all of them. Packets to this host's own addresses are queued and processed after the
// endpoint's lock was let go: whoever calls into the stack from outside does it with a Visit on its stack.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "netstack/checksum.h"
#include "netstack/headers.h"
#include "netstack/interface.h"
#include "netstack/neighbours.h"
#include "netstack/ports.h"
#include "netstack/reassembly.h"
#include "netstack/routes.h"
#include "netstack/statistics.h"
#include "netstack/tcp_demux.h"
#include "netstack/timer_wheel.h"

namespace cofferdam::netstack {

// /proc/sys/net: what endpoints begin with and are bounded by. Sizes in bytes.
struct Settings {
  std::atomic<uint8_t> default_ttl{64};
  std::atomic<size_t> tcp_send_min{4096}, tcp_send_default{16384}, tcp_send_max{4 << 20};
  std::atomic<size_t> tcp_receive_min{4096}, tcp_receive_default{131072}, tcp_receive_max{6 << 20};
  std::atomic<bool> tcp_timestamps{true}, tcp_sack{true}, tcp_window_scaling{true}, tcp_syncookies{true};
  std::atomic<bool> tcp_cubic{true};
  std::atomic<unsigned> tcp_syn_retries{6}, tcp_synack_retries{5}, tcp_retries2{15}, tcp_orphan_retries{8};
  std::atomic<Time> tcp_fin_timeout{60 * second}, tcp_keepalive_time{7200 * second},
      tcp_keepalive_interval{75 * second};
  std::atomic<unsigned> tcp_keepalive_probes{9};
  std::atomic<size_t> tcp_max_syn_backlog{1024}, tcp_max_time_wait{32768}, tcp_max_orphans{16384};
  std::atomic<size_t> memory_limit{256 << 20};  // of all queues together
};

// How a packet goes out.
struct Path {
  Interface* out = nullptr;
  Address source, next_hop;
  uint32_t mtu = 0;
  bool local = false;  // to this host itself
};

// What IP knows of a packet that it hands up.
struct IpInfo {
  Address source, destination;
  uint8_t protocol = 0, ttl = 0, tos = 0;
  Interface* interface = nullptr;
  bool to_one = true;  // not to a broadcast or multicast address
};

struct SendOptions {
  uint8_t ttl = 0;  // 0: the default
  uint8_t tos = 0;
  bool dont_fragment = false;
  uint8_t flow = 0;
};

// What an ICMP error says to the endpoint whose packet it is about, as an errno.
struct IcmpError {
  int error = 0;
  bool hard = false;      // nothing will come of it (RFC 1122 4.2.3.9)
  uint32_t next_mtu = 0;  // of "packet too big"
  uint8_t type = 0, code = 0;
  Address reporter;
};

class UdpEndpoint;
class TcpEndpoint;

class Stack {
 public:
  explicit Stack(Environment&);
  ~Stack();
  Stack(Stack const&) = delete;
  Stack& operator=(Stack const&) = delete;

  // Delivers what was queued for this host itself. Declared before any lock that is taken.
  class Visit {
   public:
    explicit Visit(Stack& stack) : stack_(stack) {}
    ~Visit() { stack_.settle(); }
    Visit(Visit const&) = delete;
    Visit& operator=(Visit const&) = delete;

   private:
    Stack& stack_;
  };

  // The loopback interface is there from the beginning, with index 1.
  Interface& add_interface(std::string name, std::unique_ptr<Link>);
  Interface* interface(uint32_t index) const;
  Interface* interface(std::string_view name) const;
  std::vector<Interface*> interfaces() const;
  Neighbours* neighbours(Interface const&);
  // Adds the address, and the route to its network. EEXIST.
  Result<void> add_address(Interface&, Prefix const&);
  // And the routes that came with it or speak with it. EADDRNOTAVAIL.
  Result<void> remove_address(Interface&, Prefix const&);
  // A link that goes down loses its routes, and its IPv6 addresses; up again it has those to its own networks.
  void set_up(Interface&, bool up);
  bool owns(Address const&) const;

  void receive(Interface&, PacketPtr);  // a packet from a link, beginning with the link's header
  Time run_timers();                    // returns when it wants to be called again
  Environment& environment() { return environment_; }
  Time now() { return environment_.now(); }
  TimerWheel& wheel() { return wheel_; }
  Routes& routes() { return routes_; }
  Settings& settings() { return settings_; }
  Statistics& statistics() { return statistics_; }
  BufferPool& buffers() { return buffers_; }
  Ports& tcp_ports() { return tcp_ports_; }
  Ports& udp_ports() { return udp_ports_; }
  TcpDemux& tcp() { return tcp_; }
  HashKey const& secret() const { return secret_; }
  uint32_t random32();

  // ENETUNREACH, EHOSTUNREACH. source any(): the best one. interface 0: any.
  Result<Path> find_path(Address const& destination, Address const& source, uint32_t interface = 0);
  // Sends what the packet holds as the payload of an IP packet. EMSGSIZE, ENETDOWN.
  Result<void> send(Path const&, Address const& source, Address const& destination, uint8_t protocol,
                    SendOptions const&, PacketPtr);

  // All queues of all endpoints together: false when it would be too much.
  bool may_charge(size_t n) const { return memory_.load(std::memory_order_relaxed) + n <= settings_.memory_limit; }
  void charge(int64_t difference) { memory_.fetch_add(static_cast<size_t>(difference), std::memory_order_relaxed); }
  size_t memory() const { return memory_.load(std::memory_order_relaxed); }

  std::atomic<size_t>& time_wait_count() { return time_waits_; }
  std::atomic<size_t>& orphan_count() { return orphans_; }  // connections whose user is gone

  // A packet that waited for a neighbour who did not answer.
  void unreachable(PacketPtr);

  void settle();

 private:
  friend class Neighbours;
  friend class LoopbackLink;
  // stack.cc
  void deliver(Interface&, PacketPtr);
  void queue_loopback(PacketPtr);
  bool drain(size_t shard, size_t& budget);
  // ethernet.cc
  void receive_ethernet(Interface&, PacketPtr);
  void receive_arp(Interface&, Packet&);
  // ip_input.cc
  void receive_ipv4(Interface&, PacketPtr);
  void receive_ipv6(Interface&, PacketPtr);
  bool skip_extension_headers(IpInfo&, PacketPtr&);
  void deliver_transport(IpInfo&, PacketPtr);
  void add_connected_route(Interface const&, Prefix const&);
  bool accepts(Interface&, Address const& destination, IpInfo&) const;
  // ip_output.cc
  Result<void> send_ipv4(Path const&, Address const&, Address const&, uint8_t protocol, SendOptions const&, PacketPtr);
  Result<void> send_ipv6(Path const&, Address const&, Address const&, uint8_t protocol, SendOptions const&, PacketPtr);
  Result<void> transmit(Path const&, Address const& destination, PacketPtr);
  // icmp.cc, icmpv6.cc
  void receive_icmp(IpInfo const&, PacketPtr);
  void receive_icmpv6(IpInfo const&, PacketPtr);
  void receive_neighbour_message(IpInfo const&, IcmpHeader const&, Packet&);
  void send_icmp(Address const& source, Address const& destination, uint32_t interface, IcmpHeader, PacketPtr,
                 uint8_t ttl = 0);
  void send_error(IpInfo const&, uint8_t type, uint8_t code, uint32_t rest, Packet& about);
  void report_error(IpInfo const& embedded, Bytes transport, IcmpError const&);
  bool may_send_error();
  // udp_input.cc, tcp_listener.cc
  void receive_udp(IpInfo const&, PacketPtr);
  void receive_tcp(IpInfo const&, PacketPtr);

  static constexpr size_t loopback_shards = 16;
  struct LoopbackShard {
    Mutex mutex;
    PacketList packets GUARDED_BY(mutex);
    bool draining GUARDED_BY(mutex) = false;
  };

  Environment& environment_;
  BufferPool buffers_;  // outlives all that holds packets
  Settings settings_;
  Statistics statistics_;
  HashKey secret_;
  std::atomic<uint32_t> next_ip_id_;
  std::atomic<size_t> memory_{0}, time_waits_{0}, orphans_{0};
  Routes routes_;
  Reassembly reassembly_;
  Ports tcp_ports_, udp_ports_;  // outlive the endpoints that the wheel and the table of connections keep
  TimerWheel wheel_;
  TcpDemux tcp_;
  mutable SharedMutex interfaces_mutex_;
  std::vector<std::unique_ptr<Interface>> interfaces_ GUARDED_BY(interfaces_mutex_);
  std::vector<Ref<Neighbours>> neighbours_ GUARDED_BY(interfaces_mutex_);  // null for links without them
  std::array<LoopbackShard, loopback_shards> loopback_;
  std::atomic<uint32_t> loopback_pending_{0};
  class Continuation;
  Ref<Continuation> continuation_;
  Mutex error_mutex_;
  Time error_credit_at_ GUARDED_BY(error_mutex_) = 0;  // a bucket of tokens, as a time (RFC 1812 4.3.2.8)
};

}  // namespace cofferdam::netstack
