// The character devices of major number 1 that programs use: null, zero, full, random, urandom (man 4 null, random,
// full).
#pragma once

namespace cofferdam::kernel {
class Kernel;
}

namespace cofferdam::dev {

void register_memory_devices(kernel::Kernel&);

}  // namespace cofferdam::dev
