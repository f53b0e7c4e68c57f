// Messages between a guest's memory and a socket: addresses, buffers and ancillary data (sendmsg(2), cmsg(3)).
#pragma once

#include <cstdint>
#include <vector>

#include "kernel/ipc/socket.h"
#include "kernel/task/task.h"
#include "syscalls/handlers_socket.h"

namespace cofferdam::syscalls {

struct OpenSocket {
  Ref<kernel::File> file;
  kernel::Socket* socket;
};
Result<OpenSocket> socket_at(Task&, Fd);  // EBADF, ENOTSOCK

// EINVAL for a length that no address has.
Result<kernel::SocketAddress> read_address(Task&, UserAddr, int32_t length);
// As much as fits; *length becomes the whole length. EINVAL for a negative one.
Result<void> write_address(Task&, kernel::SocketAddress const&, UserAddr, UserPtr<int32_t> length);

// Ancillary data given to sendmsg: EINVAL, EBADF, ENOBUFS.
Result<kernel::ControlData> read_control(Task&, uint64_t address, uint64_t length);
// What recvmsg gives: installs passed descriptors. Changes header.control_length and flags (MSG_CTRUNC).
Result<void> write_control(Task&, kernel::ControlData&, MessageHeader&, bool close_on_exec);

}  // namespace cofferdam::syscalls
