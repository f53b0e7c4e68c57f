#include "cli/command.h"
#include "cli/options.h"
#include "oci/mount_options.h"
#include "oci/spec.h"

namespace cofferdam::cli {

namespace {

oci::JsonArray strings(std::initializer_list<char const*> list) {
  oci::JsonArray out;
  for (auto* s : list) out.emplace_back(s);
  return out;
}

oci::JsonObject seccomp() {
  return {{"enabled", true},
          {"actions", strings({"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                               "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"})},
          {"operators", strings({"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                                 "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"})},
          {"archs", strings({"SCMP_ARCH_X86_64"})},
          {"knownFlags",
           strings({"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"})},
          {"supportedFlags",
           strings({"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"})}};
}

}  // namespace

Outcome<int> run_features(Globals const&, Words const& words) {
  Options options("cofferdam features", "",
                  "Prints what this runtime can do, as the runtime specification's features.json.");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  oci::JsonArray capabilities;
  for (int n = 0; n < oci::capability_count; ++n) capabilities.emplace_back(oci::capability_name(n));
  oci::JsonArray mount_options;
  for (auto& option : oci::mount_options()) mount_options.emplace_back(option.name);
  oci::JsonObject features{
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", oci::spec_version},
      {"hooks", strings({"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"})},
      {"mountOptions", std::move(mount_options)},
      {"linux", oci::JsonObject{
                    {"namespaces", strings({"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"})},
                    {"capabilities", std::move(capabilities)},
                    {"cgroup", oci::JsonObject{{"v1", true}, {"v2", true}, {"systemd", false}, {"systemdUser", false}}},
                    {"seccomp", seccomp()},
                    {"apparmor", oci::JsonObject{{"enabled", true}}},
                    {"selinux", oci::JsonObject{{"enabled", true}}},
                    {"intelRdt", oci::JsonObject{{"enabled", false}}},
                    {"mountExtensions", oci::JsonObject{{"idmap", oci::JsonObject{{"enabled", false}}}}}}}};
  ATTEMPT(print(oci::print_json(features, oci::Layout::Indented) + "\n"));
  return 0;
}

}  // namespace cofferdam::cli
