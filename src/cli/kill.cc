#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"
#include "container/state.h"

namespace cofferdam::cli {

namespace {

// "15", "TERM", "SIGTERM", "term", "RTMIN+3".
Outcome<int> signal_number(std::string const& text) {
  auto unknown = [&] { return refuse(fmt::format("'{}' is no signal; use a number or a name like TERM", text)); };
  char* end = nullptr;
  long number = ::strtol(text.c_str(), &end, 10);
  if (end != text.c_str()) {
    if (*end != '\0' || number < 0 || number > 64) return unknown();
    return static_cast<int>(number);
  }
  std::string_view name = text;
  if (name.size() > 3 && ::strncasecmp(name.data(), "SIG", 3) == 0) name.remove_prefix(3);
  constexpr int first_real_time = 34, last_real_time = 64;  // as the C library leaves them
  for (auto [prefix, base, sign] : {std::tuple{std::string_view("RTMIN"), first_real_time, '+'},
                                    std::tuple{std::string_view("RTMAX"), last_real_time, '-'}}) {
    if (name.size() < 5 || ::strncasecmp(name.data(), prefix.data(), 5) != 0) continue;
    if (name.size() == 5) return base;
    if (name[5] != sign) return unknown();
    int offset = ::atoi(name.data() + 6);
    int found = sign == '+' ? base + offset : base - offset;
    if (offset < 0 || found < first_real_time || found > last_real_time) return unknown();
    return found;
  }
  for (int n = 1; n < 32; ++n)
    if (char const* known = ::sigabbrev_np(n);
        known && name.size() == strlen(known) && ::strncasecmp(known, name.data(), name.size()) == 0)
      return n;
  return unknown();
}

}  // namespace

Outcome<int> run_kill(Globals const& g, Words const& words) {
  bool all = false;
  Options options("cofferdam kill", "ID [SIGNAL]", "Sends a signal (default: TERM) to a container's init.");
  options.flag("--all,-a", all, "to every process of the container");
  Words rest, trailing;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  if (rest.empty()) return refuse("kill: the id of a container is missing");
  // Engines put the option behind the id, too.
  std::erase_if(rest, [&](auto& word) {
    bool flag = word == "--all" || word == "-a";
    all |= flag;
    return flag;
  });
  if (rest.size() > 2) return refuse(fmt::format("kill: '{}' is one word too many", rest[2]));
  int signal = ATTEMPT(signal_number(rest.size() > 1 ? rest[1] : "TERM"));
  auto record = ATTEMPT(container::StateDirectory::open(g.state_root, rest[0]));
  auto state = ATTEMPT(record.load());
  auto phase = container::phase_of(record, state);
  if (phase == container::Phase::Stopped)
    return refuse(fmt::format("container not running: cannot signal '{}'", rest[0]));  // the shim looks for the words
  // Before init runs there is nobody inside to take it: a signal that would end it ends the sandbox.
  if (phase == container::Phase::Created) {
    if (signal == SIGKILL || signal == SIGTERM || signal == SIGINT) ::kill(state.pid, SIGKILL);
    return 0;
  }
  container::SignalRequest request{.signal = signal, .all = all};
  auto sent = container::call(record, container::RequestKind::Signal, request.encode(), {}, 5);
  if (!sent && signal == SIGKILL && container::alive(state)) {
    ::kill(state.pid, SIGKILL);  // a sandbox that does not answer must still be killable
    return 0;
  }
  if (!sent) return std::unexpected(sent.error());
  return 0;
}

}  // namespace cofferdam::cli
