// The open file of a TCP socket (tcp(7)).
#pragma once

#include "netstack/tcp_endpoint.h"
#include "socket/inet/inet_socket.h"

namespace cofferdam::inet {

// Of include/uapi that the C library does not have.
inline constexpr int tcp_inq = 36, tcp_fast_open_no_cookie = 34;

// struct tcp_info of TCP_INFO (tcp(7)).
std::vector<std::byte> tcp_info_of(netstack::TcpEndpoint const&);

class TcpSocket final : public InetSocket {
 public:
  TcpSocket(kernel::Task& creator, std::shared_ptr<Network>, int domain, int flags);
  // Around a connection that a listener gave.
  TcpSocket(kernel::Task& creator, TcpSocket& listener, Ref<netstack::TcpEndpoint>, int flags);
  ~TcpSocket() override;

  Result<void> bind(kernel::Task&, kernel::SocketAddress const&) override;
  Result<void> listen(kernel::Task&, int backlog) override;
  Result<void> connect(kernel::Task&, kernel::SocketAddress const&) override;
  Result<Ref<kernel::Socket>> accept(kernel::Task&, int flags, kernel::SocketAddress& peer) override;
  Result<kernel::SocketAddress> local_address() override;
  Result<kernel::SocketAddress> peer_address() override;
  Result<void> shutdown(kernel::ShutdownHow) override;
  Result<size_t> send(kernel::Task&, kernel::IoSource&, kernel::SendRequest&) override;
  Result<kernel::ReceiveResult> receive(kernel::Task&, kernel::IoSink&, int flags) override;
  Result<void> on_descriptor_close(kernel::Task&) override;
  Result<uint64_t> ioctl(kernel::Task&, uint32_t request, uint64_t argument) override;
  kernel::PollMask poll() override;

 protected:
  int take_error() override { return endpoint_->take_error(); }
  bool listening() const override { return endpoint_->state() == netstack::TcpState::Listen; }
  Result<int> input_queue() override;
  Result<int> output_queue() override;
  Result<std::optional<std::vector<std::byte>>> get_own_option(int level, int name, size_t room) override;
  Result<bool> set_own_option(kernel::Task&, int level, int name, std::span<std::byte const>) override;
  void ip_options_changed() override;
  void socket_option_changed(int name, int value) override;
  bool bound() const override { return static_cast<bool>(endpoint_->binding()); }
  void set_bound_interface(uint32_t i) override { endpoint_->bind_to_interface(i); }
  uint32_t path_mtu() const override { return endpoint_->info().path_mtu; }

 private:
  Result<void> begin_connect(kernel::Task&, kernel::SocketAddress const&);
  Result<void> wait_connected(kernel::Task&);
  Result<void> connect_to_send(kernel::Task&, kernel::SendRequest const&);
  Result<void> send_piece(kernel::IoSource&, size_t n, bool more, bool urgent);
  Result<size_t> send_stream(kernel::Task&, kernel::IoSource&, int flags);
  Result<kernel::ReceiveResult> receive_urgent(kernel::IoSink&, int flags);
  void add_waiting(kernel::ReceiveResult&) const;
  void inherit(kernel::Task&, TcpSocket& listener);
  Result<kernel::ReceiveResult> receive_from(kernel::Task&, kernel::IoSink&, int flags, size_t skip);
  struct Copied {
    size_t bytes = 0;
    bool end = false, empty = false;
  };
  Result<Copied> copy_available(kernel::IoSink&, size_t offset, size_t length, int flags, bool keep_error = false);
  Result<void> set_tcp_option(int name, std::span<std::byte const>);
  Result<void> set_fast_open(kernel::Task&, int name, int value);

  Ref<netstack::TcpEndpoint> const endpoint_;
  Mutex receive_mutex_;  // who reads the stream copies to guest memory under it
  std::atomic<bool> connecting_{false}, linger_zero_{false}, options_touched_{false}, tells_waiting_{false},
      fast_open_connect_{false}, fast_open_without_cookie_{false};
  std::atomic<int> fast_open_queue_{0};
  std::atomic<int> linger_seconds_{0};  // 0: close does not wait
};

}  // namespace cofferdam::inet
