#include "kernel/ipc/ipc_state.h"

#include "kernel/ipc/socket.h"

namespace cofferdam::kernel {

SocketRegistry::SocketRegistry() = default;
SocketRegistry::~SocketRegistry() = default;

void SocketRegistry::add(int family, std::unique_ptr<SocketFamily> f) { families_[family] = std::move(f); }

SocketFamily* SocketRegistry::find(int family) const {
  auto it = families_.find(family);
  return it == families_.end() ? nullptr : it->second.get();
}

}  // namespace cofferdam::kernel
