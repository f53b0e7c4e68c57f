#include "socket/host/register.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <netinet/in.h>

#include <algorithm>

#include "host/facts.h"
#include "host/files.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "socket/host/host_ioctl.h"
#include "socket/host/host_netlink.h"
#include "socket/host/host_socket.h"

namespace cofferdam::host_sockets {

using kernel::Task;

namespace {

struct Shared {
  host::OwnedFd proc_net;
  std::shared_ptr<Privileged> privileged;
};

class InternetFamily final : public kernel::SocketFamily {
 public:
  InternetFamily(std::shared_ptr<Shared> shared, int domain) : shared_(std::move(shared)), domain_(domain) {}

  Result<Ref<kernel::Socket>> create(Task& task, int type, int protocol, int flags) override {
    if (protocol < 0 || protocol >= IPPROTO_MAX) return fail(Errno::Inval);
    auto fd = TRY(open(task, type, protocol));
    auto socket = make_ref<HostSocket>(task, shared_->privileged, std::move(fd), domain_, type, protocol, flags);
    TRY(socket->start());
    return socket;
  }

  Result<uint64_t> interface_ioctl(Task& task, uint32_t request, uint64_t argument) override {
    auto const any = TRY(host::open_socket(domain_, SOCK_DGRAM, 0));
    return host_interface_ioctl(task, any.get(), request, argument);
  }

  std::optional<std::string> proc_net(std::string_view file) override {
    if (file == "unix" || file == "netlink" || file == "packet") return std::nullopt;  // the guest's own
    auto const fd = host::open_at(shared_->proc_net.get(), file, O_RDONLY);
    return fd ? std::optional(host::read_fact(fd->get())) : std::nullopt;
  }

 private:
  Result<host::OwnedFd> open(Task& task, int type, int protocol) {
    int const echo = domain_ == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
    switch (type) {
      case SOCK_STREAM:
        if (protocol != 0 && protocol != IPPROTO_TCP) return fail(Errno::ProtoNoSupport);
        return host::open_socket(domain_, type, protocol);
      case SOCK_DGRAM:
        if (protocol != 0 && protocol != IPPROTO_UDP && protocol != echo) return fail(Errno::ProtoNoSupport);
        return host::open_socket(domain_, type, protocol);
      case SOCK_RAW:
        if (protocol == 0) return fail(Errno::ProtoNoSupport);
        if (!task.capable(CAP_NET_RAW)) return fail(Errno::Perm);
        return shared_->privileged->open_raw(domain_, protocol);
      default:
        return fail(Errno::SockTNoSupport);
    }
  }

  std::shared_ptr<Shared> const shared_;
  int const domain_;
};

class NetlinkFamily final : public kernel::SocketFamily {
 public:
  explicit NetlinkFamily(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  Result<Ref<kernel::Socket>> create(Task& task, int type, int protocol, int flags) override {
    if (type != SOCK_RAW && type != SOCK_DGRAM) return fail(Errno::SockTNoSupport);
    if (protocol != NETLINK_ROUTE) return fail(Errno::ProtoNoSupport);
    auto fd = TRY(host::open_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    auto socket =
        make_ref<HostNetlinkSocket>(task, shared_->privileged, std::move(fd), AF_NETLINK, type, protocol, flags);
    TRY(socket->start());
    return socket;
  }

 private:
  std::shared_ptr<Shared> const shared_;
};

}  // namespace

void register_families(kernel::Kernel& kernel, host::OwnedFd proc_net, host::OwnedFd broker) {
  auto shared = std::make_shared<Shared>();
  shared->proc_net = std::move(proc_net);
  shared->privileged = std::make_shared<Privileged>(std::move(broker));
  auto& sockets = kernel.ipc().sockets;
  sockets.add(AF_INET, std::make_unique<InternetFamily>(shared, AF_INET));
  sockets.add(AF_INET6, std::make_unique<InternetFamily>(shared, AF_INET6));
  sockets.add(AF_NETLINK, std::make_unique<NetlinkFamily>(shared));
}

}  // namespace cofferdam::host_sockets
