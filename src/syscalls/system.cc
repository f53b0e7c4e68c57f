// What the machine is: uname, sysinfo, random bytes, personality, the kernel's log; and what no container may do.
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "host/random.h"
#include "host/system_facts.h"
#include "kernel/kernel.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/task/task_internal.h"
#include "syscalls/handlers_system.h"

namespace cofferdam::syscalls {
namespace {

constexpr size_t longest_name = 64;  // __NEW_UTS_LEN

template <size_t N>
void put(char (&to)[N], std::string_view text) {
  std::memcpy(to, text.data(), std::min(text.size(), N - 1));
}

// sethostname and setdomainname: the bytes as given, need not be text.
Result<std::string> read_name(Task& task, UserAddr name, int length) {
  if (!task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
  if (length < 0 || static_cast<size_t>(length) > longest_name) return fail(Errno::Inval);
  std::string text(static_cast<size_t>(length), '\0');
  if (length != 0) TRY(task.copy_in(name, std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace

Result<void> sys_uname(Task& task, UserPtr<utsname> to) {
  utsname u{};
  put(u.sysname, "Linux");
  task.namespaces()->uts->names.with([&](kernel::UtsNames const& names) {
    put(u.nodename, names.hostname);
    put(u.domainname, names.domain_name);
  });
  put(u.release, task.kernel().options().kernel_release);
  put(u.version, "#1 SMP PREEMPT_DYNAMIC");
  bool linux32 = (task.implementation().personality & 0xff) == PER_LINUX32;
  put(u.machine, linux32 ? "i686" : "x86_64");
  return task.write(to, u);
}

Result<void> sys_sethostname(Task& task, UserAddr name, int length) {
  std::string text = TRY(read_name(task, name, length));
  task.namespaces()->uts->names.with([&](kernel::UtsNames& names) { names.hostname = std::move(text); });
  return {};
}

Result<void> sys_setdomainname(Task& task, UserAddr name, int length) {
  std::string text = TRY(read_name(task, name, length));
  task.namespaces()->uts->names.with([&](kernel::UtsNames& names) { names.domain_name = std::move(text); });
  return {};
}

Result<void> sys_sysinfo(Task& task, UserPtr<struct sysinfo> to) {
  kernel::Kernel& kernel = task.kernel();
  struct sysinfo info{};
  info.uptime = (kernel::host_now(CLOCK_MONOTONIC) - kernel.boot_time_ns()) / kernel::ns_per_second;
  auto host = host::memory_facts();
  uint64_t total = host.total_bytes, free = host.free_bytes;
  if (uint64_t limit = task.thread_group().control_group().memory_limit(); limit != 0 && limit < total) {
    total = limit;
    uint64_t used =
        std::min(limit, kernel.memory_file().allocated_bytes() + task.mm()->address_space().resident_bytes());
    free = std::min(free, limit - used);
  }
  info.totalram = total;
  info.freeram = free;
  info.mem_unit = 1;
  {
    kernel::ProcessLocked lock(kernel);
    info.procs = static_cast<unsigned short>(std::min<size_t>(task.pids().task_count(lock), 0xffff));
  }
  return task.write(to, info);
}

Result<uint64_t> sys_getrandom(Task& task, UserAddr buffer, uint64_t length, uint32_t flags) {
  constexpr uint32_t insecure = 4;
  if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | insecure)) return fail(Errno::Inval);
  if ((flags & GRND_RANDOM) && (flags & insecure)) return fail(Errno::Inval);
  length = std::min<uint64_t>(length, INT32_MAX);
  kernel::UserSink sink(task, UserSlice{buffer, length});
  std::array<std::byte, 4096> chunk;
  uint64_t done = 0;
  while (done < length) {
    auto part = std::span(chunk).first(std::min<uint64_t>(length - done, chunk.size()));
    host::fill_random(part);
    auto stored = sink.put(part);
    if (!stored) {
      if (done == 0) return stored;
      break;
    }
    done += *stored;
    if (*stored < part.size() || (done < length && task.signal_pending())) break;
  }
  return done;
}

Result<void> sys_getcpu(Task& task, UserPtr<uint32_t> cpu, UserPtr<uint32_t> node, UserAddr) {
  if (cpu) TRY(task.write(cpu, static_cast<uint32_t>(std::max(0, task.context().current_cpu()))));
  if (node) TRY(task.write(node, uint32_t{0}));
  return {};
}

// The ring buffer of the kernel's log is empty for ever.
Result<uint64_t> sys_syslog(Task& task, int type, UserAddr buffer, int length) {
  constexpr int close = 0, open = 1, read = 2, read_all = 3, read_clear = 4, clear = 5, console_off = 6, console_on = 7,
                console_level = 8, size_unread = 9, size_buffer = 10;
  if (type < close || type > size_buffer) return fail(Errno::Inval);
  bool for_all = type == read_all || type == size_buffer;
  if (!for_all && !task.capable(CAP_SYSLOG) && !task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
  switch (type) {
    case read:
    case read_all:
    case read_clear:
      if (!buffer || length < 0) return fail(Errno::Inval);
      return 0;
    case console_level:
      if (length < 1 || length > 8) return fail(Errno::Inval);
      return 0;
    case size_buffer:
      return 1u << 17;
    case open:
    case clear:
    case console_off:
    case console_on:
    case size_unread:
    default:
      return 0;
  }
}

Result<uint64_t> sys_personality(Task& task, uint32_t persona) {
  auto& own = task.implementation();
  uint32_t old = own.personality;
  if (persona != 0xffffffff) own.personality = persona;
  return old;
}

Result<void> sys_reboot(Task&, int, int, uint32_t, UserAddr) { return fail(Errno::Perm); }
Result<void> sys_swapon(Task&, UserCString, int) { return fail(Errno::Perm); }
Result<void> sys_swapoff(Task&, UserCString) { return fail(Errno::Perm); }
Result<void> sys_acct(Task& task, UserCString) {
  // With the capability: a kernel without process accounting.
  return fail(task.capable(CAP_SYS_PACCT) ? Errno::NoSys : Errno::Perm);
}
Result<void> sys_kexec_load(Task&) { return fail(Errno::Perm); }
Result<void> sys_kexec_file_load(Task&) { return fail(Errno::Perm); }
Result<void> sys_init_module(Task&) { return fail(Errno::Perm); }
Result<void> sys_finit_module(Task&) { return fail(Errno::Perm); }
Result<void> sys_delete_module(Task&) { return fail(Errno::Perm); }
Result<void> sys_iopl(Task&, uint32_t level) {
  if (level > 3) return fail(Errno::Inval);
  if (level == 0) return {};  // as it is
  return fail(Errno::Perm);
}
Result<void> sys_ioperm(Task&, uint64_t from, uint64_t count, int on) {
  constexpr uint64_t ports = 65536;
  if (from + count <= from || from + count > ports) return fail(Errno::Inval);
  if (!on) return {};
  return fail(Errno::Perm);
}
Result<void> sys_bpf(Task&, int) { return fail(Errno::Perm); }

}  // namespace cofferdam::syscalls
