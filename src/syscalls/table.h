// The system-call table, expanded from syscalls.def: dispatch, strace text, documentation.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "platform/platform.h"

namespace cofferdam::syscalls {

enum class Support { full, partial, none };

// The strace text of one argument.
using ShowArgument = std::string (*)(kernel::Task&, uint64_t);

struct Entry {
  std::string_view name;  // empty: no such number
  Support support = Support::none;
  std::string_view note;
  Result<uint64_t> (*invoke)(kernel::Task&, std::array<uint64_t, 6> const&) = nullptr;  // null: ENOSYS
  std::span<ShowArgument const> shown{};                                                // its arguments
};

inline constexpr size_t table_size = 512;
std::span<Entry const, table_size> table();

// What the kernel is given (kernel::SyscallDispatcher). A number without a handler is ENOSYS and is logged once.
kernel::SyscallDispatcher dispatcher();

}  // namespace cofferdam::syscalls
