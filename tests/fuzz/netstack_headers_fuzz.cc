// Each header parser of the TCP/IP stack on any bytes: what it accepts lies within what it was given, and what it
// writes it reads back.
#include <cstdlib>
#include <vector>

#include "netstack/headers.h"

using namespace cofferdam::netstack;

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

void tcp(Bytes b) {
  size_t length = TcpHeader::length_of(b);
  if (length == 0 || length > b.size()) return;
  auto h = TcpHeader::parse(b.first(length));
  check(h.has_value() && h->header_length == length && length <= 60);
  auto const& o = h->options;
  check(o.sack_count <= TcpOptions::max_sack_blocks);
  check(!o.window_scale || *o.window_scale <= 14);
  if (o.length() > 40) return;  // more than one header has room for: only what was read twice
  std::vector<std::byte> again(TcpHeader::minimum + o.length());
  h->write(again);
  auto r = TcpHeader::parse(again);
  check(r.has_value() && r->sequence == h->sequence && r->flags == h->flags && r->options.mss == o.mss &&
        r->options.window_scale == o.window_scale && r->options.sack_count == o.sack_count &&
        r->options.sack_permitted == o.sack_permitted && r->options.has_timestamps == o.has_timestamps &&
        r->options.echo == o.echo);
}

void ip(Bytes b) {
  size_t length = Ipv4Header::length_of(b);
  check(length == 0 || (length >= Ipv4Header::minimum && length <= 60));
  for (bool sum : {false, true})
    if (auto h = Ipv4Header::parse(b, sum)) check(h->header_length <= b.size() && h->total_length >= h->header_length);
  if (auto h = Ipv6Header::parse(b)) {
    std::vector<std::byte> again(Ipv6Header::size);
    h->write(again);
    check(std::equal(again.begin(), again.end(), b.begin()));
  }
  if (b.size() >= Ipv6FragmentHeader::size) check(Ipv6FragmentHeader::parse(b).offset % 8 == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  Bytes b = std::as_bytes(std::span(data, size));
  tcp(b);
  ip(b);
  TcpOptions::parse(b);
  if (auto h = UdpHeader::parse(b)) check(h->length >= UdpHeader::size);
  IcmpHeader::parse(b);
  EthernetHeader::parse(b);
  if (auto a = ArpPacket::parse(b)) {
    std::vector<std::byte> again(ArpPacket::size);
    a->write(again);
    check(std::equal(again.begin(), again.end(), b.begin()));
  }
  return 0;
}
