#include "kernel/terminal/line_discipline.h"

#include <termios.h>

#include <algorithm>
#include <vector>

namespace cofferdam::kernel {
namespace {

static_assert(ICANON == 2);
constexpr uint8_t disabled = 0;  // _POSIX_VDISABLE

bool is_control(uint8_t c) { return c < 0x20 || c == 0x7f; }
bool is_word(uint8_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}
uint8_t to_lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? static_cast<uint8_t>(c + 32) : c; }
uint8_t to_upper(uint8_t c) { return c >= 'a' && c <= 'z' ? static_cast<uint8_t>(c - 32) : c; }

}  // namespace

abi::Termios2 default_terminal_settings() {
  abi::Termios2 t{};
  t.input_flags = ICRNL | IXON;
  t.output_flags = OPOST | ONLCR;
  t.control_flags = B38400 | CS8 | CREAD;
  t.local_flags = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
  uint8_t* c = t.control_characters;
  c[VINTR] = 3, c[VQUIT] = 28, c[VERASE] = 127, c[VKILL] = 21, c[VEOF] = 4, c[VMIN] = 1, c[VSTART] = 17, c[VSTOP] = 19,
  c[VSUSP] = 26, c[VREPRINT] = 18, c[VDISCARD] = 15, c[VWERASE] = 23, c[VLNEXT] = 22;
  t.input_speed = t.output_speed = 38400;
  return t;
}

LineDiscipline::LineDiscipline() : settings_(default_terminal_settings()) {}

void LineDiscipline::set_settings(abi::Termios2 const& s) {
  bool const was_canonical = canonical();
  settings_ = s;
  if (was_canonical != canonical()) {
    // What has been typed so far counts as one line when lines begin, and as plain bytes when they end.
    for (Cell& cell : input_) cell.line_end = false;
    line_cells_ = 0;
    if (canonical() && !input_.empty()) {
      input_.back().line_end = true;
      line_cells_ = input_.size();
    }
    erasing_ = literal_next_ = false;
  }
  if (stopped_ && !input(IXON)) start_output();
}

bool LineDiscipline::is_key(uint8_t c, int index) const { return c != disabled && c == control_character(index); }

bool LineDiscipline::is_continuation(uint8_t c) const { return input(abi::iutf8) && (c & 0xc0) == 0x80; }

// ---- input

// Room for one more byte? An overlong canonical line loses its last byte, so that its end can still be typed.
bool LineDiscipline::make_room() {
  size_t const unit = input(PARMRK) ? 3 : 1;
  if (input_.size() + unit < input_limit) return true;
  if (!canonical() || line_cells_ != 0) return false;
  if (input_.size() + unit > input_limit) input_.pop_back();
  return true;
}

size_t LineDiscipline::receive(std::span<std::byte const> from, Events& events) {
  size_t taken = 0;
  for (std::byte b : from) {
    if (!make_room()) break;
    receive_byte(static_cast<uint8_t>(b), events);
    ++taken;
  }
  drain_echo();
  return taken;
}

void LineDiscipline::receive_byte(uint8_t c, Events& events) {
  if (literal_next_) {
    literal_next_ = false;
    if (input(ISTRIP)) c &= 0x7f;
    return queue_data(c);
  }
  if (input(ISTRIP)) c &= 0x7f;
  if (input(abi::iuclc) && local(IEXTEN)) c = to_lower(c);
  if (local(abi::extproc)) return queue(c);
  if (receive_flow_key(c, events) || receive_signal_key(c, events)) return;
  if (stopped_ && input(IXON) && input(IXANY)) {
    start_output();
    events.started = true;
  }
  if (c == '\r') {
    if (input(IGNCR)) return;
    if (input(ICRNL)) c = '\n';
  } else if (c == '\n' && input(INLCR)) {
    c = '\r';
  }
  if (local(ICANON) && receive_canonical_key(c)) return;
  if (c == '\n' && local(ECHO) && !local(ICANON)) {
    finish_erasing();
    echo_raw('\n');
    return queue(c);
  }
  queue_data(c);
}

bool LineDiscipline::receive_flow_key(uint8_t c, Events& events) {
  if (!input(IXON)) return false;
  if (is_key(c, VSTART)) {
    start_output();
    events.started = true;
    return true;
  }
  if (is_key(c, VSTOP)) {
    stopped_ = true;
    events.stopped = true;
    return true;
  }
  return false;
}

bool LineDiscipline::receive_signal_key(uint8_t c, Events& events) {
  if (!local(ISIG)) return false;
  if (is_key(c, VINTR)) return signal_key(c, events.interrupt, events), true;
  if (is_key(c, VQUIT)) return signal_key(c, events.quit, events), true;
  if (is_key(c, VSUSP)) return signal_key(c, events.suspend, events), true;
  return false;
}

void LineDiscipline::signal_key(uint8_t c, bool& which, Events& events) {
  which = true;
  if (!local(NOFLSH)) {
    flush_input();
    flush_output();
    events.flushed = true;
  }
  if (input(IXON)) start_output();
  if (local(ECHO)) echo_key(c);
}

// Keys that mean something in canonical mode only. false: an ordinary byte.
bool LineDiscipline::receive_canonical_key(uint8_t c) {
  if (is_key(c, VERASE)) return erase(Erase::Character), true;
  if (is_key(c, VKILL)) return erase(Erase::Line), true;
  if (is_key(c, VWERASE) && local(IEXTEN)) return erase(Erase::Word), true;
  if (is_key(c, VLNEXT) && local(IEXTEN)) {
    literal_next_ = true;
    if (local(ECHO)) {
      finish_erasing();
      if (local(ECHOCTL)) {
        echo_raw('^');
        echo_raw('\b');
      }
    }
    return true;
  }
  if (is_key(c, VREPRINT) && local(ECHO) && local(IEXTEN)) return reprint(), true;
  if (c == '\n') {
    if (local(ECHO) || local(ECHONL)) echo_raw('\n');
    return end_line(c), true;
  }
  if (is_key(c, VEOF)) return end_line(disabled), true;
  if (is_key(c, VEOL) || (is_key(c, VEOL2) && local(IEXTEN))) {
    if (local(ECHO)) {
      if (input_.size() == line_cells_) line_start_column_ = column_;
      echo_key(c);
    }
    if (c == 0xff && input(PARMRK)) queue(c);
    return end_line(c), true;
  }
  return false;
}

void LineDiscipline::end_line(uint8_t stored) {
  queue(stored, true);
  line_cells_ = input_.size();
  erasing_ = false;
}

void LineDiscipline::queue(uint8_t c, bool line_end) { input_.push_back({c, line_end}); }

void LineDiscipline::queue_data(uint8_t c) {
  if (local(ECHO)) {
    finish_erasing();
    if (input_.size() == line_cells_) line_start_column_ = column_;
    echo_key(c);
  }
  if (c == 0xff && input(PARMRK)) queue(c);
  queue(c);
}

void LineDiscipline::reprint() {
  finish_erasing();
  echo_key(control_character(VREPRINT));
  echo_raw('\n');
  for (size_t i = line_cells_; i < input_.size(); ++i) echo_key(input_[i].byte);
}

bool LineDiscipline::input_pollable() const {
  if (canonical()) return line_cells_ != 0;
  size_t const minimum = control_character(VTIME) == 0 ? std::max<size_t>(control_character(VMIN), 1) : 1;
  return input_.size() >= minimum;
}

size_t LineDiscipline::input_size() const {
  if (!canonical()) return input_.size();
  // The EOF key is no data (inq_canon of Linux).
  size_t n = 0;
  for (size_t i = 0; i < line_cells_; ++i)
    if (!(input_[i].line_end && input_[i].byte == disabled)) ++n;
  return n;
}

size_t LineDiscipline::read(std::span<std::byte> to, bool& end_of_file) {
  size_t n = 0;
  if (!canonical()) {
    for (; n < to.size() && !input_.empty(); input_.pop_front()) to[n++] = std::byte{input_.front().byte};
    line_cells_ = 0;
    return n;
  }
  while (line_cells_ != 0) {
    Cell const cell = input_.front();
    bool const is_eof = cell.line_end && cell.byte == disabled;
    if (n == to.size() && !(is_eof && n != 0)) break;  // an EOF key right behind a full read goes with it
    input_.pop_front();
    --line_cells_;
    if (is_eof) {
      end_of_file = n == 0;
      break;
    }
    to[n++] = std::byte{cell.byte};
    if (cell.line_end) break;
  }
  return n;
}

void LineDiscipline::flush_input() {
  input_.clear();
  line_cells_ = 0;
  erasing_ = literal_next_ = false;
}

// ---- erasing

size_t LineDiscipline::last_character_length() const {
  size_t n = 1, most = input_.size() - line_cells_;
  while (n < most && is_continuation(input_[input_.size() - n].byte)) ++n;
  return n;
}

void LineDiscipline::erase_whole_line_unseen() {
  while (input_.size() > line_cells_) input_.pop_back();
}

void LineDiscipline::erase(Erase what) {
  if (input_.size() == line_cells_) return;
  if (what == Erase::Line && !(local(ECHO) && local(ECHOK) && local(ECHOKE) && local(ECHOE))) {
    erase_whole_line_unseen();
    if (!local(ECHO)) return;
    finish_erasing();
    echo_key(control_character(VKILL));
    if (local(ECHOK)) echo_raw('\n');
    return;
  }
  bool seen_word = false;
  while (input_.size() > line_cells_) {
    size_t const length = last_character_length();
    uint8_t const first = input_[input_.size() - length].byte;
    if (is_continuation(first)) break;  // never half a character
    if (what == Erase::Word) {
      if (is_word(first))
        seen_word = true;
      else if (seen_word)
        break;
    }
    std::vector<Cell> gone(input_.end() - static_cast<ptrdiff_t>(length), input_.end());
    input_.resize(input_.size() - length);
    if (local(ECHO)) echo_erased(what, gone);
    if (what == Erase::Character) break;
  }
  if (input_.size() == line_cells_ && local(ECHO)) finish_erasing();
}

void LineDiscipline::echo_erased(Erase what, std::span<Cell const> gone) {
  uint8_t const c = gone.front().byte;
  if (local(ECHOPRT)) {
    if (!erasing_) echo_raw('\\');
    erasing_ = true;
    echo_key(c);
    for (Cell const& cell : gone.subspan(1)) append_echo(cell.byte);
    return;
  }
  if (what == Erase::Character && !local(ECHOE)) return echo_key(control_character(VERASE));
  if (c == '\t') return echo_erased_tab();
  size_t const width = is_control(c) ? (local(ECHOCTL) ? 2 : 0) : 1;
  for (size_t i = 0; i < width; ++i)
    for (char e : {'\b', ' ', '\b'}) echo_raw(static_cast<uint8_t>(e));
}

// Back to where the cursor stood before the tab: what stands on the line before it says.
void LineDiscipline::echo_erased_tab() {
  unsigned width = 0;
  bool after_tab = false;
  for (size_t i = input_.size(); i > line_cells_ && !after_tab; --i) {
    uint8_t const c = input_[i - 1].byte;
    if (c == '\t')
      after_tab = true;
    else if (is_control(c))
      width += local(ECHOCTL) ? 2 : 0;
    else if (!is_continuation(c))
      ++width;
  }
  if (!after_tab) width += line_start_column_;
  for (unsigned n = 8 - (width & 7); n != 0; --n) {
    append_echo('\b');
    if (column_ > 0) --column_;
  }
}

void LineDiscipline::finish_erasing() {
  if (!erasing_) return;
  echo_raw('/');
  erasing_ = false;
}

// ---- output

void LineDiscipline::append_echo(uint8_t c) {
  if (echo_.size() < echo_limit) echo_.push_back(static_cast<char>(c));
}

void LineDiscipline::echo_raw(uint8_t c) {
  if (output(OPOST))
    put_output(echo_, echo_limit, c);
  else
    append_echo(c);
}

void LineDiscipline::echo_key(uint8_t c) {
  if (local(ECHOCTL) && is_control(c) && c != '\t') {
    echo_raw('^');
    c ^= 0100;
  }
  echo_raw(c);
}

void LineDiscipline::drain_echo() {
  if (stopped_ || echo_.empty()) return;
  size_t const room = output_limit + echo_limit - std::min(output_.size(), output_limit + echo_limit);
  size_t const n = std::min(room, echo_.size());
  output_.append(echo_, 0, n);
  echo_.erase(0, n);
}

void LineDiscipline::start_output() {
  stopped_ = false;
  drain_echo();
}

size_t LineDiscipline::output_room() const {
  return stopped_ || output_.size() >= output_limit ? 0 : output_limit - output_.size();
}

void LineDiscipline::advance_column(uint8_t c) {
  if (!is_control(c) && !is_continuation(c)) ++column_;
}

// do_output_char of Linux. false: no room for what the byte becomes.
bool LineDiscipline::put_output(std::string& to, size_t limit, uint8_t c) {
  size_t const room = limit - std::min(limit, to.size());
  if (room == 0) return false;
  switch (c) {
    case '\n':
      if (output(ONLRET)) column_ = 0;
      if (output(ONLCR)) {
        if (room < 2) return false;
        column_ = line_start_column_ = 0;
        to += "\r\n";
        return true;
      }
      line_start_column_ = column_;
      break;
    case '\r':
      if (output(ONOCR) && column_ == 0) return true;
      if (output(OCRNL)) {
        c = '\n';
        if (output(ONLRET)) column_ = line_start_column_ = 0;
        break;
      }
      column_ = line_start_column_ = 0;
      break;
    case '\t': {
      unsigned const spaces = 8 - (column_ & 7);
      if ((settings_.output_flags & TABDLY) == abi::xtabs) {
        if (room < spaces) return false;
        column_ += spaces;
        to.append(spaces, ' ');
        return true;
      }
      column_ += spaces;
      break;
    }
    case '\b':
      if (column_ > 0) --column_;
      break;
    default:
      if (output(OLCUC)) c = to_upper(c);
      advance_column(c);
  }
  to.push_back(static_cast<char>(c));
  return true;
}

size_t LineDiscipline::write(std::span<std::byte const> from) {
  if (stopped_) return 0;
  drain_echo();
  if (!output(OPOST)) {
    size_t const n = std::min(from.size(), output_room());
    for (std::byte b : from.first(n)) output_.push_back(static_cast<char>(b));
    return n;
  }
  size_t n = 0;
  while (n < from.size() && put_output(output_, output_limit, static_cast<uint8_t>(from[n]))) ++n;
  return n;
}

size_t LineDiscipline::take_output(std::span<std::byte> to) {
  size_t const n = std::min(to.size(), output_.size());
  for (size_t i = 0; i < n; ++i) to[i] = static_cast<std::byte>(output_[i]);
  output_.erase(0, n);
  drain_echo();
  return n;
}

void LineDiscipline::flush_output() {
  output_.clear();
  echo_.clear();
}

}  // namespace cofferdam::kernel
