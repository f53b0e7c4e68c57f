// Statistics of a container, from what the runtime's `events --stats` prints to what containerd decodes.
#pragma once

#include <string>
#include <string_view>

#include "base/outcome.h"

namespace cofferdam::shim {

struct Metrics {
  std::string type;   // name of the message at containerd
  std::string value;  // encoded
};

enum class CgroupVersion { V1, V2 };
// Which of the two messages containerd expects on this host: the second where all controllers are of version 2.
CgroupVersion host_cgroup_version();

Outcome<Metrics> encode_metrics(std::string_view event_json, CgroupVersion version);

}  // namespace cofferdam::shim
