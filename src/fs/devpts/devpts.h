// devpts: /dev/pts (Documentation/filesystems/devpts.rst). Every mount is an instance of its own.
// Options: gid=, uid=, mode=, ptmxmode=, max=, newinstance.
#pragma once

#include <string>

#include "kernel/terminal/pty.h"
#include "kernel/vfs/vfs.h"

namespace cofferdam::fs::devpts {

kernel::FileSystemType file_system_type();

// A pair for the container's own terminal, made without a task: the slave is `name` in the instance and unlocked.
struct TerminalPair {
  Ref<kernel::Pty> pty;
  Ref<kernel::File> master;  // the pair lives as long as it
  Ref<kernel::Inode> slave;
  std::string name;
};
// EINVAL when the file system is no devpts; ENOSPC.
Result<TerminalPair> make_terminal(kernel::FileSystem&, uid_t, gid_t);

}  // namespace cofferdam::fs::devpts
