#include "shim/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <algorithm>

#include <fmt/format.h>

#include "host/fd.h"
#include "oci/json.h"
#include "oci/spec.h"
#include "shim/options.h"
#include "shim/service.h"

namespace cofferdam::shim {

namespace {

using oci::Json;
using oci::JsonArray;
using oci::JsonObject;

std::string text_of(Json const* value) {
  auto const* text = value ? value->as<std::string>() : nullptr;
  return text ? *text : std::string();
}

std::string network_of(Json const& config) {
  auto const* linux_part = config.find("linux");
  auto const* namespaces = linux_part ? linux_part->find("namespaces") : nullptr;
  auto const* list = namespaces ? namespaces->as<JsonArray>() : nullptr;
  if (list == nullptr) return {};
  auto const found = std::ranges::find_if(*list, [](Json const& n) { return text_of(n.find("type")) == "network"; });
  return found == list->end() ? std::string() : text_of(found->find("path"));
}

Json relay_mount() {
  return JsonObject{{"destination", relay_path},
                    {"type", "bind"},
                    {"source", own_program()},
                    {"options", JsonArray{"bind", "ro", "nosuid", "nodev"}}};
}

void add_mount(JsonObject& config) {
  auto at = std::ranges::find(config, "mounts", &oci::JsonMember::first);
  if (at == config.end()) at = config.emplace(config.end(), "mounts", JsonArray{});
  if (auto* mounts = at->second.as<JsonArray>()) mounts->push_back(relay_mount());
}

}  // namespace

Outcome<std::string> prepare_pod(std::string const& bundle) {
  std::string const file = bundle + "/config.json";
  auto json = oci::parse_json(ATTEMPT(oci::read_text_file(file)));
  if (!json) return refuse(fmt::format("{}: {}", file, json.error()));
  auto const* annotations = json->find("annotations");
  bool const first = annotations && text_of(annotations->find("io.kubernetes.cri.container-type")) == "sandbox";
  std::string network = first ? network_of(*json) : std::string();
  auto* config = json->as<JsonObject>();
  if (network.empty() || config == nullptr) return std::string();
  std::string const place = fmt::format("{}/rootfs{}", bundle, relay_path);
  host::OwnedFd const made(::open(place.c_str(), O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0555));
  if (!made) return refuse(fmt::format("cannot make {}: {}", place, strerror(errno)));
  add_mount(*config);
  ATTEMPT(write_file(file, oci::print_json(*json)));
  return network;
}

}  // namespace cofferdam::shim
