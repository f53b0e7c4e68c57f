#include "socket/inet/error_queue.h"

#include <linux/errqueue.h>
#include <netinet/in.h>

#include <algorithm>

#include "socket/inet/inet_socket.h"

namespace cofferdam::inet {

using kernel::ReceiveResult;
using kernel::SocketAddress;
using netstack::ErrorOrigin;
using netstack::ErrorRecord;

Result<ReceiveResult> tell_error(ErrorRecord const& r, kernel::IoSink& to, int domain) {
  ReceiveResult result;
  size_t const n = std::min(r.payload.size(), to.remaining());
  if (n != 0 && TRY(to.put(std::span(r.payload).first(n))) < n) return fail(Errno::Fault);
  result.bytes = n;
  result.flags = MSG_ERRQUEUE | (n < r.payload.size() ? MSG_TRUNC : 0);
  bool const own = r.origin == ErrorOrigin::ZeroCopy;  // about no packet
  if (!own) result.address = to_sockaddr(r.destination, domain);
  sock_extended_err e{};
  e.ee_errno = static_cast<uint32_t>(r.error);
  e.ee_origin = static_cast<uint8_t>(r.origin);
  e.ee_type = r.type;
  e.ee_code = r.code;
  e.ee_info = r.info;
  e.ee_data = r.data;
  bool const v4 = own ? domain == AF_INET : r.destination.address.is_v4();
  std::vector<std::byte> bytes(sizeof e);
  std::memcpy(bytes.data(), &e, sizeof e);
  SocketAddress offender;
  offender.length = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  bool const known = r.origin == ErrorOrigin::Icmp || r.origin == ErrorOrigin::IcmpV6;
  if (known) offender = to_sockaddr({r.offender, 0, 0}, v4 ? AF_INET : AF_INET6);
  auto const address = std::as_bytes(std::span(&offender.storage, 1)).first(offender.length);
  bytes.insert(bytes.end(), address.begin(), address.end());
  result.control.others.push_back({v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, std::move(bytes)});
  return result;
}

void ZeroCopySends::note() {
  next_.with([&](uint32_t& next) {
    ++next;
    waiting_.fetch_add(1, std::memory_order_relaxed);
  });
}

std::optional<ErrorRecord> ZeroCopySends::take() {
  return next_.with([&](uint32_t const& next) -> std::optional<ErrorRecord> {
    uint32_t const count = waiting_.exchange(0, std::memory_order_relaxed);
    if (count == 0) return std::nullopt;
    ErrorRecord r;
    r.origin = ErrorOrigin::ZeroCopy;
    r.code = SO_EE_CODE_ZEROCOPY_COPIED;
    r.info = next - count;  // the first
    r.data = next - 1;      // and the last
    return r;
  });
}

}  // namespace cofferdam::inet
