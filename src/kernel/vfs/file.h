// An open file description: what file descriptors, mappings and SCM_RIGHTS messages share.
#pragma once

#include <fcntl.h>
#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "host/fd.h"
#include "kernel/io.h"
#include "kernel/task/pid.h"
#include "kernel/user_memory.h"
#include "kernel/vfs/attributes.h"
#include "kernel/vfs/path.h"
#include "kernel/wait_queue.h"
#include "platform/platform.h"

namespace cofferdam::kernel {

class File;
class Inode;
class Task;

// Receives directory entries from File::iterate.
class DirectorySink {
 public:
  virtual ~DirectorySink() = default;
  // false: no room, stop; the entry will be asked for again. `next` is the cookie (d_off) behind this entry.
  virtual bool add(std::string_view name, uint64_t inode, unsigned char d_type, uint64_t next) = 0;
};

// How the host can map this file's bytes: a descriptor and the offset in it that corresponds to the request's offset.
struct MapTarget {
  Ref<host::SharedFd> fd;  // null: anonymous zero memory (/dev/zero, shared anonymous is a memory-file extent)
  uint64_t offset = 0;
  Ref<File> keep_file;      // shown in /proc/PID/maps; normally the file itself
  Ref<RefCounted> backing;  // held as long as the mapping lives: what must not be freed or sealed under it
  bool may_write = true;    // false: a shared mapping can never become writable (seals)
  bool may_exec = true;     // false: noexec mount
};
struct MapRequest {
  uint64_t offset, length;
  int protection;
  bool shared;
  bool never_written = false;  // a shared mapping that nobody can make writable
};

// What the platform may answer by itself of the calls on a description. `target`: of `what.file`, which is filled in
// from it.
struct FileService {
  platform::DescriptorService what;
  std::optional<MapTarget> target;
};

struct IoOptions {
  bool nowait = false;  // O_NONBLOCK or RWF_NOWAIT: EAGAIN instead of blocking
  bool append = false;  // the write goes to the end
  bool sync = false;    // O_SYNC, RWF_SYNC
};

// Told when the last reference to a file has gone and before the file is destroyed: how an epoll instance watches files
// without keeping them open.
class FileObserver : public RefCounted {
 public:
  virtual void on_last_reference() = 0;
};

// A mapping of a file takes longer to make than a few reads.
inline constexpr uint8_t reads_before_service = 16;
// Reads of a regular file's `size` bytes, by File::map. nullopt: too small or too large, or it cannot be mapped.
std::optional<FileService> service_of_file(Task&, File&, uint64_t size);

class File : public RefCounted {
 public:
  // flags: access mode and status flags of open(2). path may be empty (anonymous inodes carry a name only).
  File(Path path, int flags);
  ~File() override;

  Path const& path() const { return path_; }
  Inode* inode() const;  // null for files without one
  int flags() const { return flags_.load(std::memory_order_relaxed); }
  void set_status_flags(int settable);  // F_SETFL: O_APPEND, O_ASYNC, O_DIRECT, O_NOATIME, O_NONBLOCK
  bool readable() const { return (flags() & O_ACCMODE) != O_WRONLY && !(flags() & O_PATH); }
  bool writable() const { return (flags() & O_ACCMODE) != O_RDONLY && !(flags() & O_PATH); }
  bool nonblocking() const { return flags() & O_NONBLOCK; }

  // Has it a position? Then read/write are given it, and pread/pwrite/lseek work; else they are ESPIPE.
  virtual bool seekable() const { return false; }

  // One read or write at `offset` (ignored by streams). Blocks by Task's waiting primitives unless options.nowait.
  // May move less than asked. Access mode has been checked.
  virtual Result<size_t> read(Task&, IoSink&, uint64_t /*offset*/, IoOptions) { return fail(Errno::Inval); }
  virtual Result<size_t> write(Task&, IoSource&, uint64_t /*offset*/, IoOptions) { return fail(Errno::Inval); }
  // lseek(2). The default serves SEEK_SET, SEEK_CUR, SEEK_END from size(), with SEEK_DATA/HOLE of a file without holes.
  virtual Result<uint64_t> seek(Task&, int64_t offset, int whence);
  virtual Result<void> iterate(Task&, uint64_t /*position*/, DirectorySink&) { return fail(Errno::NotDir); }
  virtual Result<void> truncate(Task&, uint64_t /*size*/) { return fail(Errno::Inval); }
  virtual Result<void> allocate(Task&, int /*mode*/, uint64_t /*offset*/, uint64_t /*length*/) {
    return fail(Errno::OpNotSupp);
  }
  virtual Result<void> sync(Task&, bool /*data_only*/) { return fail(Errno::Inval); }
  virtual Result<uint64_t> ioctl(Task&, uint32_t /*request*/, uint64_t /*argument*/) { return fail(Errno::NoTty); }
  virtual Result<MapTarget> map(Task&, MapRequest const&) { return fail(Errno::NoDev); }
  // Attributes for fstat; default: the inode's.
  virtual Result<Attributes> attributes();
  // Ready events now (EPOLLIN, …) and where changes are told. Files that are always ready keep the defaults.
  virtual PollMask poll() { return EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM; }
  virtual WaitQueue* wait_queue() { return nullptr; }
  // The same as seen by a task, for files whose readiness depends on who asks (signalfd).
  virtual PollMask poll_as(Task&) { return poll(); }
  virtual WaitQueue* wait_queue_as(Task&) { return wait_queue(); }
  virtual bool pollable() const { return wait_queue() != nullptr; }  // epoll_ctl on others is EPERM
  WaitQueue* wait_queue() const { return const_cast<File*>(this)->wait_queue(); }
  // open(2) of /proc/PID/fd/N for a file that has no path: a new description of the same thing (a pipe's end by access
  // mode). ENXIO for what cannot be opened again, as sockets.
  virtual Result<Ref<File>> reopen(Task&, int /*flags*/) { return fail(Errno::NxIo); }
  // fcntl(2) F_ADD_SEALS, F_GET_SEALS: memfds only; EINVAL for others.
  virtual Result<void> add_seals(Task&, uint32_t /*seals*/) { return fail(Errno::Inval); }
  virtual Result<uint64_t> seals() { return fail(Errno::Inval); }
  // Each close(2) of a descriptor (flush of Linux); errors are close's result.
  virtual Result<void> on_descriptor_close(Task&) { return {}; }
  // "socket:[17]", "pipe:[3]", "anon_inode:[eventpoll]": what readlink of /proc/PID/fd/N gives when path() is empty.
  virtual std::string anonymous_name() const { return "anon_inode:[unknown]"; }
  // Lines of /proc/PID/fdinfo/N beyond pos, flags, mnt_id, ino.
  virtual std::string fdinfo() { return {}; }
  // The same where it names processes: as that namespace numbers them.
  virtual std::string fdinfo_in(PidNamespace const&) { return fdinfo(); }
  // The host descriptor behind plain file data (directfs, tmpfs), for sendfile, splice and mappings; null otherwise.
  virtual Ref<host::SharedFd> host_fd() { return {}; }

  // Counts a use, and tells whether it is time to ask for service().
  enum class Use : uint8_t { Read, Write };
  bool is_service_due(Use use) {
    if (service_after_ == 0 || (use == Use::Write && !service_of_writes_)) return false;
    uint8_t const uses = static_cast<uint8_t>(uses_.load(std::memory_order_relaxed) + 1);
    uses_.store(uses < service_after_ ? uses : 0, std::memory_order_relaxed);
    return uses >= service_after_;
  }
  virtual std::optional<FileService> service(Task&) { return std::nullopt; }
  // Before it is served: whoever changes the file so that what is served would be wrong calls Inode::stop_serving.
  void note_service(Ref<platform::DescriptorServices> const&);
  bool service_holds() const;  // nobody has since note_service
  // Whose data is read: of a file that is opened through an overlay that of the layer.
  virtual Inode* data_inode() const { return inode(); }
  // What the platform has served since was read now.
  virtual void note_served_reads() {}

  // The position shared by all descriptors of this description; held over a whole read or write (f_pos_lock of Linux).
  Mutex position_lock;
  uint64_t position GUARDED_BY(position_lock) = 0;

  // F_SETOWN, F_SETSIG (fcntl(2)).
  struct Owner {
    int type = 0;
    Ref<Pid> pid;  // null: nobody
    int signal = 0;
    uid_t uid = 0, euid = 0;
  };
  Guarded<Owner> owner;

  void add_observer(Ref<FileObserver>);
  void remove_observer(FileObserver const&);

 protected:
  // service() is worth a question after so many uses, and again after so many more.
  void ask_for_service_after(uint8_t reads) { service_after_ = reads; }
  void ask_for_service_of_writes() { service_of_writes_ = true; }
  void last_ref_dropped() override;

 private:
  friend class Vfs;
  Path path_;
  std::atomic<int> flags_;
  Guarded<std::vector<Ref<FileObserver>>> observers_;
  enum class Hold : uint8_t { None, Writer, Executable };
  Hold hold_ = Hold::None;  // on the inode's write count; given back with the file
  bool noticed_ = false;    // watches were told of the open, and are told of the end
  uint8_t service_after_ = 0;
  bool service_of_writes_ = false;
  std::atomic<uint8_t> uses_{0};
};

// What open(2) with O_PATH gives: a place, and nothing that can be done with its contents.
class PathFile final : public File {
 public:
  using File::File;
};

}  // namespace cofferdam::kernel
