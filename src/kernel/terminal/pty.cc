#include "kernel/terminal/pty.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include <algorithm>

#include "kernel/task/task.h"
#include "kernel/terminal/pty_files.h"

namespace cofferdam::kernel {

namespace {
constexpr PollMask readable = EPOLLIN | EPOLLRDNORM, writable = EPOLLOUT | EPOLLWRNORM;
constexpr unsigned slave_major = 136;
}  // namespace

Pty::Pty(Kernel& kernel, int index) : Terminal(kernel), index_(index) {}

uint64_t Pty::device() const { return makedev(slave_major, static_cast<unsigned>(index_)); }

Result<Ref<File>> Pty::open(Task& task, Path const& path, int flags) {
  return open_slave(&task, path, flags | O_NOCTTY);
}

Ref<File> Pty::open_master(Path path, int flags, std::function<void()> on_closed) {
  {
    MutexLock lock(mutex_);
    master_open_ = true;
    on_master_closed_ = std::move(on_closed);
  }
  return make_ref<PtyMasterFile>(Ref<Pty>(this), std::move(path), flags);
}

Result<Ref<File>> Pty::open_slave(Task* task, Path path, int flags) {
  uint64_t epoch = 0;
  bool const may_share = task != nullptr && task->capable(CAP_SYS_ADMIN);
  {
    MutexLock lock(mutex_);
    if (locked_ || !master_open_) return fail(Errno::Io);
    if (exclusive_ && !may_share) return fail(Errno::Busy);
    ++slaves_;
    slave_was_open_ = true;
    epoch = epoch_;
  }
  Ref<File> file = make_ref<PtySlaveFile>(Ref<Pty>(this), std::move(path), flags, epoch);
  if (task != nullptr && !(flags & O_NOCTTY)) adopt_on_open(*task);
  master_queue_.wake(writable);
  return file;
}

// ---- readiness

bool Pty::input_room() const { return pending_.size() < pending_limit; }

PollMask Pty::poll(Side side, uint64_t epoch) {
  MutexLock lock(mutex_);
  PollMask mask = 0;
  if (side == Side::Master) {
    if (discipline_.output_size() != 0) mask |= readable;
    if (packet_ && packet_status_ != 0) mask |= readable | EPOLLPRI;
    if (slave_was_open_ && slaves_ == 0) mask |= EPOLLHUP;
    if (input_room()) mask |= writable;
    return mask;
  }
  if (epoch != epoch_ || !master_open_) return readable | writable | EPOLLERR | EPOLLHUP;
  if (discipline_.input_pollable()) mask |= readable;
  if (discipline_.output_room() != 0) mask |= writable;
  return mask;
}

bool Pty::input_available() const {
  MutexLock lock(mutex_);
  return discipline_.input_available();
}

bool Pty::slave_closed() const {
  MutexLock lock(mutex_);
  return slave_was_open_ && slaves_ == 0;
}

bool Pty::hung_up(uint64_t epoch) const {
  MutexLock lock(mutex_);
  return epoch != epoch_ || !master_open_;
}

// ---- bytes

void Pty::act_on(LineDiscipline::Events const& events) {
  if (events.interrupt) signal_foreground(SIGINT);
  if (events.quit) signal_foreground(SIGQUIT);
  if (events.suspend) signal_foreground(SIGTSTP);
}

void Pty::drain_pending(LineDiscipline::Events& events) {
  if (pending_.empty()) return;
  size_t const taken = discipline_.receive(as_bytes(pending_), events);
  pending_.erase(0, taken);
}

size_t Pty::take_output(std::span<std::byte> to) {
  size_t n = 0;
  {
    MutexLock lock(mutex_);
    n = discipline_.take_output(to);
  }
  if (n != 0) slave_queue_.wake(writable);
  return n;
}

size_t Pty::give_input(std::span<std::byte const> from) {
  LineDiscipline::Events events;
  size_t taken = 0;
  {
    MutexLock lock(mutex_);
    drain_pending(events);
    if (pending_.empty()) taken = discipline_.receive(from, events);
    size_t const extra = std::min(from.size() - taken, pending_limit - std::min(pending_limit, pending_.size()));
    for (std::byte b : from.subspan(taken, extra)) pending_.push_back(static_cast<char>(b));
    taken += extra;
    if (packet_ && events.flushed) packet_status_ |= TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE;
    if (packet_ && events.stopped)
      packet_status_ = static_cast<uint8_t>((packet_status_ | TIOCPKT_STOP) & ~TIOCPKT_START);
    if (packet_ && events.started)
      packet_status_ = static_cast<uint8_t>((packet_status_ | TIOCPKT_START) & ~TIOCPKT_STOP);
  }
  act_on(events);
  slave_queue_.wake(readable | (events.started || events.flushed ? writable : 0));
  master_queue_.wake(readable | EPOLLPRI);  // the echo
  return taken;
}

size_t Pty::take_input(std::span<std::byte> to, bool& end_of_file) {
  LineDiscipline::Events events;
  size_t n = 0;
  bool drained = false, more = false;
  {
    MutexLock lock(mutex_);
    n = discipline_.read(to, end_of_file);
    drained = !pending_.empty();
    drain_pending(events);
    more = discipline_.input_available();
  }
  act_on(events);
  if (drained) master_queue_.wake(readable | writable);
  if (more && drained) slave_queue_.wake(readable);
  return n;
}

size_t Pty::give_output(std::span<std::byte const> from) {
  size_t n = 0;
  {
    MutexLock lock(mutex_);
    n = discipline_.write(from);
  }
  if (n != 0) master_queue_.wake(readable);
  return n;
}

void Pty::inject(uint8_t byte) {
  std::byte const b{byte};
  (void)give_input(std::span(&b, 1));
}

// ---- settings

abi::Termios2 Pty::settings() const {
  MutexLock lock(mutex_);
  return discipline_.settings();
}

void Pty::set_settings(abi::Termios2 const& settings) {
  auto flow_by_default_keys = [](abi::Termios2 const& t) {
    return (t.input_flags & IXON) && t.control_characters[VSTOP] == 023 && t.control_characters[VSTART] == 021;
  };
  {
    MutexLock lock(mutex_);
    bool const old_flow = flow_by_default_keys(discipline_.settings()), new_flow = flow_by_default_keys(settings);
    bool const extproc = (discipline_.settings().local_flags | settings.local_flags) & abi::extproc;
    discipline_.set_settings(settings);
    if (packet_ && extproc) packet_status_ |= TIOCPKT_IOCTL;
    if (packet_ && old_flow != new_flow) {
      packet_status_ = static_cast<uint8_t>(packet_status_ & ~(TIOCPKT_DOSTOP | TIOCPKT_NOSTOP));
      packet_status_ |= new_flow ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP;
    }
  }
  slave_queue_.wake(readable | writable);
  master_queue_.wake(EPOLLPRI | readable | writable);
}

abi::WindowSize Pty::window_size() const {
  MutexLock lock(mutex_);
  return window_;
}

void Pty::set_window_size(abi::WindowSize const& size) {
  {
    MutexLock lock(mutex_);
    if (window_ == size) return;
    window_ = size;
  }
  signal_foreground(SIGWINCH);
}

size_t Pty::bytes_for(Side side) const {
  MutexLock lock(mutex_);
  return side == Side::Master ? discipline_.output_size() : discipline_.input_size();
}

// A slave's input is what the master wrote; a master's input is the slave's output.
void Pty::flush(Side side, bool input, bool output) {
  if (side == Side::Master) std::swap(input, output);
  {
    MutexLock lock(mutex_);
    if (input) {
      discipline_.flush_input();
      pending_.clear();
    }
    if (output) discipline_.flush_output();
    if (packet_ && input) packet_status_ |= TIOCPKT_FLUSHREAD;
    if (packet_ && output) packet_status_ |= TIOCPKT_FLUSHWRITE;
  }
  if (input) master_queue_.wake(writable | EPOLLPRI);
  if (output) slave_queue_.wake(writable);
}

void Pty::stop_output(bool stop) {
  {
    MutexLock lock(mutex_);
    if (stop)
      discipline_.stop_output();
    else
      discipline_.start_output();
    if (packet_) packet_status_ |= stop ? TIOCPKT_STOP : TIOCPKT_START;
  }
  master_queue_.wake(readable | EPOLLPRI);
  if (!stop) slave_queue_.wake(writable);
}

void Pty::set_packet_mode(bool on) {
  MutexLock lock(mutex_);
  if (on && !packet_) packet_status_ = 0;
  packet_ = on;
}

bool Pty::packet_mode() const {
  MutexLock lock(mutex_);
  return packet_;
}

uint8_t Pty::take_packet_status() {
  MutexLock lock(mutex_);
  return packet_ ? std::exchange(packet_status_, uint8_t{0}) : uint8_t{0};
}

void Pty::set_locked(bool locked) {
  MutexLock lock(mutex_);
  locked_ = locked;
}

bool Pty::locked() const {
  MutexLock lock(mutex_);
  return locked_;
}

void Pty::set_exclusive(bool exclusive) {
  MutexLock lock(mutex_);
  exclusive_ = exclusive;
}

bool Pty::exclusive() const {
  MutexLock lock(mutex_);
  return exclusive_;
}

// ---- the end

void Pty::hang_up() {
  {
    MutexLock lock(mutex_);
    ++epoch_;
    discipline_.flush_input();
    pending_.clear();
    discipline_.set_settings(default_terminal_settings());
  }
  hang_up_session();
  slave_queue_.wake(readable | writable | EPOLLHUP | EPOLLERR);
  master_queue_.wake(readable | EPOLLHUP);
}

void Pty::master_closed() {
  std::function<void()> on_closed;
  {
    MutexLock lock(mutex_);
    master_open_ = false;
    on_closed = std::exchange(on_master_closed_, nullptr);
  }
  hang_up();
  if (on_closed) on_closed();
}

void Pty::slave_file_closed() {
  bool last = false;
  {
    MutexLock lock(mutex_);
    last = --slaves_ == 0;
    if (last) exclusive_ = false;
  }
  if (!last) return;
  forget_session();
  master_queue_.wake(readable | EPOLLHUP);
}

}  // namespace cofferdam::kernel
