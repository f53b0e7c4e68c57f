// Typed reading of a JSON tree that remembers the first thing that was wrong and where.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/json.h"

namespace cofferdam::oci {

// A place in the tree: the value there (null pointer: absent) and its path, as "process.args[1]".
class Reader {
 public:
  Reader(Json const* value, std::string path, std::string* error)
      : value_(value), path_(std::move(path)), error_(error) {}

  bool present() const { return value_ != nullptr; }
  Json const* value() const { return value_; }
  std::string const& path() const { return path_; }
  // Keeps the first message only.
  void complain(std::string_view why) const;

  // The member `key`; complains when this is present and no object.
  Reader at(std::string_view key) const;
  std::vector<Reader> items() const;                            // of a list
  std::vector<std::pair<std::string, Reader>> members() const;  // of an object

  void read(std::string& to) const;
  void read(bool& to) const;
  void read(int64_t& to) const {
    integer(to, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  }
  void read(uint64_t& to) const;
  void read(uint32_t& to) const { narrow(to); }
  void read(uint16_t& to) const { narrow(to); }
  void read(int& to) const { narrow(to); }
  template <class T>
  void read(std::optional<T>& to) const {
    if (!present()) return;
    T value{};
    read(value);
    to = value;
  }
  template <class T>
  void read(std::vector<T>& to) const {
    for (auto& item : items()) item.read(to.emplace_back());
  }
  void read(std::vector<std::pair<std::string, std::string>>& to) const;
  // As read, and complains when it is absent.
  template <class T>
  void require(T& to) const {
    if (!present()) complain("is missing");
    read(to);
  }

 private:
  void integer(int64_t& to, int64_t least, int64_t most) const;
  template <class T>
  void narrow(T& to) const {
    int64_t wide = to;
    integer(wide, std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
    to = static_cast<T>(wide);
  }

  Json const* value_;
  std::string path_;
  std::string* error_;
};

}  // namespace cofferdam::oci
