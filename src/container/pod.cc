#include "container/pod.h"

#include <stdio.h>

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace cofferdam::container {

namespace {

struct Marks {
  std::string_view type, sandbox;
};
constexpr Marks engines[] = {{"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"},
                             {"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"}};

std::string annotation(oci::Spec const& spec, std::string_view name) {
  for (auto const& [key, value] : spec.annotations)
    if (key == name) return value;
  return {};
}

// The containers under a state root that live, each record read when it is asked for and once.
class LiveStates {
 public:
  explicit LiveStates(std::string const& root) : root_(root) {}

  State const* by_id(std::string const& id) {
    auto const [found, is_new] = known_.try_emplace(id);
    if (is_new) {
      auto state = StateDirectory::peek(root_, id);
      if (state && alive(*state)) found->second = std::move(*state);
    }
    return found->second ? &*found->second : nullptr;
  }

  // "/proc/PID/ns/ipc": the container that the process stands for.
  State const* by_path(std::string const& path) {
    int pid = 0, end = 0;
    if (sscanf(path.c_str(), "/proc/%d/ns/%n", &pid, &end) != 1 || end == 0) return nullptr;
    for (auto const& [id, state] : known_)
      if (state && state->pid == pid) return &*state;
    for (auto const& id : list_ids(root_))
      if (auto const* state = by_id(id); state && state->pid == pid) return state;
    return nullptr;
  }

 private:
  std::string const& root_;
  std::map<std::string, std::optional<State>> known_;
};

State const* by_annotations(LiveStates& states, oci::Spec const& spec) {
  for (auto const& marks : engines) {
    if (annotation(spec, marks.type) != "container") continue;
    std::string const id = annotation(spec, marks.sandbox);
    if (check_id(id)) return states.by_id(id);
  }
  return nullptr;
}

std::string sandbox_of(State const& state) { return state.sandbox.empty() ? state.id : state.sandbox; }

std::unexpected<std::string> refuse_path(oci::Namespace const& space, std::string_view why) {
  return refuse(fmt::format("linux.namespaces: '{}' cannot be joined: {}", space.path, why));
}

}  // namespace

bool is_pod_sandbox(oci::Spec const& spec) {
  for (auto const& marks : engines)
    if (annotation(spec, marks.type) == "sandbox") return true;
  return false;
}

Outcome<std::optional<Pod>> find_pod(std::string const& state_root, oci::Spec const& spec) {
  LiveStates states(state_root);
  std::string sandbox;
  std::map<oci::NamespaceType, std::string> shared;  // whose, by container id
  if (auto const* state = by_annotations(states, spec)) sandbox = sandbox_of(*state);
  for (auto const& space : spec.linux_config.namespaces) {
    if (space.path.empty()) continue;
    auto const* state = states.by_path(space.path);
    if (!state && space.type == oci::NamespaceType::Network) continue;  // one that the engine made, for a sandbox
    if (!state) return refuse_path(space, "it is of no container under this state root; leave its path out");
    if (sandbox.empty()) sandbox = sandbox_of(*state);
    if (sandbox != sandbox_of(*state)) return refuse_path(space, "it is of another sandbox than the others");
    shared[space.type] = state->id;
  }
  if (sandbox.empty()) return std::optional<Pod>();
  auto const& linux_config = spec.linux_config;
  if (!linux_config.uid_mappings.empty() || !linux_config.time_offsets.empty())
    return refuse("user namespaces and time offsets are a sandbox's: a container that joins one cannot have its own");
  // A kind that is not named at all is the host's for other runtimes: here the sandbox's.
  for (auto kind : {oci::NamespaceType::Ipc, oci::NamespaceType::Uts, oci::NamespaceType::Pid})
    if (std::ranges::none_of(linux_config.namespaces, [&](auto const& space) { return space.type == kind; }))
      shared[kind] = sandbox;
  StateDirectory record = ATTEMPT(StateDirectory::open(state_root, sandbox));
  State state = ATTEMPT(record.load());
  record.unlock();
  return std::optional<Pod>({.sandbox = std::move(sandbox),
                             .record = std::move(record),
                             .state = std::move(state),
                             .ipc_of = shared[oci::NamespaceType::Ipc],
                             .uts_of = shared[oci::NamespaceType::Uts],
                             .pid_of = shared[oci::NamespaceType::Pid]});
}

}  // namespace cofferdam::container
