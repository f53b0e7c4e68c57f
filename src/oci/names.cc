#include "oci/names.h"

#include <ctype.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>

#include "oci/spec.h"

namespace cofferdam::oci {

namespace {

// In the order of <linux/capability.h>: the index is the number.
constexpr std::array<std::string_view, capability_count> capability_names = {"CAP_CHOWN",
                                                                             "CAP_DAC_OVERRIDE",
                                                                             "CAP_DAC_READ_SEARCH",
                                                                             "CAP_FOWNER",
                                                                             "CAP_FSETID",
                                                                             "CAP_KILL",
                                                                             "CAP_SETGID",
                                                                             "CAP_SETUID",
                                                                             "CAP_SETPCAP",
                                                                             "CAP_LINUX_IMMUTABLE",
                                                                             "CAP_NET_BIND_SERVICE",
                                                                             "CAP_NET_BROADCAST",
                                                                             "CAP_NET_ADMIN",
                                                                             "CAP_NET_RAW",
                                                                             "CAP_IPC_LOCK",
                                                                             "CAP_IPC_OWNER",
                                                                             "CAP_SYS_MODULE",
                                                                             "CAP_SYS_RAWIO",
                                                                             "CAP_SYS_CHROOT",
                                                                             "CAP_SYS_PTRACE",
                                                                             "CAP_SYS_PACCT",
                                                                             "CAP_SYS_ADMIN",
                                                                             "CAP_SYS_BOOT",
                                                                             "CAP_SYS_NICE",
                                                                             "CAP_SYS_RESOURCE",
                                                                             "CAP_SYS_TIME",
                                                                             "CAP_SYS_TTY_CONFIG",
                                                                             "CAP_MKNOD",
                                                                             "CAP_LEASE",
                                                                             "CAP_AUDIT_WRITE",
                                                                             "CAP_AUDIT_CONTROL",
                                                                             "CAP_SETFCAP",
                                                                             "CAP_MAC_OVERRIDE",
                                                                             "CAP_MAC_ADMIN",
                                                                             "CAP_SYSLOG",
                                                                             "CAP_WAKE_ALARM",
                                                                             "CAP_BLOCK_SUSPEND",
                                                                             "CAP_AUDIT_READ",
                                                                             "CAP_PERFMON",
                                                                             "CAP_BPF",
                                                                             "CAP_CHECKPOINT_RESTORE"};

struct Named {
  std::string_view name;
  int number;
};

constexpr Named rlimit_names[] = {{"RLIMIT_CPU", RLIMIT_CPU},           {"RLIMIT_FSIZE", RLIMIT_FSIZE},
                                  {"RLIMIT_DATA", RLIMIT_DATA},         {"RLIMIT_STACK", RLIMIT_STACK},
                                  {"RLIMIT_CORE", RLIMIT_CORE},         {"RLIMIT_RSS", RLIMIT_RSS},
                                  {"RLIMIT_NPROC", RLIMIT_NPROC},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
                                  {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},   {"RLIMIT_AS", RLIMIT_AS},
                                  {"RLIMIT_LOCKS", RLIMIT_LOCKS},       {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
                                  {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
                                  {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},     {"RLIMIT_RTTIME", RLIMIT_RTTIME}};

constexpr Named namespace_names[] = {
    {"pid", static_cast<int>(NamespaceType::Pid)},       {"network", static_cast<int>(NamespaceType::Network)},
    {"mount", static_cast<int>(NamespaceType::Mount)},   {"ipc", static_cast<int>(NamespaceType::Ipc)},
    {"uts", static_cast<int>(NamespaceType::Uts)},       {"user", static_cast<int>(NamespaceType::User)},
    {"cgroup", static_cast<int>(NamespaceType::Cgroup)}, {"time", static_cast<int>(NamespaceType::Time)}};

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return ::tolower(static_cast<unsigned char>(x)) == ::tolower(static_cast<unsigned char>(y));
  });
}

}  // namespace

std::optional<int> capability_number(std::string_view name) {
  for (int n = 0; n < capability_count; ++n) {
    std::string_view full = capability_names[static_cast<size_t>(n)];
    if (same_ignoring_case(name, full) || same_ignoring_case(name, full.substr(4))) return n;
  }
  return std::nullopt;
}

std::string_view capability_name(int number) {
  return number >= 0 && number < capability_count ? capability_names[static_cast<size_t>(number)] : "CAP_?";
}

std::optional<int> scheduler_policy(std::string_view name) {
  constexpr Named policies[] = {{"SCHED_OTHER", SCHED_OTHER},
                                {"SCHED_FIFO", SCHED_FIFO},
                                {"SCHED_RR", SCHED_RR},
                                {"SCHED_BATCH", SCHED_BATCH},
                                {"SCHED_IDLE", SCHED_IDLE}};
  for (auto& p : policies)
    if (p.name == name) return p.number;
  return std::nullopt;
}

std::optional<int> rlimit_number(std::string_view name) {
  auto* found = std::ranges::find(rlimit_names, name, &Named::name);
  return found == std::end(rlimit_names) ? std::nullopt : std::optional(found->number);
}

std::optional<NamespaceType> namespace_type(std::string_view name) {
  auto* found = std::ranges::find(namespace_names, name, &Named::name);
  return found == std::end(namespace_names) ? std::nullopt : std::optional(static_cast<NamespaceType>(found->number));
}

}  // namespace cofferdam::oci
