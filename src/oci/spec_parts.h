// The parts of config.json that are long enough for files of their own.
#pragma once

#include <string_view>

#include "oci/reader.h"
#include "oci/spec.h"

namespace cofferdam::oci {

void read_process(Reader const& at, Process& to);                         // process, process.json
void read_resources(Reader const& at, Resources& to);                     // linux.resources
void read_device_rules(Reader const& list, std::vector<DeviceRule>& to);  // linux.resources.devices
// What is not done is refused by name, so that nobody relies on it.
void refuse_present(Reader const& at, std::string_view why);

}  // namespace cofferdam::oci
