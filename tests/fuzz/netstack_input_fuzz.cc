// A host that gets frames of the fuzzer's: an input is a list of them, each with a byte that says how to treat it.
// There are listeners and connections on it, so that what gets through meets them. Memory stays within the stack's
// bounds.
#include <cstdlib>

#include "netstack_fuzz_host.h"

using namespace cofferdam::netstack;
using namespace cofferdam::netstack::fuzz;

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  FuzzHost host;
  Bytes rest = std::as_bytes(std::span(data, size));
  while (rest.size() > 3) {
    uint8_t how = load8(rest, 0);
    size_t length = std::min<size_t>(load16(rest, 1), rest.size() - 3);
    Bytes body = rest.subspan(3, length);
    rest = rest.subspan(3 + length);
    if (how & 0x80) host.pass((how & 0x7f) * 50 * millisecond);
    auto p = std::make_unique<Packet>();
    size_t cut = how & 1 ? body.size() / 2 : body.size();  // in one piece or two
    p->append(View::copy_of(body.first(cut)));
    p->append(View::copy_of(body.subspan(cut)));
    p->checksum_verified = how & 2;  // sums would keep a fuzzer out
    host.stack.receive(how & 4 ? *host.ethernet : *host.plain, std::move(p));
    host.use();
  }
  if (host.stack.memory() > host.stack.settings().memory_limit + (1 << 20)) std::abort();
  return 0;
}
