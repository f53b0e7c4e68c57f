#include "cgroup/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "host/fd.h"

namespace cofferdam::cgroup {

Outcome<> put(std::string const& directory, std::string_view file, std::string const& value) {
  std::string path = fmt::format("{}/{}", directory, file);
  host::OwnedFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return refuse(fmt::format("cannot write '{}' to {}: {}", value, path, strerror(errno)));
  return {};
}

std::string read_file(std::string const& path) {
  host::OwnedFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  for (ssize_t n; fd && (n = ::read(fd.get(), buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
  return text;
}

uint64_t read_number(std::string const& path) { return ::strtoull(read_file(path).c_str(), nullptr, 10); }

std::vector<std::pair<std::string, uint64_t>> read_table(std::string const& path) {
  std::vector<std::pair<std::string, uint64_t>> out;
  std::string const text = read_file(path);
  for (size_t at = 0; at < text.size();) {
    size_t const end = std::min(text.find('\n', at), text.size());
    std::string const line = text.substr(at, end - at);
    at = end + 1;
    if (size_t const blank = line.find(' '); blank != std::string::npos)
      out.emplace_back(line.substr(0, blank), ::strtoull(line.c_str() + blank, nullptr, 10));
  }
  return out;
}

std::vector<std::string> leaves_of(std::vector<std::string> const& directories) {
  std::vector<std::string> out;
  for (auto& directory : directories)
    if (std::ranges::none_of(directories, [&](auto& d) { return d.starts_with(directory + "/"); }))
      out.push_back(directory);
  return out;
}

}  // namespace cofferdam::cgroup
