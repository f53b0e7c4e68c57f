// /proc/sys: what programs ask of the kernel's settings. Settings that the sentry does not have tell Linux's defaults
// and cannot be written.
#include <linux/capability.h>

#include <algorithm>
#include <charconv>
#include <span>

#include <fmt/core.h>

#include "fs/proc/proc_file_system.h"
#include "host/random.h"
#include "kernel/kernel.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/sysctls.h"
#include "kernel/vfs/locks.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

std::string uuid_text(std::span<unsigned char, 16> b) {
  b[6] = static_cast<unsigned char>((b[6] & 0x0f) | 0x40);
  b[8] = static_cast<unsigned char>((b[8] & 0x3f) | 0x80);
  std::string text;
  for (size_t i = 0; i < b.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned>(b[i]));
  }
  return text + "\n";
}

Result<std::string> random_uuid(Task&) {
  unsigned char bytes[16];
  host::fill_random(std::as_writable_bytes(std::span(bytes)));
  return uuid_text(bytes);
}

// The same in every mount of a sandbox, and another in each sandbox: drawn from when it booted.
std::string boot_id(Kernel& kernel) {
  unsigned char bytes[16];
  uint64_t state = static_cast<uint64_t>(kernel.boot_time_ns());
  for (unsigned char& b : bytes) {  // splitmix64
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    b = static_cast<unsigned char>(z >> 32);
  }
  return uuid_text(bytes);
}

PseudoTextFunction::Text uts_text(std::string UtsNames::* member) {
  return [member](Task& task) -> Result<std::string> {
    return task.namespaces()->uts->names.with([&](UtsNames& names) { return names.*member + "\n"; });
  };
}

PseudoTextFunction::Write uts_write(std::string UtsNames::* member) {
  return [member](Task& task, std::string_view text) -> Result<void> {
    if (!task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
    constexpr size_t name_limit = 64;
    text = text.substr(0, text.find_first_of(std::string_view("\n\0", 2)));
    task.namespaces()->uts->names.with([&](UtsNames& names) { names.*member = text.substr(0, name_limit); });
    return {};
  };
}

// Held by the namespaces of the task, on whose thread this is asked.
Sysctls& sysctls_of(Task& task, std::string_view path) {
  bool const of_ipc = Sysctls::scope_of(path) == Sysctls::Scope::Ipc;
  return of_ipc ? task.namespaces()->ipc->sysctls : task.kernel().sysctls();
}

Result<std::string> file_nr(Task& task) {
  size_t open = 0;
  std::vector<Ref<Task>> tasks;
  {
    ProcessLocked lock(task.kernel());
    for (Ref<ThreadGroup> const& group : task.kernel().all_groups(lock))
      if (Ref<Task> leader = group->leader(lock)) tasks.push_back(std::move(leader));
  }
  for (Ref<Task> const& t : tasks)
    if (Ref<FdTable> files = t->files()) open += files->descriptors().size();
  return fmt::format("{}\t0\t9223372036854775807\n", open);
}

using InotifyLimit = std::atomic<uint32_t> InotifyLimits::*;

PseudoTextFunction::Text limit_text(InotifyLimit limit) {
  return [limit](Task& task) -> Result<std::string> {
    return fmt::format("{}\n", (task.kernel().ipc().inotify.*limit).load());
  };
}

PseudoTextFunction::Write limit_write(InotifyLimit limit) {
  return [limit](Task& task, std::string_view text) -> Result<void> {
    text = text.substr(0, text.find_first_of(std::string_view(" \t\n\0", 4)));
    int32_t value = 0;
    auto [end, error] = std::from_chars(text.begin(), text.end(), value);
    if (text.empty() || error != std::errc() || end != text.end() || value < 0) return fail(Errno::Inval);
    // Queues and watches are the sentry's memory.
    constexpr int32_t most = 1 << 20;
    (task.kernel().ipc().inotify.*limit).store(static_cast<uint32_t>(std::min(value, most)));
    return {};
  };
}

using LockSetting = std::atomic<uint32_t> LockWaits::*;

void add_lock_setting(PseudoTreeBuilder& tree, std::string_view path, LockSetting setting, uint32_t most) {
  auto text = [setting](Task& task) -> Result<std::string> {
    return fmt::format("{}\n", (task.kernel().vfs().lock_waits().*setting).load());
  };
  auto write = [setting, most](Task& task, std::string_view given) -> Result<void> {
    given = given.substr(0, given.find_first_of(std::string_view(" \t\n\0", 4)));
    uint32_t value = 0;
    auto [end, error] = std::from_chars(given.begin(), given.end(), value);
    if (given.empty() || error != std::errc() || end != given.end() || value > most) return fail(Errno::Inval);
    (task.kernel().vfs().lock_waits().*setting).store(value);
    return {};
  };
  tree.text(path, 0644, text, write);
}

Result<std::string> threads_max(Task&) { return std::string("32768\n"); }

struct Fixed {
  std::string_view path, value;
};
constexpr Fixed fixed_values[] = {
    {"kernel/ostype", "Linux"},
    {"kernel/pid_max", "32768"},
    {"kernel/cap_last_cap", "40"},
    {"kernel/ngroups_max", "65536"},
    {"kernel/core_pattern", "core"},
    {"kernel/core_uses_pid", "0"},
    {"kernel/overflowuid", "65534"},
    {"kernel/overflowgid", "65534"},
    {"kernel/randomize_va_space", "2"},
    {"kernel/dmesg_restrict", "1"},
    {"kernel/kptr_restrict", "2"},
    {"kernel/perf_event_paranoid", "4"},
    {"kernel/unprivileged_bpf_disabled", "2"},
    {"kernel/sched_child_runs_first", "0"},
    {"kernel/sched_rt_period_us", "1000000"},
    {"kernel/sched_rt_runtime_us", "950000"},
    {"kernel/printk", "4\t4\t1\t7"},
    {"kernel/panic", "0"},
    {"kernel/sysrq", "0"},
    {"kernel/tainted", "0"},
    {"kernel/hung_task_timeout_secs", "0"},
    {"kernel/seccomp/actions_avail", "kill_process kill_thread trap errno trace log allow"},
    {"kernel/random/entropy_avail", "256"},
    {"kernel/random/poolsize", "256"},
    {"kernel/random/urandom_min_reseed_secs", "60"},
    {"kernel/random/write_wakeup_threshold", "256"},
    {"kernel/pty/max", "4096"},
    {"kernel/pty/reserve", "1024"},
    {"kernel/keys/maxkeys", "200"},
    {"kernel/keys/maxbytes", "20000"},
    {"vm/overcommit_memory", "0"},
    {"vm/overcommit_ratio", "50"},
    {"vm/overcommit_kbytes", "0"},
    {"vm/max_map_count", "65530"},
    {"vm/swappiness", "60"},
    {"vm/nr_hugepages", "0"},
    {"vm/nr_overcommit_hugepages", "0"},
    {"vm/legacy_va_layout", "0"},
    {"vm/drop_caches", "0"},
    {"vm/dirty_ratio", "20"},
    {"vm/dirty_background_ratio", "10"},
    {"vm/min_free_kbytes", "67584"},
    {"vm/vfs_cache_pressure", "100"},
    {"vm/zone_reclaim_mode", "0"},
    {"vm/panic_on_oom", "0"},
    {"vm/oom_kill_allocating_task", "0"},
    {"vm/compact_memory", "0"},
    {"vm/unprivileged_userfaultfd", "0"},
    {"fs/file-max", "9223372036854775807"},
    {"fs/nr_open", "1048576"},
    {"fs/inode-nr", "0\t0"},
    {"fs/inode-state", "0\t0\t0\t0\t0\t0\t0"},
    {"fs/dentry-state", "0\t0\t45\t0\t0\t0"},
    {"fs/pipe-max-size", "1048576"},
    {"fs/pipe-user-pages-hard", "0"},
    {"fs/pipe-user-pages-soft", "16384"},
    {"fs/aio-max-nr", "65536"},
    {"fs/mount-max", "100000"},
    {"fs/overflowuid", "65534"},
    {"fs/overflowgid", "65534"},
    {"fs/protected_fifos", "0"},
    {"fs/protected_hardlinks", "0"},
    {"fs/protected_regular", "0"},
    {"fs/protected_symlinks", "0"},
    {"fs/suid_dumpable", "0"},
    {"fs/epoll/max_user_watches", "1048576"},
    {"net/core/netdev_max_backlog", "1000"},
    {"net/ipv4/tcp_available_congestion_control", "reno cubic"},
    {"net/ipv4/tcp_allowed_congestion_control", "reno cubic"},
};

}  // namespace

void add_sys_tree(PseudoTreeBuilder& tree, ProcFileSystem& fs) {
  auto at = [](std::string_view path) { return fmt::format("sys/{}", path); };
  Kernel& kernel = fs.kernel();
  tree.text(at("kernel/hostname"), 0644, uts_text(&UtsNames::hostname), uts_write(&UtsNames::hostname));
  tree.text(at("kernel/domainname"), 0644, uts_text(&UtsNames::domain_name), uts_write(&UtsNames::domain_name));
  tree.fixed(at("kernel/osrelease"), kernel.options().kernel_release + "\n");
  tree.fixed(at("kernel/version"), "#1 SMP PREEMPT_DYNAMIC\n");
  tree.text(at("kernel/threads-max"), 0444, &threads_max);
  tree.text(at("kernel/random/uuid"), 0444, &random_uuid);
  tree.fixed(at("kernel/random/boot_id"), boot_id(kernel));
  tree.fixed(at("vm/mmap_min_addr"), fmt::format("{}\n", kernel.platform().min_address()));
  tree.text(at("fs/file-nr"), 0444, &file_nr);
  tree.text(at("fs/aio-nr"), 0444, [](Task& task) -> Result<std::string> {
    return fmt::format("{}\n", task.kernel().ipc().aio_requests.load());
  });
  tree.text(at("fs/inotify/max_queued_events"), 0644, limit_text(&InotifyLimits::max_queued_events),
            limit_write(&InotifyLimits::max_queued_events));
  tree.text(at("fs/inotify/max_user_instances"), 0644, limit_text(&InotifyLimits::max_user_instances),
            limit_write(&InotifyLimits::max_user_instances));
  tree.text(at("fs/inotify/max_user_watches"), 0644, limit_text(&InotifyLimits::max_user_watches),
            limit_write(&InotifyLimits::max_user_watches));
  add_lock_setting(tree, at("fs/lease-break-time"), &LockWaits::lease_break_seconds, INT32_MAX);
  add_lock_setting(tree, at("fs/leases-enable"), &LockWaits::leases_enabled, 1);
  add_lock_setting(tree, at("fs/dir-notify-enable"), &LockWaits::directory_notify_enabled, 1);
  for (Sysctls::Setting const& setting : Sysctls::settings())
    tree.text(
        at(setting.path), 0644,
        [path = setting.path](Task& task) -> Result<std::string> { return sysctls_of(task, path).text(path) + "\n"; },
        [path = setting.path](Task& task, std::string_view text) { return sysctls_of(task, path).set(path, text); });
  for (Fixed const& f : fixed_values) tree.fixed(at(f.path), fmt::format("{}\n", f.value));
}

}  // namespace cofferdam::fs::proc
