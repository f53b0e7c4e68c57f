// Text of /proc/PID/{maps,smaps,smaps_rollup,statm,numa_maps} in Linux's formats (man 5 proc).
#pragma once

#include <functional>
#include <string>

#include "kernel/mm/memory_manager.h"

namespace cofferdam::kernel {

// How a mapped file is called: its path as the reader sees it, " (deleted)" appended.
using FileNamer = std::function<std::string(File const&)>;

std::string maps_text(MemoryManager const&, FileNamer const&);
std::string smaps_text(MemoryManager const&, FileNamer const&);
std::string smaps_rollup_text(MemoryManager const&);
std::string numa_maps_text(MemoryManager const&, FileNamer const&);
// "size resident shared text lib data dt\n", in pages.
std::string statm_text(MemoryManager const&);
// The Vm… lines of /proc/PID/status, VmPeak to VmSwap, each with its newline.
std::string status_memory_text(MemoryManager const&);

}  // namespace cofferdam::kernel
