// What the sentry makes of guest code around a system call that it might rewrite: windows within the code that it saw,
// around the instruction, and never one that has a jump into it.
#include <cstdlib>
#include <cstring>
#include <span>

#include "platform/trap/patch.h"

using namespace cofferdam::platform::trap;

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  struct {
    uint64_t base;
    uint16_t offset, number;
  } head;
  constexpr size_t head_size = 12;
  if (size < head_size) return 0;
  std::memcpy(&head.base, data, 8);
  std::memcpy(&head.offset, data + 8, 2);
  std::memcpy(&head.number, data + 10, 2);
  auto const code = std::as_bytes(std::span(data + head_size, size - head_size));
  uint64_t const base = head.base & 0x7fff'ffff'ffff;
  for (uint64_t call : {base + head.offset, base + code.size() - 2, base, base - 1}) {
    auto window = match_idiom(code, base, call, head.number);
    if (!window) continue;
    if (call < base + window->before || call + 2 + window->after > base + code.size()) std::abort();
    if (window->size() < 7 || window->size() > 10) std::abort();
    auto const* at = data + head_size + (call - base);
    if (at[0] != 0x0f || at[1] != 0x05) std::abort();
  }
  return 0;
}
