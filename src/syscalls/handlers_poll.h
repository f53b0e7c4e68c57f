// Handlers of this family; each is documented by its man page.
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/time.h>

#include "kernel/ipc/epoll.h"
#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

static_assert(sizeof(pollfd) == 8);

Result<int64_t> sys_poll(Task&, UserPtr<pollfd> fds, uint32_t count, int32_t timeout_ms);
Result<int64_t> sys_ppoll(Task&, UserPtr<pollfd> fds, uint32_t count, UserPtr<timespec> timeout, UserPtr<uint64_t> mask,
                          uint64_t mask_size);
Result<int64_t> sys_select(Task&, int32_t count, UserPtr<uint64_t> in, UserPtr<uint64_t> out, UserPtr<uint64_t> except,
                           UserPtr<timeval> timeout);
struct MaskArgument {  // what the last argument of pselect6 points at
  uint64_t mask, size;
};
Result<int64_t> sys_pselect6(Task&, int32_t count, UserPtr<uint64_t> in, UserPtr<uint64_t> out,
                             UserPtr<uint64_t> except, UserPtr<timespec> timeout, UserPtr<MaskArgument> mask);

Result<int> sys_epoll_create(Task&, int32_t size);
Result<int> sys_epoll_create1(Task&, Flags<struct EpollCreateFlags, EPOLL_CLOEXEC>);
Result<void> sys_epoll_ctl(Task&, Fd epoll, int32_t operation, Fd target, UserPtr<kernel::EpollEvent> event);
Result<int64_t> sys_epoll_wait(Task&, Fd epoll, UserPtr<kernel::EpollEvent> events, int32_t max, int32_t timeout_ms);
Result<int64_t> sys_epoll_pwait(Task&, Fd epoll, UserPtr<kernel::EpollEvent> events, int32_t max, int32_t timeout_ms,
                                UserPtr<uint64_t> mask, uint64_t mask_size);
Result<int64_t> sys_epoll_pwait2(Task&, Fd epoll, UserPtr<kernel::EpollEvent> events, int32_t max,
                                 UserPtr<timespec> timeout, UserPtr<uint64_t> mask, uint64_t mask_size);

}  // namespace cofferdam::syscalls
