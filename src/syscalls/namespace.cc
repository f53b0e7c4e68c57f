// Namespaces: unshare(2), setns(2). (clone(2): process.cc)
#include <sched.h>

#include "kernel/ipc/pidfd.h"
#include "kernel/kernel.h"
#include "kernel/namespace/namespace_file.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"
#include "syscalls/handlers_process.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

// Semaphore adjustments that wait for the end of the process are made when it leaves their namespace.
void leave_ipc(Task& task, NamespaceSet const& old) {
  old.ipc->sysv.semaphores.process_exited(task.thread_group().pid());
}

void replace_fs(Task& task, Ref<FsContext> fs) {
  auto& own = task.implementation();
  MutexLock lock(own.shared_mutex);
  std::swap(own.fs, fs);
}

}  // namespace

Result<void> sys_unshare(Task& task, uint64_t flags) {
  constexpr uint64_t shared_parts = CLONE_FILES | CLONE_FS | CLONE_SYSVSEM,
                     only_if_single = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
  uint64_t const kinds = namespace_flags(flags);
  if (flags & ~(shared_parts | only_if_single | kinds)) return fail(Errno::Inval);
  if (flags & only_if_single) {
    ProcessLocked lock(task.kernel());
    if (task.thread_group().implementation().tasks.size() > 1) return fail(Errno::Inval);
  }
  auto old = task.namespaces();
  Ref<FsContext> fs;
  if (flags & (CLONE_FS | CLONE_NEWNS)) fs = task.fs()->clone();
  Ref<NamespaceSet const> namespaces;
  if (kinds != 0) {
    auto scratch = fs ? fs : task.fs();
    namespaces = TRY(with_new_namespaces(task, kinds, *scratch));
  }
  if (flags & CLONE_FILES) task.unshare_files();
  if (fs) replace_fs(task, std::move(fs));
  if (namespaces) task.set_namespaces(std::move(namespaces));
  if (flags & (CLONE_NEWIPC | CLONE_SYSVSEM)) leave_ipc(task, *old);
  return {};
}

namespace {

// Into a mount namespace: its root becomes root and working directory (mntns_install of Linux). EINVAL while another
// task shares them.
Result<void> enter_mounts(Task& task, Ref<MountNamespace> mounts, NamespaceSet& set) {
  if (!task.capable(CAP_SYS_CHROOT)) return fail(Errno::Perm);
  auto fs = task.fs();
  if (fs->ref_count() > 2) return fail(Errno::Inval);  // this reference and the task's own
  Path root = task.kernel().vfs().root_of(*mounts);
  if (!root) return fail(Errno::Inval);
  fs->set_root(root);
  fs->set_cwd(root);
  set.mounts = std::move(mounts);
  return {};
}

Result<void> enter(Task& task, Ref<Namespace> const& space, NamespaceSet& set) {
  if (!task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
  switch (space->kind()) {
    case NamespaceKind::Cgroup:
      set.cgroup = ref_cast<CgroupNamespace>(space);
      return {};
    case NamespaceKind::Ipc:
      set.ipc = ref_cast<IpcNamespace>(space);
      return {};
    case NamespaceKind::Uts:
      set.uts = ref_cast<UtsNamespace>(space);
      return {};
    case NamespaceKind::Pid: {
      // Of children to come; only downward, so that nobody gets out of where he is.
      auto pids = ref_cast<PidNamespace>(space);
      if (!pids->is_within(task.pids())) return fail(Errno::Inval);
      set.pids_for_children = std::move(pids);
      return {};
    }
    case NamespaceKind::Mount:
      return enter_mounts(task, ref_cast<MountNamespace>(space), set);
    case NamespaceKind::User:
      return fail(Errno::Inval);  // it is the caller's own
    case NamespaceKind::Network:
    case NamespaceKind::Time:
      return {};  // the only one there is
  }
  return fail(Errno::Inval);
}

// What of a process a pidfd stands for; in an order in which the right to enter one is not lost by another.
constexpr std::pair<uint64_t, NamespaceKind> kinds_of_process[] = {
    {CLONE_NEWUTS, NamespaceKind::Uts},     {CLONE_NEWIPC, NamespaceKind::Ipc},
    {CLONE_NEWPID, NamespaceKind::Pid},     {CLONE_NEWCGROUP, NamespaceKind::Cgroup},
    {CLONE_NEWNET, NamespaceKind::Network}, {CLONE_NEWUSER, NamespaceKind::User},
    {CLONE_NEWNS, NamespaceKind::Mount}};

Result<std::vector<Ref<Namespace>>> spaces_of_process(Task& task, ThreadGroup& group, uint64_t type) {
  if (type == 0 || namespace_flags(type) != type) return fail(Errno::Inval);
  Ref<Task> leader;
  {
    ProcessLocked lock(task.kernel());
    leader = group.leader(lock);
  }
  std::vector<Ref<Namespace>> spaces;
  for (auto [flag, kind] : kinds_of_process) {
    if (!(type & flag)) continue;
    auto space = leader ? namespace_of(*leader, kind) : Ref<Namespace>();
    if (!space) return fail(Errno::Srch);
    spaces.push_back(std::move(space));
  }
  return spaces;
}

}  // namespace

Result<void> sys_setns(Task& task, Fd fd, uint64_t type) {
  auto file = TRY(task.files()->get(fd.value));
  std::vector<Ref<Namespace>> spaces;
  if (auto space = namespace_of(*file)) {
    if (type != 0 && type != namespace_flag(space->kind())) return fail(Errno::Inval);
    spaces.push_back(std::move(space));
  } else if (auto group = group_of(*file)) {
    spaces = TRY(spaces_of_process(task, *group, type));
  } else {
    return fail(Errno::Inval);
  }
  auto old = task.namespaces();
  auto set = make_ref<NamespaceSet>(*old);
  for (auto const& space : spaces) TRY(enter(task, space, *set));
  bool const leaves_ipc = set->ipc != old->ipc;
  task.set_namespaces(std::move(set));
  if (leaves_ipc) leave_ipc(task, *old);
  return {};
}

}  // namespace cofferdam::syscalls
