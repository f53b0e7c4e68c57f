// Rules of making and removing names, shared by the VFS's parts. Private to kernel/vfs.
#pragma once

#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {

// May the task make a name in this directory? ENOENT when it was removed, EROFS, EACCES.
Result<void> may_create(Task&, Path const& directory);
// May it remove `victim` from the directory? EROFS, EACCES, EPERM (sticky).
Result<void> may_remove(Task&, Path const& directory, Inode& victim);
// Owner, group and mode of a new inode: umask, set-group-ID directories (inode(7)).
NewInode new_inode(Task&, Inode& directory, mode_t mode);

}  // namespace cofferdam::kernel
