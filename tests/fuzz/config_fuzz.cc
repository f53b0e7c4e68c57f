// config.json: any text is parsed or refused with a message; what was parsed prints to a text that parses to the same.
#include <cstdlib>
#include <string_view>

#include "oci/json.h"
#include "oci/spec.h"

using namespace cofferdam;

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  std::string_view const text(reinterpret_cast<char const*>(data), size);
  if (auto spec = oci::parse_spec(text, "config.json"); !spec && spec.error().empty()) std::abort();
  auto json = oci::parse_json(text);
  if (!json) {
    if (json.error().empty()) std::abort();
    return 0;
  }
  for (auto layout : {oci::Layout::Compact, oci::Layout::Indented}) {
    std::string const printed = oci::print_json(*json, layout);
    auto again = oci::parse_json(printed);
    if (!again || oci::print_json(*again, layout) != printed) std::abort();
  }
  return 0;
}
