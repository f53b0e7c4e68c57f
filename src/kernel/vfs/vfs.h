// The VFS's front: what system calls and the rest of the kernel ask of the file tree.
// Dentries and mounts themselves: dentry.h, mount.h.
#pragma once

#include <fcntl.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/cred/credentials.h"
#include "kernel/vfs/attributes.h"
#include "kernel/vfs/fifo.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/path.h"

namespace cofferdam::kernel {

class Kernel;
class MountNamespace;
class LockWaits;
class PidNamespace;
struct NamespaceSet;
class MountTree;
class Notifications;
class PathWalk;
class Task;
struct MountInfo;

// Root, working directory and umask; shared by CLONE_FS.
class FsContext : public RefCounted {
 public:
  FsContext(Path root, Path cwd, mode_t umask) : state_(State{std::move(root), std::move(cwd), umask}) {}
  Ref<FsContext> clone() const;
  Path root() const;
  Path cwd() const;
  mode_t umask() const;
  void set_root(Path);
  void set_cwd(Path);
  void move(Path const& from, Path const& to);  // root and directory, each if it is `from`
  mode_t exchange_umask(mode_t);

 private:
  struct State {
    Path root, cwd;
    mode_t umask;
  };
  Guarded<State> state_;
};

struct LookupOptions {
  bool follow_last = true;         // follow a symlink in the last component
  bool allow_empty = false;        // AT_EMPTY_PATH
  bool must_be_directory = false;  // set by a trailing slash as well
  bool no_automount = false;
  uint64_t resolve = 0;  // RESOLVE_* of openat2(2)
};

// A path whose last component may not exist: the parent is resolved, the last name is kept.
struct ParentLookup {
  Path parent;
  std::string name;  // "" for the path "/"; "." and ".." as they are (then `last_is_special`)
  bool trailing_slash = false;
  bool last_is_special = false;
};

class Vfs {
 public:
  explicit Vfs(Kernel&);
  ~Vfs();

  // `start` is where relative paths begin: the cwd (AT_FDCWD) or an open directory's path.
  // Errors: ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG, EXDEV/EAGAIN (resolve flags).
  Result<Path> lookup(Task&, Path const& start, std::string_view path, LookupOptions);
  Result<ParentLookup> lookup_parent(Task&, Path const& start, std::string_view path, uint64_t resolve = 0);
  // The Path for a dirfd argument: cwd for AT_FDCWD, else the descriptor's (EBADF; ENOTDIR when path is relative and it
  // is no directory).
  Result<Path> start_of(Task&, int dirfd, std::string_view path);

  // open(2) in whole: creation, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_TMPFILE, permission, read-only
  // mounts, ETXTBSY, FIFOs (blocking as fifo(7)), devices.
  Result<Ref<File>> open(Task&, Path const& start, std::string_view path, int flags, mode_t mode, uint64_t resolve = 0);
  // A path that has been looked up already (execve, /proc/PID/fd).
  Result<Ref<File>> open_path(Task&, Path const&, int flags);
  // As open_path, for the kernel's own use: watches hear of neither the open nor the end.
  Result<Ref<File>> open_unnoticed(Task&, Path const&, int flags, bool created = false);
  // For execve(2): regular file, not on a noexec mount, executable by the task: EACCES else.
  Result<Ref<File>> open_executable(Task&, Path const& start, std::string_view path, bool follow_last);

  Result<void> mkdir(Task&, Path const& start, std::string_view path, mode_t mode);
  Result<void> mknod(Task&, Path const& start, std::string_view path, mode_t mode, uint64_t device);
  Result<void> symlink(Task&, std::string_view target, Path const& start, std::string_view path);
  Result<void> link(Task&, Path const& old_path, Path const& new_start, std::string_view new_path);
  Result<void> unlink(Task&, Path const& start, std::string_view path);
  Result<void> rmdir(Task&, Path const& start, std::string_view path);
  Result<void> rename(Task&, Path const& old_start, std::string_view old_path, Path const& new_start,
                      std::string_view new_path, RenameMode);
  Result<std::string> read_link(Task&, Path const&);
  Result<Attributes> attributes(Path const&);
  // chmod, chown, utimensat, truncate with Linux's permission rules (EPERM, EACCES, EROFS).
  Result<void> set_attributes(Task&, Path const&, AttributeChange);
  // access(2): with the real ids when effective is false.
  Result<void> access(Task&, Path const&, int mask, bool effective);
  Result<void> chdir(Task&, Path const&);   // EACCES, ENOTDIR
  Result<void> chroot(Task&, Path const&);  // EPERM without CAP_SYS_CHROOT

  // mount(2) family. Mounts of new file systems are made by name through the registry of file_system_types().
  Result<void> mount(Task&, std::string_view source, Path const& target, std::string_view type, unsigned long flags,
                     std::string_view data);
  Result<void> unmount(Task&, Path const& target, int flags);
  Result<void> pivot_root(Task&, Path const& new_root, Path const& put_old);

  // Puts a file system at a path before the first task runs (the container's own mounts). flags: MS_RDONLY, MS_NOSUID…
  Result<Ref<Mount>> attach(MountNamespace&, Ref<FileSystem>, std::optional<Path> const& at, unsigned long flags,
                            std::optional<std::string> source = {});

  // What stands at `source`, seen at `target` too; `recursive`: with what is mounted below it.
  Result<void> mount_bind(Path const& source, Path const& target, bool recursive);

  // For the assembly, before tasks run: the place of an absolute path in the namespace, symlinks followed within it.
  Result<Path> resolve(MountNamespace&, std::string_view path);
  // As resolve, and makes what is missing: directories, and as the last component a directory or an empty file.
  Result<Path> make_mountpoint(MountNamespace&, std::string_view path, bool directory);

  // chown, writes and truncation take set-user-ID and set-group-ID off (without CAP_FSETID for the latter two).
  Result<void> strip_privileges(Task&, Inode&);
  // Permission of a task for what a path names, mount flags included: EACCES, EROFS.
  Result<void> permission(Credentials const&, Path const&, int mask);

  // The path as text below `root`; "(unreachable)…" when it is not below it, " (deleted)" when unlinked (d_path).
  std::string path_text(Path const&, Path const& root);
  // The mounts of a namespace in the order of mounting.
  std::vector<MountInfo> mounts(MountNamespace&);
  // A namespace with the same mounts (CLONE_NEWNS); `fs`, the task's own, is moved into it.
  Ref<MountNamespace> copy_namespace(MountNamespace& from, FsContext& fs);
  // The root of a namespace; empty before the first attach.
  Path root_of(MountNamespace&);
  // A path for an inode that stands nowhere in the tree (memfd); shows as "/name (deleted)".
  Path detached_path(Ref<Inode>, std::string_view name);
  // The file system of inodes that belong to none (memfd).
  FileSystem& anonymous_file_system();
  LockWaits& lock_waits();
  Notifications& notifications();
  uint64_t allocate_inode_number();  // for it
  void set_fifo_opener(FifoOpener);
  // Writes back every mounted file system (sync(2)).
  void sync_all(MountNamespace&);
  // A fresh anonymous st_dev number for a file system without a device.
  uint64_t allocate_device();

  struct State;
  State& state() { return *state_; }

 private:
  Result<Ref<File>> open_checked(Task&, Path const&, int flags, bool created);
  Result<Ref<File>> open_or_create(Task&, PathWalk&, ParentLookup const&, int flags, mode_t mode);
  Result<Ref<File>> open_temporary(Task&, Path const& directory, int flags, mode_t mode);
  Result<void> mount_move(Path const& source, Path const& target);
  Result<void> exchange_roots(Task&, Path const& new_root, Path const& put_old, Path const& old_root);
  void move_roots(Path const& from, Path const& to);
  bool is_attached_to(Path const&, MountNamespace const*);
  bool may_bind_from(Path const& source, MountNamespace const* own);
  Result<void> propagate(Mount& top, std::vector<Ref<RefCounted>>& dropped);
  Kernel& kernel_;
  std::unique_ptr<State> state_;
};

// Who wants a new file system.
struct MountRequest {
  Kernel& kernel;
  Task* task;  // null: the assembly
  PidNamespace& pids;
  NamespaceSet const& namespaces;
  std::string_view source, data;  // data: the option string of mount(2)
};

// A file system that mount(2) can make by name. Registered with Kernel::file_system_types by the sentry's assembly.
struct FileSystemType {
  std::string name;
  bool nodev = true;  // "nodev" in /proc/filesystems
  bool user_mountable = true;
  Result<Ref<FileSystem>> (*create)(MountRequest const&);
};

}  // namespace cofferdam::kernel
