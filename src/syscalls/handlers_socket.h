// Handlers of this family; each is documented by its man page.
#pragma once

#include <sys/socket.h>
#include <time.h>

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

// struct msghdr and struct mmsghdr in the guest's layout.
struct MessageHeader {
  uint64_t name;
  uint32_t name_length;
  uint32_t padding1;
  uint64_t vectors, vector_count;
  uint64_t control, control_length;
  uint32_t flags;
  uint32_t padding2;
};
static_assert(sizeof(MessageHeader) == 56);
struct MultiMessageHeader {
  MessageHeader header;
  uint32_t length;
  uint32_t padding;
};

Result<int> sys_socket(Task&, int32_t domain, int32_t type, int32_t protocol);
struct SocketPair {
  int32_t first, second;
};
Result<void> sys_socketpair(Task&, int32_t domain, int32_t type, int32_t protocol, UserPtr<SocketPair>);
Result<void> sys_bind(Task&, Fd, UserAddr address, int32_t length);
Result<void> sys_listen(Task&, Fd, int32_t backlog);
Result<int> sys_accept(Task&, Fd, UserAddr address, UserPtr<int32_t> length);
Result<int> sys_accept4(Task&, Fd, UserAddr address, UserPtr<int32_t> length,
                        Flags<struct AcceptFlags, SOCK_CLOEXEC | SOCK_NONBLOCK>);
Result<void> sys_connect(Task&, Fd, UserAddr address, int32_t length);
Result<void> sys_getsockname(Task&, Fd, UserAddr address, UserPtr<int32_t> length);
Result<void> sys_getpeername(Task&, Fd, UserAddr address, UserPtr<int32_t> length);
Result<void> sys_shutdown(Task&, Fd, int32_t how);
Result<void> sys_getsockopt(Task&, Fd, int32_t level, int32_t name, UserAddr value, UserPtr<int32_t> length);
Result<void> sys_setsockopt(Task&, Fd, int32_t level, int32_t name, UserAddr value, int32_t length);
Result<int64_t> sys_sendto(Task&, Fd, UserAddr buffer, uint64_t length, int32_t flags, UserAddr address,
                           int32_t address_length);
Result<int64_t> sys_recvfrom(Task&, Fd, UserAddr buffer, uint64_t length, int32_t flags, UserAddr address,
                             UserPtr<int32_t> address_length);
Result<int64_t> sys_sendmsg(Task&, Fd, UserPtr<MessageHeader>, int32_t flags);
Result<int64_t> sys_recvmsg(Task&, Fd, UserPtr<MessageHeader>, int32_t flags);
Result<int64_t> sys_sendmmsg(Task&, Fd, UserPtr<MultiMessageHeader>, uint32_t count, int32_t flags);
Result<int64_t> sys_recvmmsg(Task&, Fd, UserPtr<MultiMessageHeader>, uint32_t count, int32_t flags,
                             UserPtr<timespec> timeout);

}  // namespace cofferdam::syscalls
