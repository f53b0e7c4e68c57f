#include "sentry/process_spec.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "host/fd.h"

namespace cofferdam::sentry {

namespace {

using kernel::CapabilitySet;
using kernel::Credentials;

constexpr size_t passwd_limit = 1 << 20;

// The root's /etc/passwd is the guest's to write: bounded, resolved within the root, read as text.
std::string home_of(int root_fd, uint32_t uid) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  host::OwnedFd fd(static_cast<int>(::syscall(SYS_openat2, root_fd, "etc/passwd", &how, sizeof how)));
  std::string text;
  char buffer[4096];
  for (ssize_t n; fd && text.size() < passwd_limit && (n = ::read(fd.get(), buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(n));
  std::string const wanted = fmt::format("{}", uid);
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    std::string_view fields[7] = {};
    for (auto& field : fields) {
      size_t colon = std::min(line.find(':'), line.size());
      field = line.substr(0, colon);
      line.remove_prefix(std::min(colon + 1, line.size()));
    }
    if (fields[2] == wanted && fields[5].starts_with('/')) return std::string(fields[5]);
  }
  return "/";
}

}  // namespace

Ref<Credentials const> make_credentials(oci::Process const& p) {
  auto c = make_ref<Credentials>();
  c->uid = c->euid = c->suid = c->fsuid = p.user.uid;
  c->gid = c->egid = c->sgid = c->fsgid = p.user.gid;
  c->groups.assign(p.user.additional_gids.begin(), p.user.additional_gids.end());
  std::ranges::sort(c->groups);
  oci::Capabilities caps = p.capabilities.value_or(oci::Capabilities{});
  c->bounding = CapabilitySet(caps.bounding);
  c->inheritable = CapabilitySet(caps.inheritable);
  if (p.user.uid == 0) {
    uint64_t permitted = caps.inheritable | caps.bounding;
    c->permitted = CapabilitySet(p.no_new_privileges ? permitted & caps.permitted : permitted);
  } else {
    c->ambient = CapabilitySet(caps.ambient & caps.permitted & caps.inheritable);
    c->permitted = c->ambient;
  }
  c->effective = c->permitted;
  return c;
}

kernel::ProcessSpec make_process_spec(oci::Process const& p, int root_fd) {
  kernel::ProcessSpec spec;
  spec.arguments = p.args;
  spec.environment = p.env;
  if (std::ranges::none_of(p.env, [](auto& e) { return e.starts_with("HOME="); }))
    spec.environment.push_back("HOME=" + home_of(root_fd, p.user.uid));
  spec.working_directory = p.cwd;
  spec.credentials = make_credentials(p);
  spec.no_new_privileges = p.no_new_privileges;
  spec.umask = p.user.umask.value_or(022);
  spec.oom_score_adj = p.oom_score_adj.value_or(0);
  if (p.scheduler) {
    spec.scheduling_policy = p.scheduler->policy;
    spec.scheduling_priority = p.scheduler->priority;
    spec.nice = p.scheduler->nice;
  }
  spec.io_priority = p.io_priority;
  for (auto& limit : p.rlimits) spec.limits.emplace_back(limit.resource, rlimit{limit.soft, limit.hard});
  return spec;
}

std::string start_failure(oci::Process const& p, Error const& error) {
  std::string const& program = p.args.front();
  if (error == Errno::NoEnt && !program.contains('/'))
    return fmt::format("exec: \"{}\": executable file not found in $PATH", program);
  std::string why(errno_text(error.code));
  if (!why.empty())
    why[0] = static_cast<char>(::tolower(static_cast<unsigned char>(why[0])));  // as engines look for it
  return fmt::format("exec: \"{}\" in {}: {}", program, p.cwd, why);
}

}  // namespace cofferdam::sentry
