#include "oci/spec_parts.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/log.h"
#include "oci/names.h"

namespace cofferdam::oci {

namespace {

// Names that this kernel does not know are dropped with a warning, as runc does.
uint64_t read_capability_set(Reader const& list) {
  uint64_t set = 0;
  for (auto& item : list.items()) {
    std::string name;
    item.read(name);
    if (name.empty())
      item.complain("is empty; give a name like CAP_KILL");
    else if (auto number = capability_number(name))
      set |= uint64_t{1} << *number;
    else
      log::warning("{}: no capability is called '{}'; ignored", item.path(), name);
  }
  return set;
}

void read_rlimits(Reader const& list, std::vector<Rlimit>& to) {
  for (auto& item : list.items()) {
    std::string type;
    Rlimit limit;
    item.at("type").require(type);
    item.at("soft").require(limit.soft);
    item.at("hard").require(limit.hard);
    auto number = rlimit_number(type);
    if (!number) {
      item.at("type").complain(fmt::format("'{}' is no resource limit; use a name like RLIMIT_NOFILE", type));
      return;
    }
    limit.resource = *number;
    if (limit.soft > limit.hard)
      item.complain(fmt::format("soft limit {} is above hard limit {}", limit.soft, limit.hard));
    for (auto& earlier : to)
      if (earlier.resource == limit.resource) item.complain(fmt::format("{} is given twice", type));
    to.push_back(limit);
  }
}

void read_scheduler(Reader const& at, std::optional<Scheduler>& to) {
  if (!at.present()) return;
  std::string policy;
  at.at("policy").require(policy);
  auto number = scheduler_policy(policy);
  if (!number)
    return at.at("policy").complain(
        fmt::format("'{}' is not supported; use SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO or SCHED_RR", policy));
  to.emplace();
  to->policy = *number;
  at.at("nice").read(to->nice);
  at.at("priority").read(to->priority);
  if (to->nice < -20 || to->nice > 19)
    at.at("nice").complain(fmt::format("{} is out of range; use -20 to 19", to->nice));
  bool const real_time = *number == 1 || *number == 2;
  if (real_time ? to->priority < 1 || to->priority > 99 : to->priority != 0)
    at.at("priority").complain(fmt::format("{} does not fit the policy {}", to->priority, policy));
  if (!at.at("flags").items().empty()) at.at("flags").complain("scheduler flags are not supported; leave them out");
}

void read_io_priority(Reader const& at, int& to) {
  if (!at.present()) return;
  constexpr std::string_view classes[] = {"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"};
  constexpr int class_shift = 13;
  std::string name;
  int level = 0;
  at.at("class").require(name);
  at.at("priority").read(level);
  auto const* found = std::ranges::find(classes, name);
  if (found == std::end(classes))
    return at.at("class").complain(fmt::format("'{}' is no I/O class; use a name like IOPRIO_CLASS_BE", name));
  if (level < 0 || level > 7) at.at("priority").complain(fmt::format("{} is out of range; use 0 to 7", level));
  to = static_cast<int>(found - classes + 1) << class_shift | level;
}

}  // namespace

void refuse_present(Reader const& at, std::string_view why) {
  if (at.present()) at.complain(fmt::format("is not supported: {}; remove it", why));
}

void read_process(Reader const& r, Process& p) {
  r.at("terminal").read(p.terminal);
  if (auto size = r.at("consoleSize"); size.present()) {
    p.console_size.emplace();
    size.at("height").read(p.console_size->height);
    size.at("width").read(p.console_size->width);
  }
  auto user = r.at("user");
  user.at("uid").read(p.user.uid);
  user.at("gid").read(p.user.gid);
  user.at("umask").read(p.user.umask);
  user.at("additionalGids").read(p.user.additional_gids);
  refuse_present(user.at("username"), "it is for Windows; give uid and gid");
  refuse_present(r.at("commandLine"), "it is for Windows; give args");
  r.at("args").read(p.args);
  if (p.args.empty()) r.at("args").complain("names no program to run; give at least one string");
  r.at("env").read(p.env);
  r.at("cwd").require(p.cwd);
  if (!p.cwd.starts_with('/')) r.at("cwd").complain(fmt::format("'{}' is not an absolute path", p.cwd));
  if (auto caps = r.at("capabilities"); caps.present())
    p.capabilities = Capabilities{
        .bounding = read_capability_set(caps.at("bounding")),
        .effective = read_capability_set(caps.at("effective")),
        .inheritable = read_capability_set(caps.at("inheritable")),
        .permitted = read_capability_set(caps.at("permitted")),
        .ambient = read_capability_set(caps.at("ambient")),
    };
  read_rlimits(r.at("rlimits"), p.rlimits);
  r.at("noNewPrivileges").read(p.no_new_privileges);
  r.at("oomScoreAdj").read(p.oom_score_adj);
  if (p.oom_score_adj && (*p.oom_score_adj < -1000 || *p.oom_score_adj > 1000))
    r.at("oomScoreAdj").complain(fmt::format("{} is out of range; use -1000 to 1000", *p.oom_score_adj));
  if (p.user.umask && *p.user.umask > 0777)
    user.at("umask").complain(fmt::format("{:#o} is no file mode mask", *p.user.umask));
  read_scheduler(r.at("scheduler"), p.scheduler);
  read_io_priority(r.at("ioPriority"), p.io_priority);
  r.at("apparmorProfile").read(p.apparmor_profile);
  r.at("selinuxLabel").read(p.selinux_label);
  refuse_present(r.at("execCPUAffinity"), "processes that exec adds run on every CPU of the sandbox");
}

}  // namespace cofferdam::oci
