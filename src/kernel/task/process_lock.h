// The process lock: one mutex per Kernel over the process tree, thread groups, sessions, signal state and wait state.
//
// Methods that need it take a `ProcessLocked const&`, which only holding the lock can give: a forgotten lock does not
// compile.
#pragma once

#include "base/mutex.h"

namespace cofferdam::kernel {

class Kernel;

class ProcessLocked {
 public:
  explicit ProcessLocked(Kernel&);
  ~ProcessLocked();
  ProcessLocked(ProcessLocked const&) = delete;
  ProcessLocked& operator=(ProcessLocked const&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace cofferdam::kernel
