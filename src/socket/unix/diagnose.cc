// What /proc/net/unix and sock_diag(7) tell of AF_UNIX sockets.
#include <linux/unix_diag.h>

#include <algorithm>

#include <fmt/format.h>

#include "kernel/vfs/dentry.h"
#include "kernel/vfs/inode.h"
#include "socket/unix/family.h"
#include "socket/unix/socket.h"

namespace cofferdam::unix_sockets {

using kernel::netlink_fixed;
using kernel::NetlinkBody;

namespace {

constexpr uint8_t tcp_established = 1, tcp_close = 7, tcp_listen = 10;  // as the host numbers states of any socket

uint64_t inode_of(Ref<Endpoint> const& e) {
  if (!e) return 0;
  MutexLock lock(e->mutex);
  return e->socket ? e->socket->inode_number() : 0;
}

uint8_t state_of(State s) {
  return s == State::Listening ? tcp_listen : s == State::Connected ? tcp_established : tcp_close;
}

// Names as /proc/net/unix prints them: abstract ones with @ for NUL.
std::string printable(Ref<Name const> const& name) {
  if (!name) return "";
  std::string text = " " + name->bytes();
  if (name->is_abstract()) std::ranges::replace(text, '\0', '@');
  return text;
}

// What is told of one socket, taken under its lock.
struct Row {
  uint64_t inode = 0;
  int type = 0;
  State state = State::Unconnected;
  Ref<Name const> name;
  Ref<Endpoint> peer;
  std::vector<Ref<Endpoint>> clients;  // that nobody has accepted
  kernel::Path file;                   // where it is bound
  size_t queued = 0, backlog = 0, sent = 0;
  bool shut_read = false, shut_write = false;
};

Row row_of(uint64_t inode, Endpoint& e) {
  MutexLock lock(e.mutex);
  Row r;
  r.inode = inode;
  r.type = e.type();
  r.state = e.state;
  r.name = e.name;
  r.peer = e.peer;
  r.clients.assign(e.waiting_clients.begin(), e.waiting_clients.end());
  r.file = e.bound_path;
  r.queued = e.messages.bytes();
  r.backlog = e.backlog;
  r.sent = e.charged();
  r.shut_read = e.shut_read;
  r.shut_write = e.shut_write;
  return r;
}

NetlinkBody body_of(Row const& r, uint32_t show) {
  unix_diag_msg m{};
  m.udiag_family = AF_UNIX;
  m.udiag_type = static_cast<uint8_t>(r.type);
  m.udiag_state = state_of(r.state);
  m.udiag_ino = static_cast<uint32_t>(r.inode);
  m.udiag_cookie[0] = static_cast<uint32_t>(r.inode);
  m.udiag_cookie[1] = static_cast<uint32_t>(r.inode >> 32);
  NetlinkBody body(m);
  if ((show & UDIAG_SHOW_NAME) && r.name) body.raw_attribute(UNIX_DIAG_NAME, std::as_bytes(std::span(r.name->bytes())));
  auto* const file = (show & UDIAG_SHOW_VFS) && r.file.dentry ? r.file.dentry->inode() : nullptr;
  if (auto const facts = file ? file->attributes() : Result<kernel::Attributes>(fail(Errno::NoEnt)))
    body.attribute(UNIX_DIAG_VFS,
                   unix_diag_vfs{static_cast<uint32_t>(facts->inode), static_cast<uint32_t>(facts->device)});
  if ((show & UDIAG_SHOW_PEER) && r.peer) body.attribute(UNIX_DIAG_PEER, static_cast<uint32_t>(inode_of(r.peer)));
  if ((show & UDIAG_SHOW_ICONS) && r.state == State::Listening) {
    std::vector<uint32_t> inodes;
    inodes.reserve(r.clients.size());
    for (auto const& c : r.clients) inodes.push_back(static_cast<uint32_t>(inode_of(c)));
    body.raw_attribute(UNIX_DIAG_ICONS, std::as_bytes(std::span(inodes)));
  }
  bool const listens = r.state == State::Listening;
  if (show & UDIAG_SHOW_RQLEN)
    body.attribute(UNIX_DIAG_RQLEN, unix_diag_rqlen{static_cast<uint32_t>(listens ? r.clients.size() : r.queued),
                                                    static_cast<uint32_t>(listens ? r.backlog : r.sent)});
  constexpr uint8_t shut_receive = 1, shut_send = 2;
  body.attribute(UNIX_DIAG_SHUTDOWN,
                 static_cast<uint8_t>((r.shut_read ? shut_receive : 0) | (r.shut_write ? shut_send : 0)));
  return body;
}

}  // namespace

void Family::opened(UnixSocket& s) {
  MutexLock lock(open_mutex_);
  open_.insert(&s);
}

void Family::closed(UnixSocket& s) {
  MutexLock lock(open_mutex_);
  open_.erase(&s);
}

std::vector<std::pair<uint64_t, Ref<Endpoint>>> Family::open_endpoints() {
  std::vector<std::pair<uint64_t, Ref<Endpoint>>> found;
  {
    MutexLock lock(open_mutex_);
    found.reserve(open_.size());
    for (UnixSocket* s : open_) found.emplace_back(s->inode_number(), s->endpoint());
  }
  std::ranges::sort(found, {}, [](auto const& f) { return f.first; });
  return found;
}

Result<std::vector<NetlinkBody>> Family::diagnose(std::span<std::byte const> bytes, bool dump) {
  if (bytes.size() < sizeof(unix_diag_req)) return fail(Errno::Inval);
  auto const request = netlink_fixed<unix_diag_req>(bytes);
  if (!dump && request.udiag_ino == 0) return fail(Errno::Inval);
  std::vector<NetlinkBody> bodies;
  for (auto const& [inode, endpoint] : open_endpoints()) {
    if (!dump && static_cast<uint32_t>(inode) != request.udiag_ino) continue;
    Row const row = row_of(inode, *endpoint);
    if (dump && !(request.udiag_states >> state_of(row.state) & 1)) continue;
    bodies.push_back(body_of(row, request.udiag_show));
    if (!dump) break;
  }
  if (bodies.empty() && !dump) return fail(Errno::NoEnt);
  return bodies;
}

std::optional<std::string> Family::proc_net(std::string_view file) {
  if (file != "unix") return std::nullopt;
  std::string text = "Num       RefCount Protocol Flags    Type St Inode Path\n";
  for (auto const& [inode, endpoint] : open_endpoints()) {
    Row const r = row_of(inode, *endpoint);
    bool const listens = r.state == State::Listening;
    constexpr unsigned unconnected = 1, connected = 3, accepts = 0x10000;  // SS_*, SO_ACCEPTCON
    text += fmt::format("{:016x}: {:08X} {:08X} {:08X} {:04X} {:02X} {:5}{}\n", 0, 2 + (r.peer ? 1 : 0), 0,
                        listens ? accepts : 0, r.type, r.state == State::Connected ? connected : unconnected, inode,
                        printable(r.name));
  }
  return text;
}

}  // namespace cofferdam::unix_sockets
