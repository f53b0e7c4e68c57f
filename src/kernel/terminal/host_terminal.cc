#include "kernel/terminal/host_terminal.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "host/terminal.h"

namespace cofferdam::kernel {
namespace {

// The host tells nobody but the foreground of its own session of a new size, so it is asked for.
constexpr int window_check_ms = 500;
constexpr size_t chunk_size = 4096;
constexpr size_t write_size = 1024;  // so that a terminal that is ready takes it without blocking

}  // namespace

struct HostTerminal::State final : Waiter {
  Ref<Pty> pty;
  Ref<File> master;
  host::OwnedFd in, separate_out, wakeup;
  bool follows_window = false;
  std::atomic<bool> ending{false};
  std::thread thread;

  int out() const { return separate_out ? separate_out.get() : in.get(); }
  void on_event(PollMask) override { host::ring_wakeup(wakeup.get()); }

  void follow_window() {
    if (!follows_window) return;
    if (auto size = host::terminal_window_size(out())) pty->set_window_size(*size);
  }

  // From the guest to the host. false: the host's side is gone, or takes nothing while the end waits.
  bool write_out(std::span<std::byte const> bytes) {
    int patience = 1000 / window_check_ms;
    while (!bytes.empty()) {
      auto const state = host::wait_for_two(out(), false, true, -1, window_check_ms);
      bool const ready = state.first_writable;
      if (!ready && state.first_gone) return false;
      if (!ready && ending.load() && --patience < 0) return false;
      Result<size_t> const n =
          ready ? host::write_stream(out(), bytes.first(std::min(bytes.size(), write_size))) : size_t{0};
      if (!n && n.error() != Errno::Again && n.error() != Errno::Intr) return false;
      if (n) bytes = bytes.subspan(*n);
    }
    return true;
  }

  bool copy_output() {
    std::array<std::byte, chunk_size> chunk;
    for (;;) {
      size_t const n = pty->take_output(chunk);
      if (n == 0) return true;
      if (!write_out(std::span<std::byte const>(chunk).first(n))) return false;
    }
  }

  // From the host to the guest; `held` keeps what the guest had no room for. false: the host's side is gone.
  bool copy_input(std::vector<std::byte>& held) {
    if (held.empty()) {
      std::array<std::byte, chunk_size> chunk;
      Result<size_t> const n = host::read_stream(in.get(), chunk);
      if (!n) return n.error() == Errno::Again || n.error() == Errno::Intr;
      if (*n == 0) return false;
      held.assign(chunk.begin(), chunk.begin() + static_cast<ptrdiff_t>(*n));
    }
    size_t const taken = pty->give_input(held);
    held.erase(held.begin(), held.begin() + static_cast<ptrdiff_t>(taken));
    return true;
  }

  void run() {
    std::vector<std::byte> held;
    while (!ending.load()) {
      auto const ready =
          host::wait_for_two(in.get(), held.empty(), false, wakeup.get(), follows_window ? window_check_ms : -1);
      if (ready.second_readable) host::clear_wakeup(wakeup.get());
      follow_window();
      if (!copy_output()) break;
      if ((ready.first_readable || !held.empty()) && !copy_input(held)) break;
      if (ready.first_gone && !ready.first_readable) break;
    }
    (void)copy_output();
    pty->queue(Pty::Side::Master).remove(*this);
    master = nullptr;  // the guest is hung up
  }
};

HostTerminal::HostTerminal(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<HostTerminal>> HostTerminal::attach(Ref<Pty> pty, Ref<File> master, host::OwnedFd in,
                                                           host::OwnedFd out) {
  auto state = std::make_unique<State>();
  state->pty = std::move(pty);
  state->master = std::move(master);
  state->in = std::move(in);
  state->separate_out = std::move(out);
  state->wakeup = TRY(host::make_wakeup());
  state->follows_window = host::terminal_window_size(state->out()).has_value();
  state->follow_window();
  state->pty->queue(Pty::Side::Master).add(*state, EPOLLIN | EPOLLOUT);
  state->thread = std::thread([s = state.get()] { s->run(); });
  return std::unique_ptr<HostTerminal>(new HostTerminal(std::move(state)));
}

HostTerminal::~HostTerminal() {
  state_->ending.store(true);
  host::ring_wakeup(state_->wakeup.get());
  state_->thread.join();
}

}  // namespace cofferdam::kernel
