#include "kernel/task/process_lock.h"

#include "kernel/kernel.h"

namespace cofferdam::kernel {

ProcessLocked::ProcessLocked(Kernel& kernel) NO_THREAD_SAFETY_ANALYSIS : mutex_(kernel.process_mutex_) {
  mutex_.lock();
}

ProcessLocked::~ProcessLocked() NO_THREAD_SAFETY_ANALYSIS { mutex_.unlock(); }

}  // namespace cofferdam::kernel
