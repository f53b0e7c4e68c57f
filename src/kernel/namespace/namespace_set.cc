#include "kernel/namespace/namespace_set.h"

#include <sched.h>

#include "base/log.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {

namespace {

constexpr uint64_t new_time = 0x80;  // CLONE_NEWTIME
constexpr uint64_t known_kinds = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                 CLONE_NEWPID | CLONE_NEWNET | new_time;
constexpr uint64_t built_kinds = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID;

}  // namespace

uint64_t namespace_flags(uint64_t flags) { return flags & known_kinds; }

Result<void> check_new_namespaces(Task& task, uint64_t flags) {
  if (uint64_t const missing = namespace_flags(flags) & ~built_kinds) {
    log::info("new namespaces {:#x} are not implemented: EINVAL", missing);
    return fail(Errno::Inval);
  }
  if (!task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
  return {};
}

Result<Ref<NamespaceSet const>> with_new_namespaces(Task& task, uint64_t flags, FsContext& fs) {
  TRY(check_new_namespaces(task, flags));
  Kernel& kernel = task.kernel();
  auto old = task.namespaces();
  auto made = make_ref<NamespaceSet>(*old);
  if (flags & CLONE_NEWPID) {
    // One that waits for its first process already is not replaced (copy_pid_ns of Linux).
    if (old->pids_for_children != &task.pids()) return fail(Errno::Inval);
    made->pids_for_children = TRY(PidNamespace::create(kernel, Ref<PidNamespace>(&task.pids())));
  }
  if (flags & CLONE_NEWUTS)
    made->uts = make_ref<UtsNamespace>(kernel, old->uts->names.with([](UtsNames const& names) { return names; }));
  if (flags & CLONE_NEWIPC) made->ipc = make_ref<IpcNamespace>(kernel);
  if (flags & CLONE_NEWCGROUP) made->cgroup = make_ref<CgroupNamespace>(kernel);
  if (flags & CLONE_NEWNS) made->mounts = kernel.vfs().copy_namespace(*old->mounts, fs);
  return Ref<NamespaceSet const>(std::move(made));
}

Ref<Namespace> namespace_of(Task const& task, NamespaceKind kind, bool for_children) {
  auto set = task.namespaces();
  if (!set) return {};
  switch (kind) {
    case NamespaceKind::Cgroup:
      return set->cgroup;
    case NamespaceKind::Ipc:
      return set->ipc;
    case NamespaceKind::Mount:
      return set->mounts;
    case NamespaceKind::Pid:
      return for_children ? set->pids_for_children : Ref<PidNamespace>(&task.pids());
    case NamespaceKind::Uts:
      return set->uts;
    case NamespaceKind::Network:
    case NamespaceKind::Time:
    case NamespaceKind::User:
      return task.kernel().only_namespace(kind);
  }
  return {};
}

}  // namespace cofferdam::kernel
