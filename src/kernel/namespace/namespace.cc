#include "kernel/namespace/namespace.h"

#include <sched.h>

#include <array>
#include <utility>

#include "kernel/kernel.h"

namespace cofferdam::kernel {
namespace {

struct KindFacts {
  std::string_view name;
  uint64_t flag;
  uint32_t initial_number;
};

constexpr uint64_t new_time_flag = 0x80;  // CLONE_NEWTIME

// In the order of NamespaceKind. Linux's initial mount and network namespaces have no number of their own: made-up
// ones.
constexpr std::array<KindFacts, 8> facts{{{"cgroup", CLONE_NEWCGROUP, 0xEFFFFFFB},
                                          {"ipc", CLONE_NEWIPC, 0xEFFFFFFF},
                                          {"mnt", CLONE_NEWNS, 0xEFFFFFF8},
                                          {"net", CLONE_NEWNET, 0xEFFFFFF9},
                                          {"pid", CLONE_NEWPID, 0xEFFFFFFC},
                                          {"time", new_time_flag, 0xEFFFFFFA},
                                          {"user", CLONE_NEWUSER, 0xEFFFFFFD},
                                          {"uts", CLONE_NEWUTS, 0xEFFFFFFE}}};

KindFacts const& facts_of(NamespaceKind kind) { return facts[static_cast<size_t>(kind)]; }

}  // namespace

std::string_view namespace_name(NamespaceKind kind) { return facts_of(kind).name; }

uint64_t namespace_flag(NamespaceKind kind) { return facts_of(kind).flag; }

Namespace::Namespace(Kernel& kernel, NamespaceKind kind)
    : kind_(kind), number_(kernel.namespace_numbers().take(kind, facts_of(kind).initial_number)) {}

uint32_t NamespaceNumbers::take(NamespaceKind kind, uint32_t initial) {
  uint32_t const bit = 1u << static_cast<unsigned>(kind);
  if (!(initial_taken_.fetch_or(bit, std::memory_order_relaxed) & bit)) return initial;
  return next_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace cofferdam::kernel
