// What the system is called (uts_namespaces(7)).
#pragma once

#include <string>

#include "base/mutex.h"
#include "kernel/namespace/namespace.h"

namespace cofferdam::kernel {

struct UtsNames {
  std::string hostname = "cofferdam", domain_name = "(none)";
};

class UtsNamespace final : public Namespace {
 public:
  UtsNamespace(Kernel& kernel, UtsNames names) : Namespace(kernel, NamespaceKind::Uts), names(std::move(names)) {}
  Guarded<UtsNames> names;
};

}  // namespace cofferdam::kernel
