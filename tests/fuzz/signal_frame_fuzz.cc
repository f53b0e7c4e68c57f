// The XSAVE image of a signal frame that the guest wrote, as rt_sigreturn takes it: what passes, the CPU loads.
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel/signal/frame.h"

using namespace cofferdam::kernel;

namespace {

constexpr uint64_t protection_keys = 1 << 9;  // would lock this process out of its own memory

size_t image_size() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __get_cpuid_count(0xd, 0, &a, &b, &c, &d);
  return std::max<size_t>(b, xsave_frame::legacy_size + xsave_frame::header_size);
}

// Loads the image into the registers and puts back what was there. The stub does the same; the platform has masked
// mxcsr.
__attribute__((target("xsave"))) void load(std::span<std::byte> image, uint64_t features) {
  static std::vector<std::byte> memory(image.size() * 2 + 128);
  auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t{63});
  std::byte* const saved = aligned + (image.size() + 63) / 64 * 64;
  std::memset(saved, 0, std::min<size_t>(image.size(), 1024));
  std::memcpy(aligned, image.data(), image.size());
  uint32_t mxcsr;
  std::memcpy(&mxcsr, aligned + xsave_frame::mxcsr_offset, sizeof mxcsr);
  mxcsr &= 0xffbf;
  std::memcpy(aligned + xsave_frame::mxcsr_offset, &mxcsr, sizeof mxcsr);
  _xsave64(saved, features);
  _xrstor64(aligned, features);
  _xrstor64(saved, features);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  static size_t const whole = image_size();
  static uint64_t const features = xsave_frame::features() & ~protection_keys;
  std::vector<std::byte> image(whole);
  std::memcpy(image.data(), data, std::min(size, whole));
  auto software = xsave_frame::software_of(std::span<std::byte const>(image).first(xsave_frame::legacy_size), whole);
  if (software && (software->size < xsave_frame::legacy_size + xsave_frame::header_size || software->size > whole))
    std::abort();
  if (xsave_frame::make_loadable(image, software, features)) load(image, features);
  return 0;
}
