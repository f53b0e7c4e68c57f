#include "socket/host/host_socket.h"

#include <asm/sockios.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>

#include "host/files.h"
#include "host/readiness.h"
#include "host/unix_socket.h"
#include "kernel/host_notifier.h"
#include "kernel/ipc/anonymous_file.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "socket/host/control.h"

namespace cofferdam::host_sockets {

using host::SocketName;
using kernel::IoSink;
using kernel::IoSource;
using kernel::ReceiveResult;
using kernel::SendRequest;
using kernel::ShutdownHow;
using kernel::SocketAddress;
using kernel::Task;

namespace {

constexpr size_t stream_step = 256 << 10, largest_message = 1 << 20, control_room = 2048;
// What the guest may ask of one call. MSG_ZEROCOPY would pin the sentry's memory; without SO_ZEROCOPY it does nothing.
constexpr int send_flags =
    MSG_OOB | MSG_DONTROUTE | MSG_MORE | MSG_CONFIRM | MSG_EOR | MSG_FASTOPEN | MSG_DONTWAIT | MSG_NOSIGNAL;
constexpr int receive_flags = MSG_OOB | MSG_PEEK | MSG_TRUNC | MSG_ERRQUEUE;

// The host's number, by which its tables name the socket.
uint64_t inode_of(host::OwnedFd const& fd, kernel::Kernel& kernel) {
  auto const facts = host::stat_at(fd.get(), "");
  return facts ? facts->stx_ino : kernel.ipc().allocate_inode();
}

// Sleeps until something happens to the host's socket. What is ready and what a call would find are not the same there
// (a full error queue makes it readable for ever), so who was told EAGAIN after this was made waits for a change.
class Happening final : public kernel::Waiter {
 public:
  Happening(Task& task, kernel::WaitQueue& queue, kernel::PollMask interest) : task_(task), queue_(queue) {
    queue_.add(*this, interest);
  }
  ~Happening() { queue_.remove(*this); }
  void on_event(kernel::PollMask) override {
    happened_ = true;
    task_.wake();
  }
  Result<void> wait(kernel::Deadline deadline) {
    for (;;) {
      task_.prepare_to_wait();
      if (happened_.exchange(false)) return {};
      TRY(task_.wait(deadline));
    }
  }

 private:
  Task& task_;
  kernel::WaitQueue& queue_;
  std::atomic<bool> happened_{false};
};

}  // namespace

SocketName to_host(SocketAddress const& a) { return {a.storage, a.length}; }
SocketAddress from_host(SocketName const& n) { return {n.storage, std::min<uint32_t>(n.length, sizeof n.storage)}; }

HostSocket::HostSocket(Task& creator, std::shared_ptr<Privileged> privileged, host::OwnedFd fd, int domain, int type,
                       int protocol, int flags)
    : Socket(inode_of(fd, creator.kernel()), domain, type, protocol, flags, *creator.credentials()),
      kernel_(creator.kernel()),
      privileged_(std::move(privileged)),
      fd_(std::move(fd)) {}

HostSocket::~HostSocket() {
  if (started_) kernel_.host_notifier().remove(fd_.get());
}

Result<void> HostSocket::start() {
  TRY(kernel_.host_notifier().add(fd_.get(), queue_));
  started_ = true;
  return {};
}

Result<void> HostSocket::bind(Task& task, SocketAddress const& address) {
  SocketName const name = to_host(address);
  auto bound = host::bind_socket(fd_.get(), name);
  if (bound || bound.error() != Errno::Acces || !task.capable(CAP_NET_BIND_SERVICE)) return bound;
  return privileged_->bind(fd_.get(), name);
}

Result<void> HostSocket::listen(Task&, int backlog) { return host::listen_socket(fd_.get(), backlog); }

// As connect(2) goes on after a signal: who calls again waits for the same attempt. Asked again when it is over, the
// host tells the outcome, and the socket can be used for another attempt.
Result<void> HostSocket::wait_connected(Task& task, SocketName const& name) {
  auto const over = [&] { return host::ready_now(fd_.get(), POLLOUT) != 0; };
  auto waited = task.wait_until(queue_, EPOLLOUT, send_deadline(), over);
  if (!waited) {
    if (waited.error() == Errno::TimedOut) return fail(Errno::InProgress);
    return std::unexpected(interrupted(waited.error(), send_has_timeout()));
  }
  connecting_ = false;
  return host::connect_socket(fd_.get(), name);
}

Result<void> HostSocket::connect(Task& task, SocketAddress const& address) {
  SocketName const name = to_host(address);
  auto connected = host::connect_socket(fd_.get(), name);
  if (connected) {
    connecting_ = false;
    return connected;
  }
  auto const error = connected.error();
  bool const under_way = error == Errno::InProgress || (error == Errno::Already && connecting_);
  if (!under_way || nonblocking()) {
    if (error == Errno::InProgress) connecting_ = true;
    return connected;
  }
  connecting_ = true;
  return wait_connected(task, name);
}

Result<Ref<kernel::Socket>> HostSocket::accept(Task& task, int flags, SocketAddress& peer) {
  auto const deadline = receive_deadline();
  for (;;) {
    SocketName name;
    auto fd = host::accept_socket(fd_.get(), name);
    if (fd) {
      auto socket = make_ref<HostSocket>(task, privileged_, std::move(*fd), domain(), type(), protocol(), flags);
      TRY(socket->start());
      socket->linger_seconds_ = linger_seconds_.load();
      peer = from_host(name);
      return socket;
    }
    if (fd.error() != Errno::Again || nonblocking()) return std::unexpected(fd.error());
    auto const waiting = [&] { return host::ready_now(fd_.get(), POLLIN) != 0; };
    auto waited = task.wait_until(queue_, EPOLLIN, deadline, waiting, true);
    if (!waited) return std::unexpected(interrupted(waited.error(), receive_has_timeout()));
  }
}

Result<SocketAddress> HostSocket::local_address() { return from_host(TRY(host::socket_name(fd_.get()))); }
Result<SocketAddress> HostSocket::peer_address() { return from_host(TRY(host::peer_name(fd_.get()))); }
Result<void> HostSocket::shutdown(ShutdownHow how) { return host::shut_down(fd_.get(), static_cast<int>(how)); }

// --- sending ---

Result<size_t> HostSocket::send_some(IoSource& from, SocketName const& name, std::span<std::byte const> control,
                                     int flags) {
  size_t const size = from.remaining(), step = is_stream() ? stream_step : largest_message;
  if (!is_stream() && size > step) return fail(Errno::MsgSize);
  size_t const room = std::min(size, step);
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(std::max<size_t>(room, 1));
  auto const bytes = std::span(buffer.get(), room);
  size_t const got = room == 0 ? 0 : TRY(from.get(bytes));
  if (got != room) return fail(Errno::Fault);
  auto const taken = bytes.first(got);
  TRY(check_message(taken));
  if (size > room) flags |= MSG_MORE;
  auto sent = host::send_message(fd_.get(), taken, name, control, flags);
  if (size_t const left = got - std::min(got, sent.value_or(0)); left != 0) from.unget(left);
  return sent;
}

Result<size_t> HostSocket::send(Task& task, IoSource& from, SendRequest& request) {
  bool const nowait = (request.flags & MSG_DONTWAIT) || nonblocking();
  auto const control = TRY(control_for_host(request.control));
  SocketName const name = to_host(request.address);
  auto const deadline = send_deadline();
  int flags = request.flags & send_flags;
  size_t done = 0;
  std::optional<Happening> happening;
  for (;;) {
    auto sent = send_some(from, name, control, flags);
    if (sent) {
      done += *sent;
      if (from.remaining() == 0) return done;
      continue;
    }
    if (sent.error() == Errno::Again && !nowait) {
      if (!happening) {
        happening.emplace(task, queue_, EPOLLOUT);
        continue;
      }
      auto const waited = happening->wait(deadline);
      if (waited) continue;
      sent = std::unexpected(interrupted(waited.error(), send_has_timeout()));
    }
    if (sent.error() == Errno::InProgress && !nowait) {  // MSG_FASTOPEN without a cookie: it connects
      connecting_ = true;
      flags &= ~MSG_FASTOPEN;
      auto connected = wait_connected(task, name);
      if (connected && from.remaining() == 0) return done;
      if (connected) continue;
      sent = std::unexpected(connected.error());
    }
    if (done != 0) return done;
    if (sent.error() == Errno::Pipe && is_stream() && !(request.flags & MSG_NOSIGNAL))
      return std::unexpected(kernel::broken_pipe(task));
    return sent;
  }
}

// --- receiving ---

std::optional<Result<ReceiveResult>> HostSocket::receive_held(IoSink& to, int flags) {
  if (!holds_) return std::nullopt;
  MutexLock lock(held_mutex_);
  if (held_.empty()) return std::nullopt;
  ReceiveResult result;
  size_t const n = std::min(held_.size(), to.remaining());
  to.need_exact_counts();
  auto put = flags & MSG_TRUNC ? Result<size_t>(n) : to.put(std::span(held_).first(n));
  if (!put) return std::unexpected(put.error());
  result.bytes = *put;
  if (!(flags & MSG_PEEK)) held_.erase(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(*put));
  holds_ = !held_.empty();
  return result;
}

Result<ReceiveResult> HostSocket::receive_some(IoSink& to, int flags) {
  bool const stream = is_stream() && !(flags & (MSG_OOB | MSG_ERRQUEUE));
  if (stream)
    if (auto held = receive_held(to, flags)) return *held;
  size_t const room = std::min(to.remaining(), is_stream() ? stream_step : largest_message);
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(std::max<size_t>(room, 1));
  std::array<std::byte, control_room> control;
  auto const bytes = std::span(buffer.get(), room);
  auto got = TRY(host::receive_message(fd_.get(), bytes, control, flags & receive_flags));
  ReceiveResult result;
  result.bytes = got.bytes;
  result.flags = got.flags & ~(MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got.name.length != 0) result.address = from_host(got.name);
  result.control.others = control_from_host(std::span(control).first(std::min(got.control, control.size())));
  size_t const stored = std::min(got.bytes, room);
  if (stored == 0 || (stream && (flags & MSG_TRUNC))) return result;  // TCP throws away what MSG_TRUNC reads
  auto const whole = bytes.first(stored);
  if (stream) to.need_exact_counts();
  auto put = to.put(whole);
  size_t const arrived = put.value_or(0);
  if (arrived == stored) return result;
  if (!stream) return fail(Errno::Fault);
  if (!(flags & MSG_PEEK)) {
    MutexLock lock(held_mutex_);
    auto const rest = whole.subspan(arrived);
    held_.insert(held_.end(), rest.begin(), rest.end());
    holds_ = true;
  }
  if (arrived == 0) return fail(Errno::Fault);
  result.bytes = arrived;
  return result;
}

bool HostSocket::is_at_mark() const {
  int at = 0;
  return host::socket_ioctl(fd_.get(), SIOCATMARK, std::as_writable_bytes(std::span(&at, 1))) && at != 0;
}

Result<ReceiveResult> HostSocket::receive(Task& task, IoSink& to, int flags) {
  bool const nowait = (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) || nonblocking();
  // As tcp_recvmsg: with MSG_PEEK it cannot wait for more than there is in this way, so it is content.
  bool const all = is_stream() && (flags & MSG_WAITALL) && !(flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE));
  auto const deadline = receive_deadline();
  size_t const wanted = to.remaining();
  // The host's socket does not wait for SO_RCVLOWAT itself, but is readable from there on.
  bool const patient = is_stream() && low_water_ > 1 && !nowait && !(flags & MSG_OOB);
  ReceiveResult whole;
  std::optional<Happening> happening;
  for (;;) {
    bool const early = patient && !holds_ && host::ready_now(fd_.get(), POLLIN | POLLRDHUP) == 0;
    auto got = early ? Result<ReceiveResult>(fail(Errno::Again)) : receive_some(to, flags);
    if (got) {
      size_t const before = whole.bytes, n = got->bytes;
      whole = std::move(*got);
      whole.bytes += before;
      if (!all || n == 0 || whole.bytes >= wanted || is_at_mark()) return whole;  // as far as the mark (tcp(7))
      continue;
    }
    if (got.error() == Errno::Again && !nowait) {
      // One that does not wait is told EAGAIN when the socket was shut, one that does the end.
      if (!is_stream() && (host::ready_now(fd_.get(), POLLRDHUP) & POLLRDHUP)) return whole;
      if (!happening) {
        happening.emplace(task, queue_, EPOLLIN | EPOLLRDHUP | EPOLLPRI);
        continue;
      }
      auto const waited = happening->wait(deadline);
      if (waited) continue;
      got = std::unexpected(interrupted(waited.error(), receive_has_timeout()));
    }
    return whole.bytes != 0 ? Result<ReceiveResult>(std::move(whole)) : got;
  }
}

kernel::PollMask HostSocket::poll() {
  constexpr uint32_t all = POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLRDBAND | POLLWRBAND;
  kernel::PollMask ready = host::ready_now(fd_.get(), all);
  if (holds_) ready |= EPOLLIN | EPOLLRDNORM;
  return ready;
}

}  // namespace cofferdam::host_sockets
