// A connection that the fuzzer is the other end of: each four bytes and more are a segment near what the connection
// expects, so that most are acceptable. The connection must neither crash nor grow without bound, and what it gives its
// user must not be longer than what was sent.
#include <cstdlib>

#include "netstack_fuzz_host.h"

using namespace cofferdam::netstack;
using namespace cofferdam::netstack::fuzz;

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  if (size < 4) return 0;
  FuzzHost host;
  Bytes rest = std::as_bytes(std::span(data, size));
  uint8_t first = load8(rest, 0);
  auto connection = host.open(first & 1, first & 2, first & 4);
  if (!connection) return 0;
  size_t given = 0, read = 0;
  for (rest = rest.subspan(1); rest.size() >= 8; rest = rest.subspan(8)) {
    TcpHeader h;
    h.flags = load8(rest, 0);
    h.sequence = host.peer_next + static_cast<uint32_t>(static_cast<int8_t>(load8(rest, 1)) * 100);
    h.acknowledgment = host.own_next() + static_cast<uint32_t>(static_cast<int8_t>(load8(rest, 2)) * 200);
    h.window = static_cast<uint16_t>(load8(rest, 3) * 257);
    size_t length = load8(rest, 4) * 8u;
    uint8_t extra = load8(rest, 5);
    if (extra & 1) {
      h.options.sack_count = 1;
      auto start = host.own_next() + static_cast<uint32_t>(static_cast<int8_t>(load8(rest, 6)) * 64);
      h.options.sack[0] = {start, start + load8(rest, 7) * 64u};
    }
    if (extra & 2) {
      h.options.has_timestamps = true;
      h.options.timestamp = load8(rest, 6);
      h.options.echo = load8(rest, 7);
    }
    given += length;
    host.send(h, length);
    if (extra & 4) host.pass(load8(rest, 6) * 20 * millisecond);
    if (extra & 8) {
      auto room = connection->send_room();
      Chain c;
      std::vector<std::byte> bytes(room ? std::min<size_t>(*room, load8(rest, 7) * 100u) : 0);
      c.append_copy(bytes);
      if (!bytes.empty()) static_cast<void>(connection->send(std::move(c), extra & 16));
    }
    if (extra & 32)
      if (auto got = connection->peek(0, 4096)) {
        read += got->size();
        connection->consume(got->size());
      }
    if (extra == 0xff) static_cast<void>(connection->shutdown(false, true));
  }
  if (read > given) std::abort();
  connection->close(first & 8);
  host.pass(300 * second);
  return 0;
}
