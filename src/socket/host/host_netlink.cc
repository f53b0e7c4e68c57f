#include "socket/host/host_netlink.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "kernel/ipc/netlink_body.h"

namespace cofferdam::host_sockets {

Result<void> check_route_request(std::span<std::byte const> message) {
  constexpr unsigned kinds = 4, get = 2;  // RTM_NEW…, RTM_DEL…, RTM_GET…, RTM_SET…
  while (message.size() >= sizeof(nlmsghdr)) {
    nlmsghdr h;
    std::memcpy(&h, message.data(), sizeof h);
    if (h.nlmsg_len < sizeof h || h.nlmsg_len > message.size()) return {};  // the host stops here as well
    bool const control = h.nlmsg_type < NLMSG_MIN_TYPE;
    bool const reads = h.nlmsg_type >= RTM_BASE && h.nlmsg_type <= RTM_MAX && (h.nlmsg_type - RTM_BASE) % kinds == get;
    if (!control && !reads) return fail(Errno::Perm);
    message = message.subspan(std::min(kernel::netlink_align(h.nlmsg_len), message.size()));
  }
  return {};
}

}  // namespace cofferdam::host_sockets
