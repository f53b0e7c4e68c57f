// rename(2).
#include <optional>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/creation.h"
#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {
namespace {

// Locks up to two directories, an ancestor before what is below it, else by address. The caller holds rename_lock when
// they differ, so ancestry stays.
class DirectoryPairLock {
 public:
  DirectoryPairLock(Inode& a, Inode& b, bool b_first) NO_THREAD_SAFETY_ANALYSIS : first_(b_first ? &b : &a),
                                                                                  second_(&a == &b  ? nullptr
                                                                                          : b_first ? &a
                                                                                                    : &b) {
    first_->directory_lock().lock();
    if (second_ != nullptr) second_->directory_lock().lock();
  }
  ~DirectoryPairLock() NO_THREAD_SAFETY_ANALYSIS {
    if (second_ != nullptr) second_->directory_lock().unlock();
    first_->directory_lock().unlock();
  }
  DirectoryPairLock(DirectoryPairLock const&) = delete;
  DirectoryPairLock& operator=(DirectoryPairLock const&) = delete;

 private:
  Inode *first_, *second_;
};

class OptionalLock {
 public:
  OptionalLock(Mutex& m, bool take) NO_THREAD_SAFETY_ANALYSIS : m_(take ? &m : nullptr) {
    if (m_) m_->lock();
  }
  ~OptionalLock() NO_THREAD_SAFETY_ANALYSIS {
    if (m_) m_->unlock();
  }
  OptionalLock(OptionalLock const&) = delete;
  OptionalLock& operator=(OptionalLock const&) = delete;

 private:
  Mutex* m_;
};

bool is_ancestor(Vfs::State& state, Dentry const* above, Dentry const* below) {
  ReadLock lock(state.dentries.lock());
  for (; below != nullptr; below = below->parent())
    if (below == above) return true;
  return false;
}

Result<void> check_kinds(ParentLookup const& from, ParentLookup const& to, Dentry const& old_dentry,
                         Dentry const& new_dentry, RenameMode mode) {
  if (old_dentry.is_negative()) return fail(Errno::NoEnt);
  if (mode == RenameMode::NoReplace && !new_dentry.is_negative()) return fail(Errno::Exist);
  if (mode == RenameMode::Exchange && new_dentry.is_negative()) return fail(Errno::NoEnt);
  if (!old_dentry.is_directory()) {
    if (from.trailing_slash) return fail(Errno::NotDir);
    if (to.trailing_slash && !(mode == RenameMode::Exchange && new_dentry.is_directory())) return fail(Errno::NotDir);
  }
  if (mode == RenameMode::Exchange && to.trailing_slash && !new_dentry.is_directory()) return fail(Errno::NotDir);
  return {};
}

Result<void> check_rights(Task& task, ParentLookup const& from, ParentLookup const& to, Dentry const& old_dentry,
                          Dentry const& new_dentry, RenameMode mode) {
  auto who = task.credentials();
  TRY(may_remove(task, from.parent, *old_dentry.inode()));
  if (new_dentry.is_negative()) {
    TRY(may_create(task, to.parent));
  } else {
    TRY(may_remove(task, to.parent, *new_dentry.inode()));
    if (mode != RenameMode::Exchange) {
      if (old_dentry.is_directory() && !new_dentry.is_directory()) return fail(Errno::NotDir);
      if (!old_dentry.is_directory() && new_dentry.is_directory()) return fail(Errno::IsDir);
    }
  }
  if (from.parent.dentry == to.parent.dentry) return {};
  // A directory that gets another parent is itself written to ("..").
  if (old_dentry.is_directory()) TRY(old_dentry.inode()->permission(*who, may_write));
  if (mode == RenameMode::Exchange && new_dentry.is_directory()) TRY(new_dentry.inode()->permission(*who, may_write));
  return {};
}

// `replaced`: what had the new name before, if anything.
void tell_moved(ParentLookup const& from, ParentLookup const& to, Inode& moved, Inode* replaced) {
  Inode& old_directory = *from.parent.dentry->inode();
  Notifications* n = old_directory.file_system().notifications();
  if (n == nullptr) return;
  uint32_t const cookie = n->next_cookie();
  bool const is_directory = S_ISDIR(moved.type());
  notify_name(old_directory, IN_MOVED_FROM, from.name, is_directory, cookie);
  notify_name(*to.parent.dentry->inode(), IN_MOVED_TO, to.name, is_directory, cookie);
  if (replaced != nullptr && !S_ISDIR(replaced->type())) n->on(*replaced, {.mask = IN_ATTRIB});
  n->on(moved, {.mask = IN_MOVE_SELF});
  if (replaced != nullptr) n->name_removed(*replaced);
}

}  // namespace

Result<void> Vfs::rename(Task& task, Path const& old_start, std::string_view old_path, Path const& new_start,
                         std::string_view new_path, RenameMode mode) {
  ParentLookup from = TRY(lookup_parent(task, old_start, old_path));
  ParentLookup to = TRY(lookup_parent(task, new_start, new_path));
  if (from.parent.mount != to.parent.mount) return fail(Errno::XDev);
  if (from.last_is_special) return fail(Errno::Busy);
  if (to.last_is_special) return fail(mode == RenameMode::NoReplace ? Errno::Exist : Errno::Busy);
  if (mode == RenameMode::Whiteout && !task.capable(CAP_MKNOD)) return fail(Errno::Perm);

  Inode& old_directory = *from.parent.dentry->inode();
  Inode& new_directory = *to.parent.dentry->inode();
  Ref<Dentry> old_dentry, new_dentry;
  bool crosses = &old_directory != &new_directory;
  OptionalLock rename_lock(state_->rename_lock, crosses);
  bool new_above = crosses && is_ancestor(*state_, to.parent.dentry.get(), from.parent.dentry.get());
  bool old_above = crosses && is_ancestor(*state_, from.parent.dentry.get(), to.parent.dentry.get());
  DirectoryPairLock lock(old_directory, new_directory, new_above || (!old_above && &new_directory < &old_directory));
  old_dentry = TRY(state_->child_locked(from.parent.dentry, from.name));
  new_dentry = TRY(state_->child_locked(to.parent.dentry, to.name));
  TRY(check_kinds(from, to, *old_dentry, *new_dentry, mode));
  if (old_dentry->is_directory() && is_ancestor(*state_, old_dentry.get(), to.parent.dentry.get()))
    return fail(Errno::Inval);
  if (new_dentry->is_directory() && is_ancestor(*state_, new_dentry.get(), from.parent.dentry.get()))
    return fail(mode == RenameMode::Exchange ? Errno::Inval : Errno::NotEmpty);
  TRY(check_rights(task, from, to, *old_dentry, *new_dentry, mode));
  if (old_dentry->inode() == new_dentry->inode()) return {};  // two names of one file stay (rename(2))
  if (old_dentry->is_mountpoint() || new_dentry->is_mountpoint()) return fail(Errno::Busy);

  Inode& moved = *old_dentry->inode();
  bool replaces_directory = new_dentry->is_directory() && mode != RenameMode::Exchange;
  if (replaces_directory) {
    Inode& victim = *new_dentry->inode();
    WriteLock victim_lock(victim.directory_lock());
    TRY(old_directory.rename(from.name, moved, new_directory, to.name, new_dentry->inode(), mode));
    victim.set_removed();
  } else {
    TRY(old_directory.rename(from.name, moved, new_directory, to.name, new_dentry->inode(), mode));
  }
  if (!new_dentry->is_negative() && mode != RenameMode::Exchange)
    new_dentry->inode()->on_name_removed(new_directory, to.name);
  old_dentry->inode()->on_moved(old_directory, from.name, new_directory, to.name);
  if (mode == RenameMode::Exchange) new_dentry->inode()->on_moved(new_directory, to.name, old_directory, from.name);
  if (mode == RenameMode::Exchange)
    state_->dentries.exchange(*old_dentry, *new_dentry);
  else
    state_->dentries.move(*old_dentry, to.parent.dentry, to.name);
  tell_moved(from, to, moved, mode == RenameMode::Exchange ? nullptr : new_dentry->inode());
  if (mode == RenameMode::Exchange) tell_moved(to, from, *new_dentry->inode(), nullptr);
  return {};
}

}  // namespace cofferdam::kernel
