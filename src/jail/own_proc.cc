#include "jail/own_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/syscall.h>

#include <fmt/format.h>

namespace cofferdam::jail {

Outcome<host::OwnedFd> open_own_proc() {
  auto failed = [](char const* step) {
    return refuse(fmt::format("cannot mount a procfs for the sandbox: {}: {}{}", step, strerror(errno),
                              errno == EPERM ? "; in a container, its /proc must not be masked" : ""));
  };
  host::OwnedFd context(static_cast<int>(::syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC)));
  if (!context) return failed("fsopen");
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "subset", "pid", 0) != 0) return failed("subset=pid");
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return failed("fsconfig");
  constexpr unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  host::OwnedFd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!mount) return failed("fsmount");
  return mount;
}

}  // namespace cofferdam::jail
