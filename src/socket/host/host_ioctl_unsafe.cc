// struct ifconf holds a pointer, which must be the sentry's own.
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <vector>

#include "host/internet_socket.h"
#include "kernel/task/task.h"
#include "socket/host/host_calls.h"
#include "socket/host/host_ioctl.h"

namespace cofferdam::host_sockets {

using kernel::Task;
using kernel::UserAddr;
using kernel::UserPtr;

namespace {

// struct ifconf and struct ifreq as the guest lays them out.
struct GuestList {
  int32_t length = 0, padding = 0;
  uint64_t buffer = 0;
};
using Request = std::array<std::byte, sizeof(ifreq)>;

constexpr size_t most_interfaces = 256;

Result<uint64_t> list_interfaces(Task& task, int socket, uint64_t argument) {
  auto list = TRY(task.read(UserPtr<GuestList>(argument)));
  if (list.length < 0) return fail(Errno::Inval);
  std::vector<std::byte> requests(most_interfaces * sizeof(ifreq));
  ifconf asked{};
  asked.ifc_len = static_cast<int>(requests.size());
  asked.ifc_buf = reinterpret_cast<char*>(requests.data());
  TRY(host::socket_ioctl(socket, SIOCGIFCONF, std::as_writable_bytes(std::span(&asked, 1))));
  auto size = std::min(static_cast<size_t>(std::max(asked.ifc_len, 0)), requests.size());
  if (list.buffer != 0) {
    size = std::min(size, static_cast<size_t>(list.length) / sizeof(ifreq) * sizeof(ifreq));
    TRY(task.copy_out(UserAddr{list.buffer}, std::span<std::byte const>(requests).first(size)));
  }
  list.length = static_cast<int32_t>(size);
  TRY(task.write(UserPtr<GuestList>(argument), list));
  return 0;
}

bool is_listed(uint32_t request) {
  return std::ranges::any_of(host_calls, [&](host::CallRule const& r) {
    return r.number == SYS_ioctl && r.check_count == 1 && r.checks[0].value == request;
  });
}

}  // namespace

Result<uint64_t> host_interface_ioctl(Task& task, int socket, uint32_t request, uint64_t argument) {
  constexpr uint32_t first = SIOCGIFNAME, last = SIOCGIFTXQLEN + 1;
  if (request < first || request > last) return fail(Errno::NoTty);
  if (request == SIOCGIFCONF) return list_interfaces(task, socket, argument);
  if (!is_listed(request)) return fail(request % 2 == 0 ? Errno::Perm : Errno::NoTty);  // setters have even numbers
  auto asked = TRY(task.read(UserPtr<Request>(argument)));
  TRY(host::socket_ioctl(socket, request, asked));
  TRY(task.write(UserPtr<Request>(argument), asked));
  return 0;
}

}  // namespace cofferdam::host_sockets
