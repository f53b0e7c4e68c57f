// /proc/PID and /proc/PID/task/TID.
#pragma once

#include "fs/proc/process/target.h"
#include "kernel/vfs/pseudo_fs.h"

namespace cofferdam::fs::proc {

// The directory of a process; ENOENT.
Result<Ref<kernel::Inode>> process_directory(kernel::PseudoFileSystem&, kernel::PidNamespace&, int32_t tid);
uint64_t process_directory_number(int32_t tid);
inline constexpr uint64_t fs_root_number = 1;

// Numbers of the inodes below a process: `kind` tells directories of many apart, `index` the entry.
enum class NumberKind : uint8_t { Entry = 0, Fd = 1, FdInfo = 2, Namespace = 3, Net = 4 };
uint64_t number_of(Target const&, NumberKind, uint32_t index);

// What all inodes below /proc/PID share: they belong to the process and are stale when it has gone.
template <class Base>
class TargetInode : public Base {
 public:
  template <class... A>
  explicit TargetInode(kernel::PseudoFileSystem& fs, Target const& target, A&&... arguments)
      : Base(fs, std::forward<A>(arguments)...), target_(target) {}
  Target const& target() const { return target_; }
  Result<Ref<Task>> find() const { return target_.find(); }
  bool revalidate() override { return target_.alive(); }

 protected:
  void owner(uid_t& uid, gid_t& gid) override {
    if (Result<Ref<Task>> task = find()) owner_of(**task, uid, gid);
  }

 private:
  Target target_;
};

// The directories and links of a process, each in its own file.
Ref<kernel::Inode> make_fd_directory(kernel::PseudoFileSystem&, Target const&, uint64_t number, uint64_t parent);
Ref<kernel::Inode> make_fdinfo_directory(kernel::PseudoFileSystem&, Target const&, uint64_t number, uint64_t parent);
Ref<kernel::Inode> make_namespace_directory(kernel::PseudoFileSystem&, Target const&, uint64_t number, uint64_t parent);
Ref<kernel::Inode> make_net_directory(kernel::PseudoFileSystem&, Target const&, uint64_t number, uint64_t parent);
Ref<kernel::Inode> make_task_directory(kernel::PseudoFileSystem&, Target const&, uint64_t number, uint64_t parent);
Ref<kernel::Inode> make_memory_file(kernel::PseudoFileSystem&, Target const&, uint64_t number, uint64_t parent);
Ref<kernel::Inode> make_executable_link(kernel::PseudoFileSystem&, Target const&, uint64_t number, uint64_t parent);
Ref<kernel::Inode> make_cwd_link(kernel::PseudoFileSystem&, Target const&, uint64_t number, uint64_t parent);
Ref<kernel::Inode> make_root_link(kernel::PseudoFileSystem&, Target const&, uint64_t number, uint64_t parent);

}  // namespace cofferdam::fs::proc
