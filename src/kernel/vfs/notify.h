// Telling those who watch the file tree what happens to it (inotify(7); fanotify(7) can hang on the same hooks).
//
// A watch hangs in the list of the inode that it watches (Inode::watches). Where no watch exists on a file system, a
// hook costs one relaxed load: FileSystem::notifications() is null.
#pragma once

#include <sys/inotify.h>

#include <atomic>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::kernel {

// Masks are the IN_* bits of <sys/inotify.h>, IN_ISDIR among them.
struct FileEvent {
  uint32_t mask = 0;
  uint32_t cookie = 0;         // joins the two halves of a move
  std::string_view name = {};  // what in the watched directory it is about; empty: the watched inode itself
  bool name_is_gone = false;   // it happened to an open file whose name has been removed
};

class Watch : public RefCounted {
 public:
  // Runs on the thread that caused the event, with directory locks held perhaps: it may take locks of its own only.
  virtual void on_event(FileEvent const&) = 0;
  // The inode is gone (after IN_DELETE_SELF) or its file system is (after IN_UNMOUNT): the watch is in no list any
  // more.
  virtual void on_end() = 0;
  // What it wants to hear of.
  virtual uint32_t events() const { return IN_ALL_EVENTS; }
};

// Events that others than this sandbox cause, on file systems that are not its alone. Implementations tell
// Notifications of what they hear, from a thread that holds no locks.
class OutsideChanges {
 public:
  virtual ~OutsideChanges() = default;
  virtual void watch(Inode&, uint32_t mask) = 0;  // adds to what is watched of the inode
  virtual void unwatch(Inode&) = 0;               // nobody watches it any more; it may be unknown
};

// The watches of one inode; hangs in Inode::watches.
class WatchList final : public RefCounted {
 public:
  static Ref<WatchList> of(Inode&);    // makes it
  static Ref<WatchList> find(Inode&);  // null when the inode never had a watch
  std::vector<Ref<Watch>> all() const;

 private:
  friend class Notifications;
  struct State {
    std::vector<Ref<Watch>> watches;
    // Keeps the name in the cache, so that whoever comes by it finds this inode, until the name is removed.
    Ref<Dentry> pin;
    Ref<Inode> inode;
  };
  mutable Guarded<State> state_;
};

// All notification of one Vfs.
class Notifications {
 public:
  explicit Notifications(DentryCache& dentries) : dentries_(dentries) {}
  ~Notifications();
  Notifications(Notifications const&) = delete;
  Notifications& operator=(Notifications const&) = delete;

  void add(Ref<Dentry> const& place, Ref<Watch>);
  void remove(Inode&, Watch const&);

  // Something happened to what the dentry names: told to its directory (with the name) and to itself.
  void at(Dentry&, uint32_t mask);
  // Told to the watches of this inode only.
  void on(Inode&, FileEvent const&);
  // A name was removed (unlink, rmdir, replaced by a rename): when nobody uses the inode any more its watches end.
  void name_removed(Inode&);
  // The last reference to a dentry has gone whose name was removed.
  void dentry_gone(Inode&);
  void unmounted(FileSystem&);
  // A watch that was added wants to hear of more.
  void widen(Inode&, uint32_t mask);
  // Somebody outside removed the inode, and nobody uses it any more.
  void deleted_outside(Inode& inode) { end(inode, IN_DELETE_SELF); }
  // Before tasks run.
  void set_outside(std::unique_ptr<OutsideChanges> outside) { outside_ = std::move(outside); }
  uint32_t next_cookie() { return next_cookie_.fetch_add(1, std::memory_order_relaxed) + 1; }

 private:
  void end(Inode&, uint32_t mask);

  DentryCache& dentries_;
  std::unique_ptr<OutsideChanges> outside_;  // null: nobody else changes anything
  std::atomic<uint32_t> next_cookie_{0};
  // Inodes with a watch, which keep themselves as long. Before the locks of the lists.
  Guarded<std::map<FileSystem*, std::vector<Inode*>>> watched_;
};

// The hooks. All of them: nothing happens where no watch exists.
inline void notify(File const& file, uint32_t mask) {
  Inode* inode = file.inode();
  if (inode == nullptr) return;
  if (Notifications* n = inode->file_system().notifications()) n->at(*file.path().dentry, mask);
}
inline void notify(Path const& path, uint32_t mask) {
  if (Notifications* n = path.dentry->inode()->file_system().notifications()) n->at(*path.dentry, mask);
}
// A name came into `directory`, or left it.
inline void notify_name(Inode& directory, uint32_t mask, std::string_view name, bool is_directory,
                        uint32_t cookie = 0) {
  if (Notifications* n = directory.file_system().notifications())
    n->on(directory, {.mask = mask | (is_directory ? IN_ISDIR : 0), .cookie = cookie, .name = name});
}
inline void notify_inode(Inode& inode, uint32_t mask) {
  if (Notifications* n = inode.file_system().notifications()) n->on(inode, {.mask = mask});
}

}  // namespace cofferdam::kernel
