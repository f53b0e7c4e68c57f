// Robust futexes at exit (get_robust_list(2)).
#pragma once

namespace cofferdam::kernel {

class Task;

// Walks the task's robust list, bounded by ROBUST_LIST_LIMIT: marks each held futex FUTEX_OWNER_DIED and wakes a
// waiter. Called while the memory is still there, on the task's own thread.
void exit_robust_list(Task&);

}  // namespace cofferdam::kernel
