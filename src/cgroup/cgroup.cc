#include "cgroup/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "cgroup/files.h"
#include "host/fd.h"

namespace cofferdam::cgroup {

namespace {

struct Hierarchy {
  std::string mount_point;
  std::string controllers;  // ",cpu,cpuacct," of version 1
  bool unified = false;
  bool has(std::string_view controller) const { return controllers.contains(fmt::format(",{},", controller)); }
};

std::vector<Hierarchy> hierarchies() {
  std::vector<Hierarchy> out;
  host::OwnedFd fd(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  for (ssize_t n; fd && (n = ::read(fd.get(), buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    size_t dash = line.find(" - cgroup");
    if (dash == std::string::npos) continue;
    std::vector<std::string> words;
    for (size_t w = 0; w < line.size();) {
      size_t e = std::min(line.find(' ', w), line.size());
      words.push_back(line.substr(w, e - w));
      w = e + 1;
    }
    if (words.size() < 7) continue;
    Hierarchy h{.mount_point = words[4], .controllers = "," + words.back() + ","};
    h.unified = line.compare(dash, 11, " - cgroup2 ") == 0;
    // The unified tree beside version 1 hierarchies has no controllers to limit with.
    if (h.unified && ::access((h.mount_point + "/cgroup.subtree_control").c_str(), F_OK) != 0) continue;
    out.push_back(std::move(h));
  }
  bool mixed = std::ranges::any_of(out, [](auto& h) { return !h.unified; });
  if (mixed) std::erase_if(out, [](auto& h) { return h.unified; });
  return out;
}

// "system.slice:docker:ID" is where systemd would put it.
std::string place(std::string const& path, std::string const& id) {
  if (path.empty()) return "/" + id;
  size_t first = path.find(':'), second = first == std::string::npos ? first : path.find(':', first + 1);
  if (second == std::string::npos) return path.starts_with('/') ? path : "/" + path;
  std::string slice = path.substr(0, first), prefix = path.substr(first + 1, second - first - 1),
              name = path.substr(second + 1);
  if (slice.empty()) slice = "system.slice";
  std::string out, stem = slice.substr(0, slice.rfind(".slice"));
  for (size_t dash = stem.find('-'); dash != std::string::npos; dash = stem.find('-', dash + 1))
    out += "/" + stem.substr(0, dash) + ".slice";  // a-b.slice lies in a.slice
  return out + "/" + stem + ".slice/" + (prefix.empty() ? name : prefix + "-" + name) + ".scope";
}

// Makes every directory of `relative` below the mount point; those made here are appended to `made`, outermost first.
Outcome<> make_path(Hierarchy const& h, std::string const& relative, std::vector<std::string>& made) {
  for (size_t at = relative.find('/', 1);; at = relative.find('/', at + 1)) {
    std::string parent = h.mount_point + relative.substr(0, relative.rfind('/', at - 1));
    std::string directory = h.mount_point + relative.substr(0, at);
    if (h.unified)
      for (char const* controller : {"+cpu", "+memory", "+pids", "+cpuset", "+io", "+hugetlb"})
        (void)put(parent, "cgroup.subtree_control", controller);  // those that are not to be had are not limited
    if (::mkdir(directory.c_str(), 0755) == 0)
      made.push_back(directory);
    else if (errno != EEXIST)
      return refuse(fmt::format("cannot make cgroup {}: {}", directory, strerror(errno)));
    if (h.has("cpuset") && !h.unified)
      for (char const* file : {"cpuset.cpus", "cpuset.mems"})
        if (read_file(directory + "/" + file).size() <= 1) (void)put(directory, file, read_file(parent + "/" + file));
    if (at == std::string::npos) return {};
  }
}

// Memory, and memory with swap: the second may never be below the first, so the order depends on what was there.
Outcome<> limit_memory_version_1(std::string const& directory, oci::Resources const& r) {
  std::string const memory = "memory.limit_in_bytes", both = "memory.memsw.limit_in_bytes";
  bool const has_both = r.memory_swap && ::access((directory + "/" + both).c_str(), F_OK) == 0;
  if (r.memory_limit && !put(directory, memory, fmt::format("{}", *r.memory_limit))) {
    if (has_both) ATTEMPT(put(directory, both, fmt::format("{}", *r.memory_swap)));
    ATTEMPT(put(directory, memory, fmt::format("{}", *r.memory_limit)));
  }
  if (has_both) ATTEMPT(put(directory, both, fmt::format("{}", *r.memory_swap)));
  return {};
}

// What has no member of its own. A file that this kernel does not have is an error of the configuration, unless the
// value asks for what holds anyway.
Outcome<> write_rare_files(Hierarchy const& h, std::string const& directory, oci::Resources const& r) {
  for (auto& file : r.files) {
    if (h.unified ? file.unified_name.empty() : !h.has(file.controller)) continue;
    auto done =
        h.unified ? put(directory, file.unified_name, file.unified_value) : put(directory, file.name, file.value);
    if (!done) return refuse(fmt::format("linux.resources: {}: {}", file.path, done.error()));
  }
  return {};
}

// A limit that no hierarchy of this host can hold is refused rather than forgotten.
Outcome<> check_controllers(std::vector<Hierarchy> const& all, oci::Resources const& r) {
  if (!r.unified.empty() && std::ranges::none_of(all, [](auto& h) { return h.unified; }))
    return refuse("linux.resources.unified: this host has no version 2 hierarchy to write to; remove it");
  for (auto& file : r.files) {
    bool const there = std::ranges::any_of(
        all, [&](auto& h) { return h.unified ? !file.unified_name.empty() : h.has(file.controller); });
    if (!there)
      return refuse(fmt::format("linux.resources: {}: this host has no control group that can hold it ({}); remove it",
                                file.path, file.controller));
  }
  return {};
}

Outcome<> limit_version_1(Hierarchy const& h, std::string const& directory, oci::Resources const& r) {
  if (h.has("memory")) {
    ATTEMPT(limit_memory_version_1(directory, r));
    if (r.memory_reservation)
      ATTEMPT(put(directory, "memory.soft_limit_in_bytes", fmt::format("{}", *r.memory_reservation)));
  }
  if (h.has("cpu")) {
    if (r.cpu_shares) ATTEMPT(put(directory, "cpu.shares", fmt::format("{}", *r.cpu_shares)));
    if (r.cpu_period) ATTEMPT(put(directory, "cpu.cfs_period_us", fmt::format("{}", *r.cpu_period)));
    if (r.cpu_quota) ATTEMPT(put(directory, "cpu.cfs_quota_us", fmt::format("{}", *r.cpu_quota)));
  }
  if (h.has("cpuset")) {
    if (!r.cpuset_cpus.empty()) ATTEMPT(put(directory, "cpuset.cpus", r.cpuset_cpus));
    if (!r.cpuset_mems.empty()) ATTEMPT(put(directory, "cpuset.mems", r.cpuset_mems));
  }
  if (h.has("pids") && r.pids_limit)
    ATTEMPT(put(directory, "pids.max", *r.pids_limit <= 0 ? "max" : fmt::format("{}", *r.pids_limit)));
  if (h.has("blkio") && r.block_io_weight) {
    bool const bfq = ::access((directory + "/blkio.bfq.weight").c_str(), F_OK) == 0;
    if (auto done = put(directory, bfq ? "blkio.bfq.weight" : "blkio.weight", fmt::format("{}", *r.block_io_weight));
        !done)
      return refuse(fmt::format("linux.resources.blockIO.weight: {}", done.error()));
  }
  return write_rare_files(h, directory, r);
}

std::string or_max(int64_t n) { return n < 0 ? "max" : fmt::format("{}", n); }

// The conversion of the OCI specification: weights 10 … 1000 to 1 … 10000.
Outcome<> weigh_io_version_2(std::string const& directory, uint16_t weight) {
  if (::access((directory + "/io.bfq.weight").c_str(), F_OK) == 0)
    return put(directory, "io.bfq.weight", fmt::format("{}", weight));
  return put(directory, "io.weight", fmt::format("{}", 1 + (std::clamp<int>(weight, 10, 1000) - 10) * 9999 / 990));
}

Outcome<> limit_version_2(Hierarchy const& h, std::string const& directory, oci::Resources const& r) {
  if (r.memory_limit) ATTEMPT(put(directory, "memory.max", or_max(*r.memory_limit)));
  if (r.memory_reservation) ATTEMPT(put(directory, "memory.low", or_max(*r.memory_reservation)));
  if (r.memory_swap) {
    int64_t swap = *r.memory_swap < 0 ? -1 : std::max<int64_t>(0, *r.memory_swap - r.memory_limit.value_or(0));
    ATTEMPT(put(directory, "memory.swap.max", or_max(swap)));
  }
  // The conversion of the OCI specification: shares 2 … 262144 to weight 1 … 10000.
  if (r.cpu_shares && *r.cpu_shares)
    ATTEMPT(put(directory, "cpu.weight",
                fmt::format("{}", 1 + (std::clamp<uint64_t>(*r.cpu_shares, 2, 262144) - 2) * 9999 / 262142)));
  if (r.cpu_quota || r.cpu_period)
    ATTEMPT(put(directory, "cpu.max",
                fmt::format("{} {}", r.cpu_quota.value_or(0) > 0 ? fmt::format("{}", *r.cpu_quota) : "max",
                            r.cpu_period.value_or(100000))));
  if (!r.cpuset_cpus.empty()) ATTEMPT(put(directory, "cpuset.cpus", r.cpuset_cpus));
  if (!r.cpuset_mems.empty()) ATTEMPT(put(directory, "cpuset.mems", r.cpuset_mems));
  if (r.pids_limit) ATTEMPT(put(directory, "pids.max", *r.pids_limit <= 0 ? "max" : fmt::format("{}", *r.pids_limit)));
  if (r.block_io_weight) ATTEMPT(weigh_io_version_2(directory, *r.block_io_weight));
  ATTEMPT(write_rare_files(h, directory, r));
  for (auto& [file, value] : r.unified) {
    if (file.contains('/'))
      return refuse(fmt::format("linux.resources.unified: '{}' is no name of a cgroup file", file));
    ATTEMPT(put(directory, file, value));
  }
  return {};
}

// The hierarchies that have something to limit with (not systemd's own tree).
std::vector<Hierarchy> limiting() {
  std::vector<Hierarchy> all = hierarchies();
  std::erase_if(all, [](auto& h) { return !h.unified && h.controllers.contains(",name="); });
  return all;
}

// Where the container's cgroups lie in each hierarchy; empty: it gets none.
Outcome<std::string> relative_path(std::string const& path, std::string const& id, oci::Resources const& limits) {
  if (path.empty() && !limits.any()) return std::string();
  if (::geteuid() != 0) return std::string();  // rootless without delegation: no limits, as runc's --rootless=auto
  std::string relative = place(path, id);
  if (relative.contains("/../") || relative.ends_with("/.."))
    return refuse(fmt::format("linux.cgroupsPath '{}' leads out of the cgroup tree", path));
  while (relative.size() > 1 && relative.ends_with('/')) relative.pop_back();
  return relative;
}

Outcome<> create_in(std::string const& relative, oci::Resources const& limits, std::vector<std::string>& made) {
  auto const all = limiting();
  ATTEMPT(check_controllers(all, limits));
  for (auto& h : all) {
    ATTEMPT(make_path(h, relative, made));
    std::string directory = h.mount_point + relative;
    ATTEMPT(h.unified ? limit_version_2(h, directory, limits) : limit_version_1(h, directory, limits));
  }
  return {};
}

}  // namespace

Outcome<std::vector<std::string>> plan(std::string const& path, std::string const& container_id,
                                       oci::Resources const& limits) {
  std::vector<std::string> directories, parents;
  std::string const relative = ATTEMPT(relative_path(path, container_id, limits));
  if (relative.empty()) return directories;
  for (auto& h : limiting()) {
    directories.push_back(h.mount_point + relative);
    // Parents that will be made go with the container, unless somebody else has moved in by then.
    for (size_t at = relative.rfind('/'); at != 0 && at != std::string::npos; at = relative.rfind('/', at - 1))
      if (std::string parent = h.mount_point + relative.substr(0, at); ::access(parent.c_str(), F_OK) != 0)
        parents.push_back(std::move(parent));
  }
  directories.insert(directories.end(), parents.begin(), parents.end());
  return directories;
}

Outcome<> create(std::string const& path, std::string const& container_id, oci::Resources const& limits) {
  std::string const relative = ATTEMPT(relative_path(path, container_id, limits));
  if (relative.empty()) return {};
  std::vector<std::string> made;
  auto done = create_in(relative, limits, made);
  std::ranges::reverse(made);
  if (!done) remove(made);
  return done;
}

namespace {

// memory.checkBeforeUpdate: a limit below what is used would end processes.
Outcome<> check_use(std::vector<std::string> const& leaves, oci::Resources const& limits) {
  if (!limits.check_before_update || limits.memory_limit.value_or(-1) < 0) return {};
  auto const limit = static_cast<uint64_t>(*limits.memory_limit);
  for (auto const& directory : leaves)
    for (char const* file : {"/memory.usage_in_bytes", "/memory.current"})
      if (uint64_t const used = read_number(directory + file); used > limit)
        return refuse(fmt::format("linux.resources.memory.limit: {} bytes are used, and checkBeforeUpdate forbids {}",
                                  used, limit));
  return {};
}

}  // namespace

Outcome<> update(std::vector<std::string> const& directories, oci::Resources const& limits) {
  auto const all = hierarchies();
  ATTEMPT(check_controllers(all, limits));
  ATTEMPT(check_use(leaves_of(directories), limits));
  for (auto& directory : leaves_of(directories))
    for (auto& h : all)
      if (directory.starts_with(h.mount_point + "/"))
        ATTEMPT(h.unified ? limit_version_2(h, directory, limits) : limit_version_1(h, directory, limits));
  return {};
}

Outcome<> add_process(std::vector<std::string> const& directories, pid_t pid) {
  for (auto& directory : leaves_of(directories)) ATTEMPT(put(directory, "cgroup.procs", fmt::format("{}", pid)));
  return {};
}

std::vector<pid_t> processes(std::vector<std::string> const& directories) {
  std::vector<pid_t> out;
  auto const leaves = leaves_of(directories);
  if (leaves.empty()) return out;
  std::string const text = read_file(leaves.front() + "/cgroup.procs");
  for (char const* at = text.c_str(); *at != '\0';) {
    char* end = nullptr;
    auto const pid = static_cast<pid_t>(::strtol(at, &end, 10));
    if (end == at) break;
    out.push_back(pid);
    at = end + (*end != '\0');
  }
  return out;
}

void remove(std::vector<std::string> const& directories) {
  for (auto& directory : directories)
    for (int attempt = 0; attempt < 100 && ::rmdir(directory.c_str()) != 0 && errno == EBUSY; ++attempt) {
      timespec pause{.tv_sec = 0, .tv_nsec = 2'000'000};
      ::nanosleep(&pause, nullptr);
      // A parent that others use stays: that shows at once.
      bool parent = std::ranges::any_of(directories, [&](auto& d) { return d.starts_with(directory + "/"); });
      if (parent) break;
    }
}

}  // namespace cofferdam::cgroup
