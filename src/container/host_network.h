// --network=host: in which of the host's network namespaces a sandbox is made, and who has privileges there.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

#include "base/outcome.h"
#include "gofer/socket_broker.h"
#include "host/fd.h"
#include "jail/namespaces.h"
#include "oci/spec.h"

namespace cofferdam::container {

class HostNetwork {
 public:
  // `path`: of the specification's network namespace; nothing: this process's; empty: one of its own.
  explicit HostNetwork(std::optional<std::string> path) : path_(std::move(path)) {}
  HostNetwork(HostNetwork&& o) noexcept
      : path_(std::move(o.path_)), rights_(o.rights_), broker_(std::move(o.broker_)), pid_(std::exchange(o.pid_, 0)) {}
  HostNetwork& operator=(HostNetwork&&) = delete;
  ~HostNetwork();  // waits for the broker, which ends with the sandbox

  bool is_new() const { return path_ && path_->empty(); }
  // Makes the connection to a broker of sockets where there can be one: root, and a container whose capabilities need
  // it. Gives the sandbox's end.
  Outcome<host::OwnedFd> make_connection(oci::Process const&);
  // As jail::fork_into_namespaces, in the right network namespace.
  Outcome<jail::SandboxProcess> fork();
  Outcome<> start_broker(pid_t sandbox);
  void release() { pid_ = 0; }  // the sandbox lives on, and the broker with it

 private:
  std::optional<std::string> path_;
  gofer::BrokerRights rights_;
  host::OwnedFd broker_;
  pid_t pid_ = 0;
};

}  // namespace cofferdam::container
