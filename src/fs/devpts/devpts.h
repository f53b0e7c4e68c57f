// devpts: /dev/pts (Documentation/filesystems/devpts.rst). Every mount is an instance of its own.
// Options: gid=, uid=, mode=, ptmxmode=, max=, newinstance.
#pragma once

#include <string>

#include "kernel/terminal/pty.h"
#include "kernel/vfs/vfs.h"

namespace cofferdam::fs::devpts {

kernel::FileSystemType file_system_type();

// The container's own terminal, made without a task: a pair in the first devpts of the kernel's root mounts.
struct TerminalPair {
  Ref<kernel::Pty> pty;
  Ref<kernel::File> master;  // the pair lives as long as it
  Ref<kernel::File> slave;   // open for reading and writing
};
// The slave's node belongs to uid and, where the mount does not say otherwise, gid. ENODEV without a devpts; ENOSPC.
Result<TerminalPair> make_terminal(kernel::Kernel&, uid_t, gid_t);

}  // namespace cofferdam::fs::devpts
