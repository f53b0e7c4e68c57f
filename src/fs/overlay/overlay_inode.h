#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "fs/overlay/overlay.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::fs::overlay {

using kernel::AttributeChange;
using kernel::Attributes;
using kernel::FileSystem;
using kernel::Inode;
using kernel::NewInode;
using kernel::OpenRequest;
using kernel::Path;
using kernel::RenameMode;
using kernel::Task;

class OverlayInode;

class OverlayFileSystem final : public FileSystem {
 public:
  OverlayFileSystem(kernel::Vfs&, Options);
  std::string_view type_name() const override { return "overlay"; }
  Result<struct statfs> statfs() override;
  Ref<Inode> root() override;
  uint64_t device() const override { return device_; }
  std::string source() const override { return options_.source; }
  std::string mount_options() const override { return options_.shown; }

  // The inode number that the guest sees for one of a layer.
  uint64_t number_of(Inode& layer_inode, uint64_t number) const;
  Ref<Inode> const& upper_root() const { return options_.upper; }
  // Overlays below overlays: Linux allows two, so that calls stay shallow.
  bool upper_is_shown() const { return static_cast<bool>(options_.upper_place); }
  int depth() const { return depth_; }
  std::string_view private_prefix() const { return options_.user_xattrs ? "user.overlay." : "trusted.overlay."; }
  std::string opaque_name() const { return std::string(private_prefix()) + "opaque"; }
  // A name in an upper directory (names from the upper root on) was made, removed or replaced.
  void upper_changed(std::vector<std::string> const& names);

  // Files with several names: one overlay inode for each inode of a layer.
  Ref<OverlayInode> living(Inode const* layer_inode);
  void note_living(Inode const* layer_inode, OverlayInode&);
  void forget(OverlayInode&);

  // Lower directories that an upper directory goes on merging after it was renamed.
  void redirect(Inode& upper, std::vector<Ref<Inode>> lowers);
  std::vector<Ref<Inode>> redirected(Inode const* upper);
  void forget_redirect(Inode const* upper);

 private:
  kernel::Vfs& vfs_;
  Options const options_;
  uint64_t const device_;
  int depth_ = 1;
  Mutex mutex_;
  std::map<Inode const*, OverlayInode*> living_ GUARDED_BY(mutex_);
  std::map<Inode const*, std::pair<Ref<Inode>, std::vector<Ref<Inode>>>> redirects_ GUARDED_BY(mutex_);
};

class OverlayInode final : public Inode {
 public:
  // upper may be null; lowers: topmost first, several only for merged directories.
  OverlayInode(OverlayFileSystem&, Ref<Inode> upper, std::vector<Ref<Inode>> lowers, Ref<OverlayInode> parent,
               std::string_view name, uint64_t number);
  ~OverlayInode() override;

  Result<Attributes> attributes() override;
  Result<void> set_attributes(AttributeChange const&, Task&) override;
  mode_t type() const override { return type_; }
  Result<Ref<Inode>> lookup(std::string_view) override;
  Result<Ref<Inode>> create(std::string_view, NewInode const&) override;
  Result<Ref<Inode>> symlink(std::string_view, std::string_view target, NewInode const&) override;
  Result<void> link(std::string_view, Inode& target) override;
  Result<void> unlink(std::string_view, Inode& victim) override;
  Result<void> rmdir(std::string_view, Inode& victim) override;
  Result<void> rename(std::string_view, Inode& moved, Inode&, std::string_view, Inode* target, RenameMode) override;
  void on_moved(Inode&, std::string_view, Inode&, std::string_view) override;
  void on_name_removed(Inode&, std::string_view) override;
  Result<Ref<Inode>> tmpfile(NewInode const&) override;
  Result<std::string> link_text() override { return real().link_text(); }
  Result<Ref<kernel::File>> open(OpenRequest const&, Path const&) override;
  Result<std::string> get_xattr(std::string_view) override;
  Result<void> set_xattr(std::string_view, std::string_view, int) override;
  Result<void> remove_xattr(std::string_view) override;
  Result<std::vector<std::string>> list_xattr() override;
  // Where it is itself a layer.
  Result<size_t> read_data(std::span<std::byte> to, uint64_t offset) override { return real().read_data(to, offset); }
  Result<std::vector<DirectoryEntry>> list_entries() override;  // merged, with the overlay's numbers

  bool is_copied_up() const { return upper() != nullptr; }
  Result<Ref<kernel::File>> open_upper(OpenRequest const&, Path const&);  // after it was copied up

  uint64_t number() const { return number_; }
  uint64_t parent_number() const;

 private:
  friend class OverlayFileSystem;
  struct Place {
    Ref<OverlayInode> parent;
    std::string name;
  };
  void last_ref_dropped() override;
  Inode* upper() const { return upper_.load(std::memory_order_acquire); }
  Inode& real() const {
    Inode* u = upper();
    return u != nullptr ? *u : *lowers_.front();
  }
  std::vector<Place> places() const;
  Ref<OverlayInode> parent() const;  // of a directory; null for the root
  void add_place(Ref<OverlayInode> parent, std::string_view name);
  Ref<OverlayInode> child(Ref<Inode> upper, std::vector<Ref<Inode>> lowers, std::string_view name, uint64_t number,
                          uint64_t links);
  Result<Ref<Inode>> wrap_new(std::string_view name, Ref<Inode> made);
  // Makes the upper inode, and those of the directories above, if there is none yet.
  Result<void> copy_up(bool with_data = true);
  Result<void> copy_up_self(bool with_data);
  Result<void> copy_data(Inode& from, Inode& to, uint64_t size);
  void publish_upper(Ref<Inode>);
  bool lower_has(std::string_view name) const;
  Result<void> clear_whiteout(std::string_view name);
  Result<void> make_whiteout(std::string_view name);
  Result<void> clear_whiteouts_inside();
  Result<void> make_opaque();
  Result<void> prepare_move(OverlayInode& moved);
  bool is_opaque(Inode& directory) const;
  void upper_changed(std::string_view name);

  OverlayFileSystem& fs_;
  std::atomic<Inode*> upper_;  // set once; upper_ref_ holds it
  Ref<Inode> upper_ref_;
  std::vector<Ref<Inode>> const lowers_;
  uint64_t const number_;
  mode_t const type_;
  bool registered_ = false;  // under OverlayFileSystem::mutex_
  Mutex copy_lock_;          // a directory's before those of what is in it
  mutable Mutex mutex_;
  std::vector<Place> places_ GUARDED_BY(mutex_);  // a directory has at most one
};

}  // namespace cofferdam::fs::overlay
