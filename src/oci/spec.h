// What a bundle's config.json says (OCI runtime-spec 1.2), as plain structs. Names follow the specification.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/outcome.h"
#include "oci/json.h"
#include "oci/seccomp_profile.h"

namespace cofferdam::oci {

inline constexpr std::string_view spec_version = "1.2.0";

struct User {
  uint32_t uid = 0, gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additional_gids;
};

// Bit n is capability n of <linux/capability.h>.
struct Capabilities {
  uint64_t bounding = 0, effective = 0, inheritable = 0, permitted = 0, ambient = 0;
};

struct Rlimit {
  int resource = 0;  // RLIMIT_* of <sys/resource.h>
  uint64_t soft = 0, hard = 0;
};

struct ConsoleSize {
  uint16_t height = 0, width = 0;
};

struct Scheduler {
  int policy = 0, nice = 0, priority = 0;  // SCHED_* of <sched.h>
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  User user;
  std::vector<std::string> args, env;
  std::string cwd = "/";
  std::optional<Capabilities> capabilities;  // absent: none at all
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::optional<int> oom_score_adj;
  std::optional<Scheduler> scheduler;
  int io_priority = 0;  // as ioprio_set(2) takes it; 0: none
  std::string apparmor_profile, selinux_label;
};

struct Root {
  std::string path;  // absolute after load_bundle
  bool readonly = false;
};

struct Mount {
  std::string destination, type, source;
  std::vector<std::string> options;
};

struct IdMapping {
  uint32_t container_id = 0, host_id = 0, size = 0;
};

enum class NamespaceType { Pid, Network, Mount, Ipc, Uts, User, Cgroup, Time };
struct Namespace {
  NamespaceType type;
  std::string path;  // empty: a new one
};

struct Device {
  char type = 'c';  // c, b, u or p
  std::string path;
  uint32_t major = 0, minor = 0;
  uint32_t mode = 0666;
  uint32_t uid = 0, gid = 0;
};

// A rule of the device cgroup; the last one that fits decides.
struct DeviceRule {
  bool allow = false;
  char type = 'a';                      // a, b or c
  std::optional<int64_t> major, minor;  // absent: every
  std::string access = "rwm";
};

struct TimeOffset {
  std::string clock;  // "monotonic" or "boottime"
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
};

// Limits that the cgroup of the sandbox gets. Absent: not limited.
struct Resources {
  // What has no member of its own here: a file of a version 1 hierarchy and its value, and those of version 2.
  struct File {
    std::string controller, name, value;
    std::string path;                         // of the value in config.json
    std::string unified_name, unified_value;  // empty: version 2 has nothing like it
  };
  std::vector<File> files;
  std::optional<int64_t> memory_limit, memory_reservation, memory_swap;
  std::optional<uint64_t> cpu_shares, cpu_period;
  std::optional<int64_t> cpu_quota;
  std::string cpuset_cpus, cpuset_mems;
  std::optional<int64_t> pids_limit;
  std::optional<uint16_t> block_io_weight;
  std::vector<std::pair<std::string, std::string>> unified;
  bool check_before_update = false;  // an update below what is used is refused
  bool any() const;
};

struct Linux {
  std::vector<Namespace> namespaces;
  std::vector<IdMapping> uid_mappings, gid_mappings;
  std::vector<std::string> masked_paths, readonly_paths;
  std::vector<std::pair<std::string, std::string>> sysctl;
  std::vector<Device> devices;
  std::string cgroups_path;
  Resources resources;
  std::string rootfs_propagation, mount_label;
  std::optional<SeccompProfile> seccomp;
  std::vector<TimeOffset> time_offsets;
  std::vector<DeviceRule> device_rules;
  bool linux32 = false;  // personality LINUX32
};

struct Hook {
  std::string path;
  std::vector<std::string> args, env;
  std::optional<int> timeout_seconds;
};
struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart, poststop;
};

struct Spec {
  std::string oci_version;
  Process process;
  Root root;
  std::string hostname, domainname;
  std::vector<Mount> mounts;
  Linux linux_config;  // `linux` is a predefined macro
  Hooks hooks;
  std::vector<std::pair<std::string, std::string>> annotations;
};

// Reads BUNDLE/config.json and checks it. Messages name the file, the JSON path, what is wrong and what to do.
Outcome<Spec> load_bundle(std::string const& bundle);
Outcome<Spec> parse_spec(std::string_view text, std::string_view file);
// A process.json as `exec --process` takes it.
Outcome<Process> load_process(std::string const& file);
// The config.json that `spec` writes.
std::string default_config(bool rootless);

// "CAP_KILL" or "KILL", any case, to its number; nothing when there is no such capability.
std::optional<int> capability_number(std::string_view name);
std::string_view capability_name(int number);
inline constexpr int capability_count = 41;

// Whole content of a file of at most max_json_bytes.
Outcome<std::string> read_text_file(std::string const& path);

}  // namespace cofferdam::oci
