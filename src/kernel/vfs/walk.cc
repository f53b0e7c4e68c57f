#include "kernel/vfs/walk.h"

#include <linux/openat2.h>

#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

constexpr int max_links = 40;

std::string_view skip_slashes(std::string_view path) {
  size_t n = path.find_first_not_of('/');
  return n == std::string_view::npos ? std::string_view{} : path.substr(n);
}

}  // namespace

PathWalk::PathWalk(Vfs::State& state, Task* task, Credentials const* who, Path root, Path start, std::string_view path,
                   LookupOptions const& options)
    : state_(state),
      task_(task),
      who_(who),
      root_(std::move(root)),
      start_(std::move(start)),
      options_(options),
      rest_(path),
      search_all_(who == nullptr || who->capable(CAP_DAC_READ_SEARCH) || who->capable(CAP_DAC_OVERRIDE)),
      want_directory_(options.must_be_directory) {}

Result<void> PathWalk::check_form() {
  if (rest_.size() >= max_path_length) return fail(Errno::NameTooLong);
  if (rest_.empty() && !options_.allow_empty) return fail(Errno::NoEnt);
  if (options_.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) {
    if (rest_.starts_with('/') && (options_.resolve & RESOLVE_BENEATH)) return fail(Errno::XDev);
    if (!start_) start_ = root_;
    root_ = start_;
  }
  if (rest_.starts_with('/')) {
    if ((options_.resolve & RESOLVE_NO_XDEV) && start_ && start_.mount != root_.mount) return fail(Errno::XDev);
    at_ = root_;
  } else {
    at_ = start_ ? start_ : root_;
  }
  return {};
}

bool PathWalk::may_search(Dentry const& directory) const {
  if (who_ == nullptr || &directory == permitted_) return true;
  auto mode = directory.inode()->mode_hint();
  return mode && ((*mode & 0111) == 0111 || search_all_);
}

// To the parent, through the roots of mounts; stays at the walk's root. false: error_ is set.
bool PathWalk::climb(Mount*& mount, Dentry*& dentry) {
  while (true) {
    if (mount == root_.mount.get() && dentry == root_.dentry.get()) {
      if (options_.resolve & RESOLVE_BENEATH) error_ = Errno::XDev;
      return error_ == Errno::None;
    }
    if (dentry != mount->root().get()) break;
    if (mount->parent() == nullptr) return true;
    if (options_.resolve & RESOLVE_NO_XDEV) {
      error_ = Errno::XDev;
      return false;
    }
    dentry = mount->mountpoint();
    mount = mount->parent();
  }
  if (dentry->parent() != nullptr) dentry = dentry->parent();
  return step_into(mount, dentry, dentry);
}

// Makes `child` of `mount` the current place, and what is mounted on it. false: error_ is set.
bool PathWalk::step_into(Mount*& mount, Dentry*& dentry, Dentry* child) {
  while (Mount* over = state_.mounts.at(mount, child)) {
    if (options_.resolve & RESOLVE_NO_XDEV) {
      error_ = Errno::XDev;
      return false;
    }
    mount = over;
    child = over->root().get();
  }
  dentry = child;
  return true;
}

PathWalk::Stop PathWalk::walk_cached(bool to_parent) {
  ReadLock lock(state_.dentries.lock());
  Mount* mount = at_.mount.get();
  Dentry* dentry = at_.dentry.get();
  auto stop = [&](Stop why) {
    if (dentry != at_.dentry.get() || mount != at_.mount.get()) at_ = Path(Ref<Mount>(mount), Ref<Dentry>(dentry));
    return why;
  };
  auto refuse = [&](Errno e) {
    error_ = e;
    return Stop::Failed;
  };
  for (;;) {
    rest_ = skip_slashes(rest_);
    if (rest_.empty()) return stop(Stop::Done);
    size_t length = std::min(rest_.find('/'), rest_.size());
    std::string_view name = rest_.substr(0, length), after = rest_.substr(length);
    bool last = skip_slashes(after).empty();
    if (!dentry->is_directory()) return refuse(Errno::NotDir);
    if (!may_search(*dentry)) return stop(Stop::AskPermission);
    if (last && to_parent) return stop(Stop::Done);
    if (last && !after.empty()) want_directory_ = true;
    jumped_ = false;
    if (name == "." || name == "..") {
      if (name.size() == 2 && !climb(mount, dentry)) return Stop::Failed;
      rest_ = after;
      permitted_ = nullptr;
      continue;
    }
    if (name.size() > max_name_length) return refuse(Errno::NameTooLong);
    Dentry* child = found_.get();
    if (child == nullptr) {
      child = state_.dentries.find(dentry, name);
      if (child == nullptr || child->revalidates()) {
        name_ = name;
        return stop(Stop::LookUp);
      }
    }
    if (child->is_negative()) return refuse(Errno::NoEnt);
    if (child->is_symlink() && (!last || options_.follow_last || want_directory_)) {
      found_ = Ref<Dentry>(child);
      rest_ = after;
      return stop(Stop::FollowLink);
    }
    Ref<Dentry> keep = std::move(found_);
    if (!step_into(mount, dentry, child)) return Stop::Failed;
    rest_ = after;
    permitted_ = nullptr;
    if (keep) at_ = Path(Ref<Mount>(mount), Ref<Dentry>(dentry));  // an uncached dentry lives by our reference alone
  }
}

Result<void> PathWalk::advance(bool to_parent) {
  for (;;) {
    switch (walk_cached(to_parent)) {
      case Stop::Done:
        return {};
      case Stop::Failed:
        return fail(error_);
      case Stop::AskPermission:
        TRY(at_.dentry->inode()->permission(*who_, may_exec));
        permitted_ = at_.dentry.get();
        break;
      case Stop::LookUp:
        if (options_.resolve & RESOLVE_CACHED) return fail(Errno::Again);
        found_ = TRY(state_.child(at_, name_));
        break;
      case Stop::FollowLink: {
        Ref<Dentry> link = std::move(found_);
        TRY(follow(link));
        break;
      }
    }
  }
}

Result<void> PathWalk::go_to(Path target) {
  if ((options_.resolve & RESOLVE_NO_XDEV) && target.mount != at_.mount) return fail(Errno::XDev);
  at_ = std::move(target);
  return {};
}

Result<void> PathWalk::follow(Ref<Dentry> const& link) {
  if (++links_ > max_links || (options_.resolve & RESOLVE_NO_SYMLINKS) || (at_.mount->flags() & MS_NOSYMFOLLOW))
    return fail(Errno::Loop);
  Inode& inode = *link->inode();
  if (inode.is_magic_link()) {
    if (task_ == nullptr || (options_.resolve & RESOLVE_NO_MAGICLINKS)) return fail(Errno::Loop);
    Path target = TRY(inode.follow_magic_link(*task_));
    if (options_.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) return fail(Errno::XDev);
    jumped_ = true;
    return go_to(std::move(target));
  }
  std::string text = TRY(task_ == nullptr ? inode.link_text() : inode.read_link(*task_));
  if (text.empty()) return fail(Errno::NoEnt);
  if (text.starts_with('/')) {
    if (options_.resolve & RESOLVE_BENEATH) return fail(Errno::XDev);
    TRY(go_to(root_));
  }
  text += rest_;
  storage_ = std::move(text);
  rest_ = storage_;
  return {};
}

Result<Path> PathWalk::run() {
  TRY(check_form());
  TRY(advance(false));
  if (want_directory_ && !at_.dentry->is_directory()) return fail(Errno::NotDir);
  return std::move(at_);
}

Result<ParentLookup> PathWalk::run_to_parent() {
  if (!at_) TRY(check_form());
  TRY(advance(true));
  ParentLookup result;
  size_t length = std::min(rest_.find('/'), rest_.size());
  result.name = rest_.substr(0, length);
  result.trailing_slash = length < rest_.size();
  result.last_is_special = is_dot_name(result.name);
  if (result.name.size() > max_name_length) return fail(Errno::NameTooLong);
  result.parent = at_;
  rest_ = rest_.substr(length);
  return result;
}

}  // namespace cofferdam::kernel
