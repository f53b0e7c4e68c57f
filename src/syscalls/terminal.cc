#include <linux/capability.h>

#include "kernel/terminal.h"
#include "syscalls/handlers_terminal.h"

namespace cofferdam::syscalls {

Result<void> sys_vhangup(Task& task) {
  if (!task.capable(CAP_SYS_TTY_CONFIG)) return fail(Errno::Perm);
  if (Ref<kernel::Terminal> terminal = kernel::controlling_terminal(task)) terminal->hang_up();
  return {};
}

}  // namespace cofferdam::syscalls
