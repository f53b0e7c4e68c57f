// Pseudo-terminals (man 7 pty): a line discipline between a master's file and a slave's.
//
// Locks: mutex_ is taken alone; signals are sent and queues woken after it has been dropped.
#pragma once

#include <functional>
#include <string>

#include "base/mutex.h"
#include "kernel/io.h"
#include "kernel/terminal.h"
#include "kernel/terminal/line_discipline.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {

class Pty final : public Terminal {
 public:
  enum class Side { Master, Slave };

  Pty(Kernel&, int index);
  int index() const { return index_; }
  uint64_t device() const override;
  Result<Ref<File>> open(Task&, Path const&, int flags) override;

  // The master of a fresh pair; once. on_closed runs when it is closed (its number is free again).
  Ref<File> open_master(Path, int flags, std::function<void()> on_closed);
  // open(2) of the slave: EIO when locked, without a master or hung up; EBUSY under TIOCEXCL. `task` may be null (the
  // start of a container): no controlling terminal is taken then.
  Result<Ref<File>> open_slave(Task* task, Path, int flags);

  WaitQueue& queue(Side side) { return side == Side::Master ? master_queue_ : slave_queue_; }
  // What one side can do now, as poll(2) says.
  PollMask poll(Side, uint64_t epoch);

  // One step of I/O without blocking. 0: nothing to be had (or no room) now.
  size_t take_output(std::span<std::byte>);                    // master reads
  size_t give_input(std::span<std::byte const>);               // master writes
  size_t take_input(std::span<std::byte>, bool& end_of_file);  // slave reads
  size_t give_output(std::span<std::byte const>);              // slave writes

  bool input_available() const;  // to the slave
  bool slave_closed() const;     // was open, and is no more: the master reads EIO
  bool hung_up(uint64_t epoch) const;
  // A status byte for packet mode, 0: none; and whether packet mode is on.
  uint8_t take_packet_status();
  bool packet_mode() const;

  abi::Termios2 settings() const;
  void set_settings(abi::Termios2 const&);
  abi::WindowSize window_size() const;
  void set_window_size(abi::WindowSize const&);  // SIGWINCH to the foreground when it changes
  size_t bytes_for(Side) const;                  // FIONREAD
  void flush(Side, bool input, bool output);     // TCFLSH
  void stop_output(bool stop);                   // TCXONC
  void set_packet_mode(bool);
  void set_locked(bool);
  bool locked() const;
  void set_exclusive(bool);
  bool exclusive() const;
  void inject(uint8_t);  // TIOCSTI
  void hang_up() override;

  void master_closed();
  void slave_file_closed();

 private:
  void act_on(LineDiscipline::Events const&);
  void drain_pending(LineDiscipline::Events&) REQUIRES(mutex_);
  bool input_room() const REQUIRES(mutex_);

  static constexpr size_t pending_limit = 8192;

  int const index_;
  mutable Mutex mutex_;
  LineDiscipline discipline_ GUARDED_BY(mutex_);
  std::string pending_ GUARDED_BY(mutex_);  // from the master, behind what the discipline could take
  abi::WindowSize window_ GUARDED_BY(mutex_){};
  bool locked_ GUARDED_BY(mutex_) = true;
  bool exclusive_ GUARDED_BY(mutex_) = false;
  bool packet_ GUARDED_BY(mutex_) = false;
  uint8_t packet_status_ GUARDED_BY(mutex_) = 0;
  bool master_open_ GUARDED_BY(mutex_) = false;
  bool slave_was_open_ GUARDED_BY(mutex_) = false;
  size_t slaves_ GUARDED_BY(mutex_) = 0;
  uint64_t epoch_ GUARDED_BY(mutex_) = 0;  // rises with each hang-up
  std::function<void()> on_master_closed_ GUARDED_BY(mutex_);
  WaitQueue master_queue_, slave_queue_;
};

// The terminal that an open file is a side of; null for other files.
Ref<Pty> pty_of(File&, Pty::Side&);

// The requests of ioctl_tty(2). epoch: of the open file.
Result<uint64_t> terminal_ioctl(Task&, Pty&, Pty::Side, File&, uint32_t request, uint64_t argument);

}  // namespace cofferdam::kernel
