#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "jail/namespaces.h"

namespace cofferdam::jail {

namespace {

// Where the C library keeps this thread's id. fork(3) has the kernel put the child's there; a raw clone3 must do the
// same, or abort(3), pthread_kill(3) and owner checks of mutexes in the child use the parent's. The place is found by
// value.
pid_t* thread_id_word() {
  auto* descriptor = static_cast<char*>(__builtin_thread_pointer());
  pid_t const self = static_cast<pid_t>(::syscall(SYS_gettid));
  constexpr size_t thread_descriptor_bytes = 0x700;  // of glibc for x86-64: 2304 or more in every release since 2.26
  for (size_t at = 0x280; at < thread_descriptor_bytes; at += sizeof(pid_t)) {
    pid_t value;
    memcpy(&value, descriptor + at, sizeof value);
    if (value == self) return reinterpret_cast<pid_t*>(descriptor + at);
  }
  return nullptr;
}

Outcome<> write_file(std::string const& path, std::string const& text) {
  host::OwnedFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return refuse(fmt::format("cannot write {}: {}", path, strerror(errno)));
  return {};
}

// Each extent of our own map, to itself: all ids there are when we are in the initial user namespace.
Outcome<std::string> identity_map(char const* own_map) {
  FILE* file = ::fopen(own_map, "re");
  if (!file) return refuse(fmt::format("cannot read {}: {}", own_map, strerror(errno)));
  std::string map;
  unsigned inside = 0, outside = 0, count = 0;
  while (::fscanf(file, "%u %u %u", &inside, &outside, &count) == 3)
    map += fmt::format("{} {} {}\n", inside, inside, count);
  ::fclose(file);
  return map;
}

}  // namespace

Outcome<SandboxProcess> fork_into_namespaces(NetworkNamespace network) {
  pid_t* const thread_id = thread_id_word();
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
               CLONE_PIDFD | (network == NetworkNamespace::New ? uint64_t{CLONE_NEWNET} : 0) |
               (thread_id ? uint64_t{CLONE_CHILD_SETTID} : 0);
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.child_tid = reinterpret_cast<uint64_t>(thread_id);
  args.exit_signal = SIGCHLD;
  long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) {
    char const* hint = errno == EPERM || errno == ENOSPC || errno == EUSERS
                           ? "; user namespaces must be allowed (sysctl user.max_user_namespaces)"
                           : "";
    return refuse(fmt::format("cannot make the sandbox's namespaces: {}{}", strerror(errno), hint));
  }
  return SandboxProcess{static_cast<pid_t>(pid), host::OwnedFd(pid == 0 ? -1 : pidfd)};
}

namespace {
std::string map_text(std::vector<IdRange> const& ranges) {
  std::string text;
  for (auto& r : ranges) text += fmt::format("{} {} {}\n", r.inside, r.outside, r.count);
  return text;
}
}  // namespace

Outcome<> write_id_maps(pid_t child, std::vector<IdRange> const& uids, std::vector<IdRange> const& gids) {
  std::string const base = fmt::format("/proc/{}/", child);
  if (::geteuid() == 0) {
    ATTEMPT(write_file(base + "uid_map", uids.empty() ? ATTEMPT(identity_map("/proc/self/uid_map")) : map_text(uids)));
    return write_file(base + "gid_map", gids.empty() ? ATTEMPT(identity_map("/proc/self/gid_map")) : map_text(gids));
  }
  ATTEMPT(write_file(base + "setgroups", "deny"));
  ATTEMPT(write_file(base + "uid_map", fmt::format("{0} {0} 1\n", ::geteuid())));
  return write_file(base + "gid_map", fmt::format("{0} {0} 1\n", ::getegid()));
}

Outcome<> become_mapped_root() {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0)
    return refuse(fmt::format("linux.uidMappings: cannot become root of the mapping: {}; map id 0 of the container",
                              strerror(errno)));
  // The change of ids has taken /proc/self away from us; it closes for good with the jail.
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return refuse("cannot keep /proc/self readable");
  return {};
}

}  // namespace cofferdam::jail
