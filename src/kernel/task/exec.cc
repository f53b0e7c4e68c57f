// execve(2): the point of no return and what survives it.
#include <sys/personality.h>

#include "base/log.h"
#include "kernel/cred/exec_credentials.h"
#include "kernel/kernel.h"
#include "kernel/mm/program_loader.h"
#include "kernel/signal/delivery.h"
#include "kernel/task/clone.h"
#include "kernel/task/descriptor_service.h"
#include "kernel/task/exit.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_access.h"
#include "kernel/task/task_internal.h"
#include "kernel/time/group_timers.h"
#include "kernel/vfs/close.h"
#include "kernel/vfs/mount.h"

namespace cofferdam::kernel {
namespace {

// Ends all other threads of the group, and takes over the leader's number if the caller is not the leader.
Result<void> become_only_thread(Task& task) {
  auto& group = task.thread_group();
  auto& g = group.implementation();
  {
    ProcessLocked lock(task.kernel());
    if (g.group_exiting || g.exec_task || (task.pending_work() & work::kill)) return fail(Errno::RestartNoIntr);
    if (g.tasks.size() == 1 && g.leader.get() == &task) return {};
    g.exec_task = Ref<Task>(&task);
    for (auto const& other : g.tasks)
      if (other.get() != &task) {
        other->implementation().told_to_exit = true;
        other->notify_work(work::kill);
      }
  }
  Result<void> waited;
  for (;;) {
    task.prepare_to_wait();
    {
      ProcessLocked lock(task.kernel());
      if (g.tasks.size() == 1) break;
    }
    waited = task.wait_killable(Deadline::never());
    if (!waited) break;
  }
  ProcessLocked lock(task.kernel());
  g.exec_task = nullptr;
  if (!waited) return waited;
  if (g.leader.get() != &task) {
    Ref<Task> old_leader = g.leader;
    old_leader->implementation().state.store(TaskState::Dead);
    Ref<Task> self(&task);
    task.pids().remove(*task.pid(), lock);
    TaskAccess::set_pid(task, Ref<Pid>(&group.pid()));
    task.pids().add(group.pid(), self, lock);
    g.leader = self;
  }
  return {};
}

// Before any descriptor closes: that is how a parent may learn of the exec, and then setpgid(2) refuses it.
void note_exec(Task& task) {
  ProcessLocked lock(task.kernel());
  task.thread_group().implementation().has_execed = true;
}

void close_on_exec_files(Task& task) {
  task.unshare_files();
  auto files = task.files();
  task.implementation().io.add(served_counts(task));
  files->stop_serving();
  task.implementation().is_served = false;
  for (auto& file : files->take_close_on_exec()) (void)close_descriptor(task, *files, *file);
}

void reset_process(Task& task) {
  auto& own = task.implementation();
  ProcessLocked lock(task.kernel());
  auto& g = task.thread_group().implementation();
  reset_signals_for_exec(task, lock);
  delete_timers_for_exec(task.thread_group(), lock);
  g.dumpable = true;
  if (g.exit_signal != 0) g.exit_signal = SIGCHLD;
  own.robust_list_head = 0;
  own.rseq_address = 0;
}

}  // namespace

Result<void> execute(Task& task, Ref<File> const& executable, std::string path, std::vector<std::string> arguments,
                     std::vector<std::string> environment) {
  auto attributes = TRY(executable->attributes());
  bool nosuid = executable->path().mount && executable->path().mount->nosuid();
  bool secure = false;
  auto capabilities = executable->inode() ? file_capabilities(*executable->inode()) : std::nullopt;
  auto credentials = TRY(credentials_after_exec(task, attributes, capabilities, nosuid, secure));
  auto& limits = task.thread_group().limits;
  auto loaded = TRY(load_program(task.kernel(), task,
                                 {.executable = executable,
                                  .path = std::move(path),
                                  .arguments = std::move(arguments),
                                  .environment = std::move(environment),
                                  .credentials = credentials,
                                  .secure = secure,
                                  .stack_limit = limits.current(RLIMIT_STACK),
                                  .address_space_limit = limits.current(RLIMIT_AS),
                                  .randomize = !(task.implementation().personality & ADDR_NO_RANDOMIZE)}));
  TRY(become_only_thread(task));

  release_mm_of_task(task);
  note_exec(task);
  close_on_exec_files(task);
  reset_process(task);
  auto& own = task.implementation();
  Ref<MemoryManager> old_mm = std::move(loaded.mm);
  {
    MutexLock lock(own.shared_mutex);
    std::swap(own.mm, old_mm);
  }
  task.set_credentials(credentials);
  task.set_name(loaded.name);
  auto old_context = TaskAccess::exchange_context(task, std::move(loaded.context));
  if (old_mm && old_mm->ref_count() == 1) {
    ProcessLocked lock(task.kernel());
    task.thread_group().implementation().left_spaces.push_back(old_mm->address_space_ref());
  }
  old_context.reset();
  own.registers_replaced = true;
  return {};
}

}  // namespace cofferdam::kernel
