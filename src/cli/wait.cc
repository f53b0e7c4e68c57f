#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"
#include "container/state.h"
#include "host/wait_status.h"

namespace cofferdam::cli {

Outcome<int> run_wait(Globals const& g, Words const& words) {
  Options options("cofferdam wait", "ID", "Waits until a container has ended, and ends with its exit status.");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  std::string id = ATTEMPT(single_id(rest, "wait"));
  auto record = ATTEMPT(container::StateDirectory::open(g.state_root, id));
  auto state = ATTEMPT(record.load());
  if (container::phase_of(record, state) == container::Phase::Created)
    return refuse(fmt::format("cannot wait for container '{}': it has not been started", id));
  record.unlock();
  if (!container::alive(state))
    return refuse(fmt::format("container '{}' has ended; its exit status went to whoever started it", id));
  auto reply = container::call(record, container::RequestKind::Wait, container::encode_number(1));
  if (!reply) return refuse(fmt::format("cannot wait for container '{}': {}", id, reply.error()));
  return host::shell_status(static_cast<int>(ATTEMPT(container::decode_number(reply->payload))));
}

}  // namespace cofferdam::cli
