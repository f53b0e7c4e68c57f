// The numbers of a kernel's namespaces.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernel/namespace/namespace.h"

namespace cofferdam::kernel {

class NamespaceNumbers {
 public:
  // `initial` for the first of a kind, then one after the other.
  uint32_t take(NamespaceKind, uint32_t initial);

 private:
  static constexpr uint32_t first_dynamic = 0xF0000000;  // PROC_DYNAMIC_FIRST of Linux
  std::atomic<uint32_t> initial_taken_{0}, next_{first_dynamic + 2};
};

}  // namespace cofferdam::kernel
