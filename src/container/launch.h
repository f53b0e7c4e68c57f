// From a specification to a sandbox that waits to be started.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/outcome.h"
#include "container/console.h"
#include "container/host_network.h"
#include "container/pod.h"
#include "container/state.h"
#include "gofer/keeper.h"
#include "host/fd.h"
#include "oci/spec.h"
#include "sentry/config.h"
#include "sentry/startup.h"

namespace cofferdam::container {

struct LaunchOptions {
  std::string id;  // empty: a sandbox without a record (`do`)
  std::string state_root, bundle;
  oci::Spec spec;
  sentry::Settings settings;
  std::string console_socket, pid_file;
  unsigned preserve_fds = 0;
  host::OwnedFd log;  // the sentry's; none: errors go to standard error
  bool detached = false;
};

// A sandbox as the command that made it sees it. Whatever fails, and if this process dies, nothing of it is left; a
// detached one is its own master after detach().
class Sandbox {
 public:
  // Builds everything; init waits. The container is in the record with status "created".
  static Outcome<Sandbox> launch(LaunchOptions);
  Sandbox(Sandbox&&) noexcept;
  Sandbox& operator=(Sandbox&&) = delete;
  ~Sandbox();

  // Signals to this process wait for wait() from now on, which passes them on. Before start(): what init does may be
  // the cause of one.
  void keep_signals();
  Outcome<> start();   // lets init run
  Outcome<> detach();  // the sandbox lives on when this process ends
  // Waits for its end, passing this process's signals and window changes on. Gives the exit status to end with.
  Outcome<int> wait();
  // wait() leaves the record of the ended container for `state` and `delete`.
  void keep_record() { keep_record_ = true; }
  // Removes the record and the cgroups of a sandbox that has ended.
  void clean_up();
  State const& state() const { return state_; }

 private:
  Sandbox() = default;
  Outcome<> prepare_host(LaunchOptions&);
  Outcome<> boot(LaunchOptions&);
  Outcome<> join(LaunchOptions&);
  Outcome<> donate(LaunchOptions&, sentry::Descriptors&);
  Outcome<> settle(LaunchOptions const&);
  Outcome<> publish(LaunchOptions const&);
  Outcome<> give_network(LaunchOptions const&);
  Outcome<> expect(sentry::Word word);
  void abandon();

  State state_;
  std::optional<Pod> pod_;  // of another container, in whose sandbox it is to live
  std::optional<StateDirectory> record_;
  gofer::Keeper keeper_;
  host::OwnedFd pidfd_, startup_, signals_;
  std::optional<RawTerminal> raw_;
  oci::Hooks hooks_;
  std::optional<HostNetwork> host_network_;  // its end comes last
  std::optional<std::string> network_path_;  // of the specification's network namespace; empty: a new one
  pid_t pid_ = 0;
  bool owned_ = true;  // this process cleans up
  bool reaped_ = false;
  bool started_ = false;
  bool keep_record_ = false;
};

// Ends a process by pidfd and waits for that, a bounded time. For `delete --force` too.
void end_process(int pidfd);

Outcome<> write_pid_file(std::string const& path, pid_t pid);

}  // namespace cofferdam::container
