#include "syscalls/socket_message.h"

#include <sys/uio.h>

#include <algorithm>

#include "kernel/task/thread_group.h"

namespace cofferdam::syscalls {

using kernel::ControlData;
using kernel::File;
using kernel::PeerCredentials;
using kernel::SocketAddress;

namespace {

constexpr uint64_t max_control = 131072;                 // net.core.optmem_max
constexpr size_t max_rights = 253;                       // SCM_MAX_FD
constexpr int timestamping = 37, timestamping_new = 65;  // SO_TIMESTAMPING

struct ControlHeader {
  uint64_t length;  // with this header
  int32_t level, type;
};
static_assert(sizeof(ControlHeader) == 16);

constexpr uint64_t align(uint64_t n) { return (n + 7) & ~uint64_t{7}; }

Result<void> add_rights(Task& task, std::span<std::byte const> data, ControlData& to) {
  size_t count = data.size() / sizeof(int32_t);
  if (to.rights.size() + count > max_rights) return fail(Errno::Inval);
  auto files = task.files();
  for (size_t i = 0; i < count; ++i) {
    int32_t fd;
    std::memcpy(&fd, data.data() + i * sizeof fd, sizeof fd);
    files->stop_serving(fd);  // the receiver shares its position
    to.rights.push_back(TRY(files->get(fd, true)));
  }
  return {};
}

Result<void> add_control(Task& task, ControlHeader const& header, std::span<std::byte const> data, ControlData& to) {
  if (header.level != SOL_SOCKET) {
    to.others.push_back({header.level, header.type, {data.begin(), data.end()}});
    return {};
  }
  switch (header.type) {
    case SCM_RIGHTS:
      return add_rights(task, data, to);
    case SCM_CREDENTIALS: {
      if (data.size() != sizeof(PeerCredentials)) return fail(Errno::Inval);
      PeerCredentials claimed;
      std::memcpy(&claimed, data.data(), sizeof claimed);
      to.credentials = claimed;
      return {};
    }
    case timestamping:
    case timestamping_new:
      to.others.push_back({header.level, header.type, {data.begin(), data.end()}});
      return {};
    default:
      return fail(Errno::Inval);
  }
}

// Builds what recvmsg stores (put_cmsg of Linux): cut at the end of the guest's buffer.
class ControlWriter {
 public:
  explicit ControlWriter(uint64_t room) : room_(std::min(room, max_control)) {}
  uint64_t room_for_data() const {
    uint64_t used = bytes_.size() + sizeof(ControlHeader);
    return used > room_ ? 0 : room_ - used;
  }
  bool has_room_for_header() const { return bytes_.size() + sizeof(ControlHeader) <= room_; }
  bool truncated() const { return truncated_; }
  void set_truncated() { truncated_ = true; }
  std::span<std::byte const> bytes() const { return bytes_; }

  void add(int level, int type, std::span<std::byte const> data) {
    if (!has_room_for_header()) {
      truncated_ = true;
      return;
    }
    if (data.size() > room_for_data()) {
      truncated_ = true;
      data = data.first(room_for_data());
    }
    ControlHeader header{sizeof(ControlHeader) + data.size(), level, type};
    auto head = std::as_bytes(std::span(&header, 1));
    bytes_.insert(bytes_.end(), head.begin(), head.end());
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    bytes_.resize(std::min(align(bytes_.size()), room_));
  }

 private:
  uint64_t const room_;
  std::vector<std::byte> bytes_;
  bool truncated_ = false;
};

// Descriptors for as many files as there is room for; the others are closed.
std::vector<int32_t> install_rights(Task& task, std::vector<Ref<File>>& rights, size_t room, bool close_on_exec) {
  std::vector<int32_t> fds;
  auto files = task.files();
  uint64_t limit = task.thread_group().limits.current(RLIMIT_NOFILE);
  for (auto& file : rights) {
    if (fds.size() == room) break;
    auto fd = files->install(std::move(file), close_on_exec, limit);
    if (!fd) break;
    fds.push_back(*fd);
  }
  return fds;
}

}  // namespace

Result<OpenSocket> socket_at(Task& task, Fd fd) {
  auto file = TRY(task.file(fd.value));
  auto* socket = kernel::socket_of(*file);
  if (!socket) return fail(Errno::NotSock);
  return OpenSocket{std::move(file), socket};
}

Result<SocketAddress> read_address(Task& task, UserAddr address, int32_t length) {
  SocketAddress a;
  if (length < 0 || static_cast<size_t>(length) > sizeof a.storage) return fail(Errno::Inval);
  if (length == 0) return a;
  TRY(task.copy_in(address, std::as_writable_bytes(std::span(&a.storage, 1)).first(static_cast<size_t>(length))));
  a.length = static_cast<uint32_t>(length);
  return a;
}

Result<void> write_address(Task& task, SocketAddress const& from, UserAddr address, UserPtr<int32_t> length) {
  int32_t room = TRY(task.read(length));
  if (room < 0) return fail(Errno::Inval);
  size_t n = std::min(static_cast<size_t>(room), static_cast<size_t>(from.length));
  if (n != 0) TRY(task.copy_out(address, std::as_bytes(std::span(&from.storage, 1)).first(n)));
  return task.write(length, static_cast<int32_t>(from.length));
}

Result<ControlData> read_control(Task& task, uint64_t address, uint64_t length) {
  ControlData control;
  if (length == 0) return control;
  if (length > max_control) return fail(Errno::NoBufs);
  std::vector<std::byte> bytes(length);
  TRY(task.copy_in(UserAddr{address}, bytes));
  uint64_t at = 0;
  while (bytes.size() - at >= sizeof(ControlHeader)) {
    ControlHeader header;
    std::memcpy(&header, bytes.data() + at, sizeof header);
    if (header.length < sizeof header || header.length > bytes.size() - at) return fail(Errno::Inval);
    auto data = std::span(bytes).subspan(at + sizeof header, header.length - sizeof header);
    TRY(add_control(task, header, data, control));
    at += std::min(align(header.length), bytes.size() - at);
  }
  return control;
}

Result<void> write_control(Task& task, ControlData& control, MessageHeader& header, bool close_on_exec) {
  ControlWriter writer(header.control == 0 ? 0 : header.control_length);
  if (control.credentials) writer.add(SOL_SOCKET, SCM_CREDENTIALS, std::as_bytes(std::span(&*control.credentials, 1)));
  if (!control.rights.empty()) {
    auto fds = install_rights(task, control.rights, writer.room_for_data() / sizeof(int32_t), close_on_exec);
    if (!fds.empty()) writer.add(SOL_SOCKET, SCM_RIGHTS, std::as_bytes(std::span(fds)));
    if (fds.size() < control.rights.size()) writer.set_truncated();
    control.rights.clear();
  }
  for (auto const& other : control.others) writer.add(other.level, other.type, other.bytes);
  if (!writer.bytes().empty()) TRY(task.copy_out(UserAddr{header.control}, writer.bytes()));
  header.control_length = writer.bytes().size();
  if (writer.truncated()) header.flags |= MSG_CTRUNC;
  return {};
}

}  // namespace cofferdam::syscalls
