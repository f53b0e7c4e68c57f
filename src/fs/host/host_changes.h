// What processes of the host do in directories shared with them, for those who watch in here (inotify(7)).
#pragma once

#include <memory>

#include "kernel/vfs/notify.h"

namespace cofferdam::kernel {
class Kernel;
}

namespace cofferdam::fs::host {

std::unique_ptr<kernel::OutsideChanges> watch_outside_changes(kernel::Kernel&);

}  // namespace cofferdam::fs::host
