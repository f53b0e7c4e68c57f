// Guest addresses: an address and a type, never a pointer (architecture, law 3).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/result.h"

namespace cofferdam::kernel {

struct UserAddr {
  uint64_t value = 0;
  explicit operator bool() const { return value != 0; }
  friend auto operator<=>(UserAddr, UserAddr) = default;
};

// access_ok of Linux: nothing of it lies in the kernel's half. What it does not say is whether memory is there.
constexpr bool is_user_range(UserAddr address, uint64_t length) {
  constexpr uint64_t kernel_half = uint64_t{1} << 63;
  return address.value < kernel_half && length <= kernel_half - address.value;
}

// May be copied between guest and sentry: no pointers to follow, no padding that would leak sentry bytes.
// A struct with padding is copied by value-initialising it first (`T t{}` zeroes it under our flags): list it in
// AbiWithPadding by specialising.
template <class T>
inline constexpr bool abi_with_padding = false;
template <class T>
concept AbiSafe = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> &&
                  (std::has_unique_object_representations_v<T> || std::is_floating_point_v<T> || abi_with_padding<T>);

template <class T>
class UserPtr {
 public:
  constexpr UserPtr() = default;
  constexpr explicit UserPtr(UserAddr a) : address_(a) {}
  constexpr explicit UserPtr(uint64_t a) : address_{a} {}
  constexpr UserAddr address() const { return address_; }
  constexpr explicit operator bool() const { return address_.value != 0; }
  // The i-th element; EFAULT when the address would wrap.
  Result<UserPtr> at(size_t i) const {
    uint64_t offset, out;
    if (__builtin_mul_overflow(i, sizeof(T), &offset) || __builtin_add_overflow(address_.value, offset, &out))
      return fail(Errno::Fault);
    return UserPtr(UserAddr{out});
  }

 private:
  UserAddr address_;
};

// Untyped guest memory: (address, length in bytes). Checked when touched, not before.
struct UserSlice {
  UserAddr address;
  uint64_t length = 0;
};

// A NUL-terminated string in guest memory.
struct UserCString {
  UserAddr address;
  explicit operator bool() const { return address.value != 0; }
};

}  // namespace cofferdam::kernel
