#include "kernel/namespace/namespace_file.h"

#include <linux/magic.h>
#include <linux/nsfs.h>

#include <fmt/format.h>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/rootless_file_system.h"
#include "kernel/vfs/vfs_state.h"

namespace cofferdam::kernel {
namespace {

// ioctl_nsfs(2).
class NamespaceFile final : public File {
 public:
  NamespaceFile(Path path, int flags, Ref<Namespace> space) : File(std::move(path), flags), space_(std::move(space)) {}
  Ref<Namespace> const& space() const { return space_; }
  Result<uint64_t> ioctl(Task& task, uint32_t request, uint64_t argument) override {
    switch (request) {
      case NS_GET_USERNS:
        return open(task, task.kernel().only_namespace(NamespaceKind::User));
      case NS_GET_PARENT:
        return open(task, TRY(parent_seen_by(task)));
      case NS_GET_NSTYPE:
        return namespace_flag(space_->kind());
      case NS_GET_OWNER_UID:
        if (space_->kind() != NamespaceKind::User) return fail(Errno::Inval);
        TRY(task.write(UserPtr<uint32_t>(argument), uint32_t{0}));
        return 0;
      case get_mount_id: {
        auto* mounts = dynamic_cast<MountNamespace*>(space_.get());
        if (mounts == nullptr) return fail(Errno::Inval);
        TRY(task.write(UserPtr<uint64_t>(argument), mounts->sequence()));
        return 0;
      }
      case pid_from:
      case tgid_from:
      case pid_in:
      case tgid_in:
        return translate(task, request, static_cast<int32_t>(argument));
      default:
        return fail(Errno::NoTty);
    }
  }

 private:
  // Of Linux 6.11 and 6.12, which <linux/nsfs.h> of Debian 12 lacks.
  static constexpr uint32_t get_mount_id = _IOR(NSIO, 5, uint64_t), pid_from = _IOR(NSIO, 6, int),
                            tgid_from = _IOR(NSIO, 7, int), pid_in = _IOR(NSIO, 8, int), tgid_in = _IOR(NSIO, 9, int);

  // What a process of that namespace is called in the caller's, or the other way round. ESRCH.
  Result<uint64_t> translate(Task& task, uint32_t request, int32_t number) const {
    auto* pids = dynamic_cast<PidNamespace*>(space_.get());
    if (pids == nullptr) return fail(Errno::Inval);
    bool const from = request == pid_from || request == tgid_from;
    ProcessLocked lock(task.kernel());
    auto found = (from ? *pids : task.pids()).task(number, lock);
    if (!found) return fail(Errno::Srch);
    PidNamespace const& to = from ? task.pids() : *pids;
    bool const of_group = request == tgid_from || request == tgid_in;
    int32_t const there = of_group ? to.number_of(found->thread_group()) : to.number_of(*found);
    if (there == 0) return fail(Errno::Srch);
    return static_cast<uint64_t>(there);
  }

  // EPERM: it is not to be seen from the task's own.
  Result<Ref<Namespace>> parent_seen_by(Task& task) const {
    if (space_->kind() == NamespaceKind::User) return fail(Errno::Perm);
    auto* pids = dynamic_cast<PidNamespace*>(space_.get());
    if (pids == nullptr) return fail(Errno::Inval);
    if (pids->parent() == nullptr || !pids->parent()->is_within(task.pids())) return fail(Errno::Perm);
    return Ref<Namespace>(pids->parent());
  }

  static Result<uint64_t> open(Task& task, Ref<Namespace> space) {
    Path path = namespace_path(task.kernel(), space);
    auto file = make_ref<NamespaceFile>(std::move(path), O_RDONLY, std::move(space));
    auto const limit = task.thread_group().limits.current(RLIMIT_NOFILE);
    return static_cast<uint64_t>(TRY(task.files()->install(std::move(file), true, limit)));
  }

  Ref<Namespace> const space_;
};

class NamespaceInode final : public Inode {
 public:
  NamespaceInode(FileSystem& fs, Ref<Namespace> space) : Inode(fs), space_(std::move(space)) {}
  mode_t type() const override { return S_IFREG; }
  Result<Attributes> attributes() override {
    Attributes a;
    a.device = file_system().device();
    a.inode = space_->number();
    a.mode = S_IFREG | 0444;
    return a;
  }
  Namespace* stands_for_namespace() const override { return space_.get(); }
  Result<Ref<File>> open(OpenRequest const& request, Path const& path) override {
    return Ref<File>(make_ref<NamespaceFile>(path, request.flags, space_));
  }

 private:
  Ref<Namespace> const space_;
};

}  // namespace

std::string namespace_text(Namespace const& space) {
  return fmt::format("{}:[{}]", namespace_name(space.kind()), space.number());
}

Ref<FileSystem> make_namespace_file_system(uint64_t device) {
  return make_ref<RootlessFileSystem>("nsfs", NSFS_MAGIC, device);
}

Path namespace_path(Kernel& kernel, Ref<Namespace> space) {
  auto& state = kernel.vfs().state();
  std::string name = namespace_text(*space);
  auto inode = make_ref<NamespaceInode>(*state.namespaces, std::move(space));
  return Path(state.namespaces_mount, make_ref<Dentry>(std::move(inode), std::move(name)));
}

Ref<Namespace> namespace_of(File const& file) {
  auto const* own = dynamic_cast<NamespaceFile const*>(&file);
  return own ? own->space() : Ref<Namespace>();
}

}  // namespace cofferdam::kernel
