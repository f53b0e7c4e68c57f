// The trap platform: guest threads are host threads of stub processes, under one seccomp filter (architecture, section
// 4).
#pragma once

#include <memory>

#include "base/result.h"
#include "platform/platform.h"

namespace cofferdam::platform::trap {

struct Options {
  // A directory descriptor of a procfs that shows this process's pid namespace, kept by the caller; -1: /proc is
  // opened. Used for /proc/PID/{mem,stat,status,statm,pagemap} of stubs, and at start for /proc/self/maps.
  int proc_fd = -1;
  // Every change of an address space is approved by the sentry, also those that the filter's argument rules could let
  // pass.
  bool approve_all_memory_calls = false;
  // Rewrite call sites of guest code so that calls arrive without a signal.
  bool patch_call_sites = true;
  // By how much the oom_score_adj of stubs is above that of the caller: when memory runs out the host's kernel is to
  // end guests, not their kernel.
  int oom_score_raise = 300;
  // How often a waiting side looks before it sleeps; 0: never spin.
  uint32_t spin = 2000;
};

// Starts the platform: forks the zygote, so it is called before the caller's own seccomp filter is installed, from a
// thread that lives as long as the platform (the stubs die with it). ENOSYS when CPU or kernel lack what is needed.
Result<std::unique_ptr<Platform>> create(Options const& options = {});

}  // namespace cofferdam::platform::trap
