// When packets arrived, as a socket's user wants to be told: SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING (socket(7)).
#pragma once

#include <atomic>

#include "kernel/ipc/socket.h"
#include "netstack/time.h"

namespace cofferdam::inet {

class Timestamps {
 public:
  // Is the option (of SOL_SOCKET) one of these?
  static bool is_option(int name);
  // EINVAL: SO_TIMESTAMPING with what this kernel does not have (anything about sending, about hardware).
  Result<void> set(int name, int value);
  int get(int name) const;
  // The ancillary data about a packet that arrived then (CLOCK_MONOTONIC).
  void add(netstack::Time arrival, kernel::ControlData&) const;
  void copy_from(Timestamps const& o) {
    kind_ = o.kind_.load();
    flags_ = o.flags_.load();
    new_flags_ = o.new_flags_.load();
  }

 private:
  enum class Kind : uint8_t { None, Microseconds, Nanoseconds, MicrosecondsNew, NanosecondsNew };
  std::atomic<Kind> kind_{Kind::None};
  std::atomic<int> flags_{0};  // of SO_TIMESTAMPING
  std::atomic<bool> new_flags_{false};
};

// SIOCGSTAMP and SIOCGSTAMPNS: when the last packet arrived that was read. ENOENT: 0, none was.
bool is_stamp_request(uint32_t ioctl);
Result<uint64_t> tell_stamp(kernel::Task&, uint32_t ioctl, uint64_t argument, netstack::Time arrival);

// The wall clock's time of a moment on CLOCK_MONOTONIC.
int64_t wall_clock_ns(netstack::Time);

}  // namespace cofferdam::inet
