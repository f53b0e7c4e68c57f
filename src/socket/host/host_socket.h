// A guest's socket that is a socket of the host's kernel (--network=host). What it may ask for stands in host_calls.h.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "host/fd.h"
#include "host/internet_socket.h"
#include "kernel/ipc/socket.h"
#include "kernel/wait_queue.h"
#include "socket/host/privileged.h"

namespace cofferdam::kernel {
class Kernel;
}

namespace cofferdam::host_sockets {

class HostSocket : public kernel::Socket {
 public:
  HostSocket(kernel::Task& creator, std::shared_ptr<Privileged>, host::OwnedFd, int domain, int type, int protocol,
             int flags);
  ~HostSocket() override;
  // Begins to hear of the host's socket; before anything else.
  Result<void> start();

  Result<void> bind(kernel::Task&, kernel::SocketAddress const&) override;
  Result<void> listen(kernel::Task&, int backlog) override;
  Result<void> connect(kernel::Task&, kernel::SocketAddress const&) override;
  Result<Ref<kernel::Socket>> accept(kernel::Task&, int flags, kernel::SocketAddress& peer) override;
  Result<kernel::SocketAddress> local_address() override;
  Result<kernel::SocketAddress> peer_address() override;
  Result<void> shutdown(kernel::ShutdownHow) override;
  Result<size_t> send(kernel::Task&, kernel::IoSource&, kernel::SendRequest&) override;
  Result<kernel::ReceiveResult> receive(kernel::Task&, kernel::IoSink&, int flags) override;
  Result<std::vector<std::byte>> get_option(kernel::Task&, int level, int name, size_t room) override;
  Result<std::vector<std::byte>> get_option_with(kernel::Task&, int level, int name,
                                                 std::span<std::byte const> given) override;
  Result<void> set_option(kernel::Task&, int level, int name, std::span<std::byte const> value) override;
  Result<uint64_t> ioctl(kernel::Task&, uint32_t request, uint64_t argument) override;
  Result<void> on_descriptor_close(kernel::Task&) override;
  kernel::PollMask poll() override;
  kernel::WaitQueue* wait_queue() override { return &queue_; }

 protected:
  // What may go to the host at all. EPERM, EOPNOTSUPP.
  virtual Result<void> check_message(std::span<std::byte const>) { return {}; }
  bool is_stream() const { return type() == SOCK_STREAM; }

 private:
  Result<void> wait_connected(kernel::Task&, host::SocketName const&);
  Result<size_t> send_some(kernel::IoSource&, host::SocketName const&, std::span<std::byte const> control, int flags);
  bool is_at_mark() const;
  Result<kernel::ReceiveResult> receive_some(kernel::IoSink&, int flags);
  // Nothing: no bytes are held. EFAULT.
  std::optional<Result<kernel::ReceiveResult>> receive_held(kernel::IoSink&, int flags);
  Result<void> set_linger(std::span<std::byte const> value);

  kernel::Kernel& kernel_;
  std::shared_ptr<Privileged> const privileged_;
  host::OwnedFd const fd_;
  kernel::WaitQueue queue_;
  std::atomic<bool> connecting_{false}, started_{false};
  std::atomic<int> linger_seconds_{0}, low_water_{1};
  // Bytes of a stream that the host has given and the guest's memory did not take.
  Mutex held_mutex_;
  std::vector<std::byte> held_ GUARDED_BY(held_mutex_);
  std::atomic<bool> holds_{false};
};

host::SocketName to_host(kernel::SocketAddress const&);
kernel::SocketAddress from_host(host::SocketName const&);

}  // namespace cofferdam::host_sockets
