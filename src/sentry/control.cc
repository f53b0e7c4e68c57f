#include "sentry/control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/log.h"

namespace cofferdam::sentry {

namespace {

using container::RequestKind;

constexpr size_t max_connections = 256;

std::optional<log::Level> level_of(std::string_view name) {
  constexpr std::string_view names[] = {"error", "warning", "info", "debug"};  // in the order of log::Level
  auto const* found = std::ranges::find(names, name);
  if (found == std::end(names)) return std::nullopt;
  return static_cast<log::Level>(found - names);
}

}  // namespace

int shell_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

Control::Control(Guest& guest, host::OwnedFd startup, host::OwnedFd listener)
    : guest_(guest), startup_(std::move(startup)), listener_(std::move(listener)) {}

int Control::serve() {
  std::vector<pollfd> waits;
  while (!init_exited_ && !orphaned_) {
    waits.clear();
    waits.push_back({.fd = guest_.exit_event(), .events = POLLIN});
    waits.push_back({.fd = startup_.get(), .events = POLLIN});  // poll passes over -1
    waits.push_back({.fd = connections_.size() < max_connections ? listener_.get() : -1, .events = POLLIN});
    for (auto& c : connections_) waits.push_back({.fd = c.socket.get(), .events = POLLIN});
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) break;
    for (size_t n = 0; n < connections_.size(); ++n)
      if (waits[3 + n].revents) on_connection(connections_[n]);
    std::erase_if(connections_, [](auto& c) { return c.closed; });
    if (waits[2].revents) on_listener();
    if (waits[1].revents) on_startup();
    if (waits[0].revents) on_exits();
  }
  guest_.shut_down();
  on_exits();
  auto status = guest_.exit_status(init_pid);
  return status && *status ? shell_status(**status) : 128 + SIGKILL;
}

container::Phase Control::phase() const {
  if (!guest_.started()) return container::Phase::Created;
  return guest_.paused() ? container::Phase::Paused : container::Phase::Running;
}

Outcome<std::string> Control::debug(std::string const& wish) {
  constexpr std::string_view level_word = "log-level ";
  if (wish == "tasks") return guest_.task_table();
  if (!wish.starts_with(level_word)) return refuse("this sandbox does not know that wish");
  auto const level = level_of(std::string_view(wish).substr(level_word.size()));
  if (!level) return refuse("no such log level; use debug, info, warning or error");
  log::sink().level = *level;
  return std::string();
}

Outcome<> Control::start() {
  if (guest_.started()) return refuse("the container runs already");
  return guest_.start_init();
}

void Control::on_startup() {
  auto message = hear(startup_.get());
  if (!message) {
    startup_.reset();
    orphaned_ = attached_;
    return;
  }
  switch (message->word) {
    case Word::Start: {
      auto started = start();
      (void)say(startup_.get(), started ? Word::Done : Word::Failed, started ? "" : started.error());
      break;
    }
    case Word::Network: {
      auto taken = guest_.take_network(*message);
      (void)say(startup_.get(), taken ? Word::Done : Word::Failed, taken ? "" : taken.error());
      break;
    }
    case Word::Check: {
      auto checked = guest_.check_init();
      (void)say(startup_.get(), checked ? Word::Done : Word::Failed, checked ? "" : checked.error());
      break;
    }
    case Word::Detached:
      attached_ = false;
      ::prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
      (void)say(startup_.get(), Word::Done);
      break;
    case Word::Signal:
      (void)guest_.signal({.signal = ::atoi(message->text.c_str()), .all = false, .pid = init_pid});
      break;
    case Word::Resize: {
      char* end = nullptr;
      auto rows = ::strtoul(message->text.c_str(), &end, 10), columns = ::strtoul(end, nullptr, 10);
      (void)guest_.resize(init_pid, static_cast<uint16_t>(rows), static_cast<uint16_t>(columns));
      break;
    }
    default:
      log::warning("startup channel: unknown word");
      break;
  }
}

void Control::on_listener() {
  host::OwnedFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return;
  // A command that stops in the middle of a frame holds the loop up for this long, once.
  timeval limit{.tv_sec = 2, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  connections_.push_back({.socket = std::move(socket)});
}

void Control::on_connection(Connection& c) {
  auto frame = container::receive_frame(c.socket.get());
  if (!frame) {
    c.closed = true;
    if (c.holds && c.waits_for != 0) (void)guest_.signal({.signal = SIGKILL, .all = false, .pid = c.waits_for});
    return;
  }
  auto result = serve_request(c, *frame);
  if (c.waits_for == 0) answer(c, result);
}

void Control::answer(Connection& c, Outcome<std::string> const& result) {
  auto sent = container::send_frame(c.socket.get(), result ? 0 : EINVAL, result ? *result : result.error());
  if (!sent) c.closed = true;
}

Outcome<std::string> Control::serve_request(Connection& c, container::Frame& frame) {
  std::string nothing;
  switch (static_cast<RequestKind>(frame.kind)) {
    case RequestKind::Start:
      ATTEMPT(start());
      return nothing;
    case RequestKind::Signal: {
      auto request = ATTEMPT(container::SignalRequest::decode(frame.payload));
      ATTEMPT(guest_.signal(request));
      return nothing;
    }
    case RequestKind::Status:
      return container::encode_number(static_cast<uint32_t>(phase()));
    case RequestKind::Exec: {
      auto request = ATTEMPT(container::ExecRequest::decode(frame.payload));
      if (frame.fds.size() != 3 + request.preserved_fds) return refuse("exec: the wrong number of descriptors");
      if (!guest_.started()) return refuse("the container does not run yet; start it first");
      if (guest_.paused() && !request.ignore_paused) return refuse("the container is paused; resume it first");
      auto pid = ATTEMPT(guest_.exec(request.process, std::move(frame.fds)));
      return container::encode_number(static_cast<uint32_t>(pid));
    }
    case RequestKind::Hold:
    case RequestKind::Wait: {
      auto pid = static_cast<int32_t>(ATTEMPT(container::decode_number(frame.payload)));
      auto status = ATTEMPT(guest_.exit_status(pid));
      if (status) return container::encode_number(static_cast<uint32_t>(*status));
      c.waits_for = pid;
      c.holds = static_cast<RequestKind>(frame.kind) == RequestKind::Hold;
      return nothing;
    }
    case RequestKind::Processes:
      return container::encode_processes(guest_.processes());
    case RequestKind::Pause:
      ATTEMPT(guest_.pause(true));
      return nothing;
    case RequestKind::Resume:
      ATTEMPT(guest_.pause(false));
      return nothing;
    case RequestKind::Debug:
      return debug(frame.payload);
    case RequestKind::Resize: {
      auto request = ATTEMPT(container::ResizeRequest::decode(frame.payload));
      ATTEMPT(guest_.resize(request.pid, request.rows, request.columns));
      return nothing;
    }
  }
  return refuse(fmt::format("request {} is not known to this sandbox", frame.kind));
}

void Control::on_exits() {
  guest_.clear_exit_event();
  for (auto& c : connections_) {
    if (c.waits_for == 0) continue;
    auto status = guest_.exit_status(c.waits_for);
    if (status && !*status) continue;
    c.waits_for = 0;
    if (status)
      answer(c, container::encode_number(static_cast<uint32_t>(**status)));
    else
      answer(c, std::unexpected(status.error()));
  }
  auto init = guest_.exit_status(init_pid);
  init_exited_ = guest_.started() && init && init->has_value();
}

}  // namespace cofferdam::sentry
