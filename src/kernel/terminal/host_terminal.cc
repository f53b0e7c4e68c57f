#include "kernel/terminal/host_terminal.h"

#include <array>
#include <atomic>
#include <thread>

#include "host/terminal.h"

namespace cofferdam::kernel {
namespace {

// The host tells nobody but the foreground of its own session of a new size, so it is asked for.
constexpr int window_check_ms = 500;
constexpr size_t chunk_size = 4096;

}  // namespace

struct HostTerminal::State final : Waiter {
  Ref<Pty> pty;
  Ref<File> master;
  host::OwnedFd host_side, wakeup;
  std::atomic<bool> ending{false};
  std::thread thread;

  void on_event(PollMask) override { host::ring_wakeup(wakeup.get()); }

  void follow_window() {
    if (auto size = host::terminal_window_size(host_side.get())) pty->set_window_size(*size);
  }

  // From the guest to the host. false: the host's side is gone.
  bool write_out(std::span<std::byte const> bytes) {
    while (!bytes.empty()) {
      Result<size_t> const n = host::write_stream(host_side.get(), bytes);
      if (n) {
        bytes = bytes.subspan(*n);
      } else if (n.error() == Errno::Again) {
        if (host::wait_for_two(host_side.get(), false, true, wakeup.get(), window_check_ms).first_gone) return false;
        if (ending.load()) return false;
      } else if (n.error() != Errno::Intr) {
        return false;
      }
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

  // From the host to the guest; `held` keeps what the guest had no room for.
  bool copy_input(std::vector<std::byte>& held) {
    if (held.empty()) {
      std::array<std::byte, chunk_size> chunk;
      Result<size_t> const n = host::read_stream(host_side.get(), chunk);
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
      auto const ready = host::wait_for_two(host_side.get(), held.empty(), false, wakeup.get(), window_check_ms);
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

Result<std::unique_ptr<HostTerminal>> HostTerminal::attach(Ref<Pty> pty, Ref<File> master, host::OwnedFd host_side) {
  auto state = std::make_unique<State>();
  TRY(host::terminal_window_size(host_side.get()));
  (void)host::make_terminal_raw(host_side.get());  // the caller may have done so, and may be all that can
  state->pty = std::move(pty);
  state->master = std::move(master);
  state->host_side = std::move(host_side);
  state->wakeup = TRY(host::make_wakeup());
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
