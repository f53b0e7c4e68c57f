#include "jail/time_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <fmt/format.h>

#include "host/fd.h"

namespace cofferdam::jail {

namespace {

constexpr int new_time_namespace = 0x80;  // CLONE_NEWTIME

std::unexpected<std::string> no_time_namespace(std::string_view step) {
  return refuse(
      fmt::format("linux.timeOffsets: cannot give the sandbox clocks of its own: {}: {}", step, strerror(errno)));
}

}  // namespace

Outcome<> enter_time_namespace(std::vector<ClockOffset> const& offsets) {
  if (offsets.empty()) return {};
  // unshare makes the namespace for children; offsets can be set until somebody is in it.
  if (::unshare(new_time_namespace) != 0) return no_time_namespace("unshare");
  host::OwnedFd file(::open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC));
  if (!file) return no_time_namespace("open /proc/self/timens_offsets");
  for (auto& offset : offsets) {
    std::string const line = fmt::format("{} {} {}\n", offset.clock, offset.seconds, offset.nanoseconds);
    if (::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
      return no_time_namespace("write /proc/self/timens_offsets");
  }
  host::OwnedFd own(::open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC));
  if (!own || ::setns(own.get(), new_time_namespace) != 0) return no_time_namespace("setns");
  return {};
}

}  // namespace cofferdam::jail
