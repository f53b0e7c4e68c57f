#include "container/pod.h"

#include <stdio.h>

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

std::optional<State> live_state(std::string const& root, std::string const& id) {
  auto record = StateDirectory::open(root, id);
  auto state = record ? record->load() : std::unexpected(record.error());
  if (!state || !alive(*state)) return std::nullopt;
  return std::move(*state);
}

std::optional<State> by_annotations(std::string const& root, oci::Spec const& spec) {
  for (auto const& marks : engines) {
    if (annotation(spec, marks.type) != "container") continue;
    std::string const id = annotation(spec, marks.sandbox);
    if (check_id(id)) return live_state(root, id);
  }
  return std::nullopt;
}

// "/proc/PID/ns/ipc" to the container that the process stands for.
std::optional<State> by_path(std::string const& root, std::string const& path) {
  int pid = 0, end = 0;
  if (sscanf(path.c_str(), "/proc/%d/ns/%n", &pid, &end) != 1 || end == 0) return std::nullopt;
  for (auto const& id : list_ids(root))
    if (auto state = live_state(root, id); state && state->pid == pid) return state;
  return std::nullopt;
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
  std::string sandbox, ipc_of, uts_of;
  if (auto const state = by_annotations(state_root, spec)) sandbox = sandbox_of(*state);
  for (auto const& space : spec.linux_config.namespaces) {
    if (space.path.empty()) continue;
    bool const network = space.type == oci::NamespaceType::Network;
    auto const state = by_path(state_root, space.path);
    if (!state && network) continue;  // one that the engine made, for a sandbox
    if (!state) return refuse_path(space, "it is of no container under this state root; leave its path out");
    if (space.type == oci::NamespaceType::Pid)
      return refuse_path(space, "containers of a sandbox have process ids of their own; leave its path out");
    if (sandbox.empty()) sandbox = sandbox_of(*state);
    if (sandbox != sandbox_of(*state)) return refuse_path(space, "it is of another sandbox than the others");
    if (space.type == oci::NamespaceType::Ipc) ipc_of = state->id;
    if (space.type == oci::NamespaceType::Uts) uts_of = state->id;
  }
  if (sandbox.empty()) return std::optional<Pod>();
  auto const& linux_config = spec.linux_config;
  if (!linux_config.uid_mappings.empty() || !linux_config.time_offsets.empty())
    return refuse("user namespaces and time offsets are a sandbox's: a container that joins one cannot have its own");
  // A kind that is not named at all is the host's for other runtimes: here the sandbox's.
  auto const names = [&](oci::NamespaceType type) {
    for (auto const& space : linux_config.namespaces)
      if (space.type == type) return true;
    return false;
  };
  if (!names(oci::NamespaceType::Ipc)) ipc_of = sandbox;
  if (!names(oci::NamespaceType::Uts)) uts_of = sandbox;
  StateDirectory record = ATTEMPT(StateDirectory::open(state_root, sandbox));
  record.unlock();
  return std::optional<Pod>({.sandbox = std::move(sandbox),
                             .record = std::move(record),
                             .ipc_of = std::move(ipc_of),
                             .uts_of = std::move(uts_of)});
}

}  // namespace cofferdam::container
