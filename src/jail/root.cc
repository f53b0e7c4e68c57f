#include "jail/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "host/fd.h"

// <sys/mount.h> and <linux/mount.h> of Debian 12 cannot be included together.
extern "C" int umount2(char const*, int) noexcept;

namespace cofferdam::jail {

namespace {

constexpr int mnt_detach = 2;

std::unexpected<std::string> no_root(char const* step) {
  return refuse(fmt::format("cannot give the sandbox an empty root: {}: {}", step, strerror(errno)));
}

}  // namespace

Outcome<> enter_empty_root() {
  host::OwnedFd context(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (!context) return no_root("fsopen");
  ::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "size", "4096", 0);
  ::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "nr_inodes", "1", 0);
  ::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "mode", "0555", 0);
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return no_root("fsconfig");
  constexpr unsigned attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  host::OwnedFd root(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!root) return no_root("fsmount");
  if (::syscall(SYS_move_mount, root.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return no_root("move_mount");
  if (::fchdir(root.get()) != 0) return no_root("fchdir");
  // Stacks the old root on the new one, at the same place; what is on top is then the old, and goes.
  if (::syscall(SYS_pivot_root, ".", ".") != 0) {
    // A root that is itself no mount in a mount (an initramfs) cannot be pivoted from; nothing is mounted above it
    // here.
    if (errno != EINVAL || ::chroot(".") != 0) return no_root("pivot_root");
  } else if (::umount2(".", mnt_detach) != 0) {
    return no_root("umount");
  }
  if (::chdir("/") != 0) return no_root("chdir");
  return {};
}

}  // namespace cofferdam::jail
