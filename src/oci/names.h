// Names that config.json uses for the kernel's numbers.
#pragma once

#include <optional>
#include <string_view>

#include "oci/spec.h"

namespace cofferdam::oci {

std::optional<int> rlimit_number(std::string_view name);  // "RLIMIT_NOFILE"
std::optional<NamespaceType> namespace_type(std::string_view name);

}  // namespace cofferdam::oci
