// Which argument bytes a call brings along, by system call number, so that the sentry need not fetch them.
#pragma once

#include <stdint.h>

namespace cofferdam::stub {

enum class HintKind : uint8_t {
  None,
  Path,    // a NUL-terminated string
  Buffer,  // as many bytes as the length argument says
  Array,   // as many elements of `size` bytes
  Struct,  // `size` bytes
};
struct HintSpec {
  HintKind kind;
  uint8_t argument, length_argument, size;
};

struct HintTable {
  HintSpec entry[440];
  constexpr HintSpec const& operator[](uint64_t number) const { return entry[number]; }
};

constexpr HintTable make_hint_table() {
  HintTable t = {};
  constexpr int paths_first[] = {2, 4, 6, 21, 76, 80, 82, 83, 84, 86, 87, 88, 89, 90, 92, 94, 137, 188, 189, 191, 192};
  constexpr int paths_second[] = {257, 258, 260, 262, 263, 264, 265, 267, 268, 269, 332, 437, 439};
  for (int number : paths_first) t.entry[number] = {HintKind::Path, 0, 0, 0};
  for (int number : paths_second) t.entry[number] = {HintKind::Path, 1, 0, 0};
  constexpr int buffers[] = {1 /* write */, 18 /* pwrite64 */, 44 /* sendto */, 42 /* connect */, 49 /* bind */};
  for (int number : buffers) t.entry[number] = {HintKind::Buffer, 1, 2, 0};
  t.entry[20] = {HintKind::Array, 1, 2, 16};    // writev
  t.entry[19] = {HintKind::Array, 1, 2, 16};    // readv
  t.entry[7] = {HintKind::Array, 0, 1, 8};      // poll
  t.entry[271] = {HintKind::Array, 0, 1, 8};    // ppoll
  t.entry[46] = {HintKind::Struct, 1, 0, 56};   // sendmsg
  t.entry[47] = {HintKind::Struct, 1, 0, 56};   // recvmsg
  t.entry[13] = {HintKind::Struct, 1, 0, 32};   // rt_sigaction
  t.entry[14] = {HintKind::Struct, 1, 0, 8};    // rt_sigprocmask
  t.entry[35] = {HintKind::Struct, 0, 0, 16};   // nanosleep
  t.entry[230] = {HintKind::Struct, 2, 0, 16};  // clock_nanosleep
  t.entry[233] = {HintKind::Struct, 3, 0, 12};  // epoll_ctl
  t.entry[435] = {HintKind::Struct, 0, 0, 88};  // clone3
  return t;
}
inline constexpr HintTable hint_table = make_hint_table();
constexpr bool brings_hint(uint64_t number) {
  return number < sizeof hint_table.entry / sizeof hint_table.entry[0] && hint_table[number].kind != HintKind::None;
}

}  // namespace cofferdam::stub
