#include "platform/trap/process.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "fmt/core.h"
#include "host/futex.h"
#include "platform/trap/context.h"

namespace cofferdam::platform::trap {
namespace {

Result<host::OwnedFd> open_proc(Shared& shared, std::string const& path, int flags) {
  host::OwnedFd fd(::openat(shared.proc_fd, path.c_str(), flags | O_CLOEXEC));
  if (!fd) return fail_host(errno);
  return fd;
}

std::string read_small_file(Shared& shared, std::string const& path) {
  auto fd = open_proc(shared, path, O_RDONLY);
  if (!fd) return {};
  std::string text(4096, '\0');
  ssize_t const n = ::read(fd->get(), text.data(), text.size());
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

uint64_t status_field(std::string const& text, std::string_view name) {
  auto const at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size(), nullptr, 10);
}

std::chrono::nanoseconds from_timeval(timeval const& t) {
  return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
}

}  // namespace

StubProcess::StubProcess(std::shared_ptr<Shared> shared, AreaFile::Window window)
    : shared_(std::move(shared)), window_(window.index) {
  if (!window.area) return;
  MutexLock lock(mutex_);
  uint32_t const slot = window.area.slot();
  slots_.resize(slot + 1);
  slots_[slot] = std::make_unique<Slot>();
  slots_[slot]->area = std::move(window.area);
}

StubProcess::~StubProcess() {
  AreaFile::Window window{window_, {}};
  {
    MutexLock lock(mutex_);
    auto const used = std::ranges::find_if(slots_, [](auto const& slot) { return slot != nullptr; });
    if (used != slots_.end()) window.area = std::move((*used)->area);
    slots_.clear();
    if (auto* services = services_.load()) {
      services->detach();
      services->unref();
    }
  }
  shared_->areas.release_window(std::move(window));
}

Result<Area*> StubProcess::allocate_area(int64_t wanted) {
  MutexLock lock(mutex_);
  auto const usable = [](Slot const& slot) {
    return !slot.in_use && slot.area.turn().load(std::memory_order_acquire) == stub::turn_dead;
  };
  size_t index = slots_.size();
  if (wanted >= 0) {
    index = static_cast<size_t>(wanted);
  } else {
    for (size_t i = 0; i < slots_.size(); ++i)
      if (slots_[i] == nullptr || usable(*slots_[i])) {
        index = i;
        break;
      }
  }
  if (index >= stub::max_threads) return fail(Errno::Again);
  if (slots_.size() <= index) slots_.resize(index + 1);
  if (slots_[index] == nullptr) {
    auto area = TRY(Area::map(shared_->areas, window_, static_cast<uint32_t>(index)));
    slots_[index] = std::make_unique<Slot>();
    slots_[index]->area = std::move(area);
  }
  slots_[index]->in_use = true;
  slots_[index]->area.initialize();
  return &slots_[index]->area;
}

void StubProcess::retire_area(Area* area) {
  MutexLock lock(mutex_);
  for (auto& slot : slots_)
    if (slot != nullptr && &slot->area == area) slot->in_use = false;
}

void StubProcess::kill() {
  ReadLock lock(life_);
  if (!dead() && pid() > 0) ::kill(pid(), SIGKILL);
}

void StubProcess::mark_dead(int signal) {
  WriteLock lock(life_);
  death_signal_.store(signal, std::memory_order_relaxed);
  dead_.store(true, std::memory_order_release);
  MutexLock slots_lock(mutex_);
  for (auto& slot : slots_) {
    if (slot == nullptr) continue;
    slot->area.turn().store(stub::turn_dead, std::memory_order_seq_cst);
    ::syscall(SYS_futex, slot->area.turn_word(), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
}

void StubProcess::enlist(TrapContext* context) {
  MutexLock lock(contexts_mutex_);
  contexts_.push_back(context);
}

void StubProcess::delist(TrapContext* context) {
  MutexLock lock(contexts_mutex_);
  std::erase(contexts_, context);
}

bool StubProcess::hold_others(TrapContext* self) {
  constexpr int patience = 400;
  constexpr auto pause = std::chrono::microseconds(50);
  held_.store(1, std::memory_order_seq_cst);
  MutexLock lock(contexts_mutex_);
  for (TrapContext* other : contexts_)
    if (other != self && other->running()) other->interrupt();
  auto const stopped = [&](TrapContext* other) { return other == self || !other->running(); };
  for (int i = 0; i < patience; ++i) {
    if (std::ranges::all_of(contexts_, stopped)) return true;
    timespec const until = host::monotonic_after(pause);
    host::futex_wait_until(held_, 1, &until);
  }
  let_go();
  return false;
}

void StubProcess::let_go() {
  held_.store(0, std::memory_order_seq_cst);
  host::futex_wake(held_, INT_MAX);
}

void StubProcess::wait_until_let_go() {
  while (held()) host::futex_wait(held_, 1);
}

bool StubProcess::has_room_to_park() {
  constexpr size_t most = 16;
  MutexLock lock(mutex_);
  return !dead() && parked_.size() < most;
}

void StubProcess::park(ParkedThread parked) {
  MutexLock lock(mutex_);
  parked_.push_back(std::move(parked));
}

std::optional<StubProcess::ParkedThread> StubProcess::unpark() {
  MutexLock lock(mutex_);
  for (size_t i = parked_.size(); i-- > 0;) {
    uint32_t const turn = parked_[i].area->turn().load(std::memory_order_acquire) & stub::turn_owner;
    if (turn == stub::turn_guest) continue;  // still busy with its end
    auto parked = std::move(parked_[i]);
    parked_.erase(parked_.begin() + static_cast<ptrdiff_t>(i));
    if (turn == stub::turn_sentry) return parked;
    for (auto& slot : slots_)  // the guest has ended or forged it
      if (slot != nullptr && &slot->area == parked.area) slot->in_use = false;
  }
  return std::nullopt;
}

Ref<StubServices> StubProcess::make_services() {
  MutexLock lock(mutex_);
  if (services() == nullptr)
    if (auto made = StubServices::create(shared_->areas, window_))
      services_.store(made->release(), std::memory_order_release);
  return Ref<StubServices>(services());
}

void StubProcess::set_final_usage(rusage const& usage) {
  MutexLock lock(mutex_);
  final_usage_ = usage;
}

Result<rusage> StubProcess::final_usage() {
  MutexLock lock(mutex_);
  return final_usage_;
}

Result<size_t> TrapAddressSpace::read(uint64_t address, std::span<std::byte> to) {
  if (to.empty()) return 0;
  if (!is_guest_range(address, to.size())) {
    if (address >= stub::user_limit) return fail(Errno::Fault);
    to = to.first(stub::user_limit - address);
  }
  return process_->with_pid([&](pid_t pid) -> Result<size_t> {
    iovec const local = {to.data(), to.size()};
    iovec const remote = {reinterpret_cast<void*>(address), to.size()};
    ssize_t const n = ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (n < 0) return fail_host(errno);
    return static_cast<size_t>(n);
  });
}

Result<size_t> TrapAddressSpace::write(uint64_t address, std::span<std::byte const> from, bool force) {
  if (from.empty()) return 0;
  if (!is_guest_range(address, from.size())) {
    if (address >= stub::user_limit) return fail(Errno::Fault);
    from = from.first(stub::user_limit - address);
  }
  return process_->with_pid([&](pid_t pid) -> Result<size_t> {
    if (!force) {
      iovec const local = {const_cast<std::byte*>(from.data()), from.size()};
      iovec const remote = {reinterpret_cast<void*>(address), from.size()};
      ssize_t const n = ::process_vm_writev(pid, &local, 1, &remote, 1, 0);
      if (n < 0) return fail_host(errno);
      return static_cast<size_t>(n);
    }
    auto memory = TRY(open_proc(process_->shared(), fmt::format("{}/mem", pid), O_RDWR));
    ssize_t const n = ::pwrite(memory.get(), from.data(), from.size(), static_cast<off_t>(address));
    if (n < 0) return errno == EIO ? fail(Errno::Fault) : fail_host(errno);
    return static_cast<size_t>(n);
  });
}

uint64_t TrapAddressSpace::resident_bytes() {
  auto text = process_->with_pid([&](pid_t pid) -> Result<std::string> {
    return read_small_file(process_->shared(), fmt::format("{}/statm", pid));
  });
  if (!text) return 0;
  auto const space = text->find(' ');
  return space == std::string::npos ? 0 : std::strtoull(text->c_str() + space, nullptr, 10) * page;
}

Result<void> TrapAddressSpace::mincore(uint64_t address, uint64_t length, std::span<unsigned char> pages) {
  size_t const count = (length + page - 1) / page;
  if (!is_guest_range(address, length) || address % page != 0 || pages.size() < count) return fail(Errno::Inval);
  return process_->with_pid([&](pid_t pid) -> Result<void> {
    auto fd = TRY(open_proc(process_->shared(), fmt::format("{}/pagemap", pid), O_RDONLY));
    uint64_t entries[512];
    for (size_t i = 0; i < count;) {
      size_t const n = std::min<size_t>(count - i, std::size(entries));
      ssize_t const got = ::pread(fd.get(), entries, n * 8, static_cast<off_t>((address / page + i) * 8));
      if (got <= 0) return fail(Errno::NoMem);
      for (size_t k = 0; k < static_cast<size_t>(got) / 8; ++k) pages[i + k] = entries[k] >> 63;
      i += static_cast<size_t>(got) / 8;
    }
    return {};
  });
}

// All the CPU time to the nanosecond: /proc counts user and system time in ticks of 10 ms.
std::chrono::nanoseconds cpu_time(Shared& shared, pid_t pid, pid_t thread) {
  if (thread != 0)
    return std::chrono::nanoseconds(
        std::strtoll(read_small_file(shared, fmt::format("{}/task/{}/schedstat", pid, thread)).c_str(), nullptr, 10));
  timespec t{};
  clockid_t const clock = static_cast<clockid_t>((~static_cast<unsigned>(pid) << 3) | 2);
  if (::clock_gettime(clock, &t) != 0) return {};
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

AddressSpace::Usage read_usage(Shared& shared, pid_t pid, pid_t thread) {
  std::string const base = thread == 0 ? fmt::format("{}/", pid) : fmt::format("{}/task/{}/", pid, thread);
  AddressSpace::Usage usage{};
  std::string const stat = read_small_file(shared, base + "stat");
  auto at = stat.rfind(')');
  if (at == std::string::npos) return usage;
  // After the name: state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime.
  uint64_t fields[16] = {};
  char const* p = stat.c_str() + std::min(at + 4, stat.size());
  for (int i = 1; i < 13; ++i) {
    char* end = nullptr;
    fields[i] = std::strtoull(p, &end, 10);
    if (end == p) break;
    p = end;
  }
  auto const tick = std::chrono::nanoseconds(1000000000 / std::max(1l, ::sysconf(_SC_CLK_TCK)));
  usage.minor_faults = fields[7];
  usage.major_faults = fields[9];
  usage.user = tick * fields[11];
  usage.system = tick * fields[12];
  // The exact sum, divided as the ticks were (as Linux's cputime_adjust does).
  if (auto const exact = cpu_time(shared, pid, thread); exact.count() > 0) {
    uint64_t const ticks = fields[11] + fields[12];
    usage.system =
        ticks ? std::chrono::nanoseconds(static_cast<int64_t>(
                    static_cast<double>(exact.count()) * static_cast<double>(fields[12]) / static_cast<double>(ticks)))
              : std::chrono::nanoseconds(0);
    usage.user = exact - usage.system;
  }
  std::string const status = read_small_file(shared, base + "status");
  usage.voluntary_switches = status_field(status, "\nvoluntary_ctxt_switches:");
  usage.involuntary_switches = status_field(status, "\nnonvoluntary_ctxt_switches:");
  usage.max_resident_bytes = status_field(status, "\nVmHWM:") * 1024;
  return usage;
}

bool blocked_at(Shared& shared, pid_t pid, pid_t thread, uint64_t ip) {
  // Of a blocked thread: the number of its call, six arguments, rsp, rip. Of another: "running".
  std::string const call = read_small_file(shared, fmt::format("{}/task/{}/syscall", pid, thread));
  auto const at = call.rfind(' ');
  return at != std::string::npos && std::strtoull(call.c_str() + at, nullptr, 16) == ip;
}

AddressSpace::Usage TrapAddressSpace::usage() {
  auto live = process_->with_pid([&](pid_t pid) -> Result<Usage> { return read_usage(process_->shared(), pid, 0); });
  if (live) return *live;
  rusage const r = process_->final_usage().value_or(rusage{});
  return {from_timeval(r.ru_utime),
          from_timeval(r.ru_stime),
          static_cast<uint64_t>(r.ru_minflt),
          static_cast<uint64_t>(r.ru_majflt),
          static_cast<uint64_t>(r.ru_nvcsw),
          static_cast<uint64_t>(r.ru_nivcsw),
          static_cast<uint64_t>(r.ru_maxrss) * 1024};
}

Reaper::Reaper(std::shared_ptr<Shared> shared, pid_t group) : shared_(std::move(shared)), group_(group) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

Reaper::~Reaper() { thread_.join(); }

void Reaper::run() {
  for (;;) {
    siginfo_t info = {};
    // Stubs are clone children (no exit signal) in a process group of their own: no other wait takes them, nor this one
    // others.
    rusage usage = {};
    if (::syscall(SYS_waitid, P_PGID, group_, &info, WEXITED | WNOWAIT | __WCLONE, &usage) != 0) {
      if (errno == EINTR) continue;
      return;  // ECHILD: the zygote and all stubs are gone
    }
    std::shared_ptr<StubProcess> process;
    {
      MutexLock lock(shared_->table_mutex);
      auto it = shared_->table.find(info.si_pid);
      if (it != shared_->table.end()) {
        process = std::move(it->second);
        shared_->table.erase(it);
      }
    }
    if (process) {
      process->set_final_usage(usage);  // first: whoever finds it dead asks for this
      process->mark_dead(info.si_code == CLD_EXITED ? 0 : info.si_status);
    }
    ::syscall(SYS_waitid, P_PID, info.si_pid, &info, WEXITED | __WCLONE, nullptr);
  }
}

}  // namespace cofferdam::platform::trap
