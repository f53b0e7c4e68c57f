// The loop that a task's host thread runs: run guest → handle event → deliver signals → stop or exit.
#pragma once

#include "kernel/task/task.h"

namespace cofferdam::kernel::run_loop {

// Runs the task until it has exited, the exit included.
void run(Task&);

}  // namespace cofferdam::kernel::run_loop
