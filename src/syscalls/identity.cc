// User and group ids, capabilities.
#include <algorithm>

#include "kernel/cred/id_change.h"
#include "kernel/kernel.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"
#include "syscalls/handlers_identity.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

constexpr int32_t max_groups = 65536;  // NGROUPS_MAX

// As commit_creds of Linux: a process that changed who it acts as is not to be looked into, nor told of its parent's
// death.
void commit(Task& task, Ref<Credentials> credentials) {
  auto old = task.credentials();
  bool differs = old->euid != credentials->euid || old->egid != credentials->egid || old->fsuid != credentials->fsuid ||
                 old->fsgid != credentials->fsgid || !credentials->permitted.subset_of(old->permitted);
  task.set_credentials(std::move(credentials));
  if (!differs) return;
  ProcessLocked lock(task.kernel());
  task.thread_group().implementation().dumpable = false;
  task.implementation().parent_death_signal = 0;
}

Result<void> commit(Task& task, Result<Ref<Credentials>> changed) {
  commit(task, TRY(std::move(changed)));
  return {};
}

Result<void> write_three(Task& task, std::array<UserPtr<uint32_t>, 3> to, std::array<uint32_t, 3> values) {
  for (size_t i = 0; i < 3; ++i) TRY(task.write(to[i], values[i]));
  return {};
}

}  // namespace

Result<uint32_t> sys_getuid(Task& task) { return task.credentials()->uid; }
Result<uint32_t> sys_geteuid(Task& task) { return task.credentials()->euid; }
Result<uint32_t> sys_getgid(Task& task) { return task.credentials()->gid; }
Result<uint32_t> sys_getegid(Task& task) { return task.credentials()->egid; }

Result<void> sys_getresuid(Task& task, UserPtr<uint32_t> real, UserPtr<uint32_t> effective, UserPtr<uint32_t> saved) {
  auto c = task.credentials();
  return write_three(task, {real, effective, saved}, {c->uid, c->euid, c->suid});
}

Result<void> sys_getresgid(Task& task, UserPtr<uint32_t> real, UserPtr<uint32_t> effective, UserPtr<uint32_t> saved) {
  auto c = task.credentials();
  return write_three(task, {real, effective, saved}, {c->gid, c->egid, c->sgid});
}

Result<void> sys_setuid(Task& task, uint32_t uid) { return commit(task, with_uid(*task.credentials(), uid)); }

Result<void> sys_setgid(Task& task, uint32_t gid) { return commit(task, with_gid(*task.credentials(), gid)); }

Result<void> sys_setreuid(Task& task, uint32_t real, uint32_t effective) {
  return commit(task, with_real_effective_uid(*task.credentials(), real, effective));
}

Result<void> sys_setregid(Task& task, uint32_t real, uint32_t effective) {
  return commit(task, with_real_effective_gid(*task.credentials(), real, effective));
}

Result<void> sys_setresuid(Task& task, uint32_t real, uint32_t effective, uint32_t saved) {
  return commit(task, with_all_uids(*task.credentials(), real, effective, saved));
}

Result<void> sys_setresgid(Task& task, uint32_t real, uint32_t effective, uint32_t saved) {
  return commit(task, with_all_gids(*task.credentials(), real, effective, saved));
}

Result<uint32_t> sys_setfsuid(Task& task, uint32_t uid) {
  auto old = task.credentials();
  if (auto changed = with_fsuid(*old, uid); changed && uid != old->fsuid) commit(task, changed);
  return old->fsuid;
}

Result<uint32_t> sys_setfsgid(Task& task, uint32_t gid) {
  auto old = task.credentials();
  if (auto changed = with_fsgid(*old, gid); changed && gid != old->fsgid) commit(task, changed);
  return old->fsgid;
}

Result<uint64_t> sys_getgroups(Task& task, int32_t size, UserPtr<uint32_t> list) {
  if (size < 0) return fail(Errno::Inval);
  auto c = task.credentials();
  if (size != 0) {
    if (static_cast<size_t>(size) < c->groups.size()) return fail(Errno::Inval);
    TRY(task.write_array(list, std::span<uint32_t const>(c->groups)));
  }
  return c->groups.size();
}

Result<void> sys_setgroups(Task& task, int32_t size, UserPtr<uint32_t> list) {
  auto old = task.credentials();
  if (!old->capable(CAP_SETGID)) return fail(Errno::Perm);
  if (size < 0 || size > max_groups) return fail(Errno::Inval);
  auto groups = TRY(task.read_array(list, static_cast<size_t>(size)));
  if (std::ranges::find(groups, no_id) != groups.end()) return fail(Errno::Inval);
  std::ranges::sort(groups);
  auto c = make_ref<Credentials>(*old);
  c->groups = std::move(groups);
  commit(task, c);
  return {};
}

namespace {

constexpr uint32_t version_1 = _LINUX_CAPABILITY_VERSION_1, version_2 = _LINUX_CAPABILITY_VERSION_2,
                   version_3 = _LINUX_CAPABILITY_VERSION_3;

// How many CapabilityWords the caller's version has; 0 for an unknown one, after telling the caller the right one.
Result<size_t> words_of(Task& task, UserPtr<CapabilityHeader> header, CapabilityHeader const& h) {
  switch (h.version) {
    case version_1:
      return 1;
    case version_2:
    case version_3:
      return 2;
    default:
      TRY(task.write(UserPtr<uint32_t>(header.address()), version_3));
      return 0;
  }
}

Result<Ref<Credentials const>> credentials_of(Task& task, int32_t pid) {
  if (pid < 0) return fail(Errno::Inval);
  if (pid == 0 || pid == task.tid()) return task.credentials();
  ProcessLocked lock(task.kernel());
  auto other = task.pids().task(pid, lock);
  if (!other) return fail(Errno::Srch);
  return other->credentials();
}

}  // namespace

Result<void> sys_capget(Task& task, UserPtr<CapabilityHeader> header, UserPtr<CapabilityWords> data) {
  auto h = TRY(task.read(header));
  size_t words = TRY(words_of(task, header, h));
  if (words == 0) return data ? fail(Errno::Inval) : Result<void>();
  auto c = TRY(credentials_of(task, h.pid));
  if (!data) return {};
  std::array<CapabilityWords, 2> out{};
  for (size_t i = 0; i < 2; ++i)
    out[i] = {static_cast<uint32_t>(c->effective.bits() >> (32 * i)),
              static_cast<uint32_t>(c->permitted.bits() >> (32 * i)),
              static_cast<uint32_t>(c->inheritable.bits() >> (32 * i))};
  return task.write_array(data, std::span<CapabilityWords const>(out).first(words));
}

Result<void> sys_capset(Task& task, UserPtr<CapabilityHeader> header, UserPtr<CapabilityWords> data) {
  auto h = TRY(task.read(header));
  size_t words = TRY(words_of(task, header, h));
  if (words == 0) return fail(Errno::Inval);
  if (h.pid != 0 && h.pid != task.tid()) return fail(Errno::Perm);
  auto in = TRY(task.read_array(data, words));
  uint64_t effective = 0, permitted = 0, inheritable = 0;
  for (size_t i = 0; i < words; ++i) {
    effective |= uint64_t{in[i].effective} << (32 * i);
    permitted |= uint64_t{in[i].permitted} << (32 * i);
    inheritable |= uint64_t{in[i].inheritable} << (32 * i);
  }
  return commit(task, with_capabilities(*task.credentials(), CapabilitySet(effective), CapabilitySet(permitted),
                                        CapabilitySet(inheritable)));
}

}  // namespace cofferdam::syscalls
