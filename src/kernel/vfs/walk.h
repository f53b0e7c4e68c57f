// One walk along a path (path_resolution(7)). Private to kernel/vfs.
#pragma once

#include <string>
#include <string_view>

#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {

class PathWalk {
 public:
  // task may be null (assembly): then nothing is checked but form. Relative paths begin at `start`.
  PathWalk(Vfs::State&, Task* task, Credentials const* who, Path root, Path start, std::string_view path,
           LookupOptions const&);

  // To the end of the path.
  Result<Path> run();
  // To the directory that holds the last component.
  Result<ParentLookup> run_to_parent();
  // After run_to_parent: the last component was this symlink; goes on through it. ELOOP, or as reading the link.
  Result<void> follow(Ref<Dentry> const& link);
  // After follow: a magic link led straight to the end.
  bool arrived() const { return jumped_ && rest_.empty(); }
  Path const& place() const { return at_; }

 private:
  enum class Stop { Done, AskPermission, LookUp, FollowLink, Failed };
  Result<void> advance(bool to_parent);
  // Walks as far as cached dentries carry, under the tree lock.
  Stop walk_cached(bool to_parent);
  Result<void> check_form();
  bool may_search(Dentry const&) const;
  bool climb(Mount*&, Dentry*&) REQUIRES_SHARED(state_.dentries.lock());
  bool step_into(Mount*&, Dentry*&, Dentry*) REQUIRES_SHARED(state_.dentries.lock());
  Result<void> go_to(Path);

  Vfs::State& state_;
  Task* task_;
  Credentials const* who_;
  Path root_, at_, start_;
  LookupOptions options_;
  std::string storage_;                // what rest_ points into after a symlink
  std::string_view rest_;              // still to walk
  std::string_view name_;              // component that walk_cached stopped at
  Ref<Dentry> found_;                  // its dentry when it had to be looked up
  Dentry const* permitted_ = nullptr;  // the directory for which permission() has said yes
  Errno error_ = Errno::None;
  int links_ = 0;
  bool search_all_;  // capabilities let it search every directory with default permissions
  bool want_directory_;
  bool jumped_ = false;  // a magic link was the last step
};

}  // namespace cofferdam::kernel
