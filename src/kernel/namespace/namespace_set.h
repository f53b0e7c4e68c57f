// The namespaces that a task is in, but for those of its Pid and its credentials (struct nsproxy of Linux).
#pragma once

#include "base/ref.h"
#include "base/result.h"
#include "kernel/namespace/cgroup_namespace.h"
#include "kernel/namespace/ipc_namespace.h"
#include "kernel/namespace/uts_namespace.h"
#include "kernel/task/pid.h"
#include "kernel/vfs/mount.h"

namespace cofferdam::kernel {

class FsContext;
class Task;

// Immutable: a change makes a new one.
struct NamespaceSet final : RefCounted {
  Ref<MountNamespace> mounts;
  Ref<UtsNamespace> uts;
  Ref<IpcNamespace> ipc;
  Ref<CgroupNamespace> cgroup;
  Ref<PidNamespace> pids_for_children;

  NamespaceSet() = default;
  NamespaceSet(NamespaceSet const& o)
      : RefCounted(),
        mounts(o.mounts),
        uts(o.uts),
        ipc(o.ipc),
        cgroup(o.cgroup),
        pids_for_children(o.pids_for_children) {}
};

// Those of CLONE_NEW* among flags of clone(2) and unshare(2).
uint64_t namespace_flags(uint64_t flags);
// EPERM without CAP_SYS_ADMIN; EINVAL for kinds that are not built.
Result<void> check_new_namespaces(Task&, uint64_t flags);
// The task's set with new ones of the kinds that the flags name. `fs`: of who is to be in them, and nobody else's; it
// is moved into a new mount namespace. EINVAL, EPERM, ENOSPC.
Result<Ref<NamespaceSet const>> with_new_namespaces(Task&, uint64_t flags, FsContext& fs);

// What /proc/PID/ns shows; null once the task has exited.
Ref<Namespace> namespace_of(Task const&, NamespaceKind, bool for_children = false);

}  // namespace cofferdam::kernel
