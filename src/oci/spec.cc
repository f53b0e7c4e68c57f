#include "oci/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "host/fd.h"
#include "kernel/sysctls.h"
#include "oci/mount_options.h"
#include "oci/names.h"
#include "oci/reader.h"
#include "oci/spec_parts.h"

namespace cofferdam::oci {

namespace {

void read_mounts(Reader const& list, std::vector<Mount>& to) {
  for (auto& item : list.items()) {
    auto& m = to.emplace_back();
    item.at("destination").require(m.destination);
    item.at("type").read(m.type);
    item.at("source").read(m.source);
    item.at("options").read(m.options);
    // Relative destinations were allowed before 1.0; runc still takes them as relative to the root.
    if (!m.destination.empty() && !m.destination.starts_with('/')) m.destination.insert(0, "/");
    if (m.destination.empty()) item.at("destination").complain("is empty; give an absolute path");
    for (char const* map : {"uidMappings", "gidMappings"})
      if (!item.at(map).items().empty())
        item.at(map).complain("a mapping of a mount's own is not supported; remove it");
    check_mount_options(item.at("options"), m);
  }
}

void read_id_mappings(Reader const& list, std::vector<IdMapping>& to) {
  for (auto& item : list.items()) {
    auto& m = to.emplace_back();
    item.at("containerID").require(m.container_id);
    item.at("hostID").require(m.host_id);
    item.at("size").require(m.size);
  }
}

void read_devices(Reader const& list, std::vector<Device>& to) {
  for (auto& item : list.items()) {
    auto& d = to.emplace_back();
    std::string type;
    item.at("type").require(type);
    item.at("path").require(d.path);
    item.at("major").read(d.major);
    item.at("minor").read(d.minor);
    item.at("fileMode").read(d.mode);
    item.at("uid").read(d.uid);
    item.at("gid").read(d.gid);
    if (type.size() != 1 || !std::string_view("cbup").contains(type[0]))
      item.at("type").complain(fmt::format("'{}' is no device type; use c, b, u or p", type));
    else
      d.type = type[0];
  }
}

void read_namespaces(Reader const& list, std::vector<Namespace>& to) {
  for (auto& item : list.items()) {
    std::string type, path;
    item.at("type").require(type);
    item.at("path").read(path);
    auto known = namespace_type(type);
    if (!known) {
      item.at("type").complain(
          fmt::format("'{}' is no namespace; use pid, network, mount, ipc, uts, user, cgroup or time", type));
      return;
    }
    for (auto& earlier : to)
      if (earlier.type == *known) item.complain(fmt::format("namespace '{}' is given twice", type));
    to.push_back({*known, std::move(path)});
  }
}

void read_time_offsets(Reader const& at, std::vector<TimeOffset>& to) {
  for (auto& [clock, value] : at.members()) {
    if (clock != "monotonic" && clock != "boottime")
      value.complain("no such clock can be shifted; use monotonic or boottime");
    auto& offset = to.emplace_back();
    offset.clock = clock;
    value.at("secs").read(offset.seconds);
    value.at("nanosecs").read(offset.nanoseconds);
    if (offset.nanoseconds > 999'999'999) value.at("nanosecs").complain("is more than a second");
  }
}

void read_personality(Reader const& at, bool& linux32) {
  if (!at.present()) return;
  std::string domain;
  at.at("domain").require(domain);
  if (domain != "LINUX" && domain != "LINUX32")
    at.at("domain").complain(fmt::format("'{}' is no personality; use LINUX or LINUX32", domain));
  if (!at.at("flags").items().empty()) at.at("flags").complain("no flags are defined; leave it out");
  linux32 = domain == "LINUX32";
}

void check_propagation(Reader const& at, std::string const& name) {
  constexpr std::string_view good[] = {"", "private", "rprivate", "slave", "rslave", "unbindable", "runbindable"};
  if (name == "shared" || name == "rshared")
    at.complain("mounts of a container cannot spread to the host; use private or slave");
  else if (std::ranges::find(good, name) == std::end(good))
    at.complain(fmt::format("'{}' is no propagation; use private or slave", name));
}

void check_sysctls(Reader const& at, std::vector<std::pair<std::string, std::string>>& all) {
  for (auto& [name, value] : all) {
    std::string dotted = name;
    std::ranges::replace(dotted, '/', '.');
    auto refuse_it = [&](std::string_view why) { at.complain(fmt::format("'{}' {}", name, why)); };
    std::string path = dotted;
    std::ranges::replace(path, '.', '/');
    if (dotted == "kernel.hostname")
      refuse_it("is set by hostname; use that");
    else if (dotted != "kernel.domainname" && !kernel::Sysctls::find(path))
      refuse_it("is no setting of the sandbox's own that can be set");
    name = path;
  }
}

// The other kinds may be those of a container that lives in a sandbox already: who launches looks.
void refuse_joined_namespaces(Reader const& at, std::vector<Namespace> const& all) {
  constexpr NamespaceType own[] = {NamespaceType::Mount, NamespaceType::User, NamespaceType::Time};
  for (auto& n : all)
    if (!n.path.empty() && std::ranges::find(own, n.type) != std::end(own))
      at.complain(
          fmt::format("namespace '{}' cannot be joined: a sandbox has its own kernel; leave its path out", n.path));
}

void read_linux(Reader const& r, Linux& to) {
  read_namespaces(r.at("namespaces"), to.namespaces);
  read_id_mappings(r.at("uidMappings"), to.uid_mappings);
  read_id_mappings(r.at("gidMappings"), to.gid_mappings);
  r.at("maskedPaths").read(to.masked_paths);
  r.at("readonlyPaths").read(to.readonly_paths);
  r.at("sysctl").read(to.sysctl);
  read_devices(r.at("devices"), to.devices);
  r.at("cgroupsPath").read(to.cgroups_path);
  read_resources(r.at("resources"), to.resources);
  read_device_rules(r.at("resources").at("devices"), to.device_rules);
  r.at("rootfsPropagation").read(to.rootfs_propagation);
  check_propagation(r.at("rootfsPropagation"), to.rootfs_propagation);
  check_sysctls(r.at("sysctl"), to.sysctl);
  refuse_joined_namespaces(r.at("namespaces"), to.namespaces);
  read_time_offsets(r.at("timeOffsets"), to.time_offsets);
  read_personality(r.at("personality"), to.linux32);
  refuse_present(r.at("intelRdt"), "no cache or bandwidth classes are set");
  refuse_present(r.at("netDevices"), "host devices are not moved into a sandbox");
  refuse_present(r.at("memoryPolicy"), "the memory policy is the guest's own to set");
  r.at("mountLabel").read(to.mount_label);
  if (auto seccomp = r.at("seccomp"); seccomp.present()) {
    to.seccomp.emplace();
    read_seccomp(seccomp, *to.seccomp);
  }
}

void read_hooks(Reader const& list, std::vector<Hook>& to) {
  for (auto& item : list.items()) {
    auto& h = to.emplace_back();
    item.at("path").require(h.path);
    item.at("args").read(h.args);
    item.at("env").read(h.env);
    item.at("timeout").read(h.timeout_seconds);
    if (!h.path.starts_with('/')) item.at("path").complain(fmt::format("'{}' is not an absolute path", h.path));
    if (h.timeout_seconds && *h.timeout_seconds <= 0) item.at("timeout").complain("must be more than 0 seconds");
  }
}

void read_all_hooks(Reader const& r, Hooks& to) {
  read_hooks(r.at("prestart"), to.prestart);
  read_hooks(r.at("createRuntime"), to.create_runtime);
  read_hooks(r.at("createContainer"), to.create_container);
  read_hooks(r.at("startContainer"), to.start_container);
  read_hooks(r.at("poststart"), to.poststart);
  read_hooks(r.at("poststop"), to.poststop);
}

void check_version(Reader const& at, std::string const& version) {
  if (!at.present()) return at.complain("is missing; give the version of the specification, as \"1.0.2\"");
  if (!version.starts_with("1."))
    at.complain(fmt::format("version '{}' is not supported; this runtime reads 1.x", version));
}

}  // namespace

bool Resources::any() const {
  return memory_limit || memory_reservation || memory_swap || cpu_shares || cpu_period || cpu_quota || pids_limit ||
         block_io_weight || !files.empty() || !cpuset_cpus.empty() || !cpuset_mems.empty() || !unified.empty();
}

Outcome<Spec> parse_spec(std::string_view text, std::string_view file) {
  auto json = parse_json(text);
  if (!json) return refuse(fmt::format("{}: {}", file, json.error()));
  std::string error;
  Reader top(&*json, "", &error);
  Spec spec;
  top.at("ociVersion").read(spec.oci_version);
  check_version(top.at("ociVersion"), spec.oci_version);
  if (!top.at("process").present()) top.at("process").complain("is missing; say what to run");
  read_process(top.at("process"), spec.process);
  top.at("root").at("path").require(spec.root.path);
  if (spec.root.path.empty())
    top.at("root").at("path").complain("is empty; name the directory of the root file system");
  top.at("root").at("readonly").read(spec.root.readonly);
  top.at("hostname").read(spec.hostname);
  top.at("domainname").read(spec.domainname);
  if (spec.hostname.size() > 64) top.at("hostname").complain("is longer than 64 bytes");
  read_mounts(top.at("mounts"), spec.mounts);
  read_linux(top.at("linux"), spec.linux_config);
  read_all_hooks(top.at("hooks"), spec.hooks);
  top.at("annotations").read(spec.annotations);
  for (char const* platform : {"solaris", "windows", "vm", "zos", "freebsd"})
    refuse_present(top.at(platform), "it is for another platform than Linux");
  if (!error.empty()) return refuse(fmt::format("{}: {}", file, error));
  return spec;
}

Outcome<Spec> load_bundle(std::string const& bundle) {
  std::string file = bundle + "/config.json";
  std::string text = ATTEMPT(read_text_file(file));
  Spec spec = ATTEMPT(parse_spec(text, file));
  if (!spec.root.path.starts_with('/')) spec.root.path = bundle + "/" + spec.root.path;
  struct stat st{};
  if (::stat(spec.root.path.c_str(), &st) != 0)
    return refuse(fmt::format("{}: root.path: cannot use '{}' as the root: {}", file, spec.root.path, strerror(errno)));
  if (!S_ISDIR(st.st_mode)) return refuse(fmt::format("{}: root.path: '{}' is not a directory", file, spec.root.path));
  return spec;
}

Outcome<Process> load_process(std::string const& file) {
  std::string text = ATTEMPT(read_text_file(file));
  auto json = parse_json(text);
  if (!json) return refuse(fmt::format("{}: {}", file, json.error()));
  std::string error;
  Process process;
  read_process(Reader(&*json, "", &error), process);
  if (!error.empty()) return refuse(fmt::format("{}: {}", file, error));
  return process;
}

Outcome<std::string> read_text_file(std::string const& path) {
  host::OwnedFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return refuse(fmt::format("cannot open {}: {}", path, strerror(errno)));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return refuse(fmt::format("{} is not a regular file", path));
  if (static_cast<uint64_t>(st.st_size) > max_json_bytes)
    return refuse(fmt::format("{} is larger than {} MiB", path, max_json_bytes >> 20));
  std::string text(static_cast<size_t>(st.st_size), '\0');
  size_t got = 0;
  while (got < text.size()) {
    ssize_t n = ::read(fd.get(), text.data() + got, text.size() - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return refuse(fmt::format("cannot read {}: {}", path, strerror(errno)));
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  text.resize(got);
  return text;
}

}  // namespace cofferdam::oci
