#include <stdlib.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgroup/cgroup.h"
#include "cli/command.h"
#include "cli/options.h"
#include "container/state.h"
#include "oci/spec_parts.h"

namespace cofferdam::cli {

namespace {

struct UpdateArguments {
  std::string resources, memory, memory_reservation, memory_swap, cpu_period, cpu_quota, cpu_share, cpuset_cpus,
      cpuset_mems, pids_limit, block_weight, kernel_memory, kernel_memory_tcp, cpu_rt_period, cpu_rt_runtime;
};

void declare(Options& o, UpdateArguments& a) {
  o.text("--resources,-r", a.resources,
         "file with the resources as config.json has them under linux; - is standard input");
  o.text("--memory", a.memory, "memory limit in bytes; -1: none");
  o.text("--memory-reservation", a.memory_reservation, "soft memory limit in bytes");
  o.text("--memory-swap", a.memory_swap, "limit of memory and swap together in bytes; -1: none");
  o.text("--cpu-period", a.cpu_period, "length of a CPU period in microseconds");
  o.text("--cpu-quota", a.cpu_quota, "CPU time in a period in microseconds; -1: no limit");
  o.text("--cpu-share", a.cpu_share, "weight against other containers, 2 to 262144");
  o.text("--cpuset-cpus", a.cpuset_cpus, "CPUs to use, as 0-2,4");
  o.text("--cpuset-mems", a.cpuset_mems, "memory nodes to use, as 0-1");
  o.text("--pids-limit", a.pids_limit, "most host processes and threads; -1: no limit");
  o.text("--blkio-weight", a.block_weight, "weight of block I/O, 10 to 1000");
  o.text("--kernel-memory", a.kernel_memory, "accepted for compatibility; kernels have no such limit any more");
  o.text("--kernel-memory-tcp", a.kernel_memory_tcp, "accepted for compatibility");
}

template <class T>
Outcome<> read_number(std::string const& text, std::string_view option, std::optional<T>& to) {
  if (text.empty()) return {};
  char* end = nullptr;
  long long n = ::strtoll(text.c_str(), &end, 10);
  if (*end != '\0' || (n < 0 && std::is_unsigned_v<T>))
    return refuse(fmt::format("{}: '{}' is no number that it takes", option, text));
  to = static_cast<T>(n);
  return {};
}

Outcome<std::string> read_input() {
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(STDIN_FILENO, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > oci::max_json_bytes) return refuse("--resources: standard input is too long");
  }
  return text;
}

Outcome<oci::Resources> resources_of(UpdateArguments const& a) {
  oci::Resources r;
  if (!a.resources.empty()) {
    std::string const text = a.resources == "-" ? ATTEMPT(read_input()) : ATTEMPT(oci::read_text_file(a.resources));
    auto json = oci::parse_json(text);
    if (!json) return refuse(fmt::format("--resources: {}", json.error()));
    std::string error;
    oci::read_resources(oci::Reader(&*json, "", &error), r);
    if (!error.empty()) return refuse(fmt::format("--resources: {}", error));
  }
  ATTEMPT(read_number(a.memory, "--memory", r.memory_limit));
  ATTEMPT(read_number(a.memory_reservation, "--memory-reservation", r.memory_reservation));
  ATTEMPT(read_number(a.memory_swap, "--memory-swap", r.memory_swap));
  ATTEMPT(read_number(a.cpu_period, "--cpu-period", r.cpu_period));
  ATTEMPT(read_number(a.cpu_quota, "--cpu-quota", r.cpu_quota));
  ATTEMPT(read_number(a.cpu_share, "--cpu-share", r.cpu_shares));
  ATTEMPT(read_number(a.pids_limit, "--pids-limit", r.pids_limit));
  ATTEMPT(read_number(a.block_weight, "--blkio-weight", r.block_io_weight));
  if (!a.cpuset_cpus.empty()) r.cpuset_cpus = a.cpuset_cpus;
  if (!a.cpuset_mems.empty()) r.cpuset_mems = a.cpuset_mems;
  return r;
}

}  // namespace

Outcome<int> run_update(Globals const& g, Words const& words) {
  UpdateArguments a;
  Options options("cofferdam update", "ID", "Changes the limits of a container.");
  declare(options, a);
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  std::string id = ATTEMPT(single_id(rest, "update"));
  oci::Resources const resources = ATTEMPT(resources_of(a));
  auto record = ATTEMPT(container::StateDirectory::open(g.state_root, id));
  auto state = ATTEMPT(record.load());
  if (!container::alive(state)) return refuse(fmt::format("cannot update container '{}': it is stopped", id));
  if (!resources.any()) return 0;
  if (state.cgroups.empty())
    return refuse(
        fmt::format("cannot update container '{}': it has no cgroup; give linux.cgroupsPath when it is created", id));
  ATTEMPT(cgroup::update(state.cgroups, resources));
  return 0;
}

}  // namespace cofferdam::cli
