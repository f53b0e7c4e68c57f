// What the guest may learn of the host's hardware. The files are opened before the jail closes, which costs next to
// nothing, and read when a guest asks; they tell about the machine and cannot be written through these descriptors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ref.h"
#include "host/fd.h"

namespace cofferdam::kernel {

struct HostFacts {
  Ref<host::SharedFd> cpuinfo;         // /proc/cpuinfo
  Ref<host::SharedFd> huge_pages;      // /sys/kernel/mm/transparent_hugepage/enabled
  Ref<host::SharedFd> huge_page_size;  // …/hpage_pmd_size
};
// Those that are not there (no /sys) stay null.
HostFacts open_host_facts();

// The text of such a file without the last newline; empty when there is none.
std::string read_host_fact(Ref<host::SharedFd> const&);

// The paragraphs of /proc/cpuinfo for the first `count` CPUs, numbered from 0.
std::vector<std::string> cpu_paragraphs(HostFacts const&, size_t count);
// "core id" and the like of a paragraph; empty when it is not there.
std::string_view cpu_field(std::string_view paragraph, std::string_view name);

// A set of CPUs as "0-3,6", and as "f,ffffffff" (words of 32 bits, highest first).
std::string cpu_list(std::vector<bool> const&);
std::string cpu_mask(std::vector<bool> const&);

}  // namespace cofferdam::kernel
