// Where a task's cgroups seem to begin (cgroup_namespaces(7)). Every guest's cgroup is the root of its view, so that
// one namespace differs from another in its number alone.
#pragma once

#include "kernel/namespace/namespace.h"

namespace cofferdam::kernel {

class CgroupNamespace final : public Namespace {
 public:
  explicit CgroupNamespace(Kernel& kernel) : Namespace(kernel, NamespaceKind::Cgroup) {}
};

}  // namespace cofferdam::kernel
