#include "shim/ttrpc_server.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "shim/proto/task.pb.h"

namespace cofferdam::shim {

namespace {

// containerd keeps one connection; these bounds are for whoever errs.
constexpr size_t max_connections = 64;
constexpr unsigned max_calls = 4096;
constexpr size_t max_unsent_bytes = 64 << 20;

std::string encode(Answer<std::string> const& answer) {
  wire::Response response;
  if (answer) {
    response.set_payload(*answer);
  } else {
    response.mutable_status()->set_code(static_cast<int>(answer.error().code));
    response.mutable_status()->set_message(answer.error().message);
  }
  return response.SerializeAsString();
}

}  // namespace

TtrpcServer::TtrpcServer(EventLoop& loop, host::OwnedFd listener) : loop_(loop), listener_(std::move(listener)) {
  loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { on_listener(); });
}

TtrpcServer::~TtrpcServer() {
  loop_.forget(listener_.get());
  for (auto& c : connections_) loop_.forget(c->socket.get());
}

void TtrpcServer::handle(std::string_view service, std::string_view method, CallHandler handler) {
  handlers_[{std::string(service), std::string(method)}] = std::move(handler);
}

bool TtrpcServer::has_unsent() const {
  return std::ranges::any_of(connections_, [](auto& c) { return !c->unsent.empty(); });
}

void TtrpcServer::on_listener() {
  host::OwnedFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || connections_.size() >= max_connections) return;
  auto connection = std::make_shared<Connection>();
  connection->socket = std::move(socket);
  connections_.push_back(connection);
  loop_.watch(connection->socket.get(), EPOLLIN, [this, connection](uint32_t events) { on_ready(connection, events); });
}

void TtrpcServer::on_ready(std::shared_ptr<Connection> const& connection, uint32_t events) {
  if (events & EPOLLOUT) flush(*connection);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !read_frames(connection)) close(connection);
}

// False: nothing more will come.
bool TtrpcServer::read_frames(std::shared_ptr<Connection> const& connection) {
  char buffer[16384];
  ssize_t const n = ::recv(connection->socket.get(), buffer, sizeof buffer, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
  if (n < 0) return true;
  connection->reader.feed({buffer, static_cast<size_t>(n)});
  for (;;) {
    auto frame = connection->reader.next();
    if (!frame) {
      log::warning("connection closed: {}", frame.error());
      return false;
    }
    if (!*frame) return true;
    // Streams of data belong to no method that is served here.
    if ((*frame)->kind == FrameKind::Request) serve(connection, **frame);
  }
}

void TtrpcServer::serve(std::shared_ptr<Connection> const& connection, TtrpcFrame const& frame) {
  uint32_t const stream = frame.stream;
  if (stream % 2 == 0) return send(*connection, stream, fail_call(RpcCode::InvalidArgument, "an even stream id"));
  wire::Request request;
  if (!request.ParseFromString(frame.payload))
    return send(*connection, stream, fail_call(RpcCode::InvalidArgument, "the request cannot be decoded"));
  auto const handler = handlers_.find(std::pair(request.service(), request.method()));
  if (handler == handlers_.end())
    return send(*connection, stream,
                fail_call(RpcCode::Unimplemented,
                          fmt::format("service {}, method {} is not served", request.service(), request.method())));
  if (connection->calls >= max_calls)
    return send(*connection, stream, fail_call(RpcCode::Unknown, "too many calls wait for their answers"));
  ++connection->calls;
  handler->second(request.payload(), [this, weak = std::weak_ptr(connection), stream](Answer<std::string> answer) {
    auto const still = weak.lock();
    if (!still) return;
    --still->calls;
    send(*still, stream, answer);
  });
}

void TtrpcServer::send(Connection& connection, uint32_t stream, Answer<std::string> const& answer) {
  if (!connection.socket || connection.unsent.size() > max_unsent_bytes) return;
  connection.unsent += print_frame(stream, FrameKind::Response, encode(answer));
  flush(connection);
}

void TtrpcServer::flush(Connection& connection) {
  auto& unsent = connection.unsent;
  while (!unsent.empty()) {
    ssize_t const n = ::send(connection.socket.get(), unsent.data(), unsent.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) unsent.clear();  // it has gone: the reading side will see it
    if (n < 0) break;
    unsent.erase(0, static_cast<size_t>(n));
  }
  loop_.change(connection.socket.get(), unsent.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void TtrpcServer::close(std::shared_ptr<Connection> const& connection) {
  loop_.forget(connection->socket.get());
  std::erase(connections_, connection);
  connection->socket.reset();
}

}  // namespace cofferdam::shim
