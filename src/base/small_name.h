// A short text in 16 bytes, for objects of which there are very many: up to 15 bytes stand inside.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace cofferdam {

class SmallName {
 public:
  // Names of files: longer ones do not exist.
  static constexpr size_t max_length = 255;

  SmallName() = default;
  // At most max_length bytes; what is behind them is left out.
  explicit SmallName(std::string_view text) { assign(text.substr(0, max_length)); }
  SmallName(SmallName&& o) noexcept { swap(o); }
  SmallName& operator=(SmallName&& o) noexcept {
    swap(o);
    return *this;
  }
  SmallName(SmallName const&) = delete;
  SmallName& operator=(SmallName const&) = delete;
  ~SmallName() {
    if (!is_inside()) delete[] outside();
  }

  std::string_view view() const { return {is_inside() ? bytes_ : outside(), length()}; }
  bool empty() const { return length() == 0; }
  void swap(SmallName& o) noexcept {
    char other[sizeof bytes_];
    std::memcpy(other, o.bytes_, sizeof other);
    std::memcpy(o.bytes_, bytes_, sizeof other);
    std::memcpy(bytes_, other, sizeof other);
  }
  friend bool operator==(SmallName const& a, std::string_view b) { return a.view() == b; }

 private:
  static constexpr size_t most_inside = 15;
  size_t length() const { return static_cast<uint8_t>(bytes_[most_inside]); }
  bool is_inside() const { return length() <= most_inside; }
  char* outside() const {
    char* pointer;
    std::memcpy(&pointer, bytes_, sizeof pointer);
    return pointer;
  }
  void assign(std::string_view text) {
    char* to = bytes_;
    if (text.size() > most_inside) {
      to = new char[text.size()];
      std::memcpy(bytes_, &to, sizeof to);
    }
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
    bytes_[most_inside] = static_cast<char>(text.size());
  }

  alignas(8) char bytes_[most_inside + 1] = {};  // the last one: the length
};

}  // namespace cofferdam
