// Names of AF_UNIX sockets (unix(7)): a path, an abstract name, or none.
#pragma once

#include <sys/un.h>

#include <string>
#include <string_view>

#include "base/ref.h"
#include "base/result.h"
#include "kernel/ipc/socket.h"

namespace cofferdam::unix_sockets {

class Name : public RefCounted {
 public:
  // `bytes` of sun_path: a path without its NUL, or an abstract name with the NUL that it begins with.
  explicit Name(std::string bytes) : bytes_(std::move(bytes)) {}
  bool is_abstract() const { return bytes_.front() == '\0'; }
  std::string const& bytes() const { return bytes_; }
  kernel::SocketAddress address() const;

 private:
  std::string bytes_;
};

// What getsockname gives for a socket without a name.
kernel::SocketAddress nameless_address();
kernel::SocketAddress address_of(Ref<Name const> const&);

enum class AddressUse { Bind, Connect };
// The name in an address: EINVAL for another family or a length that no name has. Empty for Bind: choose one.
Result<std::string> parse(kernel::SocketAddress const&, AddressUse);

}  // namespace cofferdam::unix_sockets
