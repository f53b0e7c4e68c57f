// Raw IP (raw(7)): whole packets of one protocol, with their header in IPv4.
#pragma once

#include <array>

#include "netstack/datagram_endpoint.h"

namespace cofferdam::netstack {

class RawEndpoint final : public DatagramEndpoint {
 public:
  static constexpr uint8_t any_header = 255;  // IPPROTO_RAW: for sending with a header of one's own; nothing arrives

  RawEndpoint(Stack& stack, bool v4, uint8_t protocol, Ref<EndpointObserver> observer);
  ~RawEndpoint() override;
  uint8_t protocol() const { return protocol_; }

  Result<void> bind(Address const& local, bool any_address = false);  // EADDRNOTAVAIL
  Result<void> connect(Peer const&);                                  // ENETUNREACH, EACCES
  void disconnect();
  void close();
  // The payload of one packet, or with header_included all of it. EDESTADDRREQ, EMSGSIZE, EINVAL (a header that makes
  // no sense, a checksum beyond the end), ENETUNREACH, EACCES; the pending error.
  Result<size_t> send(Chain, std::optional<Peer> to, SendOptions);

  std::atomic<bool> header_included{false};  // IP_HDRINCL, IPV6_HDRINCL
  // IPv6: where in the payload a checksum stands (IPV6_CHECKSUM); negative: nowhere.
  std::atomic<int> checksum_offset{-1};
  // Types that are not wanted, a bit each: ICMP_FILTER (the first word), ICMPV6_FILTER.
  void set_icmp_filter(std::array<uint32_t, 8> const& blocked);
  std::array<uint32_t, 8> icmp_filter() const;

  // From the stack. A packet without its IP header; false: it is not for this socket.
  bool deliver(IpInfo const&, Packet const&);
  void on_icmp(Address const& remote, IcmpError const&, Bytes transport);

 private:
  bool matches(IpInfo const&) const;
  bool blocked(Packet&) const;
  bool sum_is_right(IpInfo const&, Packet const&) const;
  Result<void> fill_checksum(std::vector<std::byte>&, Path const&, Address const& destination) const;
  Result<void> complete_header(std::vector<std::byte>&, Path const&) const;
  uint16_t port_locked() const override REQUIRES(mutex_) { return protocol_; }

  uint8_t const protocol_;
  std::array<uint32_t, 8> icmp_filter_ GUARDED_BY(mutex_){};
};

}  // namespace cofferdam::netstack
