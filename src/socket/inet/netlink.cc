#include "socket/inet/netlink.h"

#include <linux/sock_diag.h>

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "socket/inet/netlink_answer.h"
#include "socket/inet/route_netlink.h"

namespace cofferdam::inet {

using kernel::IoSink;
using kernel::IoSource;
using kernel::NetlinkBody;
using kernel::ReceiveResult;
using kernel::SendRequest;
using kernel::SocketAddress;
using kernel::Task;

namespace {

constexpr size_t max_request = 65536, packed = 16384;  // bytes of a dump in one datagram
constexpr size_t max_queued = 4 << 20;
constexpr uint32_t max_group = 64;

SocketAddress address_with(uint32_t port, uint32_t groups) {
  sockaddr_nl n{};
  n.nl_family = AF_NETLINK;
  n.nl_pid = port;
  n.nl_groups = groups;
  SocketAddress a;
  std::memcpy(&a.storage, &n, sizeof n);
  a.length = sizeof n;
  return a;
}

Result<sockaddr_nl> parse(SocketAddress const& a) {
  if (a.length < sizeof(sockaddr_nl) || a.family() != AF_NETLINK) return fail(Errno::Inval);
  sockaddr_nl n;
  std::memcpy(&n, &a.storage, sizeof n);
  return n;
}

// sock_diag(7): the family that is asked about answers.
int answer_sock_diag(Task& task, std::span<std::byte const> body, NetlinkAnswer& answer) {
  if (answer.request().nlmsg_type == SOCK_DESTROY) return EOPNOTSUPP;
  if (answer.request().nlmsg_type != SOCK_DIAG_BY_FAMILY || body.size() < sizeof(sock_diag_req)) return EINVAL;
  auto* family = task.kernel().ipc().sockets.find(static_cast<uint8_t>(body[0]));
  if (!family) return ENOENT;
  bool const dump = answer.asks_for_dump();
  auto told = family->diagnose(body, dump);
  if (!told) return static_cast<int>(told.error().code);
  for (auto const& b : *told) answer.add(SOCK_DIAG_BY_FAMILY, dump ? NLM_F_MULTI : 0, b);
  if (dump) answer.end_dump();
  return 0;
}

}  // namespace

std::vector<std::byte> netlink_message(uint32_t port, uint32_t sequence, uint16_t type, uint16_t flags,
                                       NetlinkBody const& body) {
  std::vector<std::byte> message(sizeof(nlmsghdr) + body.bytes().size());
  nlmsghdr const h{static_cast<uint32_t>(message.size()), type, flags, sequence, port};
  std::memcpy(message.data(), &h, sizeof h);
  std::ranges::copy(body.bytes(), message.begin() + sizeof h);
  return message;
}

void NetlinkAnswer::add(uint16_t type, uint16_t flags, NetlinkBody const& body) {
  auto const message = netlink_message(port_, request_.nlmsg_seq, type, flags, body);
  if (!bytes_.empty() && bytes_.size() + message.size() > packed) done_.push_back(std::exchange(bytes_, {}));
  bytes_.insert(bytes_.end(), message.begin(), message.end());
}

void NetlinkAnswer::end_dump() {
  dumped_ = true;
  add(NLMSG_DONE, NLM_F_MULTI, NetlinkBody(int32_t{0}));
}

void NetlinkAnswer::acknowledge(int error, std::span<std::byte const> request_body) {
  if (error == 0 && (dumped_ || !(request_.nlmsg_flags & NLM_F_ACK))) return;
  NetlinkBody body(nlmsgerr{-error, request_});
  if (error != 0) body.append(request_body);  // the whole request comes back
  add(NLMSG_ERROR, error == 0 ? NLM_F_CAPPED : 0, body);
}

std::vector<std::vector<std::byte>> NetlinkAnswer::take() {
  if (!bytes_.empty()) done_.push_back(std::exchange(bytes_, {}));
  return std::move(done_);
}

void NetlinkSockets::add(NetlinkSocket& s) {
  MutexLock lock(mutex_);
  sockets_.insert(&s);
}

void NetlinkSockets::remove(NetlinkSocket& s) {
  MutexLock lock(mutex_);
  sockets_.erase(&s);
}

void NetlinkSockets::tell(int protocol, uint32_t group, std::vector<std::byte> const& message) {
  MutexLock lock(mutex_);
  for (NetlinkSocket* s : sockets_)
    if (s->protocol() == protocol) s->notify(group, message);
}

std::string NetlinkSockets::table() {
  std::string text =
      "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode            \n";
  MutexLock lock(mutex_);
  for (NetlinkSocket* s : sockets_) text += s->row();
  return text;
}

Result<Ref<kernel::Socket>> NetlinkFamily::create(Task& task, int type, int protocol, int flags) {
  if (type != SOCK_RAW && type != SOCK_DGRAM) return fail(Errno::SockTNoSupport);
  if (protocol != NETLINK_ROUTE && protocol != NETLINK_SOCK_DIAG && protocol != NETLINK_KOBJECT_UEVENT)
    return fail(Errno::ProtoNoSupport);
  return make_ref<NetlinkSocket>(task, network_, sockets_, type, protocol, flags, next_port_.fetch_sub(1));
}

std::optional<std::string> NetlinkFamily::proc_net(std::string_view file) {
  if (file != "netlink") return std::nullopt;
  return sockets_->table();
}

NetlinkSocket::NetlinkSocket(Task& creator, std::shared_ptr<Network> network, std::shared_ptr<NetlinkSockets> sockets,
                             int type, int protocol, int flags, uint32_t port)
    : Socket(creator.kernel().ipc().allocate_inode(), AF_NETLINK, type, protocol, flags, *creator.credentials()),
      network_(std::move(network)),
      sockets_(std::move(sockets)),
      port_(port) {
  sockets_->add(*this);
}

NetlinkSocket::~NetlinkSocket() { sockets_->remove(*this); }

std::string NetlinkSocket::row() {
  MutexLock lock(mutex_);
  return fmt::format("{:016x} {:<3} {:<10} {:08x} {:<8} {:<8} {:<5} {:<8} {:<8} {:<8}\n", 0, protocol(), port_,
                     static_cast<uint32_t>(groups_), queued_, 0, 0, 2, drops_, inode_number());
}

Result<void> NetlinkSocket::bind(Task&, SocketAddress const& address) {
  auto n = TRY(parse(address));
  MutexLock lock(mutex_);
  if (bound_ && n.nl_pid != port_) return fail(Errno::Inval);
  if (n.nl_pid != 0) port_ = n.nl_pid;
  bound_ = true;
  groups_ = (groups_ & ~uint64_t{0xffffffff}) | n.nl_groups;
  return {};
}

Result<void> NetlinkSocket::connect(Task&, SocketAddress const& address) {
  if (address.length >= sizeof(sa_family_t) && address.family() == AF_UNSPEC) return {};
  auto n = TRY(parse(address));
  if (n.nl_pid != 0) return fail(Errno::ConnRefused);  // nobody but the kernel is there
  return {};
}

Result<SocketAddress> NetlinkSocket::local_address() {
  MutexLock lock(mutex_);
  return address_with(port_, static_cast<uint32_t>(groups_));
}
Result<SocketAddress> NetlinkSocket::peer_address() { return address_with(0, 0); }

void NetlinkSocket::enqueue(Message m) {
  if (queued_ + m.bytes.size() > max_queued) {
    overrun_ = true;
    ++drops_;
    return;
  }
  queued_ += m.bytes.size();
  messages_.push_back(std::move(m));
}

void NetlinkSocket::notify(uint32_t group, std::vector<std::byte> const& message) {
  {
    MutexLock lock(mutex_);
    if (!(groups_ >> (group - 1) & 1)) return;
    enqueue({message, group});
  }
  queue_.wake(EPOLLIN | EPOLLRDNORM);
}

void NetlinkSocket::answer(Task& task, std::span<std::byte const> request) {
  uint32_t port;
  {
    MutexLock lock(mutex_);
    port = port_;
    bound_ = true;
  }
  while (request.size() >= sizeof(nlmsghdr)) {
    nlmsghdr h;
    std::memcpy(&h, request.data(), sizeof h);
    if (h.nlmsg_len < sizeof h || h.nlmsg_len > request.size()) return;
    auto body = request.subspan(sizeof h, h.nlmsg_len - sizeof h);
    request = request.subspan(std::min(kernel::netlink_align(h.nlmsg_len), request.size()));
    if (!(h.nlmsg_flags & NLM_F_REQUEST) || h.nlmsg_type < NLMSG_MIN_TYPE) continue;
    NetlinkAnswer answer(port, h);
    int const error = protocol() == NETLINK_ROUTE
                          ? answer_route(task.capable(CAP_NET_ADMIN), network_->stack(), body, answer)
                          : answer_sock_diag(task, body, answer);
    answer.acknowledge(error, body);
    for (auto const& n : answer.notices)
      sockets_->tell(protocol(), n.group, netlink_message(port, h.nlmsg_seq, n.type, 0, n.body));
    MutexLock lock(mutex_);
    for (auto& m : answer.take()) enqueue({std::move(m)});
  }
}

Result<size_t> NetlinkSocket::send(Task& task, IoSource& from, SendRequest& request) {
  if (request.flags & MSG_OOB) return fail(Errno::OpNotSupp);
  if (request.address.length != 0 && TRY(parse(request.address)).nl_pid != 0) return fail(Errno::ConnRefused);
  if (protocol() == NETLINK_KOBJECT_UEVENT) return fail(Errno::ConnRefused);  // nobody listens
  size_t size = from.remaining();
  if (size > max_request) return fail(Errno::MsgSize);
  std::vector<std::byte> bytes(size);
  if (size != 0 && TRY(from.get(bytes)) < size) return fail(Errno::Fault);
  answer(task, bytes);
  queue_.wake(EPOLLIN | EPOLLRDNORM);
  return size;
}

Result<ReceiveResult> NetlinkSocket::receive(Task& task, IoSink& to, int flags) {
  if (flags & MSG_OOB) return fail(Errno::OpNotSupp);
  bool nowait = (flags & MSG_DONTWAIT) || nonblocking();
  auto deadline = receive_deadline();
  for (;;) {
    Message message;
    {
      MutexLock lock(mutex_);
      if (std::exchange(overrun_, false)) return fail(Errno::NoBufs);
      if (!messages_.empty()) {
        if (flags & MSG_PEEK) {
          message = messages_.front();
        } else {
          message = std::move(messages_.front());
          messages_.pop_front();
          queued_ -= message.bytes.size();
        }
      }
    }
    if (auto const& bytes = message.bytes; !bytes.empty()) {
      ReceiveResult result;
      size_t n = std::min(bytes.size(), to.remaining());
      if (n != 0 && TRY(to.put(std::span(bytes).first(n))) < n) return fail(Errno::Fault);
      result.bytes = flags & MSG_TRUNC ? bytes.size() : n;
      if (n < bytes.size()) result.flags |= MSG_TRUNC;
      result.address = address_with(0, message.group == 0 || message.group > 32 ? 0 : 1u << (message.group - 1));
      return result;
    }
    if (nowait) return fail(Errno::Again);
    auto waited = task.wait_until(queue_, EPOLLIN, deadline, [&] {
      MutexLock lock(mutex_);
      return !messages_.empty() || overrun_;
    });
    if (!waited) return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
  }
}

Result<std::vector<std::byte>> NetlinkSocket::get_option(Task& task, int level, int name, size_t room) {
  if (level != SOL_NETLINK) return Socket::get_option(task, level, name, room);
  if (name != NETLINK_LIST_MEMBERSHIPS) return fail(Errno::NoProtoOpt);
  MutexLock lock(mutex_);
  auto const bytes = std::as_bytes(std::span(&groups_, 1)).first(std::min(room & ~size_t{3}, sizeof groups_));
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

Result<void> NetlinkSocket::set_option(Task& task, int level, int name, std::span<std::byte const> value) {
  if (level != SOL_NETLINK) return Socket::set_option(task, level, name, value);
  if (name != NETLINK_ADD_MEMBERSHIP && name != NETLINK_DROP_MEMBERSHIP) return fail(Errno::NoProtoOpt);
  auto const group = kernel::netlink_value<uint32_t>(value);
  if (!group || *group == 0 || *group > max_group) return fail(Errno::Inval);
  uint64_t const bit = uint64_t{1} << (*group - 1);
  MutexLock lock(mutex_);
  groups_ = name == NETLINK_ADD_MEMBERSHIP ? groups_ | bit : groups_ & ~bit;
  return {};
}

kernel::PollMask NetlinkSocket::poll() {
  MutexLock lock(mutex_);
  kernel::PollMask m = EPOLLOUT | EPOLLWRNORM;
  if (overrun_) m |= EPOLLERR;
  return messages_.empty() ? m : m | EPOLLIN | EPOLLRDNORM;
}

}  // namespace cofferdam::inet
