// A JSON value, and text to and from it. Parsing is bounded in size and depth and reports where it stopped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/outcome.h"

namespace cofferdam::oci {

class Json;
using JsonArray = std::vector<Json>;
using JsonMember = std::pair<std::string, Json>;
using JsonObject = std::vector<JsonMember>;  // in the order of the text

class Json {
 public:
  Json() = default;
  Json(std::nullptr_t) {}
  Json(bool b) : value_(b) {}
  Json(int64_t n) : value_(n) {}
  Json(uint64_t n) : value_(n) {}
  Json(int n) : value_(static_cast<int64_t>(n)) {}
  Json(uint32_t n) : value_(static_cast<uint64_t>(n)) {}
  Json(double d) : value_(d) {}
  Json(std::string s) : value_(std::move(s)) {}
  Json(std::string_view s) : value_(std::string(s)) {}
  Json(char const* s) : value_(std::string(s)) {}
  Json(JsonArray a) : value_(std::move(a)) {}
  Json(JsonObject o) : value_(std::move(o)) {}

  template <class T>
  T const* as() const {
    return std::get_if<T>(&value_);
  }
  template <class T>
  T* as() {
    return std::get_if<T>(&value_);
  }
  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  // "an object", "a string", … : for messages.
  std::string_view kind() const;
  // The member of an object, the last one if the text has it twice; null pointer if it is absent or null.
  Json const* find(std::string_view key) const;

 private:
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, JsonArray, JsonObject> value_;
};

inline constexpr size_t max_json_bytes = 16 << 20;
inline constexpr size_t max_json_depth = 64;

// RFC 8259. The message says what is wrong at which line and column.
Outcome<Json> parse_json(std::string_view text);

enum class Layout { Compact, Indented };  // Indented: two spaces a level, as runc prints its state
std::string print_json(Json const& value, Layout layout = Layout::Compact);

}  // namespace cofferdam::oci
