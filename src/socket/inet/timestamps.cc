#include "socket/inet/timestamps.h"

#include <linux/net_tstamp.h>

#include <array>

#include "kernel/task/task.h"
#include "kernel/time/clock.h"

namespace cofferdam::inet {

namespace {

constexpr int timestamp_old = 29, timestampns_old = 35, timestamping_old = 37, timestamp_new = 63, timestampns_new = 64,
              timestamping_new = 65;
constexpr uint32_t get_stamp = 0x8906, get_stamp_ns = 0x8907;  // SIOCGSTAMP_OLD, SIOCGSTAMPNS_OLD
constexpr int known_flags = (1 << 19) - 1;                     // SOF_TIMESTAMPING_MASK of Linux 6.12
// Software timestamps of what arrives. Those that ask a device for its own are allowed, and none has any.
constexpr int allowed_flags = SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
                              SOF_TIMESTAMPING_SYS_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE | SOF_TIMESTAMPING_OPT_CMSG;

template <class T>
void add_control(kernel::ControlData& to, int type, T const& value) {
  auto const b = std::as_bytes(std::span(&value, 1));
  to.others.push_back({SOL_SOCKET, type, {b.begin(), b.end()}});
}

}  // namespace

int64_t wall_clock_ns(netstack::Time t) {
  return kernel::host_now(CLOCK_REALTIME) - (kernel::host_now(CLOCK_MONOTONIC) - t);
}

bool is_stamp_request(uint32_t ioctl) { return ioctl == get_stamp || ioctl == get_stamp_ns; }

Result<uint64_t> tell_stamp(kernel::Task& task, uint32_t ioctl, uint64_t argument, netstack::Time arrival) {
  if (arrival == 0) return fail(Errno::NoEnt);
  int64_t const at = wall_clock_ns(arrival);
  if (ioctl == get_stamp)
    TRY(task.write(kernel::UserPtr<timeval>(argument), kernel::to_timeval(at)));
  else
    TRY(task.write(kernel::UserPtr<timespec>(argument), kernel::to_timespec(at)));
  return 0;
}

bool Timestamps::is_option(int name) {
  return name == timestamp_old || name == timestampns_old || name == timestamping_old || name == timestamp_new ||
         name == timestampns_new || name == timestamping_new;
}

Result<void> Timestamps::set(int name, int value) {
  if (name == timestamping_old || name == timestamping_new) {
    if (value & ~known_flags) return fail(Errno::Inval);
    if (value & ~allowed_flags) return fail(Errno::OpNotSupp);
    flags_ = value;
    new_flags_ = name == timestamping_new;
    return {};
  }
  Kind const wanted = name == timestamp_old     ? Kind::Microseconds
                      : name == timestampns_old ? Kind::Nanoseconds
                      : name == timestamp_new   ? Kind::MicrosecondsNew
                                                : Kind::NanosecondsNew;
  kind_ = value != 0 ? wanted : Kind::None;
  return {};
}

int Timestamps::get(int name) const {
  switch (name) {
    case timestamp_old:
      return kind_ == Kind::Microseconds ? 1 : 0;
    case timestampns_old:
      return kind_ == Kind::Nanoseconds ? 1 : 0;
    case timestamp_new:
      return kind_ == Kind::MicrosecondsNew ? 1 : 0;
    case timestampns_new:
      return kind_ == Kind::NanosecondsNew ? 1 : 0;
    default:
      return flags_;
  }
}

// The numbers of old and new differ; on 64-bit machines the structures do not.
void Timestamps::add(netstack::Time arrival, kernel::ControlData& to) const {
  Kind const kind = kind_;
  constexpr int both = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
  bool const stamping = (flags_ & both) == both;
  if (kind == Kind::None && !stamping) return;
  int64_t const at = wall_clock_ns(arrival);
  if (kind == Kind::Nanoseconds || kind == Kind::NanosecondsNew)
    add_control(to, kind == Kind::Nanoseconds ? timestampns_old : timestampns_new, kernel::to_timespec(at));
  else if (kind != Kind::None)
    add_control(to, kind == Kind::Microseconds ? timestamp_old : timestamp_new, kernel::to_timeval(at));
  // scm_timestamping: software, nothing, hardware.
  if (stamping)
    add_control(to, new_flags_ ? timestamping_new : timestamping_old,
                std::array<timespec, 3>{kernel::to_timespec(at), {}, {}});
}

}  // namespace cofferdam::inet
