// The words between the command that starts a sandbox and the sandbox as long as they are bound: one packet each, a tag
// and perhaps text.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/outcome.h"
#include "host/fd.h"

namespace cofferdam::sentry {

enum class Word : char {
  // command to sandbox
  Go = 'g',        // the id maps are written: build the jail
  Attached = 'a',  // stay bound to this command: its end is the sandbox's
  Detached = 'd',  // live on alone
  Network = 'n',   // text: sentry::print of a NetworkSetup, with the sockets of its links
  Check = 'c',     // can init be run? for when hooks have changed the root
  Start = 's',     // run init
  Signal = 'S',    // text: the number, decimal; for init
  Resize = 'w',    // text: "ROWS COLUMNS"; of init's terminal
  // sandbox to command
  Ready = 'r',   // the jail is closed, the kernel is up, init waits
  Done = 'k',    // Detached, Check or Start is carried out
  Failed = 'e',  // text says why; the sandbox ends
};

struct StartupMessage {
  Word word;
  std::string text;
  std::vector<host::OwnedFd> descriptors;
};

Outcome<> say(int socket, Word word, std::string_view text = {}, std::span<int const> descriptors = {});
// Blocks; refused when the other side is gone.
Outcome<StartupMessage> hear(int socket);

}  // namespace cofferdam::sentry
