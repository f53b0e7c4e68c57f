// Bytes of the control protocol: little-endian numbers, length-prefixed strings. The reader trusts nothing.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace cofferdam::container {

class WireWriter {
 public:
  template <class T>
    requires std::is_integral_v<T> || std::is_enum_v<T>
  void number(T value) {
    bytes_.append(reinterpret_cast<char const*>(&value), sizeof value);
  }
  void text(std::string_view s) {
    number(static_cast<uint32_t>(s.size()));
    bytes_ += s;
  }
  void texts(std::vector<std::string> const& list) {
    number(static_cast<uint32_t>(list.size()));
    for (auto& s : list) text(s);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// After the first read past the end every read gives zero and ok() is false.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}
  template <class T>
    requires std::is_integral_v<T> || std::is_enum_v<T>
  T number() {
    T value{};
    if (rest_.size() < sizeof value) {
      ok_ = false;
      rest_ = {};
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  bool flag() { return number<uint8_t>() != 0; }
  std::string text() {
    auto n = number<uint32_t>();
    if (rest_.size() < n) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    std::string s(rest_.substr(0, n));
    rest_.remove_prefix(n);
    return s;
  }
  std::vector<std::string> texts() {
    auto n = number<uint32_t>();
    std::vector<std::string> list;
    for (uint32_t i = 0; i < n && ok_; ++i) list.push_back(text());  // each takes at least 4 bytes of what is there
    return list;
  }
  // An element count: never more than the bytes left could hold.
  uint32_t count(size_t least_bytes_each) {
    auto n = number<uint32_t>();
    if (n <= rest_.size() / least_bytes_each) return n;
    ok_ = false;
    rest_ = {};
    return 0;
  }
  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace cofferdam::container
