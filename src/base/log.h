// The sentry's log: one line a message, to a descriptor given at start. Never called with guest bytes unescaped.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/core.h>

namespace cofferdam::log {

enum class Level : int { Error = 0, Warning = 1, Info = 2, Debug = 3 };
enum class Format : int { Text, Json };

struct Sink {  // process-wide by nature: a process has one log
  std::atomic<int> fd{2};
  std::atomic<Level> level{Level::Warning};
  std::atomic<Format> format{Format::Text};
};
Sink& sink();

inline bool enabled(Level l) { return l <= sink().level.load(std::memory_order_relaxed); }
void write_line(Level l, std::string_view message);

template <class... A>
void error(fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::Error)) write_line(Level::Error, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void warning(fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::Warning)) write_line(Level::Warning, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void info(fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::Info)) write_line(Level::Info, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void debug(fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::Debug)) write_line(Level::Debug, fmt::format(f, std::forward<A>(a)...));
}

// Guest text made safe to print: control characters and non-ASCII bytes as \xNN.
std::string escape(std::string_view guest_text);

}  // namespace cofferdam::log
