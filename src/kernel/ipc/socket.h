// Sockets as system calls see them. A family (src/socket/<family>) derives its sockets from Socket and is registered in
// IpcState::sockets by the assembly.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "kernel/cred/credentials.h"
#include "kernel/ipc/netlink_body.h"
#include "kernel/time/clock.h"
#include "kernel/vfs/file.h"

namespace cofferdam::kernel {

// A sockaddr of any family, as the guest gave it or will get it. length 0: none.
struct SocketAddress {
  sockaddr_storage storage{};
  uint32_t length = 0;
  int family() const { return length >= sizeof(sa_family_t) ? storage.ss_family : AF_UNSPEC; }
};

struct PeerCredentials {
  int32_t pid = 0;
  uint32_t uid = 0, gid = 0;
};
static_assert(sizeof(PeerCredentials) == 12);  // struct ucred

// The same for whoever asks. Without a process: as a socket without a peer.
struct SocketIdentity {
  Ref<Pid> pid;
  uint32_t uid = ~0u, gid = ~0u;
  static SocketIdentity of(Task&);  // with the effective ids
  PeerCredentials seen_by(Task const&) const;
  bool operator==(SocketIdentity const&) const = default;
};

// Ancillary data, parsed. A family that does not know a kind refuses it with EINVAL.
struct ControlData {
  std::vector<Ref<File>> rights;               // SCM_RIGHTS
  std::optional<PeerCredentials> credentials;  // SCM_CREDENTIALS
  struct Other {
    int level, type;
    std::vector<std::byte> bytes;
  };
  std::vector<Other> others;
  bool empty() const { return rights.empty() && !credentials && others.empty(); }
};

struct SendRequest {
  int flags = 0;          // MSG_*
  SocketAddress address;  // length 0: none
  ControlData control;
};

struct ReceiveResult {
  size_t bytes = 0;  // stored; with MSG_TRUNC in the request: the whole length of the message
  int flags = 0;     // MSG_TRUNC, MSG_CTRUNC, MSG_EOR, …
  SocketAddress address;
  ControlData control;
};

enum class ShutdownHow { Read = SHUT_RD, Write = SHUT_WR, Both = SHUT_RDWR };

class Socket : public File {
 public:
  // flags: O_NONBLOCK.
  Socket(uint64_t inode, int domain, int type, int protocol, int flags, Credentials const& creator);
  int domain() const { return domain_; }
  int type() const { return type_; }
  int protocol() const { return protocol_; }

  virtual Result<void> bind(Task&, SocketAddress const&) { return fail(Errno::OpNotSupp); }
  virtual Result<void> listen(Task&, int /*backlog*/) { return fail(Errno::OpNotSupp); }
  virtual Result<void> connect(Task&, SocketAddress const&) { return fail(Errno::OpNotSupp); }
  // flags: O_NONBLOCK of the new socket. EAGAIN when this socket is non-blocking and nobody waits.
  virtual Result<Ref<Socket>> accept(Task&, int /*flags*/, SocketAddress& /*peer*/) { return fail(Errno::OpNotSupp); }
  virtual Result<SocketAddress> local_address() = 0;
  virtual Result<SocketAddress> peer_address() = 0;  // ENOTCONN
  virtual Result<void> shutdown(ShutdownHow) { return fail(Errno::OpNotSupp); }
  // Sends SIGPIPE itself where send(2) says so and MSG_NOSIGNAL is absent.
  virtual Result<size_t> send(Task&, IoSource&, SendRequest&) = 0;
  virtual Result<ReceiveResult> receive(Task&, IoSink&, int flags) = 0;

  // getsockopt(2), setsockopt(2): the bytes of the value. `room`: the guest's buffer length. ENOPROTOOPT. The base
  // class serves what SOL_SOCKET has for every family.
  virtual Result<std::vector<std::byte>> get_option(Task&, int level, int name, size_t room);
  virtual Result<void> set_option(Task&, int level, int name, std::span<std::byte const> value);
  // Of options that are asked for by what the guest's buffer holds. ENOPROTOOPT: it is none of them.
  virtual Result<std::vector<std::byte>> get_option_with(Task&, int /*level*/, int /*name*/,
                                                         std::span<std::byte const> /*given*/) {
    return fail(Errno::NoProtoOpt);
  }

  // File: read and write are receive and send without flags.
  Result<size_t> read(Task&, IoSink&, uint64_t offset, IoOptions) override;
  Result<size_t> write(Task&, IoSource&, uint64_t offset, IoOptions) override;
  Result<Attributes> attributes() override;
  std::string anonymous_name() const override;
  uint64_t inode_number() const { return inode_; }

 protected:
  // When a blocking receive or send (SO_RCVTIMEO, SO_SNDTIMEO) gives up.
  Deadline receive_deadline() const;
  Deadline send_deadline() const;
  // An interrupted call with a time-out is EINTR; without one it restarts (signal(7)). EAGAIN when the time is over.
  Error interrupted(Error, bool has_timeout) const;
  bool receive_has_timeout() const { return receive_timeout_ns_.load(std::memory_order_relaxed) != 0; }
  bool send_has_timeout() const { return send_timeout_ns_.load(std::memory_order_relaxed) != 0; }
  // SO_ERROR: the pending error, which is cleared.
  virtual int take_error() { return 0; }
  virtual bool listening() const { return false; }  // SO_ACCEPTCONN
  void set_priority(int priority) { priority_.store(priority, std::memory_order_relaxed); }
  virtual void buffer_size_changed() {}

  std::atomic<int> send_buffer_{212992}, receive_buffer_{212992};
  std::atomic<bool> pass_credentials_{false};  // SO_PASSCRED

 private:
  Result<std::vector<std::byte>> get_socket_option(int name, size_t room);
  Result<void> set_socket_option(Task&, int name, std::span<std::byte const> value);

  uint64_t const inode_;
  int const domain_, type_, protocol_;
  uid_t const owner_uid_;
  gid_t const owner_gid_;
  std::atomic<int64_t> receive_timeout_ns_{0}, send_timeout_ns_{0};                     // 0: none
  std::atomic<int> receive_low_water_{1}, priority_{0}, mark_{0}, linger_seconds_{-1};  // negative: off
  std::atomic<uint64_t> flag_options_{0};  // bit n: the on/off option number n
};

class SocketFamily {
 public:
  virtual ~SocketFamily() = default;
  // type without SOCK_* flags; flags: O_NONBLOCK. EPROTONOSUPPORT, ESOCKTNOSUPPORT.
  virtual Result<Ref<Socket>> create(Task&, int type, int protocol, int flags) = 0;
  virtual Result<std::pair<Ref<Socket>, Ref<Socket>>> create_pair(Task&, int /*type*/, int /*protocol*/,
                                                                  int /*flags*/) {
    return fail(Errno::OpNotSupp);
  }
  // ioctls about network interfaces, which sockets of every family answer by asking AF_INET's.
  virtual Result<uint64_t> interface_ioctl(Task&, uint32_t /*request*/, uint64_t /*argument*/) {
    return fail(Errno::NoTty);
  }
  // Answers a request of sock_diag(7) about this family's sockets: the bodies of the answers. `dump`: all that fit it,
  // not one. ENOENT: there is none, or nothing is told of that protocol.
  virtual Result<std::vector<NetlinkBody>> diagnose(std::span<std::byte const> /*request*/, bool /*dump*/) {
    return fail(Errno::NoEnt);
  }
  // The text of /proc/net/`file`, where it is this family's to tell.
  virtual std::optional<std::string> proc_net(std::string_view /*file*/) { return std::nullopt; }
};

// Null when the file is no socket.
Socket* socket_of(File&);

}  // namespace cofferdam::kernel
