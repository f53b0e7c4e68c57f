// Names that config.json uses for the kernel's numbers.
#pragma once

#include <optional>
#include <string_view>

#include "oci/spec.h"

namespace cofferdam::oci {

std::optional<int> rlimit_number(std::string_view name);     // "RLIMIT_NOFILE"
std::optional<int> scheduler_policy(std::string_view name);  // "SCHED_OTHER"
std::optional<NamespaceType> namespace_type(std::string_view name);

}  // namespace cofferdam::oci
