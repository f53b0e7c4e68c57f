// The terminal devices of major number 5: /dev/tty, /dev/console, /dev/ptmx (man 4 tty, console, pty).
#pragma once

namespace cofferdam::kernel {
class Kernel;
}

namespace cofferdam::dev {

void register_terminal_devices(kernel::Kernel&);

}  // namespace cofferdam::dev
