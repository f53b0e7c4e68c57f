// Outcome<T>: a value, or one line for people that says what was tried, on what, why it failed and what to do.
// For the code around the sandbox (command line, bundles, life cycle); inside the kernel it is Result<T>.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace cofferdam {

template <class T = void>
using Outcome = std::expected<T, std::string>;

inline std::unexpected<std::string> refuse(std::string message) { return std::unexpected(std::move(message)); }

}  // namespace cofferdam

// Unwraps an Outcome, or returns its message from the enclosing function.
#define ATTEMPT(...)                                       \
  ({                                                       \
    auto attempt_ = (__VA_ARGS__);                         \
    if (!attempt_) [[unlikely]]                            \
      return std::unexpected(std::move(attempt_).error()); \
    std::move(attempt_).value();                           \
  })
