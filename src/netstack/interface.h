// Network interfaces and the links under them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "netstack/address.h"
#include "netstack/packet.h"

namespace cofferdam::netstack {

class Neighbours;

enum class LinkKind : uint8_t { Loopback, Ethernet, Ip /* packets without a link header */ };

struct LinkFacts {
  LinkKind kind = LinkKind::Ip;
  uint32_t mtu = 1500;
  HardwareAddress hardware{};
  uint32_t gso_max = 0;           // bytes of TCP payload that it cuts into segments by itself; 0: it does not
  bool checksum_offload = false;  // it fills in transport checksums where Packet::checksum_verified is set
};

// What carries packets. The stack is told of arrivals by Stack::receive.
class Link {
 public:
  virtual ~Link() = default;
  virtual LinkFacts facts() const = 0;
  // May be called with locks of the stack held: it does not block and does not call back.
  virtual void transmit(PacketPtr) = 0;
};

struct InterfaceCounters {
  std::atomic<uint64_t> received_packets{0}, received_bytes{0}, received_dropped{0}, received_errors{0};
  std::atomic<uint64_t> sent_packets{0}, sent_bytes{0}, sent_dropped{0}, multicast{0};
};

struct InterfaceAddress {
  Prefix prefix;
  std::string label;
  bool deprecated = false;  // spoken with where there is no other (RFC 4862 5.5.4)
};

class Interface {
 public:
  Interface(uint32_t index, std::string name, std::unique_ptr<Link> link);
  ~Interface();
  uint32_t index() const { return index_; }
  std::string const& name() const { return name_; }
  LinkFacts const& facts() const { return facts_; }
  bool is_loopback() const { return facts_.kind == LinkKind::Loopback; }
  uint32_t mtu() const { return mtu_.load(std::memory_order_relaxed); }
  void set_mtu(uint32_t mtu) { mtu_.store(mtu, std::memory_order_relaxed); }
  // Of IPv6, where a router says less than the link can carry.
  uint32_t ipv6_mtu() const { return std::min(mtu(), advertised_mtu_.load(std::memory_order_relaxed)); }
  void set_ipv6_mtu(uint32_t mtu) { advertised_mtu_.store(mtu, std::memory_order_relaxed); }
  // Of IPv6, as a router says; 0: the default.
  uint8_t hop_limit() const { return hop_limit_.load(std::memory_order_relaxed); }
  void set_hop_limit(uint8_t hops) { hop_limit_.store(hops, std::memory_order_relaxed); }
  bool up() const { return up_.load(std::memory_order_relaxed); }
  void set_up(bool up) { up_.store(up, std::memory_order_relaxed); }
  Link& link() { return *link_; }
  InterfaceCounters& counters() { return counters_; }

  std::vector<InterfaceAddress> addresses() const;
  bool add_address(InterfaceAddress);  // false: it has it
  bool remove_address(Address const&);
  bool has_address(Address const&) const;
  void set_deprecated(Address const&, bool);
  // An IPv4 address that all hosts of one of its networks listen to.
  bool is_broadcast(Address const&) const;
  // The address to speak to `destination` with; any() when there is none of its family.
  Address source_for(Address const& destination) const;
  Address link_local() const;  // of IPv6; ::: there is none

 private:
  uint32_t const index_;
  std::string const name_;
  std::unique_ptr<Link> const link_;
  LinkFacts const facts_;
  std::atomic<uint32_t> mtu_;
  std::atomic<uint32_t> advertised_mtu_{UINT32_MAX};
  std::atomic<uint8_t> hop_limit_{0};
  std::atomic<bool> up_{true};
  InterfaceCounters counters_;
  mutable SharedMutex mutex_;
  std::vector<InterfaceAddress> addresses_ GUARDED_BY(mutex_);
};

}  // namespace cofferdam::netstack
