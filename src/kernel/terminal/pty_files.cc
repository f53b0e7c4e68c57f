#include "kernel/terminal/pty_files.h"

#include <sys/ioctl.h>
#include <termios.h>

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

constexpr size_t transfer_size = 4096;
constexpr int kept_flags = ~(O_NOCTTY | O_TRUNC | O_CREAT | O_EXCL);

// Moves a source's bytes by `give` (how many were taken) and waits on the queue for room. `dead`: EIO.
template <class Give, class Dead>
Result<size_t> write_all(Task& task, IoSource& source, IoOptions options, WaitQueue& queue, Give give, Dead dead) {
  std::array<std::byte, transfer_size> chunk;
  size_t total = 0;
  auto result = [&](Errno e) { return total ? Result<size_t>(total) : Result<size_t>(fail(e)); };
  while (source.remaining() != 0) {
    Result<size_t> const got = source.get(std::span(chunk).first(std::min(chunk.size(), source.remaining())));
    if (!got) return total ? Result<size_t>(total) : got;
    if (*got == 0) break;
    for (size_t done = 0; done < *got;) {
      if (dead()) return source.unget(*got - done), result(Errno::Io);
      size_t taken = give(std::span<std::byte const>(chunk).subspan(done, *got - done));
      if (taken == 0) {
        if (options.nowait) return source.unget(*got - done), result(Errno::Again);
        auto ready = [&] {
          return dead() || (taken = give(std::span<std::byte const>(chunk).subspan(done, *got - done))) != 0;
        };
        Result<void> const waited = task.wait_until(queue, EPOLLOUT | EPOLLWRNORM, Deadline::never(), ready);
        if (!waited) return source.unget(*got - done), result(waited.error().code);
      }
      done += taken;
      total += taken;
    }
  }
  return total;
}

}  // namespace

// ---- master

PtyMasterFile::PtyMasterFile(Ref<Pty> pty, Path path, int flags)
    : File(std::move(path), flags & kept_flags), pty_(std::move(pty)) {}

PtyMasterFile::~PtyMasterFile() { pty_->master_closed(); }

Result<size_t> PtyMasterFile::read(Task& task, IoSink& sink, uint64_t, IoOptions options) {
  if (sink.remaining() == 0) return size_t{0};
  std::array<std::byte, transfer_size> chunk;
  size_t prefix = 0;
  bool closed = false;
  auto take = [&]() -> size_t {
    prefix = 0;
    if (pty_->packet_mode()) {
      uint8_t const status = pty_->take_packet_status();
      chunk[0] = std::byte{status};
      if (status != 0) return 1;
      prefix = 1;
    }
    size_t const room = std::min(chunk.size(), sink.remaining());
    size_t const n = room > prefix ? pty_->take_output(std::span(chunk).subspan(prefix, room - prefix)) : 0;
    return n == 0 ? 0 : n + prefix;
  };
  size_t n = take();
  if (n == 0) {
    if (pty_->slave_closed()) return fail(Errno::Io);
    if (options.nowait) return fail(Errno::Again);
    auto ready = [&] { return (n = take()) != 0 || (closed = pty_->slave_closed()); };
    TRY(task.wait_until(pty_->queue(Pty::Side::Master), EPOLLIN | EPOLLPRI, Deadline::never(), ready));
    if (n == 0) return fail(Errno::Io);
  }
  return sink.put(std::span<std::byte const>(chunk).first(n));
}

Result<size_t> PtyMasterFile::write(Task& task, IoSource& source, uint64_t, IoOptions options) {
  return write_all(
      task, source, options, pty_->queue(Pty::Side::Master),
      [&](std::span<std::byte const> bytes) { return pty_->give_input(bytes); }, [] { return false; });
}

Result<uint64_t> PtyMasterFile::ioctl(Task& task, uint32_t request, uint64_t argument) {
  return terminal_ioctl(task, *pty_, Pty::Side::Master, *this, request, argument);
}

std::string PtyMasterFile::fdinfo() { return fmt::format("tty-index:\t{}\n", pty_->index()); }

// ---- slave

PtySlaveFile::PtySlaveFile(Ref<Pty> pty, Path path, int flags, uint64_t epoch)
    : File(std::move(path), flags & kept_flags), pty_(std::move(pty)), epoch_(epoch) {}

PtySlaveFile::~PtySlaveFile() { pty_->slave_file_closed(); }

// When a read is done: after a line, or as VMIN and VTIME say (termios(3), "noncanonical mode").
struct PtySlaveFile::ReadRule {
  bool canonical = true;
  size_t minimum = 1;
  Nanoseconds whole_read_ns = 0;     // MIN == 0: how long a read waits in all
  Nanoseconds between_bytes_ns = 0;  // MIN > 0: how long it waits for the next byte
  bool returns_at_once = false;      // MIN == 0 and TIME == 0
};

PtySlaveFile::ReadRule PtySlaveFile::read_rule() const {
  abi::Termios2 const s = pty_->settings();
  ReadRule rule;
  rule.canonical = (s.local_flags & ICANON) && !(s.local_flags & abi::extproc);
  if (rule.canonical) return rule;
  Nanoseconds const time = s.control_characters[VTIME] * (ns_per_second / 10);
  if (uint8_t const minimum = s.control_characters[VMIN]; minimum != 0) {
    rule.minimum = minimum;
    rule.between_bytes_ns = time;
  } else {
    rule.whole_read_ns = time;
    rule.returns_at_once = time == 0;
  }
  return rule;
}

Result<size_t> PtySlaveFile::read_some(IoSink& sink, bool& end_of_file) {
  std::array<std::byte, transfer_size> chunk;
  size_t const n = pty_->take_input(std::span(chunk).first(std::min(chunk.size(), sink.remaining())), end_of_file);
  if (n == 0) return size_t{0};
  return sink.put(std::span<std::byte const>(chunk).first(n));
}

Result<size_t> PtySlaveFile::read(Task& task, IoSink& sink, uint64_t, IoOptions options) {
  if (pty_->hung_up(epoch_)) return size_t{0};
  TRY(pty_->check_background_read(task));
  ReadRule const rule = read_rule();
  Deadline const whole = rule.whole_read_ns ? Deadline::after(rule.whole_read_ns) : Deadline::never();
  size_t total = 0;
  while (sink.remaining() != 0) {
    bool end_of_file = false;
    Result<size_t> const n = read_some(sink, end_of_file);
    if (!n) return total ? Result<size_t>(total) : n;
    total += *n;
    if (end_of_file || (*n != 0 && rule.canonical) || (total != 0 && total >= rule.minimum)) return total;
    if (*n != 0) continue;
    if (pty_->hung_up(epoch_) || rule.returns_at_once) return total;
    if (options.nowait) return total ? Result<size_t>(total) : fail(Errno::Again);
    Deadline const deadline = rule.between_bytes_ns && total != 0 ? Deadline::after(rule.between_bytes_ns) : whole;
    auto ready = [&] { return pty_->hung_up(epoch_) || pty_->input_available(); };
    Result<void> const waited = task.wait_until(pty_->queue(Pty::Side::Slave), EPOLLIN | EPOLLRDNORM, deadline, ready);
    if (!waited && waited.error() == Errno::TimedOut) return total;
    if (!waited) return total ? Result<size_t>(total) : std::unexpected(waited.error());
    TRY(pty_->check_background_read(task));
  }
  return total;
}

Result<size_t> PtySlaveFile::write(Task& task, IoSource& source, uint64_t, IoOptions options) {
  if (pty_->settings().local_flags & TOSTOP) TRY(pty_->check_background_change(task));
  return write_all(
      task, source, options, pty_->queue(Pty::Side::Slave),
      [&](std::span<std::byte const> bytes) { return pty_->give_output(bytes); },
      [&] { return pty_->hung_up(epoch_); });
}

Result<uint64_t> PtySlaveFile::ioctl(Task& task, uint32_t request, uint64_t argument) {
  if (pty_->hung_up(epoch_)) return fail(request == TIOCSPGRP ? Errno::NoTty : Errno::Io);
  return terminal_ioctl(task, *pty_, Pty::Side::Slave, *this, request, argument);
}

Ref<Pty> pty_of(File& file, Pty::Side& side) {
  if (auto* master = dynamic_cast<PtyMasterFile*>(&file)) {
    side = Pty::Side::Master;
    return Ref<Pty>(&master->pty());
  }
  if (auto* slave = dynamic_cast<PtySlaveFile*>(&file)) {
    side = Pty::Side::Slave;
    return Ref<Pty>(&slave->pty());
  }
  return {};
}

}  // namespace cofferdam::kernel
