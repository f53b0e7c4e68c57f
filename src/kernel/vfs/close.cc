#include "kernel/vfs/close.h"

#include "kernel/ipc/directory_notify.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/locks.h"

namespace cofferdam::kernel {

Result<void> close_descriptor(Task& task, FdTable const& table, File& file) {
  if (Inode* inode = file.inode(); inode != nullptr && inode->has_attachment(Attachment::Locks))
    if (auto locks = FileLocks::find(*inode)) locks->release(&table);
  end_directory_notify(table, file);
  return file.on_descriptor_close(task);
}

}  // namespace cofferdam::kernel
