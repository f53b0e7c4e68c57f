// The N_TTY line discipline as a machine without clocks, locks or tasks: bytes in, bytes out, keys that mean signals.
//
//   far side (keyboard, pty master) --receive()--> input --read()--> program
//   far side (screen, pty master) <--take_output()-- output <--write()-- program; echo joins here
//
// termios(3) says what the modes do; where it is silent, Linux's n_tty.c is followed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>

#include "abi/terminal.h"

namespace cofferdam::kernel {

class LineDiscipline {
 public:
  // What receive() set off, for the caller to act on once it has dropped its locks.
  struct Events {
    bool interrupt = false, quit = false, suspend = false;  // SIGINT, SIGQUIT, SIGTSTP to the foreground group
    bool flushed = false;                                   // both buffers were thrown away (no NOFLSH)
    bool stopped = false, started = false;                  // output, by the STOP and START keys
  };

  LineDiscipline();

  abi::Termios2 const& settings() const { return settings_; }
  void set_settings(abi::Termios2 const&);

  // Takes bytes from the far side; stops early when the input is full.
  size_t receive(std::span<std::byte const>, Events&);
  // Takes bytes from the program, processed as OPOST says; fewer than given when the output is full or stopped.
  size_t write(std::span<std::byte const>);
  // Output for the far side.
  size_t take_output(std::span<std::byte>);
  size_t output_size() const { return output_.size(); }
  size_t output_room() const;

  // Could read() give something (a whole line in canonical mode, one byte in raw mode)?
  bool input_available() const { return canonical() ? line_cells_ != 0 : !input_.empty(); }
  // As poll(2) asks: in raw mode with VTIME 0 only VMIN bytes count.
  bool input_pollable() const;
  size_t input_size() const;  // FIONREAD
  // One read(2)'s worth of what is there. `end_of_file`: a line that is nothing but the EOF key was consumed.
  size_t read(std::span<std::byte>, bool& end_of_file);

  void flush_input();
  void flush_output();
  void stop_output() { stopped_ = true; }
  void start_output();
  bool output_stopped() const { return stopped_; }
  uint8_t control_character(int index) const { return settings_.control_characters[index]; }
  bool canonical() const { return local(ICANON_) && !local(abi::extproc); }

  static constexpr size_t input_limit = 4096, output_limit = 8192, echo_limit = 4096;

 private:
  static constexpr uint32_t ICANON_ = 2;
  // An input byte; `line_end` marks the last of a canonical line. A marked 0 is the EOF key and not data.
  struct Cell {
    uint8_t byte;
    bool line_end;
  };
  enum class Erase { Character, Word, Line };

  bool input(uint32_t flag) const { return (settings_.input_flags & flag) != 0; }
  bool output(uint32_t flag) const { return (settings_.output_flags & flag) != 0; }
  bool local(uint32_t flag) const { return (settings_.local_flags & flag) != 0; }
  bool is_key(uint8_t c, int index) const;
  bool is_continuation(uint8_t c) const;

  bool make_room();
  void receive_byte(uint8_t, Events&);
  bool receive_signal_key(uint8_t, Events&);
  bool receive_flow_key(uint8_t, Events&);
  bool receive_canonical_key(uint8_t);
  void end_line(uint8_t stored);
  void queue(uint8_t, bool line_end = false);
  void queue_data(uint8_t);
  void signal_key(uint8_t, bool& which, Events&);
  void reprint();

  void erase(Erase);
  void erase_whole_line_unseen();
  size_t last_character_length() const;
  void echo_erased(Erase, std::span<Cell const>);
  void echo_erased_tab();
  void finish_erasing();

  void echo_key(uint8_t);  // ^X for control characters under ECHOCTL
  void echo_raw(uint8_t);  // with output processing
  void append_echo(uint8_t);
  bool put_output(std::string& to, size_t limit, uint8_t);
  void advance_column(uint8_t);
  void drain_echo();

  abi::Termios2 settings_;
  std::deque<Cell> input_;
  size_t line_cells_ = 0;  // leading cells that make whole lines
  std::string output_, echo_;
  bool stopped_ = false;
  bool literal_next_ = false;
  bool erasing_ = false;  // within an ECHOPRT run: "\" is open
  unsigned column_ = 0, line_start_column_ = 0;
};

abi::Termios2 default_terminal_settings();

}  // namespace cofferdam::kernel
