// The platforms that this build has, by name.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/outcome.h"
#include "host/call_rule.h"
#include "platform/platform.h"
#include "sentry/config.h"

namespace cofferdam::sentry {

struct BuiltPlatform {
  std::unique_ptr<platform::Platform> platform;
  std::vector<host::CallRule> host_calls;  // what it adds to the sentry's allowlist
};

// proc_fd: a procfs of this pid namespace, kept open by the caller. Called after jail::enter and before jail::close.
Outcome<BuiltPlatform> build_platform(Settings const& settings, int proc_fd);
// oom_score_adj of the host processes that run guests, where the sentry's is this.
int stub_oom_score(int of_sentry);
// One line why a name is no platform of this build.
Outcome<> check_platform(std::string const& name);

}  // namespace cofferdam::sentry
