// Who is under test: our stack on a virtual clock, or Linux behind a tap device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netstack/bytes.h"
#include "netstack/time.h"

namespace cofferdam::wire {

using netstack::Bytes;
using netstack::Time;

struct Frame {
  std::vector<std::byte> bytes;
  Time at = 0;
};

class Subject {
 public:
  virtual ~Subject() = default;
  virtual Time now() = 0;
  virtual void wait_until(Time) = 0;
  virtual void inject(Bytes frame) = 0;
  // The next frame that was sent at or before `until`; waits for it.
  virtual std::optional<Frame> next(Time until) = 0;
  // A call of the program's, as words ("write c 100"); the result as a word: a number, "ok", "EAGAIN", …
  virtual std::string call(std::vector<std::string> const& words) = 0;
  // How far a time may be off: a virtual clock is exact but for the wheel's tick.
  struct Tolerance {
    Time early, late;
    double share;  // of the interval, on top
  };
  virtual Tolerance tolerance() const = 0;
};

struct Setup {
  uint32_t mtu = 1500;
  bool v4 = true;              // what the calls speak
  bool neighbours = true;      // the peer's and the gateway's hardware address is known
  bool addresses = true;       // 10.0.0.1/24, fd00::1/64 and fe80::1/64
  bool autoconfigure = false;  // it asks routers, and probes addresses that it makes
};

std::unique_ptr<Subject> make_stack_subject(Setup const&);
// Needs CAP_SYS_ADMIN and CAP_NET_ADMIN; enters a new network namespace. Throws std::runtime_error.
std::unique_ptr<Subject> make_linux_subject(Setup const&);

}  // namespace cofferdam::wire
