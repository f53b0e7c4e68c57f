#include "shim/runtime.h"

#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include <fmt/format.h>

#include "oci/json.h"
#include "oci/spec.h"

namespace cofferdam::shim {

namespace {

// The last message of an error in a log of JSON lines.
std::string last_error(std::string_view log) {
  std::string found;
  while (!log.empty()) {
    std::string_view const line = log.substr(0, log.find('\n'));
    log.remove_prefix(std::min(log.size(), line.size() + 1));
    auto const json = oci::parse_json(line);
    if (!json) continue;
    auto const *level = json->find("level"), *message = json->find("msg");
    auto const *level_text = level ? level->as<std::string>() : nullptr,
               *text = message ? message->as<std::string>() : nullptr;
    if (level_text != nullptr && text != nullptr && *level_text == "error") found = *text;
  }
  return found;
}

}  // namespace

Runtime::Runtime(EventLoop& loop, RuntimeOptions options, std::string const& name_space, std::string bundle)
    : loop_(loop),
      options_(std::move(options)),
      root_(record_root(options_, name_space)),
      bundle_(std::move(bundle)),
      binary_(runtime_binary(options_)) {}

std::string Runtime::take_reason(std::string const& log, CommandEnd const& end) const {
  auto const text = oci::read_text_file(log);
  ::unlink(log.c_str());
  if (end.timed_out) return fmt::format("{} did not end in time", binary_);
  std::string reason = text ? last_error(*text) : std::string();
  if (!reason.empty()) return reason;
  if (WIFSIGNALED(end.wait_status)) return fmt::format("{} was ended by signal {}", binary_, WTERMSIG(end.wait_status));
  if (WEXITSTATUS(end.wait_status) == 127) return fmt::format("{} cannot be run", binary_);
  return fmt::format("{} ended with status {}", binary_, WEXITSTATUS(end.wait_status));
}

void Runtime::call(std::vector<std::string> words, OnDone const& done, Stdio const* stdio, milliseconds limit) {
  std::string log = fmt::format("{}/log-{}.json", bundle_, ++calls_);
  Command command{.words = {binary_, "--root", root_, "--log", log, "--log-format", "json"}, .limit = limit};
  command.words.insert(command.words.end(), options_.globals.begin(), options_.globals.end());
  command.words.insert(command.words.end(), words.begin(), words.end());
  if (stdio == nullptr) {
    command.take_output = true;
  } else {
    for (int n = 0; n < 3; ++n) command.standard[n] = stdio->descriptor(n);
  }
  auto started = run_command(loop_, command, [this, done, log](CommandEnd end) {
    if (!end.succeeded()) return done(refuse(take_reason(log, end)));
    ::unlink(log.c_str());
    done(std::move(end.output));
  });
  if (!started) loop_.after(milliseconds(0), [done, why = started.error()] { done(refuse(why)); });
}

Outcome<std::string> Runtime::call_and_wait(std::vector<std::string> words, milliseconds limit) {
  std::optional<Outcome<std::string>> result;
  call(
      std::move(words),
      [&](Outcome<std::string> outcome) {
        result = std::move(outcome);
        loop_.stop();
      },
      nullptr, limit);
  loop_.run();
  return result ? *result : refuse("the event loop ended");
}

}  // namespace cofferdam::shim
