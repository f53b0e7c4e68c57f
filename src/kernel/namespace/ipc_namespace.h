// System V IPC and its settings (ipc_namespaces(7)).
#pragma once

#include "kernel/ipc/sysv.h"
#include "kernel/namespace/namespace.h"
#include "kernel/sysctls.h"

namespace cofferdam::kernel {

class IpcNamespace final : public Namespace {
 public:
  explicit IpcNamespace(Kernel& kernel) : Namespace(kernel, NamespaceKind::Ipc) {}
  SysvIpc sysv;
  Sysctls sysctls{Sysctls::Scope::Ipc, &sysv};
};

}  // namespace cofferdam::kernel
