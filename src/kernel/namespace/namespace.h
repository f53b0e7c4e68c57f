// Namespaces (namespaces(7)): one kind of the kernel's state, as a group of tasks sees it.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/ref.h"

namespace cofferdam::kernel {

class Kernel;

enum class NamespaceKind : uint8_t { Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts };

// "mnt": as /proc/PID/ns calls it.
std::string_view namespace_name(NamespaceKind);
// CLONE_NEWNS and kin (clone(2)).
uint64_t namespace_flag(NamespaceKind);

class Namespace : public RefCounted {
 public:
  NamespaceKind kind() const { return kind_; }
  // The inode number that /proc/PID/ns shows: what tells one namespace from another.
  uint32_t number() const { return number_; }

 protected:
  // The first of a kind in a kernel has the number of Linux's initial one (include/linux/proc_ns.h), which some
  // programs look for.
  Namespace(Kernel&, NamespaceKind);

 private:
  NamespaceKind const kind_;
  uint32_t const number_;
};

}  // namespace cofferdam::kernel
