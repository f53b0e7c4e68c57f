// Register words to typed arguments, and typed arguments to strace text. A handler's parameter types are its argument
// specification: conversions live here and nowhere else.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

#include <fmt/core.h>

#include "base/log.h"
#include "base/result.h"
#include "kernel/task/task.h"
#include "kernel/user_memory.h"

namespace cofferdam::syscalls {

using kernel::Task;
using kernel::UserAddr;
using kernel::UserCString;
using kernel::UserPtr;
using kernel::UserSlice;

// A descriptor argument: 32 bits, signed. AT_FDCWD is -100.
struct Fd {
  int value;
};
struct FileMode {
  uint32_t bits;
};
struct SignalNumber {
  int value;
};

// Flag words of a family: only the bits in Allowed pass, others are `Wrong` (EINVAL by default).
template <class Tag, uint64_t Allowed, Errno Wrong = Errno::Inval>
struct Flags {
  uint64_t bits = 0;
  constexpr bool has(uint64_t f) const { return (bits & f) == f; }
};

template <class T>
struct SyscallArgument;

template <std::integral T>
struct SyscallArgument<T> {
  static Result<T> from(uint64_t w) { return static_cast<T>(w); }
  static std::string show(Task&, T v) {
    if constexpr (std::is_unsigned_v<T>)
      if (static_cast<uint64_t>(v) > 0xffff) return fmt::format("{:#x}", v);
    return fmt::format("{}", v);
  }
};
template <>
struct SyscallArgument<Fd> {
  static Result<Fd> from(uint64_t w) { return Fd{static_cast<int>(w)}; }
  static std::string show(Task&, Fd f) { return f.value == -100 ? "AT_FDCWD" : fmt::format("{}", f.value); }
};
template <>
struct SyscallArgument<FileMode> {
  static Result<FileMode> from(uint64_t w) { return FileMode{static_cast<uint32_t>(w)}; }
  static std::string show(Task&, FileMode m) { return fmt::format("{:#o}", m.bits); }
};
template <>
struct SyscallArgument<SignalNumber> {
  static Result<SignalNumber> from(uint64_t w) { return SignalNumber{static_cast<int>(w)}; }
  static std::string show(Task&, SignalNumber s) { return fmt::format("{}", s.value); }
};
template <>
struct SyscallArgument<UserAddr> {
  static Result<UserAddr> from(uint64_t w) { return UserAddr{w}; }
  static std::string show(Task&, UserAddr a) { return a ? fmt::format("{:#x}", a.value) : "NULL"; }
};
template <>
struct SyscallArgument<UserCString> {
  static Result<UserCString> from(uint64_t w) { return UserCString{UserAddr{w}}; }
  static std::string show(Task& t, UserCString s) {
    if (!s) return "NULL";
    auto text = t.read_string(s, 256);
    return text ? fmt::format("\"{}\"", log::escape(*text)) : fmt::format("{:#x}", s.address.value);
  }
};
template <class T>
struct SyscallArgument<UserPtr<T>> {
  static Result<UserPtr<T>> from(uint64_t w) { return UserPtr<T>(UserAddr{w}); }
  static std::string show(Task&, UserPtr<T> p) { return p ? fmt::format("{:#x}", p.address().value) : "NULL"; }
};
template <class Tag, uint64_t Allowed, Errno Wrong>
struct SyscallArgument<Flags<Tag, Allowed, Wrong>> {
  using F = Flags<Tag, Allowed, Wrong>;
  static Result<F> from(uint64_t w) {
    if (w & ~Allowed) return fail(Wrong);
    return F{w};
  }
  static std::string show(Task&, F f) { return fmt::format("{:#x}", f.bits); }
};

}  // namespace cofferdam::syscalls
