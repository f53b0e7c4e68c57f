#include "container/protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "container/wire.h"

namespace cofferdam::container {

namespace {

std::unexpected<std::string> malformed(std::string_view what) {
  return refuse(fmt::format("control message '{}' is malformed", what));
}

Outcome<> send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return refuse(fmt::format("cannot talk to the sandbox: {}", strerror(errno)));
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

// Receives exactly to.size() bytes; descriptors that come along are appended.
Outcome<> receive_exactly(int socket, std::string& to, std::vector<host::OwnedFd>& fds) {
  size_t got = 0;
  while (got < to.size()) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_frame_fds)];
    iovec part{to.data() + got, to.size() - got};
    msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return refuse(fmt::format("cannot hear from the sandbox: {}", strerror(errno)));
    for (auto* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd = -1;
        memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        fds.emplace_back(fd);
      }
    }
    if (n == 0) return refuse("the sandbox closed the connection");
    if (message.msg_flags & MSG_CTRUNC || fds.size() > max_frame_fds) return malformed("descriptors");
    got += static_cast<size_t>(n);
  }
  return {};
}

void put_process(WireWriter& w, oci::Process const& p) {
  w.number<uint8_t>(p.terminal);
  w.number<uint8_t>(p.console_size.has_value());
  w.number(p.console_size ? p.console_size->height : uint16_t{0});
  w.number(p.console_size ? p.console_size->width : uint16_t{0});
  w.number(p.user.uid);
  w.number(p.user.gid);
  w.number<uint8_t>(p.user.umask.has_value());
  w.number(p.user.umask.value_or(0));
  w.number(static_cast<uint32_t>(p.user.additional_gids.size()));
  for (uint32_t gid : p.user.additional_gids) w.number(gid);
  w.texts(p.args);
  w.texts(p.env);
  w.text(p.cwd);
  w.number<uint8_t>(p.capabilities.has_value());
  oci::Capabilities caps = p.capabilities.value_or(oci::Capabilities{});
  for (uint64_t set : {caps.bounding, caps.effective, caps.inheritable, caps.permitted, caps.ambient}) w.number(set);
  w.number(static_cast<uint32_t>(p.rlimits.size()));
  for (auto& limit : p.rlimits) {
    w.number<int32_t>(limit.resource);
    w.number(limit.soft);
    w.number(limit.hard);
  }
  w.number<uint8_t>(p.no_new_privileges);
  w.number<uint8_t>(p.oom_score_adj.has_value());
  w.number<int32_t>(p.oom_score_adj.value_or(0));
  oci::Scheduler scheduler = p.scheduler.value_or(oci::Scheduler{});
  w.number<uint8_t>(p.scheduler.has_value());
  for (int n : {scheduler.policy, scheduler.nice, scheduler.priority, p.io_priority}) w.number<int32_t>(n);
}

oci::Process get_process(WireReader& r) {
  oci::Process p;
  p.terminal = r.flag();
  bool sized = r.flag();
  oci::ConsoleSize size;
  size.height = r.number<uint16_t>();
  size.width = r.number<uint16_t>();
  if (sized) p.console_size = size;
  p.user.uid = r.number<uint32_t>();
  p.user.gid = r.number<uint32_t>();
  bool has_umask = r.flag();
  auto umask = r.number<uint32_t>();
  if (has_umask) p.user.umask = umask;
  p.user.additional_gids.resize(r.count(sizeof(uint32_t)));
  for (auto& gid : p.user.additional_gids) gid = r.number<uint32_t>();
  p.args = r.texts();
  p.env = r.texts();
  p.cwd = r.text();
  bool has_capabilities = r.flag();
  oci::Capabilities caps;
  for (uint64_t* set : {&caps.bounding, &caps.effective, &caps.inheritable, &caps.permitted, &caps.ambient})
    *set = r.number<uint64_t>();
  if (has_capabilities) p.capabilities = caps;
  p.rlimits.resize(r.count(20));
  for (auto& limit : p.rlimits) {
    limit.resource = r.number<int32_t>();
    limit.soft = r.number<uint64_t>();
    limit.hard = r.number<uint64_t>();
  }
  p.no_new_privileges = r.flag();
  bool const has_score = r.flag();
  int const score = r.number<int32_t>();
  if (has_score) p.oom_score_adj = score;
  bool const has_scheduler = r.flag();
  oci::Scheduler scheduler;
  for (int* n : {&scheduler.policy, &scheduler.nice, &scheduler.priority, &p.io_priority}) *n = r.number<int32_t>();
  if (has_scheduler) p.scheduler = scheduler;
  return p;
}

}  // namespace

std::string SignalRequest::encode() const {
  WireWriter w;
  w.number(signal);
  w.number<uint8_t>(all);
  w.number(pid);
  return w.take();
}

Outcome<SignalRequest> SignalRequest::decode(std::string_view bytes) {
  WireReader r(bytes);
  SignalRequest request;
  request.signal = r.number<int32_t>();
  request.all = r.flag();
  request.pid = r.number<int32_t>();
  if (!r.at_end() || request.signal < 0 || request.signal > 64) return malformed("signal");
  return request;
}

std::string ExecRequest::encode() const {
  WireWriter w;
  put_process(w, process);
  w.number<uint8_t>(ignore_paused);
  w.number(preserved_fds);
  return w.take();
}

Outcome<ExecRequest> ExecRequest::decode(std::string_view bytes) {
  WireReader r(bytes);
  ExecRequest request;
  request.process = get_process(r);
  request.ignore_paused = r.flag();
  request.preserved_fds = r.number<uint32_t>();
  if (!r.at_end() || request.process.args.empty() || request.preserved_fds > max_frame_fds) return malformed("exec");
  return request;
}

std::string JoinRequest::encode() const {
  WireWriter w;
  for (auto const* text : {&id, &config, &root_path, &ipc_of, &uts_of, &pid_of, &hook_state}) w.text(*text);
  put_process(w, process);
  w.number(static_cast<uint32_t>(seccomp.size()));
  for (auto const& step : seccomp) {
    w.number(step.code);
    w.number(step.jt);
    w.number(step.jf);
    w.number(step.k);
  }
  w.number<uint8_t>(host_hooks);
  w.number<uint8_t>(own_control_group);
  w.number(static_cast<uint32_t>(binds_directory.size()));
  for (uint8_t directory : binds_directory) w.number(directory);
  w.number(preserved_fds);
  return w.take();
}

Outcome<JoinRequest> JoinRequest::decode(std::string_view bytes) {
  WireReader r(bytes);
  JoinRequest request;
  for (auto* text : {&request.id, &request.config, &request.root_path, &request.ipc_of, &request.uts_of,
                     &request.pid_of, &request.hook_state})
    *text = r.text();
  request.process = get_process(r);
  request.seccomp.resize(r.count(8));
  for (auto& step : request.seccomp) {
    step.code = r.number<uint16_t>();
    step.jt = r.number<uint8_t>();
    step.jf = r.number<uint8_t>();
    step.k = r.number<uint32_t>();
  }
  request.host_hooks = r.flag();
  request.own_control_group = r.flag();
  request.binds_directory.resize(r.count(1));
  for (auto& directory : request.binds_directory) directory = r.number<uint8_t>();
  request.preserved_fds = r.number<uint32_t>();
  if (!r.at_end() || request.process.args.empty() || request.preserved_fds > max_frame_fds) return malformed("join");
  return request;
}

std::string ResizeRequest::encode() const {
  WireWriter w;
  w.number(pid);
  w.number(rows);
  w.number(columns);
  return w.take();
}

Outcome<ResizeRequest> ResizeRequest::decode(std::string_view bytes) {
  WireReader r(bytes);
  ResizeRequest request;
  request.pid = r.number<int32_t>();
  request.rows = r.number<uint16_t>();
  request.columns = r.number<uint16_t>();
  if (!r.at_end()) return malformed("resize");
  return request;
}

std::string encode_processes(std::vector<ProcessInfo> const& list) {
  WireWriter w;
  w.number(static_cast<uint32_t>(list.size()));
  for (auto& p : list) {
    w.number(p.pid);
    w.number(p.parent);
    w.number(p.uid);
    w.number(p.threads);
    w.number(p.start_seconds);
    w.number(p.cpu_milliseconds);
    w.text(p.command);
  }
  return w.take();
}

Outcome<std::vector<ProcessInfo>> decode_processes(std::string_view bytes) {
  WireReader r(bytes);
  std::vector<ProcessInfo> list(r.count(36));
  for (auto& p : list) {
    p.pid = r.number<int32_t>();
    p.parent = r.number<int32_t>();
    p.uid = r.number<uint32_t>();
    p.threads = r.number<uint32_t>();
    p.start_seconds = r.number<uint64_t>();
    p.cpu_milliseconds = r.number<uint64_t>();
    p.command = r.text();
  }
  if (!r.at_end()) return malformed("processes");
  return list;
}

std::string encode_number(uint32_t n) {
  WireWriter w;
  w.number(n);
  return w.take();
}

Outcome<uint32_t> decode_number(std::string_view bytes) {
  WireReader r(bytes);
  auto n = r.number<uint32_t>();
  if (!r.at_end()) return malformed("number");
  return n;
}

Outcome<> send_frame(int socket, uint32_t kind, std::string_view payload, std::vector<int> const& fds) {
  if (payload.size() > max_frame_bytes)
    return refuse("the request is larger than 4 MiB; shorten arguments or environment");
  if (fds.size() > max_frame_fds) return refuse(fmt::format("more than {} descriptors to pass", max_frame_fds));
  uint32_t head[2] = {static_cast<uint32_t>(payload.size() + sizeof kind), kind};
  iovec part{head, sizeof head};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_frame_fds)] = {};
  msghdr message{.msg_iov = &part, .msg_iovlen = 1};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    auto* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t n;
  do n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  // A stream socket that is not full takes eight bytes whole.
  if (n != sizeof head) return refuse(fmt::format("cannot talk to the sandbox: {}", strerror(n < 0 ? errno : EIO)));
  return send_all(socket, payload);
}

Outcome<Frame> receive_frame(int socket) {
  Frame frame;
  std::string head(2 * sizeof(uint32_t), '\0');
  ATTEMPT(receive_exactly(socket, head, frame.fds));
  WireReader r(head);
  auto length = r.number<uint32_t>();
  frame.kind = r.number<uint32_t>();
  if (length < sizeof frame.kind || length - sizeof frame.kind > max_frame_bytes) return malformed("length");
  frame.payload.resize(length - sizeof frame.kind);
  ATTEMPT(receive_exactly(socket, frame.payload, frame.fds));
  return frame;
}

}  // namespace cofferdam::container
