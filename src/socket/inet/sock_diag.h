// sock_diag(7) for AF_INET and AF_INET6 (struct inet_diag_req_v2): what `ss -tu` asks.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "kernel/ipc/netlink_body.h"
#include "netstack/stack.h"

namespace cofferdam::inet {

// The answers' bodies. EINVAL, ENOENT.
Result<std::vector<kernel::NetlinkBody>> diagnose(netstack::Stack&, std::span<std::byte const> request, bool dump);

}  // namespace cofferdam::inet
