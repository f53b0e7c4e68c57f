// What the processes of one container have in common beside their namespaces, as a control group of Linux has it
// (cgroups(7)): whether they run, whether their calls are logged, which devices they may open, how much memory they
// see, and where their address spaces come from, which says to which control groups of the host these belong.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>

#include "base/ref.h"
#include "kernel/wait_queue.h"
#include "platform/platform.h"

namespace cofferdam::kernel {

class ControlGroup final : public RefCounted {
 public:
  // Whether a device may be opened with this access mode (O_RDONLY …).
  using DevicePolicy = std::function<bool(mode_t type, uint64_t device, int access_mode)>;
  struct Options {
    Ref<platform::ProcessSource> processes;  // null: the platform's first
    uint64_t memory_limit = 0;               // bytes that sysinfo and /proc/meminfo show; 0: the host's
    DevicePolicy device_policy;              // none: everything
    bool traced = false;                     // every call is logged
  };
  explicit ControlGroup(Options options) : options_(std::move(options)), traced_(options_.traced) {}

  platform::ProcessSource* processes() const { return options_.processes.get(); }
  uint64_t memory_limit() const { return options_.memory_limit; }
  bool allows_device(mode_t type, uint64_t device, int access_mode) const {
    return !options_.device_policy || options_.device_policy(type, device, access_mode);
  }

  // Changed by Kernel::set_traced and set_frozen alone.
  bool traced() const { return traced_.load(std::memory_order_relaxed); }
  bool frozen() const { return frozen_.load(std::memory_order_acquire); }
  WaitQueue& thaw_queue() { return thaw_queue_; }

 private:
  friend class Kernel;
  Options const options_;
  std::atomic<bool> traced_, frozen_{false};
  WaitQueue thaw_queue_;
};

}  // namespace cofferdam::kernel
