#include "dev/terminal_devices.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/terminal.h"

namespace cofferdam::dev {
namespace {

using namespace kernel;

Result<Ref<File>> open_tty(Task& task, Path const& path, int flags) {
  Ref<Terminal> terminal = controlling_terminal(task);
  if (!terminal) return fail(Errno::NxIo);
  return terminal->open(task, path, flags);
}

// The master of the devpts mounted beside the node, on "pts" (devpts_mntget of Linux).
Result<Ref<File>> open_ptmx(Task& task, Path const& path, int flags) {
  Path const root = task.fs()->root();
  std::string place = task.kernel().vfs().path_text(path, root);
  place.resize(place.rfind('/') + 1);
  return task.kernel().vfs().open(task, root, place + "pts/ptmx", flags, 0);
}

// A container has no console but the terminal that the assembly puts over this node.
Result<Ref<File>> open_console(Task&, Path const&, int) { return fail(Errno::NoDev); }

}  // namespace

void register_terminal_devices(Kernel& kernel) {
  kernel.register_device(S_IFCHR, makedev(5, 0), &open_tty);
  kernel.register_device(S_IFCHR, makedev(5, 1), &open_console);
  kernel.register_device(S_IFCHR, makedev(5, 2), &open_ptmx);
}

}  // namespace cofferdam::dev
