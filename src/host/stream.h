// Inherited host descriptors: the container's standard streams.
#pragma once

#include <sys/ioctl.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::host {

struct StreamKind {
  mode_t mode = 0;  // type and permission bits
  uint64_t special_device = 0;
  uint64_t size = 0;
  bool terminal = false;
  bool nonblocking = false;  // O_NONBLOCK is set on its description
  int access = 0;            // O_RDONLY, O_WRONLY, O_RDWR
};
Result<StreamKind> stream_kind(int fd);

// A description of our own of the same pipe or terminal, not blocking: O_NONBLOCK on the inherited one would reach
// whoever else holds it. Only while /proc is there; fails for sockets.
Result<OwnedFd> reopen_nonblocking(int fd);

Result<uint64_t> seek_stream(int fd, int64_t offset, int whence);

// The terminal calls that a guest may make on an inherited terminal, and no others.
enum class TerminalGet : uint32_t { Attributes = TCGETS, WindowSize = TIOCGWINSZ, InputQueue = FIONREAD };
enum class TerminalSet : uint32_t { Attributes = TCSETS, AttributesWait = TCSETSW, AttributesFlush = TCSETSF };
enum class TerminalAct : uint32_t { Flush = TCFLSH };
inline constexpr size_t terminal_argument_max = 36;
// How many bytes the call passes.
size_t terminal_argument_size(TerminalGet);
size_t terminal_argument_size(TerminalSet);
Result<void> terminal_get(int fd, TerminalGet, std::array<std::byte, terminal_argument_max>&);
Result<void> terminal_set(int fd, TerminalSet, std::array<std::byte, terminal_argument_max> const&);
Result<void> terminal_act(int fd, TerminalAct, int argument);

}  // namespace cofferdam::host
