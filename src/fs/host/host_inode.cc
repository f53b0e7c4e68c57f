#include "fs/host/host_inode.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "kernel/task/task.h"
#include "kernel/vfs/path.h"

namespace cofferdam::fs::host {
namespace {

// Linux's device numbers: 12 bits and 20.
constexpr uint32_t device_minor_bits = 20, device_minor_mask = (1u << device_minor_bits) - 1;

}  // namespace

HostInode::HostInode(HostFileSystem& fs, struct ::statx const& s, Device const& device, Ref<HostInode> parent,
                     std::string_view name)
    : Inode(fs),
      type_(static_cast<uint8_t>((s.stx_mode & S_IFMT) >> 12)),
      number_(s.stx_ino),
      device_(device),
      parent_(std::move(parent)),
      name_(name) {
  SmallLock lock(mutex_);
  store(s);
}

HostInode::~HostInode() { host_fs().forget(*this); }

// As Dentry: chains of directories that only their children hold may be long.
void HostInode::last_ref_dropped() {
  HostInode* inode = this;
  Ref<FileSystem> keep(&file_system());  // the last inode may hold the last reference to its file system
  while (inode != nullptr) {
    HostInode* parent = nullptr;
    {
      SmallLock lock(inode->mutex_);
      parent = inode->parent_.release();
    }
    delete inode;
    if (parent == nullptr) return;
    if (parent->ref_count() != 1) {
      parent->unref();
      return;
    }
    inode = parent;
  }
}

// ---- where it is

std::optional<HostInode::Place> HostInode::place() const {
  SmallLock lock(mutex_);
  if (parent_) return Place{parent_, std::string(name_.view())};
  return std::nullopt;
}

HostInode::Rare& HostInode::rare() {
  if (!rare_) rare_ = std::make_unique<Rare>();
  return *rare_;
}

Ref<SharedFd> HostInode::nameless_fd() const {
  SmallLock lock(mutex_);
  return rare_ ? rare_->nameless_fd : Ref<SharedFd>();
}

void HostInode::add_place(Ref<HostInode> parent, std::string_view name) {
  SmallLock lock(mutex_);
  if (parent_ == parent && name_ == name) return;
  if (!parent_) {
    parent_ = std::move(parent);
    name_ = SmallName(name);
    return;
  }
  auto& more = rare().more_places;
  for (auto const& p : more)
    if (p.parent == parent && p.name == name) return;
  constexpr size_t enough = 16;
  if (more.size() < enough) more.push_back({std::move(parent), std::string(name)});
}

void HostInode::on_moved(Inode& old_directory, std::string_view old_name, Inode& directory, std::string_view name) {
  on_name_removed(old_directory, old_name);
  add_place(Ref<HostInode>(dynamic_cast<HostInode*>(&directory)), name);
}

void HostInode::on_name_removed(Inode& directory, std::string_view name) {
  Ref<HostInode> removed;  // released after the lock
  SmallLock lock(mutex_);
  data_.stale = true;
  auto* more = rare_ ? &rare_->more_places : nullptr;
  if (more != nullptr) {
    auto it = std::find_if(more->begin(), more->end(),
                           [&](Place const& p) { return p.parent.get() == &directory && p.name == name; });
    if (it != more->end()) {
      removed = std::move(it->parent);
      more->erase(it);
      return;
    }
  }
  if (parent_.get() != &directory || !(name_ == name)) return;
  removed = std::move(parent_);
  name_ = SmallName();
  if (more != nullptr && !more->empty()) {
    parent_ = std::move(more->back().parent);
    name_ = SmallName(more->back().name);
    more->pop_back();
  }
}

bool HostInode::is_this(struct ::statx const& s) const {
  return s.stx_ino == number_ && s.stx_dev_major == device_.major && s.stx_dev_minor == device_.minor &&
         (s.stx_mode & S_IFMT) == type();
}

// ---- descriptors

// Opens (parent, name) and makes sure that it is this inode.
Result<Ref<SharedFd>> HostInode::open_below(HostInode& parent, std::string const& name, int flags) {
  auto above = TRY(parent.directory_fd());
  auto fd = TRY(open_with_reserve(host_fs(), [&] { return cofferdam::host::open_at(above->get(), name, flags); }));
  if (!is_this(TRY(cofferdam::host::stat_at(fd.get(), "")))) return fail(Errno::Stale);
  return make_ref<SharedFd>(std::move(fd));
}

Result<Ref<SharedFd>> HostInode::directory_fd() {
  // Upwards to a directory whose descriptor is at hand, then down again, opening each: no recursion, however deep.
  std::vector<Ref<HostInode>> chain;
  Ref<SharedFd> fd;
  for (Ref<HostInode> at(this);;) {
    if (at->type() != S_IFDIR) return fail(Errno::NotDir);
    fd = host_fs().kept_fd(*at, false);
    if (fd) break;
    auto where = at->place();
    if (!where) {
      if (at->number_ != host_fs().root_stat().stx_ino) return fail(Errno::NoEnt);
      fd = host_fs().root_fd();
      break;
    }
    chain.push_back(at);
    at = where->parent;
  }
  while (!chain.empty()) {
    HostInode& at = *chain.back();
    auto where = at.place();
    if (!where) return fail(Errno::NoEnt);
    auto open = [&](int flags) {
      return open_with_reserve(host_fs(),
                               [&] { return cofferdam::host::open_at(fd->get(), where->name, flags | O_DIRECTORY); });
    };
    // A directory below the mount in any case. Which one is a matter of course where nobody else changes names.
    bool const exclusive = host_fs().exclusive();
    auto opened = open(exclusive ? O_RDONLY : O_PATH);
    bool const unreadable = exclusive && !opened && opened.error() == Errno::Acces;
    if (unreadable) opened = open(O_PATH);
    if (!opened) return std::unexpected(opened.error());
    if (!exclusive && !at.is_this(TRY(cofferdam::host::stat_at(opened->get(), "")))) return fail(Errno::Stale);
    fd = make_ref<SharedFd>(std::move(*opened));
    host_fs().keep_fd(at, fd, exclusive && !unreadable);
    chain.pop_back();
  }
  return fd;
}

Result<Ref<SharedFd>> HostInode::data_fd(bool writable) {
  if (auto nameless = nameless_fd()) return nameless;
  if (auto kept = host_fs().kept_fd(*this, writable)) return kept;
  auto where = place();
  if (!where) {
    if (number_ != host_fs().root_stat().stx_ino) return fail(Errno::NoEnt);
    int mode = TRY(cofferdam::host::access_mode(host_fs().root_fd()->get()));
    if (mode == O_PATH || (writable && mode == O_RDONLY)) return fail(Errno::Acces);
    return host_fs().root_fd();
  }
  auto fd = open_below(*where->parent, where->name, writable ? O_RDWR : O_RDONLY);
  if (!fd && writable && fd.error() == Errno::Acces) fd = open_below(*where->parent, where->name, O_WRONLY);
  if (fd) host_fs().keep_fd(*this, *fd, writable);
  return fd;
}

Result<Ref<SharedFd>> HostInode::lock_fd() {
  if (type() == S_IFDIR) {
    auto directory = TRY(directory_fd());
    return make_ref<SharedFd>(
        TRY(open_with_reserve(host_fs(), [&] { return cofferdam::host::open_self(directory->get()); })));
  }
  auto where = place();
  if (!where) return fail(Errno::Stale);
  auto fd = open_below(*where->parent, where->name, O_RDWR);
  return fd ? fd : open_below(*where->parent, where->name, O_RDONLY);
}

Result<Ref<SharedFd>> HostInode::xattr_fd() {
  if (type() == S_IFREG) return data_fd(false);
  if (type() != S_IFDIR) return fail(Errno::OpNotSupp);
  auto directory = TRY(directory_fd());
  return make_ref<SharedFd>(TRY(cofferdam::host::open_self(directory->get())));
}

template <class F>
Result<void> HostInode::at_place(F&& f) {
  if (auto where = place()) {
    auto above = TRY(where->parent->directory_fd());
    return f(above->get(), std::string_view(where->name));
  }
  if (auto nameless = nameless_fd()) return f(nameless->get(), std::string_view());
  if (auto kept = host_fs().kept_fd(*this, false)) return f(kept->get(), std::string_view());
  if (number_ == host_fs().root_stat().stx_ino) return f(host_fs().root_fd()->get(), std::string_view());
  return fail(Errno::NoEnt);
}

// ---- attributes

void HostInode::store(struct ::statx const& s) {
  auto const& [a, m, c, b] = std::tie(s.stx_atime, s.stx_mtime, s.stx_ctime, s.stx_btime);
  data_ = {.size = s.stx_size,
           .blocks = s.stx_blocks,
           .seconds = {a.tv_sec, m.tv_sec, c.tv_sec, b.tv_sec},
           .nanoseconds = {a.tv_nsec, m.tv_nsec, c.tv_nsec, b.tv_nsec},
           .special_device = s.stx_rdev_major << device_minor_bits | s.stx_rdev_minor,
           .nlink = s.stx_nlink,
           .uid = s.stx_uid,
           .gid = s.stx_gid,
           .block_size = s.stx_blksize,
           .mode = s.stx_mode,
           .statx_attributes = static_cast<uint8_t>(s.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)),
           .has_born = (s.stx_mask & STATX_BTIME) != 0,
           .stale = false,
           .mapped_writable = data_.mapped_writable};
  note_mode(s.stx_mode);
}

Attributes HostInode::as_attributes() const {
  auto time = [&](size_t which) REQUIRES(mutex_) {
    return timespec{.tv_sec = data_.seconds[which], .tv_nsec = data_.nanoseconds[which]};
  };
  Attributes a;
  a.device = device_.number;
  a.inode = number_;
  a.mode = data_.mode;
  a.link_count = data_.nlink;
  a.uid = data_.uid;
  a.gid = data_.gid;
  a.special_device = makedev(data_.special_device >> device_minor_bits, data_.special_device & device_minor_mask);
  a.size = data_.size;
  a.blocks = data_.blocks;
  a.block_size = data_.block_size;
  a.accessed = time(0);
  a.modified = time(1);
  a.changed = time(2);
  if (data_.has_born) a.born = time(3);
  a.statx_attributes = data_.statx_attributes;
  return a;
}

Result<struct ::statx> HostInode::ask_host() {
  std::optional<struct ::statx> found;
  TRY(at_place([&](int fd, std::string_view name) -> Result<void> {
    found = TRY(cofferdam::host::stat_at(fd, name));
    return {};
  }));
  return *found;
}

Result<Attributes> HostInode::attributes() {
  {
    SmallLock lock(mutex_);
    if (host_fs().exclusive() && !data_.stale && !data_.mapped_writable) return as_attributes();
  }
  auto s = ask_host();
  SmallLock lock(mutex_);
  if (s && is_this(*s)) {
    store(*s);
  } else if (parent_ && host_fs().exclusive()) {
    return s ? fail(Errno::Stale) : Result<Attributes>(std::unexpected(s.error()));
  } else if (!parent_ && !(rare_ && rare_->nameless_fd)) {
    data_.nlink = 0;  // removed, and no descriptor is left to ask by
  }
  return as_attributes();
}

Result<Attributes> HostInode::attributes_by(int fd) {
  {
    SmallLock lock(mutex_);
    if (host_fs().exclusive() && !data_.stale && !data_.mapped_writable) return as_attributes();
  }
  auto s = TRY(cofferdam::host::stat_at(fd, ""));
  SmallLock lock(mutex_);
  store(s);
  return as_attributes();
}

bool HostInode::revalidate() {
  auto where = place();
  if (!where) return true;
  auto above = where->parent->directory_fd();
  if (!above) return false;
  auto s = cofferdam::host::stat_at((*above)->get(), where->name);
  if (!s || !is_this(*s)) return false;
  SmallLock lock(mutex_);
  store(*s);
  return true;
}

void HostInode::note_change() {
  if (type() == S_IFDIR) host_fs().note_directory_change(*this);
  SmallLock lock(mutex_);
  data_.stale = true;
}

void HostInode::note_size(uint64_t at_least) {
  SmallLock lock(mutex_);
  data_.stale = true;
  data_.size = std::max(data_.size, at_least);
}

void HostInode::note_truncated(uint64_t size) {
  SmallLock lock(mutex_);
  data_.stale = true;
  data_.size = size;
}

void HostInode::note_mapped_writable() {
  SmallLock lock(mutex_);
  data_.mapped_writable = true;
}

Result<void> HostInode::set_attributes(AttributeChange const& change, Task&) {
  if (change.size) {
    auto fd = TRY(data_fd(true));
    stop_serving();
    TRY(cofferdam::host::truncate_file(fd->get(), *change.size));
    note_truncated(*change.size);
  }
  auto done = at_place([&](int fd, std::string_view name) -> Result<void> {
    if (change.uid || change.gid)
      TRY(cofferdam::host::change_owner_at(fd, name, change.uid.value_or(static_cast<uid_t>(-1)),
                                           change.gid.value_or(static_cast<gid_t>(-1))));
    if (change.mode) TRY(cofferdam::host::change_mode_at(fd, name, *change.mode));
    if (change.accessed || change.modified) {
      auto host_time = [](std::optional<AttributeChange::Time> const& t) {
        if (!t) return timespec{.tv_sec = 0, .tv_nsec = UTIME_OMIT};
        return t->now ? timespec{.tv_sec = 0, .tv_nsec = UTIME_NOW} : t->value;
      };
      timespec const times[2] = {host_time(change.accessed), host_time(change.modified)};
      TRY(cofferdam::host::change_times_at(fd, name, times));
    }
    return {};
  });
  note_change();
  if (change.mode || change.uid || change.gid) (void)attributes();  // refreshes the mode hint
  return done;
}

Result<void> HostInode::set_times(timespec accessed, timespec modified) {
  timespec const times[2] = {accessed, modified};
  TRY(at_place([&](int fd, std::string_view name) { return cofferdam::host::change_times_at(fd, name, times); }));
  note_change();
  return {};
}

// ---- names

Result<Ref<Inode>> HostInode::lookup(std::string_view name) {
  auto fd = TRY(directory_fd());
  auto s = TRY(cofferdam::host::stat_at(fd->get(), name));
  return Ref<Inode>(host_fs().inode_for(s, Ref<HostInode>(this), name));
}

// After the host made (directory, name): owner and mode as wanted, and the inode for it.
Result<Ref<Inode>> HostInode::adopt_new(int directory, std::string_view name, NewInode const& wanted) {
  note_change();
  auto s = TRY(cofferdam::host::stat_at(directory, name));
  bool changed = false;
  if (s.stx_uid != wanted.uid || s.stx_gid != wanted.gid) {
    TRY(cofferdam::host::change_owner_at(directory, name, wanted.uid, wanted.gid));
    changed = true;
  }
  bool special_bits = (wanted.mode & (S_ISUID | S_ISGID)) != 0;
  if (!S_ISLNK(wanted.mode) && ((s.stx_mode & 07777) != (wanted.mode & 07777) || (changed && special_bits))) {
    TRY(cofferdam::host::change_mode_at(directory, name, wanted.mode & 07777));
    changed = true;
  }
  if (changed) s = TRY(cofferdam::host::stat_at(directory, name));
  return Ref<Inode>(host_fs().inode_for(s, Ref<HostInode>(this), name));
}

Result<Ref<Inode>> HostInode::create(std::string_view name, NewInode const& wanted) {
  auto fd = TRY(directory_fd());
  mode_t bits = wanted.mode & 07777;
  if (S_ISDIR(wanted.mode)) {
    TRY(cofferdam::host::make_directory_at(fd->get(), name, bits));
  } else if (S_ISREG(wanted.mode)) {
    // Most new files are written at once: the descriptor that makes the file is kept for that.
    auto made = TRY(open_with_reserve(
        host_fs(), [&] { return cofferdam::host::open_at(fd->get(), name, O_RDWR | O_CREAT | O_EXCL, bits); }));
    auto inode = TRY(adopt_new(fd->get(), name, wanted));
    if (auto* host = dynamic_cast<HostInode*>(inode.get()))
      host_fs().keep_fd(*host, make_ref<SharedFd>(std::move(made)), true);
    return inode;
  } else {
    TRY(cofferdam::host::make_node_at(fd->get(), name, wanted.mode, wanted.special_device));
  }
  return adopt_new(fd->get(), name, wanted);
}

// The host's own O_TMPFILE. EOPNOTSUPP where its file system has none.
Result<Ref<Inode>> HostInode::tmpfile(NewInode const& wanted) {
  auto directory = TRY(directory_fd());
  mode_t const bits = wanted.mode & 07777;
  auto made = TRY(open_with_reserve(
      host_fs(), [&] { return cofferdam::host::open_at(directory->get(), ".", O_RDWR | O_TMPFILE, bits); }));
  TRY(cofferdam::host::change_owner_at(made.get(), "", wanted.uid, wanted.gid));
  auto s = TRY(cofferdam::host::stat_at(made.get(), ""));
  if ((s.stx_mode & 07777) != bits) {
    TRY(cofferdam::host::change_mode_at(made.get(), "", bits));
    s = TRY(cofferdam::host::stat_at(made.get(), ""));
  }
  auto inode = make_ref<HostInode>(host_fs(), s, host_fs().device_for(s.stx_dev_major, s.stx_dev_minor),
                                   Ref<HostInode>(), std::string_view());
  {
    SmallLock lock(inode->mutex_);
    inode->rare().nameless_fd = make_ref<SharedFd>(std::move(made));
  }
  return Ref<Inode>(std::move(inode));
}

Result<Ref<Inode>> HostInode::symlink(std::string_view name, std::string_view target, NewInode const& wanted) {
  auto fd = TRY(directory_fd());
  TRY(cofferdam::host::make_symlink_at(target, fd->get(), name));
  return adopt_new(fd->get(), name, wanted);
}

Result<void> HostInode::link(std::string_view name, Inode& target) {
  auto* victim = dynamic_cast<HostInode*>(&target);
  if (victim == nullptr) return fail(Errno::XDev);
  auto fd = TRY(directory_fd());
  TRY(victim->at_place([&](int old_directory, std::string_view old_name) {
    return cofferdam::host::link_at(old_directory, old_name, fd->get(), name);
  }));
  host_fs().note_multiple_names(*victim);
  victim->add_place(Ref<HostInode>(this), name);
  victim->note_change();
  note_change();
  return {};
}

Result<void> HostInode::unlink(std::string_view name, Inode&) {
  auto fd = TRY(directory_fd());
  TRY(cofferdam::host::unlink_at(fd->get(), name, false));
  note_change();
  return {};
}

Result<void> HostInode::rmdir(std::string_view name, Inode& victim) {
  auto fd = TRY(directory_fd());
  TRY(cofferdam::host::unlink_at(fd->get(), name, true));
  note_change();
  if (auto* host = dynamic_cast<HostInode*>(&victim)) host->note_change();
  return {};
}

Result<void> HostInode::rename(std::string_view old_name, Inode&, Inode& new_directory, std::string_view name, Inode*,
                               RenameMode mode) {
  auto* to = dynamic_cast<HostInode*>(&new_directory);
  if (to == nullptr) return fail(Errno::XDev);
  auto fd = TRY(directory_fd());
  auto to_fd = TRY(to->directory_fd());
  unsigned flags = 0;
  if (mode == RenameMode::NoReplace) flags = RENAME_NOREPLACE;
  if (mode == RenameMode::Exchange) flags = RENAME_EXCHANGE;
  if (mode == RenameMode::Whiteout) flags = RENAME_WHITEOUT;
  TRY(cofferdam::host::rename_at(fd->get(), old_name, to_fd->get(), name, flags));
  note_change();
  to->note_change();
  return {};
}

// A symbolic link never changes; on a shared mount it may have been replaced, which only the host knows.
Result<std::string> HostInode::link_text() {
  if (host_fs().exclusive()) {
    SmallLock lock(mutex_);
    if (rare_ && rare_->link_text) return *rare_->link_text;
  }
  std::string text;
  TRY(at_place([&](int fd, std::string_view name) -> Result<void> {
    text = TRY(cofferdam::host::read_link_at(fd, name));
    return {};
  }));
  if (host_fs().exclusive()) {
    SmallLock lock(mutex_);
    rare().link_text = std::make_unique<std::string const>(text);
  }
  return text;
}

// ---- extended attributes

Result<std::string> HostInode::get_xattr(std::string_view name) {
  auto fd = TRY(xattr_fd());
  return cofferdam::host::get_xattr(fd->get(), std::string(name));
}

Result<void> HostInode::set_xattr(std::string_view name, std::string_view value, int flags) {
  auto fd = TRY(xattr_fd());
  note_change();
  return cofferdam::host::set_xattr(fd->get(), std::string(name), value, flags);
}

Result<void> HostInode::remove_xattr(std::string_view name) {
  auto fd = TRY(xattr_fd());
  note_change();
  return cofferdam::host::remove_xattr(fd->get(), std::string(name));
}

Result<std::vector<std::string>> HostInode::list_xattr() {
  auto fd = xattr_fd();
  if (!fd && fd.error() == Errno::OpNotSupp) return std::vector<std::string>();
  return cofferdam::host::list_xattr(TRY(std::move(fd))->get());
}

}  // namespace cofferdam::fs::host
