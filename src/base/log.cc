#include "base/log.h"

#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

namespace cofferdam::log {

Sink& sink() {
  static Sink s;
  return s;
}

static std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\')
      out += {'\\', static_cast<char>(c)};
    else if (c < 0x20)
      out += fmt::format("\\u{:04x}", c);
    else
      out += static_cast<char>(c);
  }
  return out + "\"";
}

void write_line(Level l, std::string_view message) {
  static constexpr std::string_view names[] = {"error", "warning", "info", "debug"};
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char stamp[32];
  size_t n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  std::string_view time(stamp, n), level = names[static_cast<int>(l)];
  std::string line;
  if (sink().format.load(std::memory_order_relaxed) == Format::Json)
    line = fmt::format("{{\"level\":\"{}\",\"msg\":{},\"time\":\"{}.{:06}Z\"}}\n", level, json_string(message), time,
                       now.tv_nsec / 1000);
  else
    line = fmt::format("{}.{:06}Z {:<7} {}\n", time, now.tv_nsec / 1000, level, message);
  // A log that cannot be written is lost; there is nobody to tell.
  [[maybe_unused]] auto written = ::write(sink().fd.load(std::memory_order_relaxed), line.data(), line.size());
}

std::string escape(std::string_view guest_text) {
  std::string out;
  for (unsigned char c : guest_text) {
    if (c >= 0x20 && c < 0x7f && c != '\\')
      out += static_cast<char>(c);
    else
      out += fmt::format("\\x{:02x}", c);
  }
  return out;
}

}  // namespace cofferdam::log
