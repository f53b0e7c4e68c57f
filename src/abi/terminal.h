// The kernel's terminal structures and request numbers (asm/termbits.h), which differ from the C library's.
#pragma once

#include <cstdint>

namespace cofferdam::abi {

inline constexpr int terminal_control_characters = 19;

struct Termios2 {
  uint32_t input_flags, output_flags, control_flags, local_flags;
  uint8_t line;
  uint8_t control_characters[terminal_control_characters];
  uint32_t input_speed, output_speed;
};
static_assert(sizeof(Termios2) == 44);

struct Termios {
  uint32_t input_flags, output_flags, control_flags, local_flags;
  uint8_t line;
  uint8_t control_characters[terminal_control_characters];
};
static_assert(sizeof(Termios) == 36);

struct Termio {
  uint16_t input_flags, output_flags, control_flags, local_flags;
  uint8_t line;
  uint8_t control_characters[8];
  uint8_t padding;
};
static_assert(sizeof(Termio) == 18);

struct WindowSize {
  uint16_t rows, columns, x_pixels, y_pixels;
  friend bool operator==(WindowSize const&, WindowSize const&) = default;
};

inline constexpr uint32_t tcgets2 = 0x802C542A, tcsets2 = 0x402C542B, tcsetsw2 = 0x402C542C, tcsetsf2 = 0x402C542D;
inline constexpr uint32_t tiocgptn = 0x80045430, tiocsptlck = 0x40045431, tiocgdev = 0x80045432, tiocgpkt = 0x80045438,
                          tiocgptlck = 0x80045439, tiocgexcl = 0x80045440, tiocgptpeer = 0x5441;
// Not in the C library's <termios.h>.
inline constexpr uint32_t extproc = 0200000, xtabs = 014000, iuclc = 01000, iutf8 = 040000;

}  // namespace cofferdam::abi
