#include "shim/events.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/log.h"
#include "shim/proto/task.pb.h"

namespace cofferdam::shim {

namespace {

constexpr size_t max_queue = 2048;
constexpr unsigned max_attempts = 10;
constexpr milliseconds answer_within{5000};
constexpr milliseconds first_pause{100};  // twice as long each time

}  // namespace

EventPublisher::EventPublisher(EventLoop& loop, std::string address, std::string name_space)
    : loop_(loop), address_(std::move(address)), namespace_(std::move(name_space)) {}

EventPublisher::~EventPublisher() { disconnect(); }

void EventPublisher::publish(std::string_view topic, std::string_view type, std::string event) {
  if (address_.empty()) return;
  if (queue_.size() >= max_queue) {
    log::error("event {} is lost: containerd takes none", topic);
    return;
  }
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  wire::ForwardRequest forward;
  auto* envelope = forward.mutable_envelope();
  envelope->mutable_timestamp()->set_seconds(now.tv_sec);
  envelope->mutable_timestamp()->set_nanos(static_cast<int32_t>(now.tv_nsec));
  envelope->set_namespace_(namespace_);
  envelope->set_topic(std::string(topic));
  envelope->mutable_event()->set_type_url(std::string(type));
  envelope->mutable_event()->set_value(std::move(event));
  wire::Request request;
  request.set_service("containerd.services.events.ttrpc.v1.Events");
  request.set_method("Forward");
  request.set_payload(forward.SerializeAsString());
  request.set_timeout_nano(std::chrono::nanoseconds(answer_within).count());
  queue_.push_back({.request = request.SerializeAsString()});
  if (!under_way_) send_next();
}

bool EventPublisher::connect() {
  if (socket_) return true;
  sockaddr_un to{.sun_family = AF_UNIX};
  if (address_.size() >= sizeof to.sun_path) return false;
  memcpy(to.sun_path, address_.data(), address_.size());
  host::OwnedFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return false;
  socket_ = std::move(socket);
  reader_ = {};
  unsent_.clear();
  stream_ = 1;
  loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t events) { on_ready(events); });
  return true;
}

void EventPublisher::disconnect() {
  if (socket_) loop_.forget(socket_.get());
  socket_.reset();
  loop_.cancel(timer_);
}

void EventPublisher::send_next() {
  under_way_ = !queue_.empty();
  if (queue_.empty()) return;
  if (!connect()) return failed();
  unsent_ += print_frame(stream_, FrameKind::Request, queue_.front().request);
  timer_ = loop_.after(answer_within, [this] { failed(); });
  flush();
}

void EventPublisher::on_ready(uint32_t events) {
  if (events & EPOLLOUT) flush();
  if (!socket_ || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  char buffer[4096];
  ssize_t const n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return under_way_ ? failed() : disconnect();
  reader_.feed({buffer, static_cast<size_t>(n)});
  for (;;) {
    auto frame = reader_.next();
    if (!frame) return failed();
    if (!*frame) return;
    if ((*frame)->kind != FrameKind::Response || (*frame)->stream != stream_ || !under_way_) continue;
    wire::Response response;
    if (!response.ParseFromString((*frame)->payload) || response.status().code() != 0)
      log::warning("containerd does not take an event: {}", response.status().message());
    return delivered();
  }
}

void EventPublisher::flush() {
  while (!unsent_.empty()) {
    ssize_t const n = ::send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return failed();
    if (n < 0) break;
    unsent_.erase(0, static_cast<size_t>(n));
  }
  loop_.change(socket_.get(), unsent_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void EventPublisher::delivered() {
  loop_.cancel(timer_);
  stream_ += 2;
  queue_.pop_front();
  send_next();
}

void EventPublisher::failed() {
  disconnect();
  if (queue_.empty()) return;
  auto& first = queue_.front();
  if (++first.attempts >= max_attempts) {
    log::error("an event is lost: containerd did not take it {} times", first.attempts);
    queue_.pop_front();
  }
  under_way_ = true;  // until the pause is over
  unsigned const exponent = queue_.empty() ? 0 : std::min(queue_.front().attempts, 6U);
  timer_ = loop_.after(first_pause * (1U << exponent), [this] { send_next(); });
}

}  // namespace cofferdam::shim
