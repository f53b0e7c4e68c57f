// Host calls for the terminal of whoever started the sandbox, and the wake-up of the thread that copies to and from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "abi/terminal.h"
#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::host {

// ENOTTY when it is none.
Result<abi::WindowSize> terminal_window_size(int fd);

Result<OwnedFd> make_wakeup();  // an eventfd that does not block
void ring_wakeup(int fd);
void clear_wakeup(int fd);

struct Readiness {
  bool first_readable = false, first_writable = false, first_gone = false, second_readable = false;
};
// poll(2) on two descriptors; all false after the time-out.
Readiness wait_for_two(int first, bool want_read, bool want_write, int second, int timeout_ms);

// One read or write of what is there. 0 from read: end of file.
Result<size_t> read_stream(int fd, std::span<std::byte>);
Result<size_t> write_stream(int fd, std::span<std::byte const>);

}  // namespace cofferdam::host
