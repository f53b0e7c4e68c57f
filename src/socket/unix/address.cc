#include "socket/unix/address.h"

#include <cstddef>
#include <cstring>

namespace cofferdam::unix_sockets {
namespace {
constexpr size_t path_offset = offsetof(sockaddr_un, sun_path);
}

kernel::SocketAddress Name::address() const {
  // A path may fill sun_path without a NUL; the storage has room for one behind it.
  struct {
    sa_family_t family;
    char path[sizeof(sockaddr_un::sun_path) + 1];
  } named{AF_UNIX, {}};
  std::memcpy(named.path, bytes_.data(), bytes_.size());
  kernel::SocketAddress a;
  std::memcpy(&a.storage, &named, sizeof named);
  a.length = static_cast<uint32_t>(path_offset + bytes_.size() + (is_abstract() ? 0 : 1));
  return a;
}

kernel::SocketAddress nameless_address() {
  kernel::SocketAddress a;
  a.storage.ss_family = AF_UNIX;
  a.length = path_offset;
  return a;
}

kernel::SocketAddress address_of(Ref<Name const> const& name) { return name ? name->address() : nameless_address(); }

Result<std::string> parse(kernel::SocketAddress const& a, AddressUse use) {
  if (a.length < path_offset || a.length > sizeof(sockaddr_un) || a.storage.ss_family != AF_UNIX)
    return fail(Errno::Inval);
  if (a.length == path_offset) {
    if (use == AddressUse::Bind) return std::string();
    return fail(Errno::Inval);
  }
  sockaddr_un un{};
  std::memcpy(&un, &a.storage, a.length);
  if (un.sun_path[0] == '\0') return std::string(un.sun_path, a.length - path_offset);
  return std::string(un.sun_path, strnlen(un.sun_path, sizeof un.sun_path));
}

}  // namespace cofferdam::unix_sockets
