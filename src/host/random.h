// Random bytes of the host (getrandom(2)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace cofferdam::host {

// Fills the span; the host's generator is seeded long before a sandbox runs.
void fill_random(std::span<std::byte>);
uint64_t random64();

}  // namespace cofferdam::host
