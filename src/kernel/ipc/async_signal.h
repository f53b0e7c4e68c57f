// Signals for what happens to files: O_ASYNC, with F_SETOWN and F_SETSIG of fcntl(2).
#pragma once

namespace cofferdam::kernel {

class File;
class Kernel;

// The file's O_ASYNC flag was set or cleared through `fd`, which a real-time signal tells. Files that cannot be polled
// keep the flag and nothing more.
void set_async(Kernel&, File&, int fd, bool on);

}  // namespace cofferdam::kernel
