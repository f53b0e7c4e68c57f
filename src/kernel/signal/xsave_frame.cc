#include <immintrin.h>

#include <cstring>

#include "kernel/signal/frame.h"

namespace cofferdam::kernel::xsave_frame {
namespace {

constexpr uint64_t x87_and_sse = 3;
constexpr uint64_t asked_for = (uint64_t{1} << 17) | (uint64_t{1} << 18);  // AMX: XTILECFG, XTILEDATA
constexpr size_t features_offset = legacy_size, compaction_offset = legacy_size + 8;

template <class T>
T load(std::span<std::byte const> from, size_t offset) {
  T value{};
  std::memcpy(&value, from.subspan(offset, sizeof value).data(), sizeof value);
  return value;
}

template <class T>
void store(std::span<std::byte> to, size_t offset, T const& value) {
  std::memcpy(to.subspan(offset, sizeof value).data(), &value, sizeof value);
}

}  // namespace

__attribute__((target("xsave"))) uint64_t features() { return _xgetbv(0) & ~asked_for; }

void stamp(std::span<std::byte> image, uint64_t with) {
  auto size = static_cast<uint32_t>(image.size() - sizeof magic2);
  Software software{magic1, size + static_cast<uint32_t>(sizeof magic2), with, size, {}};
  store(image, software_offset, software);
  store(image, features_offset, load<uint64_t>(image, features_offset) | x87_and_sse);
  store(image, size, magic2);
}

std::optional<Software> software_of(std::span<std::byte const> legacy, size_t limit) {
  auto software = load<Software>(legacy, software_offset);
  if (software.magic1 != magic1 || software.size < legacy_size + header_size || software.size > limit ||
      software.size > software.extended_size)
    return std::nullopt;
  return software;
}

bool make_loadable(std::span<std::byte> image, std::optional<Software> trusted, uint64_t with) {
  size_t whole = trusted ? trusted->size : legacy_size;
  std::memset(image.data() + whole, 0, image.size() - whole);
  std::memset(image.data() + software_offset, 0, sizeof(Software));
  if (!trusted) {
    std::memset(image.data() + legacy_size, 0, header_size);
    store(image, features_offset, x87_and_sse);
    return true;
  }
  auto present = load<uint64_t>(image, features_offset) & trusted->features;
  if (present & ~with) return false;
  for (size_t at = compaction_offset; at < legacy_size + header_size; at += 8)
    if (load<uint64_t>(image, at) != 0) return false;
  store(image, features_offset, present);
  return true;
}

}  // namespace cofferdam::kernel::xsave_frame
