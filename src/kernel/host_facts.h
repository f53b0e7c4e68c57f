// What the guest may learn of the host's hardware. Read by the assembly before the jail closes; the jailed sentry
// cannot open the host's /proc and /sys.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cofferdam::kernel {

// A CPU cache as /sys/devices/system/cpu/cpuN/cache/indexM tells it; texts without newlines, empty when unknown.
struct CacheFacts {
  std::string level, type, size, coherency_line_size, number_of_sets, ways_of_associativity, shared_cpu_list,
      shared_cpu_map, physical_line_partition, id;
};

struct CpuFacts {
  std::string cpuinfo;  // its paragraph of /proc/cpuinfo
  std::string core_id, package_id, core_cpus_list, package_cpus_list;
  std::vector<CacheFacts> caches;
};

struct HostFacts {
  std::vector<CpuFacts> cpus;  // as many as the sandbox may use, at most
  std::string huge_pages;      // /sys/kernel/mm/transparent_hugepage/enabled: "always [madvise] never"
  std::string huge_page_size;  // …/hpage_pmd_size
  std::string boot_id;         // /proc/sys/kernel/random/boot_id: made up, one for each sandbox
};

// max_cpus 0: all that the calling process may use.
HostFacts read_host_facts(size_t max_cpus = 0);

}  // namespace cofferdam::kernel
