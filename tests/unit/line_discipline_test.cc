#include "kernel/terminal/line_discipline.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <functional>

#include "kernel/io.h"

namespace cofferdam::kernel {
namespace {

using Settings = std::function<void(abi::Termios2&)>;

std::string received(LineDiscipline& d) {
  std::string all;
  for (int i = 0; i < 16; ++i) {
    std::byte buffer[8192];
    bool end = false;
    size_t const n = d.read(buffer, end);
    for (size_t k = 0; k < n; ++k) all.push_back(static_cast<char>(buffer[k]));
    if (end) all += "<EOF>";
    if (n == 0 && !end) break;
    all += '|';
  }
  return all;
}

std::string shown(LineDiscipline& d) {
  std::string all(16384, '\0');
  all.resize(d.take_output(std::as_writable_bytes(std::span(all.data(), all.size()))));
  return all;
}

struct Case {
  char const* name;
  Settings settings;
  std::string typed, read, echoed;
};

void raw(abi::Termios2& t) {
  t.input_flags = 0;
  t.output_flags = 0;
  t.local_flags = 0;
}

class TypedKeys : public testing::TestWithParam<Case> {};

TEST_P(TypedKeys, reach_the_program_and_the_screen_as_on_linux) {
  Case const& c = GetParam();
  LineDiscipline d;
  abi::Termios2 s = d.settings();
  if (c.settings) c.settings(s);
  d.set_settings(s);
  LineDiscipline::Events events;
  EXPECT_EQ(d.receive(as_bytes(c.typed), events), c.typed.size());
  EXPECT_EQ(received(d), c.read);
  EXPECT_EQ(shown(d), c.echoed);
}

// The same keys on a pseudo-terminal of the host: what the table says is true on Linux first.
class HostPty {
 public:
  HostPty() {
    master_ = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (master_ < 0 || unlockpt(master_) != 0) return;
    slave_ = open(ptsname(master_), O_RDWR | O_NOCTTY | O_NONBLOCK);
  }
  ~HostPty() {
    close(slave_);
    close(master_);
  }
  bool usable() const { return slave_ >= 0; }
  bool set(abi::Termios2 const& t) { return ioctl(slave_, abi::tcsets2, &t) == 0; }
  void type(std::string const& keys) { (void)!write(master_, keys.data(), keys.size()); }
  // What there is until nothing comes for a while; the ends of reads are marked.
  std::string drain(bool slave) {
    std::string all;
    for (;;) {
      pollfd waiting{slave ? slave_ : master_, POLLIN, 0};
      if (poll(&waiting, 1, 15) <= 0) return all;
      char buffer[8192];
      ssize_t const n = read(waiting.fd, buffer, sizeof buffer);
      if (n < 0) return all;
      all.append(buffer, static_cast<size_t>(n));
      if (slave) all += n == 0 ? "<EOF>|" : "|";
    }
  }

 private:
  int master_ = -1, slave_ = -1;
};

TEST_P(TypedKeys, do_the_same_on_the_host) {
  Case const& c = GetParam();
  HostPty pty;
  if (!pty.usable()) GTEST_SKIP() << "no pseudo-terminals here";
  abi::Termios2 s = default_terminal_settings();
  if (c.settings) c.settings(s);
  ASSERT_TRUE(pty.set(s));
  pty.type(c.typed);
  EXPECT_EQ(pty.drain(false), c.echoed);
  EXPECT_EQ(pty.drain(true), c.read);
}

using namespace std::string_literals;

INSTANTIATE_TEST_SUITE_P(
    Modes, TypedKeys,
    testing::Values(
        Case{"a_line_is_read_at_its_end", {}, "ls\n", "ls\n|", "ls\r\n"},
        Case{"an_open_line_is_not_read", {}, "ls", "", "ls"}, Case{"return_is_newline", {}, "a\r", "a\n|", "a\r\n"},
        Case{"return_ignored", [](auto& t) { t.input_flags |= IGNCR; }, "a\rb\n", "ab\n|", "ab\r\n"},
        Case{"newline_becomes_return", [](auto& t) { t.input_flags = INLCR; }, "a\n", "", "a^M"},
        Case{"two_lines_are_two_reads", {}, "a\nb\n", "a\n|b\n|", "a\r\nb\r\n"},
        Case{"erase_takes_a_character", {}, "ab\x7f\n", "a\n|", "ab\b \b\r\n"},
        Case{"erase_on_an_empty_line_does_nothing", {}, "\x7f\n", "\n|", "\r\n"},
        Case{"erase_of_a_control_character_takes_two_columns", {}, "\x01\x7f\n", "\n|", "^A\b \b\b \b\r\n"},
        Case{"erase_of_utf8_takes_the_whole_character", [](auto& t) { t.input_flags |= abi::iutf8; }, "a\xc3\xa4\x7f\n",
             "a\n|", "a\xc3\xa4\b \b\r\n"},
        Case{"erase_of_a_tab_goes_back_to_where_it_began", {}, "ab\t\x7f\n", "ab\n|", "ab\t\b\b\b\b\b\b\r\n"},
        Case{"word_erase", {}, "one two\x17\n", "one \n|", "one two\b \b\b \b\b \b\r\n"},
        Case{"kill_takes_the_line", {}, "abc\x15x\n", "x\n|", "abc\b \b\b \b\b \bx\r\n"},
        Case{"kill_without_echoke", [](auto& t) { t.local_flags &= ~static_cast<uint32_t>(ECHOKE); }, "ab\x15x\n",
             "x\n|", "ab^U\r\nx\r\n"},
        Case{"reprint",
             {},
             "ab\x12"
             "c\n",
             "abc\n|",
             "ab^R\r\nabc\r\n"},
        Case{"literal_next", {}, "\x16\x03\n", "\x03\n|", "^\b^C\r\n"},
        Case{"end_of_file_alone", {}, "\x04", "<EOF>|", ""},
        Case{"end_of_file_behind_text_ends_the_read",
             {},
             "ab\x04"
             "c\n",
             "ab|c\n|",
             "abc\r\n"},
        Case{"end_of_line_character", [](auto& t) { t.control_characters[VEOL] = ';'; }, "a;b\n", "a;|b\n|", "a;b\r\n"},
        Case{"no_echo", [](auto& t) { t.local_flags &= ~static_cast<uint32_t>(ECHO); }, "secret\n", "secret\n|", ""},
        Case{"echonl", [](auto& t) { t.local_flags = (t.local_flags & ~static_cast<uint32_t>(ECHO)) | ECHONL; }, "s\n",
             "s\n|", "\r\n"},
        Case{"echo_raw_control_without_echoctl", [](auto& t) { t.local_flags &= ~static_cast<uint32_t>(ECHOCTL); },
             "\x01\n", "\x01\n|", "\x01\r\n"},
        Case{"echoprt", [](auto& t) { t.local_flags |= ECHOPRT; },
             "ab\x7f\x7f"
             "c\n",
             "c\n|", "ab\\ba/c\r\n"},
        Case{"strip", [](auto& t) { t.input_flags |= ISTRIP; }, "\xe1\n", "a\n|", "a\r\n"},
        Case{"parmrk_doubles_ff",
             [](auto& t) {
               t.input_flags |= PARMRK;
               t.local_flags &= ~static_cast<uint32_t>(ECHO);
             },
             "\xff\n", "\xff\xff\n|", ""},
        Case{"raw_gives_every_byte", raw, "a\r\x03\x04\n", "a\r\x03\x04\n|", ""},
        Case{"raw_with_echo",
             [](auto& t) {
               raw(t);
               t.local_flags = ECHO;
             },
             "a\n", "a\n|", "a\n"},
        Case{"no_signals_without_isig", [](auto& t) { t.local_flags &= ~static_cast<uint32_t>(ISIG); }, "\x03\n",
             "\x03\n|", "^C\r\n"}),
    [](auto const& info) { return info.param.name; });

TEST(LineDiscipline, signal_keys_flush_and_echo) {
  LineDiscipline d;
  LineDiscipline::Events events;
  d.receive(as_bytes("abc\x03"), events);
  EXPECT_TRUE(events.interrupt);
  EXPECT_TRUE(events.flushed);
  EXPECT_EQ(received(d), "");
  EXPECT_EQ(shown(d), "^C");
  events = {};
  d.receive(as_bytes("\x1c\x1a"), events);
  EXPECT_TRUE(events.quit && events.suspend && !events.interrupt);
}

TEST(LineDiscipline, noflsh_keeps_what_was_typed) {
  LineDiscipline d;
  abi::Termios2 s = d.settings();
  s.local_flags |= NOFLSH;
  d.set_settings(s);
  LineDiscipline::Events events;
  d.receive(as_bytes("ab\x03\n"), events);
  EXPECT_EQ(received(d), "ab\n|");
}

TEST(LineDiscipline, stop_and_start_keys_hold_output) {
  LineDiscipline d;
  LineDiscipline::Events events;
  d.receive(as_bytes("\x13"), events);
  EXPECT_TRUE(events.stopped);
  EXPECT_EQ(d.write(as_bytes("text")), 0u);
  d.receive(as_bytes("\x11"), events);
  EXPECT_TRUE(events.started);
  EXPECT_EQ(d.write(as_bytes("text")), 4u);
  EXPECT_EQ(shown(d), "text");
}

TEST(LineDiscipline, any_key_starts_output_under_ixany) {
  LineDiscipline d;
  abi::Termios2 s = d.settings();
  s.input_flags |= IXANY;
  d.set_settings(s);
  LineDiscipline::Events events;
  d.receive(as_bytes("\x13x"), events);
  EXPECT_FALSE(d.output_stopped());
}

struct OutputCase {
  char const* name;
  uint32_t flags;
  std::string written, seen;
};

TEST(LineDiscipline, output_processing) {
  OutputCase const cases[] = {
      {"onlcr", OPOST | ONLCR, "a\nb", "a\r\nb"},         {"none", 0, "a\nb\t", "a\nb\t"},
      {"ocrnl", OPOST | OCRNL, "a\rb", "a\nb"},           {"onocr", OPOST | ONOCR, "\ra\r", "a\r"},
      {"tabs", OPOST | abi::xtabs, "ab\tc", "ab      c"}, {"upper", OPOST | OLCUC, "aB1", "AB1"}};
  for (OutputCase const& c : cases) {
    LineDiscipline d;
    abi::Termios2 s = d.settings();
    s.output_flags = c.flags;
    d.set_settings(s);
    EXPECT_EQ(d.write(as_bytes(c.written)), c.written.size()) << c.name;
    EXPECT_EQ(shown(d), c.seen) << c.name;
  }
}

TEST(LineDiscipline, output_stops_at_its_limit) {
  LineDiscipline d;
  std::string const much(3 * LineDiscipline::output_limit, 'x');
  size_t const n = d.write(as_bytes(much));
  EXPECT_EQ(n, LineDiscipline::output_limit);
  EXPECT_EQ(d.write(as_bytes(much)), 0u);
  EXPECT_EQ(shown(d).size(), n);
  EXPECT_GT(d.write(as_bytes(much)), 0u);
}

TEST(LineDiscipline, an_overlong_line_keeps_its_end) {
  LineDiscipline d;
  LineDiscipline::Events events;
  std::string const line(6000, 'x');
  EXPECT_EQ(d.receive(as_bytes(line), events), line.size());
  d.receive(as_bytes("\n"), events);
  std::string const read = received(d);
  EXPECT_EQ(read.size(), LineDiscipline::input_limit + 1);  // 4095 bytes, the newline, and the mark of the test
  EXPECT_TRUE(read.ends_with("\n|"));
}

TEST(LineDiscipline, raw_input_refuses_what_it_has_no_room_for) {
  LineDiscipline d;
  abi::Termios2 s = d.settings();
  raw(s);
  d.set_settings(s);
  LineDiscipline::Events events;
  EXPECT_EQ(d.receive(as_bytes(std::string(6000, 'x')), events), LineDiscipline::input_limit - 1);
}

TEST(LineDiscipline, typed_ahead_text_changes_hands_with_the_mode) {
  LineDiscipline d;
  LineDiscipline::Events events;
  d.receive(as_bytes("ab"), events);
  EXPECT_FALSE(d.input_available());
  abi::Termios2 const lines = d.settings();
  abi::Termios2 bytes = lines;
  bytes.local_flags &= ~static_cast<uint32_t>(ICANON);
  d.set_settings(bytes);
  EXPECT_TRUE(d.input_available());
  d.set_settings(lines);
  EXPECT_EQ(received(d), "ab|");
}

TEST(LineDiscipline, a_full_read_takes_the_eof_key_along) {
  LineDiscipline d;
  LineDiscipline::Events events;
  d.receive(as_bytes("ab\x04"), events);
  std::byte two[2];
  bool end = false;
  EXPECT_EQ(d.read(two, end), 2u);
  EXPECT_FALSE(end);
  EXPECT_FALSE(d.input_available());
}

TEST(LineDiscipline, vmin_counts_for_poll) {
  LineDiscipline d;
  abi::Termios2 s = d.settings();
  raw(s);
  s.control_characters[VMIN] = 3;
  d.set_settings(s);
  LineDiscipline::Events events;
  d.receive(as_bytes("ab"), events);
  EXPECT_FALSE(d.input_pollable());
  d.receive(as_bytes("c"), events);
  EXPECT_TRUE(d.input_pollable());
}

}  // namespace
}  // namespace cofferdam::kernel
