// Signals for what happens to files: O_ASYNC, leases, F_NOTIFY, with F_SETOWN and F_SETSIG of fcntl(2).
#pragma once

#include "kernel/vfs/file.h"

namespace cofferdam::kernel {

class Kernel;
class Task;

// The file's O_ASYNC flag was set or cleared through `fd`, which a real-time signal tells. Files that cannot be polled
// keep the flag and nothing more.
void set_async(Kernel&, File&, int fd, bool on);

// SIGURG to the owner of a socket, from now on or no longer (socket(7), "Signals").
void tell_of_urgent_data(Kernel&, File& socket, bool on);

// POLL_MSG to a file's owner: a lease is to be broken, something happened in a directory. Takes the process lock.
void signal_owner(Kernel&, File::Owner const&, int fd);
// The caller's process becomes the owner of a file that has none.
void set_default_owner(Task&, File&);

}  // namespace cofferdam::kernel
