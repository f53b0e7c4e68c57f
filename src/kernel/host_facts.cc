#include "kernel/host_facts.h"

#include <sched.h>
#include <sys/random.h>

#include <fstream>
#include <iterator>

#include <fmt/core.h>

namespace cofferdam::kernel {
namespace {

std::string read_text(std::string const& path) {
  std::ifstream in(path);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::vector<std::string> paragraphs(std::string const& text) {
  std::vector<std::string> result;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find("\n\n", at);
    if (end == text.npos) end = text.size();
    result.push_back(text.substr(at, end - at));
    at = end + 2;
  }
  return result;
}

CacheFacts read_cache(std::string const& folder) {
  auto field = [&](char const* name) { return read_text(folder + name); };
  return {.level = field("level"),
          .type = field("type"),
          .size = field("size"),
          .coherency_line_size = field("coherency_line_size"),
          .number_of_sets = field("number_of_sets"),
          .ways_of_associativity = field("ways_of_associativity"),
          .shared_cpu_list = field("shared_cpu_list"),
          .shared_cpu_map = field("shared_cpu_map"),
          .physical_line_partition = field("physical_line_partition"),
          .id = field("id")};
}

CpuFacts read_cpu(size_t index) {
  CpuFacts cpu;
  std::string const folder = fmt::format("/sys/devices/system/cpu/cpu{}/", index);
  cpu.core_id = read_text(folder + "topology/core_id");
  cpu.package_id = read_text(folder + "topology/physical_package_id");
  cpu.core_cpus_list = read_text(folder + "topology/core_cpus_list");
  cpu.package_cpus_list = read_text(folder + "topology/package_cpus_list");
  for (int i = 0; i < 8; ++i) {
    CacheFacts cache = read_cache(fmt::format("{}cache/index{}/", folder, i));
    if (cache.level.empty()) break;
    cpu.caches.push_back(std::move(cache));
  }
  return cpu;
}

std::string random_uuid() {
  unsigned char b[16] = {};
  (void)!getrandom(b, sizeof b, 0);
  b[6] = static_cast<unsigned char>((b[6] & 0x0f) | 0x40);
  b[8] = static_cast<unsigned char>((b[8] & 0x3f) | 0x80);
  std::string text;
  for (size_t i = 0; i < sizeof b; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", b[i]);
  }
  return text;
}

}  // namespace

HostFacts read_host_facts(size_t max_cpus) {
  HostFacts facts;
  std::vector<std::string> infos = paragraphs(read_text("/proc/cpuinfo"));
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  size_t usable = infos.size();
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) usable = static_cast<size_t>(CPU_COUNT(&allowed));
  if (max_cpus == 0 || max_cpus > usable) max_cpus = usable;
  for (size_t i = 0; i < infos.size() && i < max_cpus; ++i) {
    CpuFacts cpu = read_cpu(i);
    cpu.cpuinfo = std::move(infos[i]);
    facts.cpus.push_back(std::move(cpu));
  }
  facts.huge_pages = read_text("/sys/kernel/mm/transparent_hugepage/enabled");
  facts.huge_page_size = read_text("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
  facts.boot_id = random_uuid();
  return facts;
}

}  // namespace cofferdam::kernel
