// Reading and writing the files of a cgroup.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/outcome.h"

namespace cofferdam::cgroup {

Outcome<> put(std::string const& directory, std::string_view file, std::string const& value);
std::string read_file(std::string const& path);  // empty when it cannot be read
uint64_t read_number(std::string const& path);   // 0 for "max" and for what cannot be read
std::vector<std::pair<std::string, uint64_t>> read_table(std::string const& path);  // lines of "name number"
// Those below which none of the others lies.
std::vector<std::string> leaves_of(std::vector<std::string> const& directories);

}  // namespace cofferdam::cgroup
