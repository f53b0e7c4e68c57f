#include "sentry/platforms.h"

#include <fmt/format.h>

#include "platform/trap/host_calls.h"
#include "platform/trap/trap.h"

namespace cofferdam::sentry {

namespace {

std::vector<host::CallRule> trap_calls() {
  std::vector<host::CallRule> rules;
  for (auto& call : platform::trap::host_calls) {
    host::CallRule rule(static_cast<int>(call.number), call.reason);
    if (call.argument >= 0)
      rule.checks[rule.check_count++] = {.index = static_cast<uint8_t>(call.argument),
                                         .compare = host::Compare::MaskedEqual,
                                         .value = call.value,
                                         .mask = call.mask};
    rules.push_back(rule);
  }
  return rules;
}

}  // namespace

Outcome<> check_platform(std::string const& name) {
  if (name != "trap") return refuse(fmt::format("--platform: '{}' is not in this build; use trap", name));
  return {};
}

Outcome<BuiltPlatform> build_platform(Settings const& settings, int proc_fd) {
  std::string const& name = settings.platform;
  ATTEMPT(check_platform(name));
  platform::trap::Options options;
  options.proc_fd = proc_fd;
  options.approve_all_memory_calls = settings.approve_all_memory_calls;
  auto platform = platform::trap::create(options);
  if (!platform)
    return refuse(fmt::format("cannot start platform '{}' on this host: {}", name, errno_text(platform.error().code)));
  return BuiltPlatform{std::move(*platform), trap_calls()};
}

int stub_oom_score(int of_sentry) {
  constexpr int highest = 1000;
  return std::min(highest, of_sentry + platform::trap::Options{}.oom_score_raise);
}

}  // namespace cofferdam::sentry
