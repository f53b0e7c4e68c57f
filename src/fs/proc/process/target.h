// Whom a file below /proc/PID speaks of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::fs::proc {

using kernel::Kernel;
using kernel::ProcessLocked;
using kernel::Task;
using kernel::ThreadGroup;

// By number and time of birth: an open file never comes to speak of another that was given the same number, and keeps
// nothing alive that has ended.
struct Target {
  kernel::PidNamespace* pids = nullptr;  // whose numbers they are; the file system holds it
  int32_t tid = 0;
  bool as_thread = false;  // below task/TID: a thread for itself, else the process
  kernel::Nanoseconds born_ns = 0;

  // The process of a thread's number too: Linux lets /proc/TID be named though it does not list it. ESRCH → ENOENT is
  // the caller's to say.
  static Result<Target> of_process(kernel::PidNamespace&, int32_t tid);
  static Result<Target> of_thread(Target const& process, int32_t tid);
  Result<Ref<Task>> find() const;  // ESRCH
  bool alive() const { return find().has_value(); }
};

// The process's leader; while only other threads of it live, one of them.
Ref<Task> representative(ThreadGroup const&, ProcessLocked const&);

// "42"; no sign, no leading zero.
std::optional<int32_t> parse_id(std::string_view);

// May the reader look into the target (ptrace(2), "access mode checking", PTRACE_MODE_READ_FSCREDS)? EACCES.
Result<void> check_may_inspect(Task& reader, Task& target);

// Who owns the target's files: its effective ids, root when it is not dumpable.
void owner_of(Task& target, uid_t&, gid_t&);

}  // namespace cofferdam::fs::proc
