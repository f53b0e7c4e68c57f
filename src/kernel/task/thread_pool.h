// Host threads that serve tasks. A thread whose task has exited waits for the next one: creating a host thread costs
// tens of microseconds, and shells fork thousands of times.
#pragma once

#include <memory>

#include "base/ref.h"
#include "base/result.h"

namespace cofferdam::kernel {

class Task;

class TaskThreadPool {
 public:
  TaskThreadPool();
  ~TaskThreadPool();  // no task may be running any more
  // Runs the task's loop to its end on a thread of the pool. EAGAIN when the host gives no thread.
  Result<void> run(Ref<Task>);

  struct State;

 private:
  std::shared_ptr<State> state_;  // outlives the pool for threads that are just going to sleep
};

}  // namespace cofferdam::kernel
