// Words of a case's calls that both subjects understand.
#pragma once

#include <charconv>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "fields.h"

namespace cofferdam::wire {

using Words = std::vector<std::string>;

inline std::string argument(Words const& w, size_t i, std::string const& fallback = "") {
  return i < w.size() ? w[i] : fallback;
}
inline int number_argument(Words const& w, size_t i, int fallback) {
  if (i >= w.size()) return fallback;
  int value = 0;
  auto const [end, error] = std::from_chars(w[i].data(), w[i].data() + w[i].size(), value);
  if (error != std::errc() || end != w[i].data() + w[i].size())
    throw std::runtime_error(fmt::format("'{}' is no number", w[i]));
  return value;
}
inline bool has_word(Words const& w, std::string const& word) {
  for (size_t i = 2; i < w.size(); ++i)
    if (w[i] == word) return true;
  return false;
}

// "\\x08" stands for a byte.
inline std::string unescaped(std::string const& text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] == 'x') {
      bytes += static_cast<char>(std::stoul(text.substr(i + 2, 2), nullptr, 16));
      i += 3;
    } else {
      bytes += text[i];
    }
  }
  return bytes;
}

inline std::string printable(std::string const& bytes) {
  std::string text;
  for (char const c : bytes)
    text += c < ' ' || c > '~' ? fmt::format("\\x{:02x}", static_cast<uint8_t>(c)) : std::string(1, c);
  return text;
}

// What `write` and `send` send: a text, or so many bytes of the stream's pattern from `at` on.
inline std::string content(std::string const& what, uint32_t at) {
  if (!what.empty() && what[0] == '"') return unescaped(what.substr(1));
  Words const one{what};
  std::string bytes(static_cast<size_t>(number_argument(one, 0, 0)), 0);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = pattern_at(at + static_cast<uint32_t>(i));
  return bytes;
}

// What `read` tells: the text itself, or how much of the pattern it was.
inline std::string told(std::string const& bytes, uint32_t at, bool as_text) {
  if (as_text) return "\"" + bytes;
  for (size_t i = 0; i < bytes.size(); ++i)
    if (bytes[i] != pattern_at(at + static_cast<uint32_t>(i))) return "\"" + bytes;
  return std::to_string(bytes.size());
}

}  // namespace cofferdam::wire
