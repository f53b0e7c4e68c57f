#include "host/system_facts.h"

#include <sys/sysinfo.h>

namespace cofferdam::host {

MemoryFacts memory_facts() {
  struct sysinfo info{};
  if (::sysinfo(&info) != 0) return {};
  uint64_t unit = info.mem_unit;
  return {info.totalram * unit, (info.freeram + info.bufferram) * unit};
}

}  // namespace cofferdam::host
