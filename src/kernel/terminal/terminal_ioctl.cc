// ioctl_tty(2) on both sides of a pseudo-terminal. What the two sides share (modes, window size, groups) is the
// slave's, whoever asks.
#include <linux/capability.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/terminal/pty.h"
#include "kernel/vfs/mount.h"

template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<cofferdam::abi::Termios2> = true;
template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<cofferdam::abi::Termios> = true;
template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<cofferdam::abi::Termio> = true;

namespace cofferdam::kernel {
namespace {

using Side = Pty::Side;

struct Call {
  Task& task;
  Pty& pty;
  Side side;
  File& file;
  uint32_t request;
  uint64_t argument;

  bool from_master() const { return side == Side::Master; }
  int32_t integer() const { return static_cast<int32_t>(argument); }
  template <class T>
  Result<uint64_t> give(T const& value) const {
    TRY(task.write(UserPtr<T>(argument), value));
    return uint64_t{0};
  }
  template <class T>
  Result<T> take() const {
    return task.read(UserPtr<T>(argument));
  }
};

Result<uint64_t> done(Result<void> const& r) {
  if (!r) return std::unexpected(r.error());
  return uint64_t{0};
}

// ---- modes

template <class T>
T narrowed(abi::Termios2 const& s) {
  T t{};
  t.input_flags = static_cast<decltype(t.input_flags)>(s.input_flags);
  t.output_flags = static_cast<decltype(t.output_flags)>(s.output_flags);
  t.control_flags = static_cast<decltype(t.control_flags)>(s.control_flags);
  t.local_flags = static_cast<decltype(t.local_flags)>(s.local_flags);
  t.line = s.line;
  std::copy_n(s.control_characters, std::size(t.control_characters), t.control_characters);
  return t;
}

// From the baud bits of c_cflag; BOTHER keeps the numbers given.
uint32_t speed_of(uint32_t control_flags, uint32_t given) {
  static constexpr uint32_t low[] = {0,   50,   75,   110,  134,  150,  200,   300,
                                     600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
  static constexpr uint32_t high[] = {0,       57600,   115200,  230400,  460800,  500000,  576000,  921600,
                                      1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000};
  constexpr uint32_t baud_mask = 010017, extended = 010000;
  uint32_t const bits = control_flags & baud_mask;
  if (!(bits & extended)) return low[bits];
  return (bits & 017) == 0 ? given : high[bits & 017];
}

template <class T>
Result<uint64_t> set_modes(Call const& call, bool flush) {
  T const t = TRY(call.take<T>());
  TRY(call.pty.check_background_change(call.task));
  abi::Termios2 s = call.pty.settings();
  if constexpr (sizeof t.input_flags == 2) {  // termio: the upper halves stay
    s.input_flags = (s.input_flags & 0xffff0000) | t.input_flags;
    s.output_flags = (s.output_flags & 0xffff0000) | t.output_flags;
    s.control_flags = (s.control_flags & 0xffff0000) | t.control_flags;
    s.local_flags = (s.local_flags & 0xffff0000) | t.local_flags;
  } else {
    s.input_flags = t.input_flags;
    s.output_flags = t.output_flags;
    s.control_flags = t.control_flags;
    s.local_flags = t.local_flags;
  }
  s.line = t.line;
  std::copy_n(t.control_characters, std::size(t.control_characters), s.control_characters);
  if constexpr (std::is_same_v<T, abi::Termios2>) {
    s.input_speed = speed_of(s.control_flags, t.input_speed);
    s.output_speed = speed_of(s.control_flags, t.output_speed);
  } else {
    s.input_speed = s.output_speed = speed_of(s.control_flags, s.output_speed);
  }
  // A pty has eight bits and no parity whatever is asked (pty_set_termios of Linux).
  s.control_flags = (s.control_flags & ~static_cast<uint32_t>(CSIZE | PARENB)) | CS8 | CREAD;
  if (flush) call.pty.flush(Side::Slave, true, false);
  call.pty.set_settings(s);
  return uint64_t{0};
}

// nullopt: not a request about modes.
std::optional<Result<uint64_t>> modes_request(Call const& call) {
  switch (call.request) {
    case TCGETS:
      return call.give(narrowed<abi::Termios>(call.pty.settings()));
    case abi::tcgets2:
      return call.give(call.pty.settings());
    case TCGETA:
      return call.give(narrowed<abi::Termio>(call.pty.settings()));
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
      return set_modes<abi::Termios>(call, call.request == TCSETSF);
    case abi::tcsets2:
    case abi::tcsetsw2:
    case abi::tcsetsf2:
      return set_modes<abi::Termios2>(call, call.request == abi::tcsetsf2);
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
      return set_modes<abi::Termio>(call, call.request == TCSETAF);
    case TIOCGWINSZ:
      return call.give(call.pty.window_size());
    case TIOCSWINSZ: {
      Result<abi::WindowSize> const size = call.take<abi::WindowSize>();
      if (!size) return std::unexpected(size.error());
      call.pty.set_window_size(*size);
      return uint64_t{0};
    }
    case TIOCGSOFTCAR:
      return call.give(int32_t{(call.pty.settings().control_flags & CLOCAL) != 0});
    default:
      return std::nullopt;
  }
}

// ---- job control

Result<uint64_t> give_foreground(Call const& call) {
  return call.give(TRY(call.pty.foreground_of(call.task, call.from_master())));
}

Result<uint64_t> set_foreground(Call const& call) {
  return done(call.pty.set_foreground(call.task, TRY(call.take<int32_t>())));
}

Result<uint64_t> give_session(Call const& call) {
  return call.give(TRY(call.pty.session_of(call.task, call.from_master())));
}

std::optional<Result<uint64_t>> control_request(Call const& call) {
  switch (call.request) {
    case TIOCGPGRP:
      return give_foreground(call);
    case TIOCSPGRP:
      return set_foreground(call);
    case TIOCGSID:
      return give_session(call);
    case TIOCSCTTY:
      if (call.from_master()) return fail(Errno::Inval);
      return done(call.pty.set_controlling(call.task, call.argument == 1));
    case TIOCNOTTY:
      return done(call.pty.give_up(call.task));
    case TIOCVHANGUP:
      if (!call.task.capable(CAP_SYS_ADMIN)) return fail(Errno::Perm);
      call.pty.hang_up();
      return uint64_t{0};
    case TIOCSIG: {
      if (!call.from_master()) return fail(Errno::NoTty);
      int32_t const signal = call.integer();
      if (signal != SIGINT && signal != SIGQUIT && signal != SIGTSTP) return fail(Errno::Inval);
      call.pty.signal_foreground(signal);
      return uint64_t{0};
    }
    default:
      return std::nullopt;
  }
}

// ---- flow and queues

Result<uint64_t> flow(Call const& call) {
  TRY(call.pty.check_background_change(call.task));
  switch (call.integer()) {
    case TCOOFF:
      call.pty.stop_output(true);
      return uint64_t{0};
    case TCOON:
      call.pty.stop_output(false);
      return uint64_t{0};
    case TCIOFF:
    case TCION: {  // asks the far side to stop or go on
      abi::Termios2 const s = call.pty.settings();
      uint8_t const key = s.control_characters[call.integer() == TCIOFF ? VSTOP : VSTART];
      std::byte const b{key};
      if (key != 0) (void)call.pty.give_output(std::span(&b, 1));
      return uint64_t{0};
    }
    default:
      return fail(Errno::Inval);
  }
}

Result<uint64_t> flush(Call const& call) {
  TRY(call.pty.check_background_change(call.task));
  int32_t const which = call.integer();
  if (which != TCIFLUSH && which != TCOFLUSH && which != TCIOFLUSH) return fail(Errno::Inval);
  call.pty.flush(call.side, which != TCOFLUSH, which != TCIFLUSH);
  return uint64_t{0};
}

Result<uint64_t> inject(Call const& call) {
  if (!call.task.capable(CAP_SYS_ADMIN)) return fail(Errno::Io);  // dev.tty.legacy_tiocsti is 0
  call.pty.inject(TRY(call.take<uint8_t>()));
  return uint64_t{0};
}

std::optional<Result<uint64_t>> queue_request(Call const& call) {
  switch (call.request) {
    case FIONREAD:
      return call.give(static_cast<int32_t>(call.pty.bytes_for(call.side)));
    case TIOCOUTQ:
      return call.give(int32_t{0});
    case TCXONC:
      return flow(call);
    case TCFLSH:
      return flush(call);
    case TCSBRK:
    case TCSBRKP:
    case TIOCSBRK:
    case TIOCCBRK: {  // nothing is ever under way in a pty, and it knows no breaks
      Result<void> const allowed = call.pty.check_background_change(call.task);
      return done(allowed);
    }
    case TIOCSTI:
      return inject(call);
    default:
      return std::nullopt;
  }
}

// ---- the pair

Result<uint64_t> open_peer(Call const& call) {
  Path const& master = call.file.path();
  if (!master) return fail(Errno::Io);
  Path const directory(master.mount, master.mount->root());
  constexpr int known = O_ACCMODE | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
  int const flags = call.integer();
  Ref<File> file =
      TRY(call.task.kernel().vfs().open(call.task, directory, std::to_string(call.pty.index()), flags & known, 0));
  Ref<FdTable> files = call.task.files();
  uint64_t const limit = call.task.thread_group().limits.current(RLIMIT_NOFILE);
  return static_cast<uint64_t>(TRY(files->install(std::move(file), (flags & O_CLOEXEC) != 0, limit)));
}

std::optional<Result<uint64_t>> master_request(Call const& call) {
  switch (call.request) {
    case abi::tiocgptn:
      return call.give(static_cast<uint32_t>(call.pty.index()));
    case abi::tiocsptlck: {
      Result<int32_t> const lock = call.take<int32_t>();
      if (!lock) return std::unexpected(lock.error());
      call.pty.set_locked(*lock != 0);
      return uint64_t{0};
    }
    case abi::tiocgptlck:
      return call.give(int32_t{call.pty.locked()});
    case TIOCPKT: {
      Result<int32_t> const on = call.take<int32_t>();
      if (!on) return std::unexpected(on.error());
      call.pty.set_packet_mode(*on != 0);
      return uint64_t{0};
    }
    case abi::tiocgpkt:
      return call.give(int32_t{call.pty.packet_mode()});
    case abi::tiocgptpeer:
      return open_peer(call);
    default:
      return std::nullopt;
  }
}

std::optional<Result<uint64_t>> line_request(Call const& call) {
  switch (call.request) {
    case TIOCEXCL:
    case TIOCNXCL:
      call.pty.set_exclusive(call.request == TIOCEXCL);
      return uint64_t{0};
    case abi::tiocgexcl:
      return call.give(int32_t{call.pty.exclusive()});
    case TIOCGETD:
      return call.give(int32_t{0});  // N_TTY
    case TIOCSETD: {
      Result<int32_t> const line = call.take<int32_t>();
      if (!line) return std::unexpected(line.error());
      if (*line != 0) return fail(Errno::Inval);
      return uint64_t{0};
    }
    case abi::tiocgdev: {
      uint64_t const d = call.pty.device();
      return call.give(static_cast<uint32_t>((d & 0xff) | ((d >> 8 & 0xfff) << 8) | ((d >> 12 & 0xfff00) << 12)));
    }
    case TIOCCONS:
      return fail(Errno::Perm);
    default:
      return std::nullopt;
  }
}

}  // namespace

Result<uint64_t> terminal_ioctl(Task& task, Pty& pty, Side side, File& file, uint32_t request, uint64_t argument) {
  Call const call{task, pty, side, file, request, argument};
  if (auto r = modes_request(call)) return *r;
  if (auto r = control_request(call)) return *r;
  if (auto r = queue_request(call)) return *r;
  if (auto r = line_request(call)) return *r;
  if (side == Side::Master)
    if (auto r = master_request(call)) return *r;
  return fail(Errno::NoTty);
}

}  // namespace cofferdam::kernel
