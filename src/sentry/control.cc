#include "sentry/control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include <fmt/format.h>

#include "base/log.h"
#include "host/wait_status.h"

namespace cofferdam::sentry {

namespace {

using container::init_pid;
using container::RequestKind;

constexpr size_t max_connections = 256, max_members = 128, max_logs = 64;

std::optional<log::Level> level_of(std::string_view name) {
  constexpr std::string_view names[] = {"error", "warning", "info", "debug"};  // in the order of log::Level
  auto const* found = std::ranges::find(names, name);
  if (found == std::end(names)) return std::nullopt;
  return static_cast<log::Level>(found - names);
}

}  // namespace

Control::Control(Guest& guest, host::OwnedFd startup, host::OwnedFd listener)
    : guest_(guest), startup_(std::move(startup)), listener_(std::move(listener)) {}

int Control::serve() {
  std::vector<pollfd> waits;
  while (!over()) {
    waits.clear();
    add_waits(waits);
    size_t const members = members_.size(), first_connection = 3 + 3 * members;
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) break;
    size_t const connections = waits.size() - first_connection;
    for (size_t n = 0; n < connections; ++n)
      if (waits[first_connection + n].revents) on_connection(connections_[n]);
    if (waits[2].revents) accept(listener_.get(), guest_);
    if (waits[1].revents) on_startup();
    if (waits[0].revents) on_exits();
    on_members(std::span(waits).subspan(3, 3 * members));
    std::erase_if(connections_, [](auto& c) { return c.closed; });
  }
  guest_.shut_down();
  for (auto const& member : members_) member->guest->shut_down();
  on_exits();
  auto status = guest_.exit_status(init_pid);
  return status && *status ? host::shell_status(**status) : 128 + SIGKILL;
}

// poll passes over descriptors that are -1.
void Control::add_waits(std::vector<pollfd>& waits) const {
  bool const accepts = connections_.size() < max_connections;
  waits.push_back({.fd = guest_.exit_event(), .events = POLLIN});
  waits.push_back({.fd = startup_.get(), .events = POLLIN});
  waits.push_back({.fd = accepts ? listener_.get() : -1, .events = POLLIN});
  for (auto const& member : members_) {
    waits.push_back({.fd = member->guest->exit_event(), .events = POLLIN});
    waits.push_back({.fd = accepts ? member->listener.get() : -1, .events = POLLIN});
    waits.push_back({.fd = member->holder.get(), .events = POLLIN});
  }
  for (auto const& c : connections_) waits.push_back({.fd = c.socket.get(), .events = POLLIN});
}

// The first container's end is the sandbox's, but for a pod's, which stays for the others.
bool Control::over() const {
  return orphaned_ || (init_exited_ && (members_.empty() || !guest_.config().outlives_init));
}

container::Phase Control::phase(Guest& guest) {
  if (!guest.started()) return container::Phase::Created;
  if (auto status = guest.exit_status(init_pid); status && *status) return container::Phase::Stopped;
  return guest.paused() ? container::Phase::Paused : container::Phase::Running;
}

Outcome<std::string> Control::debug(Guest& guest, container::Frame& frame) {
  constexpr std::string_view level_word = "log-level ", trace_word = "strace ";
  std::string_view const wish = frame.payload;
  if (wish == "tasks") return guest.task_table();
  if (wish == "log") {
    ATTEMPT(change_log(frame));
  } else if (wish.starts_with(trace_word)) {
    bool const on = wish.substr(trace_word.size()) == "on";
    if (on && log::sink().level.load() < log::Level::Info)
      return refuse("the sandbox has no log that would take the calls; name one with --debug-log");
    guest.trace(on);
  } else if (wish.starts_with(level_word)) {
    auto const level = level_of(wish.substr(level_word.size()));
    if (!level) return refuse("no such log level; use debug, info, warning or error");
    log::sink().level = *level;
  } else {
    return refuse("this sandbox does not know that wish");
  }
  return std::string();
}

// The sandbox logs to the descriptor from now on. Those before it stay open: a thread may be writing there.
Outcome<> Control::change_log(container::Frame& frame) {
  if (frame.fds.size() != 1) return refuse("a log is one descriptor");
  if (logs_.size() >= max_logs) return refuse(fmt::format("the log of a sandbox can be changed {} times", max_logs));
  log::sink().fd = frame.fds[0].get();
  log::sink().level = std::max(log::sink().level.load(), log::Level::Info);
  logs_.push_back(std::move(frame.fds[0]));
  return {};
}

Outcome<> Control::start(Guest& guest) {
  if (guest.started()) return refuse("the container runs already");
  return guest.start_init();
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
      auto started = start(guest_);
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

void Control::accept(int listener, Guest& guest) {
  host::OwnedFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return;
  // A command that stops in the middle of a frame holds the loop up for this long, once.
  timeval limit{.tv_sec = 2, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  connections_.push_back({.socket = std::move(socket), .guest = &guest});
}

void Control::on_connection(Connection& c) {
  auto frame = container::receive_frame(c.socket.get());
  if (!frame) {
    c.closed = true;
    if (c.holds && c.waits_for != 0) (void)c.guest->signal({.signal = SIGKILL, .all = false, .pid = c.waits_for});
    return;
  }
  if (static_cast<RequestKind>(frame->kind) == RequestKind::Join) {
    if (auto joined = join(c, *frame); !joined) answer(c, std::unexpected(joined.error()));
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
  Guest& guest = *c.guest;
  std::string nothing;
  switch (static_cast<RequestKind>(frame.kind)) {
    case RequestKind::Start:
      ATTEMPT(start(guest));
      return nothing;
    case RequestKind::Signal: {
      auto request = ATTEMPT(container::SignalRequest::decode(frame.payload));
      ATTEMPT(guest.signal(request));
      return nothing;
    }
    case RequestKind::Status:
      return container::encode_number(static_cast<uint32_t>(phase(guest)));
    case RequestKind::Exec: {
      auto request = ATTEMPT(container::ExecRequest::decode(frame.payload));
      if (frame.fds.size() != 3 + request.preserved_fds) return refuse("exec: the wrong number of descriptors");
      if (!guest.started()) return refuse("the container does not run yet; start it first");
      if (guest.paused() && !request.ignore_paused) return refuse("the container is paused; resume it first");
      auto pid = ATTEMPT(guest.exec(request.process, std::move(frame.fds)));
      return container::encode_number(static_cast<uint32_t>(pid));
    }
    case RequestKind::Hold:
    case RequestKind::Wait: {
      auto pid = static_cast<int32_t>(ATTEMPT(container::decode_number(frame.payload)));
      auto status = ATTEMPT(guest.exit_status(pid));
      if (status) return container::encode_number(static_cast<uint32_t>(*status));
      c.waits_for = pid;
      c.holds = static_cast<RequestKind>(frame.kind) == RequestKind::Hold;
      return nothing;
    }
    case RequestKind::Processes:
      return container::encode_processes(guest.processes());
    case RequestKind::Pause:
      ATTEMPT(guest.pause(true));
      return nothing;
    case RequestKind::Resume:
      ATTEMPT(guest.pause(false));
      return nothing;
    case RequestKind::Check:
      ATTEMPT(guest.check_init());
      return nothing;
    case RequestKind::Join:
      return refuse("a container joins by the first of its sandbox");
    case RequestKind::Debug:
      return debug(guest, frame);
    case RequestKind::Resize: {
      auto request = ATTEMPT(container::ResizeRequest::decode(frame.payload));
      ATTEMPT(guest.resize(request.pid, request.rows, request.columns));
      return nothing;
    }
  }
  return refuse(fmt::format("request {} is not known to this sandbox", frame.kind));
}

void Control::on_exits() {
  guest_.clear_exit_event();
  answer_waiting(guest_);
  auto init = guest_.exit_status(init_pid);
  init_exited_ = guest_.started() && init && init->has_value();
}

void Control::answer_waiting(Guest& guest) {
  for (auto& c : connections_) {
    if (c.closed || c.guest != &guest || c.waits_for == 0) continue;
    auto status = guest.exit_status(c.waits_for);
    if (status && !*status) continue;
    c.waits_for = 0;
    if (status)
      answer(c, container::encode_number(static_cast<uint32_t>(**status)));
    else
      answer(c, std::unexpected(status.error()));
  }
}

Outcome<> Control::join(Connection& c, container::Frame& frame) {
  if (c.guest != &guest_) return refuse("a container joins by the first of its sandbox");
  if (!guest_.started() || init_exited_) return refuse("the sandbox to join does not run");
  if (members_.size() >= max_members) return refuse(fmt::format("a sandbox holds {} containers at most", max_members));
  auto request = ATTEMPT(container::JoinRequest::decode(frame.payload));
  size_t const binds = request.binds_directory.size(), standard = request.process.terminal ? 1 : 3;
  if (frame.fds.size() != 2 + binds + standard + request.preserved_fds)
    return refuse("join: the wrong number of descriptors");
  auto next = std::make_move_iterator(frame.fds.begin());
  auto member = std::make_unique<Member>();
  Descriptors d;
  member->listener = *next++;
  d.root = *next++;
  d.binds.reserve(binds);
  for (uint8_t directory : request.binds_directory) d.binds.push_back({*next++, directory != 0});
  for (size_t n = 0; n < standard; ++n) d.standard[n] = *next++;
  d.preserved.reserve(request.preserved_fds);
  for (uint32_t n = 0; n < request.preserved_fds; ++n) d.preserved.push_back(*next++);
  std::vector<Guest*> others{&guest_};
  others.reserve(1 + members_.size());
  for (auto const& other : members_) others.push_back(other->guest.get());
  member->guest = ATTEMPT(Guest::join(guest_, others, std::move(request), d));
  if (!member->guest->config().host_hooks) ATTEMPT(member->guest->check_init());
  auto const source = static_cast<uint32_t>(member->guest->source_process());
  ATTEMPT(container::send_frame(c.socket.get(), 0, container::encode_number(source)));
  member->holder = std::move(c.socket);
  c.closed = true;
  members_.push_back(std::move(member));
  return {};
}

// Three entries for each, in their order; those that joined meanwhile stand behind.
void Control::on_members(std::span<pollfd const> waits) {
  for (size_t n = 0; n < waits.size() / 3; ++n) {
    auto& member = *members_[n];
    if (waits[3 * n + 1].revents) accept(member.listener.get(), *member.guest);
    if (waits[3 * n + 2].revents) on_holder(member);
    if (waits[3 * n].revents) on_member_exits(member);
  }
  std::erase_if(members_, [](auto const& member) { return member->over; });
}

// Whoever holds the container has gone (it never says anything).
void Control::on_holder(Member& member) {
  member.holder.reset();
  auto const init = member.guest->exit_status(init_pid);
  if (init && !*init)
    member.guest->kill();  // its end is heard of as any other
  else
    end_member(member);  // it has not been started
}

void Control::on_member_exits(Member& member) {
  member.guest->clear_exit_event();
  answer_waiting(*member.guest);
  auto const init = member.guest->exit_status(init_pid);
  if (!init || !*init || member.over) return;
  member.guest->kill();  // where the pid namespace is another's, what init leaves would go on without it
  member.guest->shut_down();
  if (member.holder)
    (void)container::send_frame(member.holder.get(), 0, container::encode_number(static_cast<uint32_t>(**init)));
  end_member(member);
}

void Control::end_member(Member& member) {
  member.guest->shut_down();
  member.over = true;
  for (auto& c : connections_) c.closed |= c.guest == member.guest.get();
}

}  // namespace cofferdam::sentry
