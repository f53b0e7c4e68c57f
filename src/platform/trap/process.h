// A stub process as the sentry knows it, the table of all, and the AddressSpace on top.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "platform/platform.h"
#include "platform/trap/approver.h"
#include "platform/trap/area_unsafe.h"
#include "platform/trap/pace.h"
#include "platform/trap/patch.h"
#include "platform/trap/services_unsafe.h"
#include "platform/trap/trap.h"

namespace cofferdam::platform::trap {

inline constexpr uint64_t page = 4096;

class StubProcess;
class TrapContext;

// What all parts of one platform share. Outlives every StubProcess.
struct Shared {
  Shared(Options const& o, host::OwnedFd a) : options(o), areas(std::move(a)) {}
  Options options;
  AreaFile areas;
  stub::ImageHeader image{};
  std::unique_ptr<Approver> approver;
  std::shared_ptr<PatchFile> patch_file;  // null: call sites are not patched
  host::OwnedFd own_proc_fd;
  int proc_fd = -1;
  size_t xstate_size = 0;  // without the trailing magic word
  uint32_t xstate_frame_size = 0;
  uint64_t xstate_features = 0;
  uint32_t mxcsr_mask = 0xffbf;
  struct XstatePart {
    uint32_t offset, size;
  };
  std::array<XstatePart, 64> xstate_parts{};  // standard format, by feature number
  std::vector<std::byte> fresh_xstate;        // of a new process, as in a signal frame with its magic words
  uint64_t vdso_address = 0, vdso_length = 0;
  PaceShared pace;

  Mutex table_mutex;
  std::unordered_map<pid_t, std::shared_ptr<StubProcess>> table GUARDED_BY(table_mutex);
};

class StubProcess {
 public:
  StubProcess(std::shared_ptr<Shared> shared, AreaFile::Window window);
  ~StubProcess();

  Shared& shared() { return *shared_; }
  std::shared_ptr<Shared> const& shared_ptr() { return shared_; }
  uint32_t window() const { return window_; }
  pid_t pid() const { return pid_.load(std::memory_order_acquire); }
  void set_pid(pid_t pid) { pid_.store(pid, std::memory_order_release); }
  bool dead() const { return dead_.load(std::memory_order_acquire); }
  int death_signal() const { return death_signal_.load(std::memory_order_relaxed); }

  // An area for a thread: `wanted` or any free one. The areas stay mapped until the process is gone.
  Result<Area*> allocate_area(int64_t wanted = -1);
  // The thread of this area was told to exit or is dead; the area is used again once its turn word says dead.
  void retire_area(Area* area);

  void kill();
  // Runs f(pid) while the pid cannot be reused, or returns ESRCH.
  template <class F>
  auto with_pid(F&& f) -> decltype(f(pid_t{})) {
    ReadLock lock(life_);
    if (dead()) return fail(Errno::Srch);
    return f(pid());
  }
  // By the reaper: marks every thread dead and wakes whoever waits for one. The pid is free after it.
  void mark_dead(int signal);
  void set_final_usage(rusage const& usage);
  Result<rusage> final_usage();

  std::atomic<uint32_t> live_contexts{0};
  void enlist(TrapContext* context);
  void delist(TrapContext* context);
  // Makes every guest thread but the caller's stop and stay stopped until let_go(). False: one did not in time (and
  // all go on). The caller holds code.patching and is stopped itself.
  bool hold_others(TrapContext* self);
  void let_go();
  bool held() const { return held_.load(std::memory_order_seq_cst) != 0; }
  void wait_until_let_go();

  // Host threads of guest threads that ended: they wait in the stub for the next.
  struct ParkedThread {
    Area* area;
    pid_t thread;
    std::chrono::nanoseconds used, unread;  // CPU time so far, and at most so much more
    std::vector<host::OwnedFd> mapped_fds;  // whose numbers stay taken until the thread's next approval
  };
  bool has_room_to_park();
  void park(ParkedThread parked);
  std::optional<ParkedThread> unpark();

  std::atomic<bool> discarding_is_restricted{false};
  CodeMap code;
  // Lives as long as the process once it is there; null before the first descriptor is served.
  StubServices* services() const { return services_.load(std::memory_order_acquire); }
  Ref<StubServices> make_services();  // null where the table cannot be had

 private:
  std::shared_ptr<Shared> shared_;
  uint32_t const window_;
  std::atomic<pid_t> pid_{0};
  std::atomic<bool> dead_{false};
  std::atomic<int> death_signal_{0};
  SharedMutex life_;
  Mutex mutex_;
  struct Slot {
    Area area;
    bool in_use = false;
  };
  std::vector<std::unique_ptr<Slot>> slots_ GUARDED_BY(mutex_);
  std::vector<ParkedThread> parked_ GUARDED_BY(mutex_);
  Mutex contexts_mutex_;
  std::vector<TrapContext*> contexts_ GUARDED_BY(contexts_mutex_);
  std::atomic<uint32_t> held_{0};
  rusage final_usage_ GUARDED_BY(mutex_){};
  std::atomic<StubServices*> services_{nullptr};  // a reference of ours
};

class TrapAddressSpace final : public AddressSpace {
 public:
  explicit TrapAddressSpace(std::shared_ptr<StubProcess> process) : process_(std::move(process)) {}
  ~TrapAddressSpace() override { process_->kill(); }

  StubProcess& process() { return *process_; }
  std::shared_ptr<StubProcess> const& process_ptr() { return process_; }

  Result<size_t> read(uint64_t address, std::span<std::byte> to) override;
  Result<size_t> write(uint64_t address, std::span<std::byte const> from, bool force) override;
  void kill() override { process_->kill(); }
  uint64_t resident_bytes() override;
  void restrict_discarding() override { process_->discarding_is_restricted.store(true, std::memory_order_relaxed); }
  Result<void> mincore(uint64_t address, uint64_t length, std::span<unsigned char> pages) override;
  Usage usage() override;
  Ref<DescriptorServices> descriptor_services() override { return Ref<DescriptorServices>(process_->services()); }
  uint32_t thread_count() const override { return process_->live_contexts.load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<StubProcess> process_;
};

// True if [address, address+length) lies in the memory that a guest can have.
inline bool is_guest_range(uint64_t address, uint64_t length) {
  return address < stub::user_limit && length <= stub::user_limit - address;
}

// CPU time to the nanosecond of a process, or of one of its threads (thread != 0).
std::chrono::nanoseconds cpu_time(Shared& shared, pid_t pid, pid_t thread);
// From /proc/PID/stat and status, or /proc/PID/task/TID/….
AddressSpace::Usage read_usage(Shared& shared, pid_t pid, pid_t thread);
// Is the thread blocked on the host in the call whose instruction ends at `ip`?
bool blocked_at(Shared& shared, pid_t pid, pid_t thread, uint64_t ip);

// Waits for the deaths of stubs on a thread of its own.
class Reaper {
 public:
  Reaper(std::shared_ptr<Shared> shared, pid_t group);
  ~Reaper();  // after the zygote was killed

 private:
  void run();
  std::shared_ptr<Shared> shared_;
  pid_t group_;
  std::thread thread_;
};

}  // namespace cofferdam::platform::trap
