#include "sentry/guest_parts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include <fmt/format.h>

#include "kernel/kernel.h"

namespace cofferdam::sentry {

using kernel::Kernel;

namespace {

// The rules as the device cgroup reads them: the last that fits decides; without any, everything is allowed. The
// standard devices always are.
kernel::ControlGroup::DevicePolicy device_policy(std::vector<oci::DeviceRule> const& rules) {
  if (rules.empty()) return {};
  return [rules](mode_t type, uint64_t device, int access_mode) {
    auto const number = std::pair<int64_t, int64_t>(major(device), minor(device));
    constexpr std::pair<int64_t, int64_t> standard[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}};
    if (S_ISCHR(type) && (number.first == 136 || std::ranges::find(standard, number) != std::end(standard)))
      return true;
    auto allows = [&](char access) {
      bool allowed = true;
      for (auto& rule : rules) {
        bool fits = (rule.type == 'a' || rule.type == (S_ISBLK(type) ? 'b' : 'c')) &&
                    (rule.type == 'a' ||
                     ((!rule.major || *rule.major == number.first) && (!rule.minor || *rule.minor == number.second)));
        if (fits && rule.access.contains(access)) allowed = rule.allow;
      }
      return allowed;
    };
    bool const reads = access_mode != O_WRONLY, writes = access_mode != O_RDONLY;
    return (!reads || allows('r')) && (!writes || allows('w'));
  };
}

}  // namespace

kernel::ControlGroup::Options control_group_options(Config const& config) {
  auto const& linux_config = config.spec.linux_config;
  auto const limit = std::max<int64_t>(0, linux_config.resources.memory_limit.value_or(0));
  return {.memory_limit = static_cast<uint64_t>(limit),
          .device_policy = device_policy(linux_config.device_rules),
          .traced = config.settings.strace};
}

Outcome<std::unique_ptr<Config>> config_of(container::JoinRequest& request, Settings const& settings) {
  auto config = std::make_unique<Config>();
  config->spec = ATTEMPT(oci::parse_spec(request.config, "config.json"));
  config->spec.process = std::move(request.process);
  config->spec.root.path = std::move(request.root_path);
  config->settings = settings;
  config->seccomp = std::move(request.seccomp);
  config->hook_state = std::move(request.hook_state);
  config->id = std::move(request.id);
  config->host_hooks = request.host_hooks;
  return config;
}

Outcome<Ref<kernel::NamespaceSet const>> namespaces_of(Kernel& kernel, container::JoinRequest const& request,
                                                       FindNamespaces const& find) {
  auto namespaces = make_ref<kernel::NamespaceSet>();
  namespaces->mounts = make_ref<kernel::MountNamespace>(kernel);
  namespaces->cgroup = make_ref<kernel::CgroupNamespace>(kernel);
  namespaces->ipc =
      request.ipc_of.empty() ? make_ref<kernel::IpcNamespace>(kernel) : ATTEMPT(find(request.ipc_of))->ipc;
  if (request.uts_of.empty())
    namespaces->uts = make_ref<kernel::UtsNamespace>(kernel, kernel::UtsNames{});
  else
    namespaces->uts = ATTEMPT(find(request.uts_of))->uts;
  if (!request.pid_of.empty()) {
    namespaces->pids_for_children = ATTEMPT(find(request.pid_of))->pids_for_children;
  } else {
    auto pids = kernel::PidNamespace::create(kernel, {});
    if (!pids) return refuse(fmt::format("cannot make a pid namespace: {}", errno_text(pids.error().code)));
    namespaces->pids_for_children = std::move(*pids);
  }
  return Ref<kernel::NamespaceSet const>(std::move(namespaces));
}

}  // namespace cofferdam::sentry
