// The open file of an AF_UNIX socket (unix(7)).
#pragma once

#include "base/mutex.h"
#include "kernel/ipc/socket.h"
#include "socket/unix/endpoint.h"
#include "socket/unix/host_peer.h"

namespace cofferdam::unix_sockets {

class UnixSocket final : public kernel::Socket {
 public:
  UnixSocket(kernel::Task& creator, Ref<Endpoint>, int flags);
  ~UnixSocket() override;
  Ref<Endpoint> const& endpoint() const { return endpoint_; }

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

  Result<uint64_t> ioctl(kernel::Task&, uint32_t request, uint64_t argument) override;
  kernel::PollMask poll() override;
  kernel::WaitQueue* wait_queue() override { return &endpoint_->queue; }

 protected:
  int take_error() override;
  bool listening() const override;
  void buffer_size_changed() override;

 private:
  // names.cc
  Result<void> bind_path(kernel::Task&, std::string const& path);
  Result<void> autobind();
  Result<void> autobind_for_credentials();  // a socket that passes credentials has a name (unix(7))
  Result<Ref<Endpoint>> find(kernel::Task&, kernel::SocketAddress const&);

  // connect.cc
  Result<void> connect_stream(kernel::Task&, kernel::SocketAddress const&);
  Result<void> connect_datagram(kernel::Task&, kernel::SocketAddress const&);
  Result<bool> try_connect(kernel::Task&, Ref<Endpoint> const& listener);

  // host_peer.cc
  Result<void> connect_host(kernel::Task&, kernel::SocketAddress const&);
  Result<size_t> send_to_host(kernel::Task&, HostPeer&, kernel::IoSource&, kernel::SendRequest&);
  Result<kernel::ReceiveResult> receive_from_host(kernel::Task&, HostPeer&, kernel::IoSink&, int flags);
  HostPeer* host() const { return host_.load(std::memory_order_acquire); }

  // send.cc
  struct Sending;  // what one call of send has decided about its messages
  Result<Sending> prepare(kernel::Task&, kernel::SendRequest&);
  Result<std::unique_ptr<Message>> make_message(kernel::IoSource&, size_t size, Sending&);
  Result<void> wait_for_send_room(kernel::Task&, bool nowait);
  Result<size_t> send_stream(kernel::Task&, kernel::IoSource&, kernel::SendRequest&);
  Result<size_t> send_datagram(kernel::Task&, kernel::IoSource&, kernel::SendRequest&);
  Result<Ref<Endpoint>> stream_peer();
  Result<Ref<Endpoint>> datagram_target(kernel::Task&, kernel::SendRequest const&);
  enum class Delivery { Done, Full, Gone };
  Result<Delivery> deliver_datagram(Endpoint& to, std::unique_ptr<Message>&);
  void forget_peer(Endpoint const&);

  // receive.cc
  Result<kernel::ReceiveResult> receive_stream(kernel::Task&, kernel::IoSink&, int flags);
  Result<kernel::ReceiveResult> receive_datagram(kernel::Task&, kernel::IoSink&, int flags);
  // A read of a stream on its way. `stop`: what follows must not be glued to it (another sender's credentials, files
  // that came along, a bad buffer).
  struct StreamProgress {
    bool stop = false;
    std::optional<kernel::SocketIdentity> sender;
  };
  // Copies from the messages that are there.
  Result<size_t> copy_stream(kernel::Task&, kernel::IoSink&, int flags, kernel::ReceiveResult&, StreamProgress&)
      REQUIRES(endpoint_->receive_mutex);
  Result<bool> nothing_to_read(bool& end_of_file);
  Result<void> wait_for_message(kernel::Task&, int flags, kernel::Deadline);
  void tell_senders();
  void take_control(Message&, int flags, kernel::ReceiveResult&);

  Ref<Endpoint> const endpoint_;
  Mutex bind_mutex_;
  std::unique_ptr<HostPeer> host_peer_;  // set once, under the endpoint's mutex
  std::atomic<HostPeer*> host_{nullptr};
};

}  // namespace cofferdam::unix_sockets
