// What a sentry is started with: the container's specification, the settings of the command line, and descriptors.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "gofer/mounts.h"
#include "host/fd.h"
#include "oci/spec.h"

namespace cofferdam::sentry {

enum class Overlay { None, Memory };  // Memory: the root's files are read-only on the host, changes live in memory
enum class Network { None, Sandbox, Host };

struct Settings {
  std::string platform = "trap";
  Overlay overlay = Overlay::None;
  Network network = Network::Sandbox;
  bool strace = false;
  bool approve_all_memory_calls = false;  // --mm-approval=all
  bool host_sockets = false;              // --host-uds=open: guests may connect to the host's sockets
  bool report_violations = false;         // of the jail: log and refuse instead of ending the sandbox
  bool report_jail_rules = false;         // log each rule of the jail that is used
  log::Level log_level = log::Level::Warning;
};

// All of them are closed on exec and stay open for the sandbox's life unless said otherwise.
struct Descriptors {
  host::OwnedFd startup;                   // SOCK_SEQPACKET to the command that starts the sandbox (startup.h)
  host::OwnedFd control;                   // listening AF_UNIX socket; none for `do`
  host::OwnedFd keeper;                    // only held: the gofer sees by it that the sandbox is gone
  host::OwnedFd root;                      // O_PATH directory
  std::vector<gofer::DonatedMount> binds;  // one for each bind mount of the specification, in its order
  host::OwnedFd standard[3];               // the guest's; with a terminal: [0] is it, for reading and writing
  std::vector<host::OwnedFd> preserved;    // 3 and up in the guest
  host::OwnedFd log;
  host::OwnedFd broker;    // --network=host: to who binds reserved ports and makes raw sockets
  host::OwnedFd proc_net;  // --network=host: /proc/PID/net, opened before the jail closes
  std::vector<std::pair<std::string, std::string>> network_settings;  // the same: /proc/sys/net, read before it
};

struct Config {
  oci::Spec spec;
  Settings settings;
  std::vector<sock_filter> seccomp;  // the compiled profile of the specification; empty: none
  std::string hook_state;            // what startContainer hooks read on their standard input
  bool new_network = true;           // the sandbox has a network namespace of its own
  std::string id;                    // of the container; may be empty
  bool outlives_init = false;        // of a pod: stays while other containers live in it
  bool host_hooks = false;           // hooks on the host may still change the root: the command asks for the last check
};

// Is this mount of the specification a bind mount?
bool is_bind(oci::Mount const&);
bool has_option(oci::Mount const&, std::string_view option);

}  // namespace cofferdam::sentry
