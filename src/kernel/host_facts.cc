#include "kernel/host_facts.h"

#include <fmt/core.h>

#include "host/facts.h"

namespace cofferdam::kernel {

HostFacts open_host_facts() {
  auto open = [](char const* path) {
    Result<host::OwnedFd> fd = host::open_fact(path);
    return fd ? make_ref<host::SharedFd>(std::move(*fd)) : Ref<host::SharedFd>();
  };
  return {.cpuinfo = open("/proc/cpuinfo"),
          .huge_pages = open("/sys/kernel/mm/transparent_hugepage/enabled"),
          .huge_page_size = open("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")};
}

std::string read_host_fact(Ref<host::SharedFd> const& fd) {
  if (!fd) return {};
  std::string text = host::read_fact(fd->get());
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::vector<std::string> cpu_paragraphs(HostFacts const& facts, size_t count) {
  std::string const text = read_host_fact(facts.cpuinfo);
  std::vector<std::string> result;
  for (size_t at = 0; at < text.size() && result.size() < count;) {
    size_t end = text.find("\n\n", at);
    if (end == text.npos) end = text.size();
    std::string paragraph = text.substr(at, end - at);
    size_t const line = paragraph.find('\n');
    if (paragraph.starts_with("processor"))
      paragraph.replace(0, line == paragraph.npos ? paragraph.size() : line,
                        fmt::format("processor\t: {}", result.size()));
    result.push_back(std::move(paragraph));
    at = end + 2;
  }
  return result;
}

std::string_view cpu_field(std::string_view paragraph, std::string_view name) {
  for (size_t at = 0; at < paragraph.size();) {
    size_t end = paragraph.find('\n', at);
    if (end == paragraph.npos) end = paragraph.size();
    std::string_view const line = paragraph.substr(at, end - at);
    size_t const colon = line.find(':');
    if (colon != line.npos && line.starts_with(name) && line.find_first_not_of(" \t", name.size()) == colon)
      return colon + 2 <= line.size() ? line.substr(colon + 2) : std::string_view();
    at = end + 1;
  }
  return {};
}

std::string cpu_list(std::vector<bool> const& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    if (!cpus[i]) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end + 1 < cpus.size() && cpus[end + 1]) ++end;
    if (!text.empty()) text += ',';
    text += end == i ? fmt::format("{}", i) : fmt::format("{}-{}", i, end);
    i = end + 1;
  }
  return text;
}

// Comma-separated words of 32 bits, highest first, as %*pb prints them.
std::string cpu_mask(std::vector<bool> const& cpus) {
  std::string text;
  size_t const words = (cpus.size() + 31) / 32;
  for (size_t w = words; w-- > 0;) {
    size_t const bits = w + 1 == words ? (cpus.size() - 1) % 32 + 1 : 32;
    uint32_t value = 0;
    for (size_t b = 0; b < bits; ++b) value |= static_cast<uint32_t>(cpus[w * 32 + b]) << b;
    text += fmt::format("{}{:0{}x}", text.empty() ? "" : ",", value, (bits + 3) / 4);
  }
  return text;
}

}  // namespace cofferdam::kernel
