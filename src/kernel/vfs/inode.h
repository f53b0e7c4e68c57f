// An inode: what a file system implements. Every operation has a default that carries the right errno, so that a
// file system states only what it can do. The VFS has checked permissions, mount flags and name lengths before it
// calls.
//
// Names are single path components: never empty, ".", "..", or with '/' or NUL. Directory operations are called with
// the directory's own lock (Inode::directory_lock) held shared for lookups, exclusively for changes.
#pragma once

#include <fcntl.h>
#include <sys/statfs.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/cred/credentials.h"
#include "kernel/vfs/attributes.h"
#include "platform/platform.h"

namespace cofferdam::kernel {

class Dentry;
class File;
class FileSystem;
class Inode;
class Mount;
class Namespace;
class Notifications;
class OutsideLocks;
class Task;
struct Path;

// What the VFS hangs on few inodes, and for as long as they live.
enum class Attachment : uint8_t {
  Fifo,         // the pipe of a FIFO
  BoundSocket,  // the endpoint bound to a socket file
  Locks,        // file locks and leases
  Watches,      // of inotify
};

// Who makes a new inode, and how. mode already has umask and setgid inheritance applied.
struct NewInode {
  mode_t mode;  // type and permission bits
  uid_t uid;
  gid_t gid;
  uint64_t special_device = 0;
};

enum class RenameMode { Replace, NoReplace, Exchange, Whiteout };

struct OpenRequest {
  int flags;  // O_* as the guest gave them (access mode, O_APPEND, O_NONBLOCK, O_DIRECT, O_TRUNC done by the VFS
              // before)
  Task& task;
};

class Inode : public RefCounted {
 public:
  explicit Inode(FileSystem& fs);
  ~Inode() override;
  FileSystem& file_system() const { return *file_system_; }

  // The current attributes. Cheap: the VFS asks on every path component.
  virtual Result<Attributes> attributes() = 0;
  virtual Result<void> set_attributes(AttributeChange const&, Task&) { return fail(Errno::Perm); }
  // Type bits alone (S_IFMT); never changes during an inode's life.
  virtual mode_t type() const = 0;

  // Directories.
  virtual Result<Ref<Inode>> lookup(std::string_view) { return fail(Errno::NotDir); }
  virtual Result<Ref<Inode>> create(std::string_view, NewInode const&) {
    return fail(Errno::Perm);
  }  // regular, mkdir, mknod by mode
  virtual Result<Ref<Inode>> symlink(std::string_view, std::string_view /*target*/, NewInode const&) {
    return fail(Errno::Perm);
  }
  virtual Result<void> link(std::string_view, Inode& /*target*/) { return fail(Errno::Perm); }
  virtual Result<void> unlink(std::string_view, Inode& /*victim*/) { return fail(Errno::Perm); }
  virtual Result<void> rmdir(std::string_view, Inode& /*victim*/) { return fail(Errno::Perm); }
  // `moved` is what old_name names here, `target` what new_name names there (null: nothing).
  virtual Result<void> rename(std::string_view /*old_name*/, Inode& /*moved*/, Inode& /*new_directory*/,
                              std::string_view /*new_name*/, Inode* /*target*/, RenameMode) {
    return fail(Errno::Perm);
  }
  // Told by the VFS after a rename: this inode now stands at (directory, name), instead of at (old_directory,
  // old_name).
  virtual void on_moved(Inode& /*old_directory*/, std::string_view /*old_name*/, Inode& /*directory*/,
                        std::string_view /*name*/) {}
  // Told by the VFS: the name was taken away by unlink, rmdir or a rename onto it.
  virtual void on_name_removed(Inode& /*directory*/, std::string_view /*name*/) {}
  virtual Result<Ref<Inode>> tmpfile(NewInode const&) { return fail(Errno::OpNotSupp); }

  // Symbolic links. A magic link (/proc/PID/fd/N, …/exe, …/cwd) gives a Path instead of text. File systems whose links
  // do not depend on who asks implement link_text.
  virtual Result<std::string> link_text() { return fail(Errno::Inval); }
  virtual Result<std::string> read_link(Task&) { return link_text(); }
  virtual bool is_magic_link() const { return false; }
  virtual Result<Path> follow_magic_link(Task&);  // ENOENT

  // /proc/PID/ns and what is bound from there.
  virtual Namespace* stands_for_namespace() const { return nullptr; }

  // Makes an open file. FIFOs, sockets and device nodes are opened by the VFS itself and never come here unless a
  // file system overrides opens_special_files().
  virtual Result<Ref<File>> open(OpenRequest const&, Path const&) { return fail(Errno::NxIo); }
  virtual bool opens_special_files() const { return false; }

  // May this task use it so (`mask` of MAY_READ 4, MAY_WRITE 2, MAY_EXEC 1)? Default: mode bits and capabilities.
  virtual Result<void> permission(Credentials const&, int mask);

  // Extended attributes (xattr(7)).
  virtual Result<std::string> get_xattr(std::string_view) { return fail(Errno::OpNotSupp); }
  virtual Result<void> set_xattr(std::string_view, std::string_view, int /*flags*/) { return fail(Errno::OpNotSupp); }
  virtual Result<void> remove_xattr(std::string_view) { return fail(Errno::OpNotSupp); }
  virtual Result<std::vector<std::string>> list_xattr() { return fail(Errno::OpNotSupp); }

  // For file systems that stand on others (overlay), where no open file is at hand: plain file data, times as they are
  // to be, and a directory's entries without "." and "..".
  virtual Result<size_t> read_data(std::span<std::byte>, uint64_t /*offset*/) { return fail(Errno::Inval); }
  virtual Result<size_t> write_data(std::span<std::byte const>, uint64_t /*offset*/) { return fail(Errno::Inval); }
  virtual Result<void> set_times(timespec /*accessed*/, timespec /*modified*/) { return fail(Errno::Perm); }
  struct DirectoryEntry {
    std::string name;
    uint64_t inode = 0;
    unsigned char type = 0;  // DT_*
  };
  virtual Result<std::vector<DirectoryEntry>> list_entries() { return fail(Errno::NotDir); }

  // Where locks on this inode are to be taken for others too (locks.h); null: nobody outside sees it.
  virtual Ref<OutsideLocks> outside_locks();

  // May a cached dentry of this inode still be used? Shared mounts ask the host again; false drops the dentry.
  virtual bool revalidate() { return true; }
  // May lookups that failed be cached?
  virtual bool cache_negative() const { return true; }

  // The directory's own lock: shared for lookups, exclusive for changes.
  SharedMutex& directory_lock();

  // Has with_attachment of it been called?
  bool has_attachment(Attachment which) const {
    return attachments_made_.load(std::memory_order_acquire) >> static_cast<unsigned>(which) & 1;
  }
  // f(Ref<RefCounted>&), under a lock; null at first.
  template <class F>
  decltype(auto) with_attachment(Attachment which, F&& f) {
    return attachment(which).with(std::forward<F>(f));
  }

  // The mode as last told by note_mode, which promises that permission() is the default one: lets path walks and writes
  // skip the question where the mode alone answers it. nullopt: ask.
  std::optional<mode_t> mode_hint() const {
    uint32_t hint = mode_hint_.load(std::memory_order_relaxed);
    if (!(hint & mode_hint_valid)) return std::nullopt;
    return hint & 07777;
  }
  // A directory that rmdir(2) has removed: nothing can be made in it. Set with its directory_lock held.
  bool removed() const { return removed_.load(std::memory_order_relaxed); }
  void set_removed() { removed_.store(true, std::memory_order_relaxed); }

  // A file without a name that may be given one (O_TMPFILE without O_EXCL).
  bool linkable() const { return linkable_.load(std::memory_order_relaxed); }
  void set_linkable() { linkable_.store(true, std::memory_order_relaxed); }

  // The platform answers reads of it (File::service). Whoever makes the file shorter, or puts other data in its place,
  // stops that first.
  void note_service(Ref<platform::DescriptorServices> const&);
  void stop_serving();
  bool is_served() const { return served_.load(std::memory_order_seq_cst); }

  // Writers against executions (ETXTBSY): as i_writecount of Linux.
  bool acquire_write();
  void release_write() { write_count_.fetch_sub(1, std::memory_order_relaxed); }
  bool deny_write();
  void allow_write() { write_count_.fetch_add(1, std::memory_order_relaxed); }

 protected:
  // For file systems with default permissions: told whenever the mode is learnt or changes.
  void note_mode(mode_t mode) { mode_hint_.store(mode_hint_valid | (mode & 07777), std::memory_order_relaxed); }

 private:
  static constexpr uint32_t mode_hint_valid = 1u << 31;
  static constexpr size_t attachment_kinds = 4;
  using Attachments = std::array<Guarded<Ref<RefCounted>>, attachment_kinds>;
  Guarded<Ref<RefCounted>>& attachment(Attachment);

  Ref<FileSystem> file_system_;
  std::atomic<Attachments*> attachments_{nullptr};
  std::atomic<SharedMutex*> directory_lock_{nullptr};
  std::atomic<uint32_t> mode_hint_{0};
  std::atomic<int32_t> write_count_{0};
  std::atomic<bool> removed_{false}, linkable_{false}, served_{false};
  std::atomic<uint8_t> attachments_made_{0};
};

class FileSystem : public RefCounted {
 public:
  virtual std::string_view type_name() const = 0;  // as in /proc/filesystems
  virtual Result<struct statfs> statfs() = 0;
  virtual Ref<Inode> root() = 0;
  virtual uint64_t device() const = 0;                      // st_dev of its inodes
  virtual std::string mount_options() const { return {}; }  // beyond the mount's own, for /proc/mounts
  virtual std::string source() const { return std::string(type_name()); }
  virtual Result<void> sync() { return {}; }
  // mount(2) with MS_REMOUNT: other options than the mount's own. The default has none.
  virtual Result<void> reconfigure(std::string_view /*options*/) { return {}; }
  // Must each use of a cached dentry ask Inode::revalidate()?
  virtual bool revalidates() const { return false; }

  // Who is to be told of what happens here (notify.h); null where nobody watches.
  Notifications* notifications() const { return notifications_.load(std::memory_order_relaxed); }
  void set_notifications(Notifications* n) {
    notifications_.store(n, std::memory_order_seq_cst);
    if (n != nullptr) stop_serving();  // who watches wants to hear of every read
  }
  // Those who serve files of it.
  void note_service(Ref<platform::DescriptorServices> const&);
  void stop_serving();
  // For Mount: it shows this file system; it does so no longer.
  void mounted() { mounts_.fetch_add(1, std::memory_order_relaxed); }
  void unmounted();

 private:
  std::atomic<Notifications*> notifications_{nullptr};
  Guarded<std::vector<Ref<platform::DescriptorServices>>> services_;
  std::atomic<uint32_t> mounts_{0};
};

}  // namespace cofferdam::kernel
