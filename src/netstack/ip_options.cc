#include "netstack/ip_options.h"

#include <algorithm>

namespace cofferdam::netstack {
namespace {

constexpr size_t fixed_header = 20;
constexpr uint8_t end_of_list = 0, padding = 1, record_route = 7, timestamps = 68, loose_route = 131,
                  strict_route = 137, alert = 148;

// One option, whole. Offsets count from its own first byte.
class Option {
 public:
  Option(MutableBytes bytes, Address const& own, uint32_t time) : b_(bytes), own_(own), time_(time) {}

  // Where in the option something is wrong.
  std::optional<size_t> read(Ipv4Options& all) {
    switch (load8(b_, 0)) {
      case record_route:
        return record(all);
      case timestamps:
        return stamp(all);
      case loose_route:
      case strict_route:
        if (b_.size() < 3) return 1;
        if (pointer() < 4) return 2;
        if (all.source_route) return 0;
        all.source_route = true;
        return std::nullopt;
      case alert:
        if (b_.size() < 4) return 1;
        all.router_alert = load16(b_, 2) == 0;
        return std::nullopt;
      default:
        return std::nullopt;
    }
  }

 private:
  size_t pointer() const { return load8(b_, 2); }
  void enter_address(MutableBytes to, size_t at) {
    std::ranges::copy(own_.v4_bytes(), to.begin() + static_cast<ptrdiff_t>(at));
  }

  void take_along(Ipv4Options& all, std::vector<std::byte> const& copy) {
    all.for_answer.insert(all.for_answer.end(), copy.begin(), copy.end());
  }

  std::optional<size_t> record(Ipv4Options& all) {
    if (b_.size() < 3) return 1;
    if (pointer() < 4) return 2;
    bool const room = pointer() <= b_.size();
    if (room) {
      if (pointer() + 3 > b_.size()) return 2;
      enter_address(b_, pointer() - 1);
      store8(b_, 2, static_cast<uint8_t>(pointer() + 4));
    }
    std::vector<std::byte> copy(b_.begin(), b_.end());
    if (room && pointer() <= b_.size()) {  // and once more, as the answer's first host
      if (pointer() + 3 > b_.size()) return 2;
      enter_address(copy, pointer() - 1);
      store8(copy, 2, static_cast<uint8_t>(pointer() + 4));
    }
    take_along(all, copy);
    return std::nullopt;
  }

  // Of the three kinds that with times alone, and that with addresses; named addresses are left as they are.
  std::optional<size_t> stamp(Ipv4Options& all) {
    constexpr uint8_t times = 0, with_addresses = 1, named = 3;
    if (b_.size() < 4) return 1;
    if (pointer() < 5) return 2;
    uint8_t const kind = load8(b_, 3) & 0xf;
    if (pointer() > b_.size()) {  // no room any more: it counts those who found none
      uint8_t const overflow = load8(b_, 3) >> 4;
      if (overflow == 15) return 3;
      store8(b_, 3, static_cast<uint8_t>(load8(b_, 3) + 0x10));
      take_along(all, {b_.begin(), b_.end()});
      return std::nullopt;
    }
    if (kind != times && kind != with_addresses && kind != named) return 3;
    size_t const each = kind == times ? 4 : 8;
    if (pointer() + each - 1 > b_.size()) return 2;
    std::vector<std::byte> copy(b_.begin(), b_.end());
    if (kind != named) {
      enter_stamp(b_, kind == with_addresses);
      copy.assign(b_.begin(), b_.end());
      if (pointer() + each - 1 <= b_.size()) enter_stamp(copy, kind == with_addresses);
    }
    take_along(all, copy);
    return std::nullopt;
  }

  void enter_stamp(MutableBytes to, bool with_address) {
    size_t at = load8(to, 2) - 1u;
    if (with_address) {
      enter_address(to, at);
      at += 4;
    }
    store32(to, at, time_);
    store8(to, 2, static_cast<uint8_t>(at + 5));
  }

  MutableBytes b_;
  Address const& own_;
  uint32_t time_;
};

}  // namespace

Ipv4Options read_ipv4_options(MutableBytes options, Address const& own, uint32_t time_of_day) {
  Ipv4Options found;
  for (size_t at = 0; at < options.size();) {
    uint8_t const type = load8(options, at);
    if (type == end_of_list) break;
    if (type == padding) {
      ++at;
      continue;
    }
    size_t const length = at + 1 < options.size() ? load8(options, at + 1) : 0;
    if (length < 2 || at + length > options.size()) {
      found.error = fixed_header + at;
      return found;
    }
    if (auto wrong = Option(options.subspan(at, length), own, time_of_day).read(found)) {
      found.error = fixed_header + at + *wrong;
      return found;
    }
    at += length;
  }
  while (found.for_answer.size() % 4 != 0) found.for_answer.push_back(std::byte{});
  return found;
}

}  // namespace cofferdam::netstack
