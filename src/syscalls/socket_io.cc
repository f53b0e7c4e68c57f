// send(2) and recv(2) in all their forms.
#include <algorithm>

#include "syscalls/io_vector.h"
#include "syscalls/socket_message.h"
#include "syscalls/wait_arguments.h"

namespace cofferdam::syscalls {
namespace {

using kernel::Deadline;
using kernel::ReceiveResult;
using kernel::SendRequest;
using kernel::Socket;
using kernel::SocketAddress;
using kernel::UserSink;
using kernel::UserSource;

constexpr uint32_t max_messages = 1024;  // UIO_MAXIOV
// What only the kernel may set in a message's flags.
constexpr int internal_flags = MSG_CTRUNC | MSG_TRUNC | MSG_EOR;

int io_flags(Socket& socket, int flags) { return flags | (socket.nonblocking() ? MSG_DONTWAIT : 0); }

Result<int64_t> send_message(Task& task, Socket& socket, MessageHeader const& header, int flags) {
  SendRequest request;
  request.flags = io_flags(socket, flags);
  if (static_cast<int32_t>(header.name_length) < 0) return fail(Errno::Inval);
  if (header.name != 0) {
    auto length = static_cast<int32_t>(std::min<uint32_t>(header.name_length, sizeof(sockaddr_storage)));
    request.address = TRY(read_address(task, UserAddr{header.name}, length));
  }
  UserSource source(
      task, TRY(read_io_vector(task, UserAddr{header.vectors}, header.vector_count, max_transfer, Errno::MsgSize)));
  request.control = TRY(read_control(task, header.control, header.control_length));
  return static_cast<int64_t>(TRY(socket.send(task, source, request)));
}

// header comes back with what the guest is to see.
Result<int64_t> receive_message(Task& task, Socket& socket, MessageHeader& header, int flags) {
  if (static_cast<int32_t>(header.name_length) < 0) return fail(Errno::Inval);
  UserSink sink(task,
                TRY(read_io_vector(task, UserAddr{header.vectors}, header.vector_count, max_transfer, Errno::MsgSize)));
  bool close_on_exec = flags & MSG_CMSG_CLOEXEC;
  ReceiveResult got = TRY(socket.receive(task, sink, io_flags(socket, flags & ~MSG_CMSG_CLOEXEC)));
  header.flags = static_cast<uint32_t>(got.flags) | (close_on_exec ? static_cast<uint32_t>(MSG_CMSG_CLOEXEC) : 0);
  TRY(write_control(task, got.control, header, close_on_exec));
  if (header.name != 0) {
    size_t n = std::min(header.name_length, got.address.length);
    if (n != 0) TRY(task.copy_out(UserAddr{header.name}, std::as_bytes(std::span(&got.address.storage, 1)).first(n)));
    header.name_length = got.address.length;
  }
  return static_cast<int64_t>(got.bytes);
}

// Only what recvmsg changes is written back.
Result<void> write_header(Task& task, UserPtr<MessageHeader> address, MessageHeader const& header) {
  auto field = [&](size_t offset) { return address.address().value + offset; };
  if (header.name != 0)
    TRY(task.write(UserPtr<uint32_t>(field(offsetof(MessageHeader, name_length))), header.name_length));
  TRY(task.write(UserPtr<uint64_t>(field(offsetof(MessageHeader, control_length))), header.control_length));
  return task.write(UserPtr<uint32_t>(field(offsetof(MessageHeader, flags))), header.flags);
}

UserPtr<MessageHeader> header_of(UserPtr<MultiMessageHeader> m) { return UserPtr<MessageHeader>(m.address()); }

Result<void> write_length(Task& task, UserPtr<MultiMessageHeader> m, int64_t length) {
  UserPtr<uint32_t> to(m.address().value + offsetof(MultiMessageHeader, length));
  return task.write(to, static_cast<uint32_t>(length));
}

}  // namespace

Result<int64_t> sys_sendto(Task& task, Fd fd, UserAddr buffer, uint64_t length, int32_t flags, UserAddr address,
                           int32_t address_length) {
  auto open = TRY(socket_at(task, fd));
  SendRequest request;
  request.flags = io_flags(*open.socket, flags);
  if (address) request.address = TRY(read_address(task, address, address_length));
  UserSource source(task, UserSlice{buffer, std::min(length, max_transfer)});
  return static_cast<int64_t>(TRY(open.socket->send(task, source, request)));
}

Result<int64_t> sys_recvfrom(Task& task, Fd fd, UserAddr buffer, uint64_t length, int32_t flags, UserAddr address,
                             UserPtr<int32_t> address_length) {
  auto open = TRY(socket_at(task, fd));
  UserSink sink(task, UserSlice{buffer, std::min(length, max_transfer)});
  ReceiveResult got = TRY(open.socket->receive(task, sink, io_flags(*open.socket, flags)));
  if (address) TRY(write_address(task, got.address, address, address_length));
  return static_cast<int64_t>(got.bytes);
}

Result<int64_t> sys_sendmsg(Task& task, Fd fd, UserPtr<MessageHeader> address, int32_t flags) {
  auto open = TRY(socket_at(task, fd));
  return send_message(task, *open.socket, TRY(task.read(address)), flags & ~internal_flags);
}

Result<int64_t> sys_recvmsg(Task& task, Fd fd, UserPtr<MessageHeader> address, int32_t flags) {
  auto open = TRY(socket_at(task, fd));
  auto header = TRY(task.read(address));
  int64_t n = TRY(receive_message(task, *open.socket, header, flags));
  TRY(write_header(task, address, header));
  return n;
}

Result<int64_t> sys_sendmmsg(Task& task, Fd fd, UserPtr<MultiMessageHeader> messages, uint32_t count, int32_t flags) {
  auto open = TRY(socket_at(task, fd));
  int64_t sent = 0;
  for (uint32_t i = 0; i < std::min(count, max_messages); ++i) {
    auto one = [&]() -> Result<void> {
      auto message = TRY(messages.at(i));
      auto header = TRY(task.read(header_of(message)));
      return write_length(task, message, TRY(send_message(task, *open.socket, header, flags & ~internal_flags)));
    }();
    if (!one) {
      if (sent == 0) return std::unexpected(one.error());
      break;
    }
    ++sent;
  }
  return sent;
}

Result<int64_t> sys_recvmmsg(Task& task, Fd fd, UserPtr<MultiMessageHeader> messages, uint32_t count, int32_t flags,
                             UserPtr<timespec> timeout) {
  Deadline deadline = TRY(read_relative_timeout(task, timeout));
  auto open = TRY(socket_at(task, fd));
  int64_t received = 0;
  Result<void> one;
  for (uint32_t i = 0; i < std::min(count, max_messages); ++i) {
    one = [&]() -> Result<void> {
      auto message = TRY(messages.at(i));
      auto header = TRY(task.read(header_of(message)));
      int64_t n = TRY(receive_message(task, *open.socket, header, flags & ~MSG_WAITFORONE));
      TRY(write_header(task, header_of(message), header));
      return write_length(task, message, n);
    }();
    if (!one) break;
    ++received;
    if (flags & MSG_WAITFORONE) flags |= MSG_DONTWAIT;
    if (timeout && deadline.expired()) break;  // looked at between messages only (recvmmsg(2), BUGS)
  }
  if (timeout) TRY(task.write(timeout, kernel::to_timespec(deadline.remaining_ns())));
  if (received == 0 && !one) return std::unexpected(one.error());
  return received;
}

}  // namespace cofferdam::syscalls
