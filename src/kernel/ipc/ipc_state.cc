#include "kernel/ipc/ipc_state.h"

#include "kernel/ipc/socket.h"
#include "kernel/ipc/sysv.h"

namespace cofferdam::kernel {

IpcState::IpcState() : sysv(std::make_unique<SysvIpc>()) {}
IpcState::~IpcState() = default;

SocketRegistry::SocketRegistry() = default;
SocketRegistry::~SocketRegistry() = default;

void SocketRegistry::add(int family, std::unique_ptr<SocketFamily> f) { families_[family] = std::move(f); }

SocketFamily* SocketRegistry::find(int family) const {
  auto it = families_.find(family);
  return it == families_.end() ? nullptr : it->second.get();
}

}  // namespace cofferdam::kernel
