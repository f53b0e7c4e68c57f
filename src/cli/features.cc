#include "cli/command.h"
#include "cli/options.h"
#include "oci/spec.h"

namespace cofferdam::cli {

namespace {

oci::JsonArray strings(std::initializer_list<char const*> list) {
  oci::JsonArray out;
  for (auto* s : list) out.emplace_back(s);
  return out;
}

}  // namespace

Outcome<int> run_features(Globals const&, Words const& words) {
  Options options("cofferdam features", "",
                  "Prints what this runtime can do, as the runtime specification's features.json.");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  oci::JsonArray capabilities;
  for (int n = 0; n < oci::capability_count; ++n) capabilities.emplace_back(oci::capability_name(n));
  oci::JsonObject features{
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", oci::spec_version},
      {"hooks", strings({"prestart", "createRuntime", "createContainer", "poststart", "poststop"})},
      {"mountOptions", strings({"bind", "defaults", "dev", "exec", "noatime", "nodev", "noexec", "nosuid", "rbind",
                                "relatime", "ro", "rw", "strictatime", "suid"})},
      {"linux", oci::JsonObject{
                    {"namespaces", strings({"cgroup", "ipc", "mount", "network", "pid", "user", "uts"})},
                    {"capabilities", std::move(capabilities)},
                    {"cgroup", oci::JsonObject{{"v1", true}, {"v2", true}, {"systemd", false}, {"systemdUser", false}}},
                    {"seccomp", oci::JsonObject{{"enabled", false}}},
                    {"apparmor", oci::JsonObject{{"enabled", false}}},
                    {"selinux", oci::JsonObject{{"enabled", false}}}}}};
  ATTEMPT(print(oci::print_json(features, oci::Layout::Indented) + "\n"));
  return 0;
}

}  // namespace cofferdam::cli
