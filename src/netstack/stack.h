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
#include "netstack/autoconfiguration.h"
#include "netstack/checksum.h"
#include "netstack/groups.h"
#include "netstack/headers.h"
#include "netstack/interface.h"
#include "netstack/neighbours.h"
#include "netstack/packet_filter.h"
#include "netstack/packet_tap.h"
#include "netstack/ports.h"
#include "netstack/raw_table.h"
#include "netstack/reassembly.h"
#include "netstack/routes.h"
#include "netstack/settings.h"
#include "netstack/statistics.h"
#include "netstack/tcp_demux.h"
#include "netstack/timer_wheel.h"

namespace cofferdam::netstack {

// How a packet goes out.
struct Path {
  Interface* out = nullptr;
  Address source, next_hop;
  uint32_t mtu = 0;
  bool local = false;      // to this host itself
  bool broadcast = false;  // to all on the link
};

// What IP knows of a packet that it hands up.
struct IpInfo {
  Address source, destination;
  uint8_t protocol = 0, ttl = 0, tos = 0;
  Interface* interface = nullptr;
  bool to_one = true;  // not to a broadcast or multicast address
  bool router_alert = false;
  bool dont_fragment = false;
  uint16_t id = 0;                        // of IPv4
  uint32_t flow_label = 0;                // of IPv6
  std::vector<std::byte> ip_options;      // of IPv4, as they came; this host has entered itself where they ask for it
  std::vector<std::byte> answer_options;  // what of them an answer takes along
  // Of IPv6: the headers between the first and the transport's, for errors about the packet.
  std::vector<std::byte> extensions;
  uint16_t last_extension = 0;  // where in them the last one begins
  uint8_t first_header = 0;
  size_t next_header_at() const;
};

// What to do about the size of the path's packets: IP_PMTUDISC_* (ip(7)).
enum class PathMtuMode : uint8_t {
  Dont,       // fragments may be made on the way
  Want,       // and here, but not on the way
  Do,         // nowhere: EMSGSIZE
  Probe,      // nowhere, and what the path is known for does not count: the link's size alone does
  Interface,  // the same, and fragments may be made on the way
  Omit,       // and here
};

struct SendOptions {
  uint8_t ttl = 0;  // 0: the default
  uint8_t tos = 0;
  PathMtuMode path_mtu = PathMtuMode::Dont;
  uint8_t flow = 0;
  bool host_only = false;   // a TTL of 0: it does not leave this host
  bool dont_route = false;  // to the link's own networks alone (MSG_DONTROUTE)
  bool loop = true;         // what goes to a group that this host is in comes here, too
  uint32_t interface = 0;   // datagrams: out of this one (IP_MULTICAST_IF, IP_UNICAST_IF, IP_PKTINFO)
  Address source;           // datagrams: with this address of this host's (IP_PKTINFO); ::: as the path has it
  uint32_t flow_label = 0;
  uint32_t fragment_size = 0;  // of IPv6: no packet is larger (IPV6_MTU); 0: as the path allows
  Bytes ip_options;            // of IPv4: at most 40 bytes, a multiple of four
  Bytes hop_by_hop;            // of IPv6: an extension header, a multiple of eight; its first byte is filled in
};

// What an ICMP error says to the endpoint whose packet it is about, as an errno.
struct IcmpError {
  int error = 0;
  bool hard = false;      // nothing will come of it (RFC 1122 4.2.3.9)
  uint32_t next_mtu = 0;  // of "packet too big"
  uint8_t type = 0, code = 0;
  Address reporter;
  uint32_t interface = 0;  // that it came from
};

bool is_error_message(Packet const&, bool v4);  // of ICMP, behind its IP header

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
  Ref<Groups> groups(uint32_t interface) const;  // null: there is no such interface
  // Where a socket joins a group: the interface with this index, or with this address, or where the group's packets
  // go. ENODEV.
  Result<uint32_t> interface_for_group(Address const& group, uint32_t index, Address const& local);
  // Adds the address, and the route to its network. EEXIST.
  Result<void> add_address(Interface&, Prefix const&);
  // And the routes that came with it or speak with it. EADDRNOTAVAIL.
  Result<void> remove_address(Interface&, Prefix const&);
  // A link that goes down loses its routes, and its IPv6 addresses; up again it has those to its own networks.
  void set_up(Interface&, bool up);
  bool owns(Address const&) const;
  // The group that an IPv6 address shares with those with the same last bits (RFC 4291 2.8). ENOBUFS.
  Result<void> join_solicited(Interface const&, Address const&);
  void leave_solicited(Interface const&, Address const&);
  // From now on the interface, an Ethernet's, is configured by what IPv6 routers advertise, too.
  void autoconfigure(Interface&);
  Ref<Autoconfiguration> autoconfiguration(Interface const&) const;  // null: it is not

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
  Ports& echo_ports() { return echo_ports_; }  // identifiers of ICMP echo
  RawTable& raw() { return raw_; }
  TcpDemux& tcp() { return tcp_; }
  HashKey const& secret() const { return secret_; }
  uint32_t random32();

  // ENETUNREACH, EHOSTUNREACH. source any(): the best one. interface 0: any.
  Result<Path> find_path(Address const& destination, Address const& source, uint32_t interface = 0);
  // Sends what the packet holds as the payload of an IP packet. EMSGSIZE, ENETDOWN.
  Result<void> send(Path const&, Address const& source, Address const& destination, uint8_t protocol,
                    SendOptions const&, PacketPtr);

  // A frame as it is, with its link header (packet(7)); `sender` does not see it again. EMSGSIZE, ENETDOWN.
  Result<void> send_frame(Interface&, PacketPtr, PacketTap const* sender = nullptr);
  // Of IGMP or MLD (by the family of `to`), with a TTL of 1 and a router alert; fills in the checksum.
  void send_group_message(Interface&, Address const& to, Bytes message);
  // Of neighbour discovery, to a group, with a hop limit of 255; fills in the checksum.
  void send_neighbour_message(Interface&, Address const& source, Address const& to, std::vector<std::byte> message);

  // Sees all packets of its kind from now on, until it is removed.
  void add_tap(Ref<PacketTap>);
  void remove_tap(PacketTap const&);
  // Before packets flow. It outlives the stack.
  void set_filter(PacketFilter* filter) { filter_ = filter; }

  // All queues of all endpoints together: false when it would be too much.
  bool may_charge(size_t n) const { return memory_.load(std::memory_order_relaxed) + n <= settings_.memory_limit; }
  void charge(int64_t difference) { memory_.fetch_add(static_cast<size_t>(difference), std::memory_order_relaxed); }
  size_t memory() const { return memory_.load(std::memory_order_relaxed); }

  std::atomic<size_t>& time_wait_count() { return time_waits_; }
  std::atomic<size_t>& orphan_count() { return orphans_; }  // connections whose user is gone

  // A packet that waited for a neighbour who did not answer.
  void unreachable(PacketPtr);

  // Puts the IP header that a packet came with before it again.
  static void push_ip_header(IpInfo const&, Packet&);
  // Sends a packet that has its IP header already.
  Result<void> send_whole(Path const&, Address const& destination, SendOptions const&, PacketPtr);

  void settle();

 private:
  friend class Neighbours;
  friend class Reassembly;
  friend class LoopbackLink;
  // stack.cc
  void work_off();
  void deliver(Interface&, PacketPtr);
  void queue_loopback(PacketPtr);
  bool drain(size_t shard, size_t& budget);
  // ethernet.cc
  void transmit_frame(Interface&, EthernetHeader const&, PacketPtr, PacketTap const* sender = nullptr);
  void receive_ethernet(Interface&, PacketPtr);
  void receive_arp(Interface&, Packet&);
  // ip_input.cc
  void receive_ipv4(Interface&, PacketPtr);
  void receive_ipv6(Interface&, PacketPtr);
  bool options_are_fine(IpInfo&, Packet&);
  // ipv6_extensions.cc
  bool skip_extension_headers(IpInfo&, PacketPtr&);
  void take_extension(IpInfo&, Packet&, size_t length);
  bool take_options_header(IpInfo&, Packet&);
  bool take_routing_header(IpInfo&, Packet&);
  bool take_fragment_header(IpInfo&, PacketPtr&);
  void send_problem(IpInfo const&, uint8_t code, size_t pointer, Packet&, bool even_to_groups);
  bool input_passes(FilterHook, IpInfo&, Packet&);
  bool filter_arrived(IpInfo&, Packet&);
  bool deliver_raw(IpInfo const&, Packet const&);  // raw_endpoint.cc: did anybody take it?
  void deliver_transport(IpInfo&, PacketPtr);
  void add_connected_route(Interface const&, Prefix const&);
  bool accepts(Interface&, IpInfo&) const;
  void receive_igmp(IpInfo const&, Packet&);
  // ip_output.cc
  Result<void> send_ipv4(Path const&, Address const&, Address const&, uint8_t protocol, SendOptions const&, PacketPtr);
  Result<void> send_ipv6(Path const&, Address const&, Address const&, uint8_t protocol, SendOptions const&, PacketPtr);
  Result<void> fragment_ipv4(Path const&, Address const& destination, uint32_t mtu, PacketPtr);
  Result<void> fragment_ipv6(Path const&, Address const& destination, uint32_t mtu, size_t extension, PacketPtr);
  // A message of IGMP or ICMPv6 to a group of the link; fills in the checksum.
  void send_on_link(Interface&, Address const& source, Address const& to, SendOptions const&,
                    std::vector<std::byte> message);
  Result<void> transmit(Path const&, Address const& destination, PacketPtr);
  void loop_back(Path const&, Address const& source, Address const& destination, SendOptions const&, Packet const&);
  bool output_passes(Path&, Address& destination, Packet&);
  // icmp.cc, icmpv6.cc
  void receive_icmp(IpInfo const&, PacketPtr);
  void receive_icmpv6(IpInfo const&, PacketPtr);
  void receive_mld(IpInfo const&, uint8_t type, Packet&);
  void receive_neighbour_message(IpInfo const&, IcmpHeader const&, Packet&);
  void send_icmp(Address const& source, Address const& destination, uint32_t interface, IcmpHeader, PacketPtr,
                 SendOptions const& = {});
  void answer_echo(IpInfo const&, uint8_t reply_type, uint32_t rest, PacketPtr);
  void answer_timestamp(IpInfo const&, uint32_t rest, Packet&);
  void send_error(IpInfo const&, uint8_t type, uint8_t code, uint32_t rest, Packet const& about,
                  bool even_to_groups = false);
  void deliver_echo(IpInfo const&, IcmpHeader const&, Packet const& body);
  void receive_icmp_error(IpInfo const&, IcmpHeader const&, Packet& quote);
  void report_error(IpInfo const& quoted, Bytes transport, IcmpError const&);
  bool may_send_error();
  // udp_endpoint.cc, tcp_listener.cc
  void receive_udp(IpInfo const&, PacketPtr);
  void receive_tcp(IpInfo const&, PacketPtr);

  // packet_tap.cc
  void tap(TappedPacket const&, Packet const&, PacketTap const* sender = nullptr);
  bool tapped() const { return tap_count_.load(std::memory_order_relaxed) != 0; }
  void notify_taps();

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
  Ref<Reassembly> reassembly_;
  Ports tcp_ports_, udp_ports_, echo_ports_;  // outlive the endpoints that the wheel and the table of connections keep
  TimerWheel wheel_;
  TcpDemux tcp_;
  mutable SharedMutex interfaces_mutex_;
  std::vector<std::unique_ptr<Interface>> interfaces_ GUARDED_BY(interfaces_mutex_);
  std::vector<Ref<Neighbours>> neighbours_ GUARDED_BY(interfaces_mutex_);  // null for links without them
  std::vector<Ref<Groups>> groups_ GUARDED_BY(interfaces_mutex_);
  std::vector<Ref<Autoconfiguration>> autoconfigurations_ GUARDED_BY(interfaces_mutex_);  // null where there is none
  RawTable raw_;
  PacketFilter* filter_ = nullptr;
  mutable SharedMutex taps_mutex_;
  std::vector<Ref<PacketTap>> taps_ GUARDED_BY(taps_mutex_);
  std::atomic<size_t> tap_count_{0};
  std::atomic<bool> taps_waiting_{false};  // some have seen what their users do not know of yet
  std::array<LoopbackShard, loopback_shards> loopback_;
  std::atomic<uint32_t> loopback_pending_{0};
  class Continuation;
  Ref<Continuation> continuation_;
  Mutex error_mutex_;
  Time error_credit_at_ GUARDED_BY(error_mutex_) = 0;  // a bucket of tokens, as a time (RFC 1812 4.3.2.8)
};

}  // namespace cofferdam::netstack
