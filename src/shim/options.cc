#include "shim/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "host/fd.h"
#include "oci/json.h"
#include "oci/reader.h"
#include "shim/proto/task.pb.h"

namespace cofferdam::shim {

namespace {

constexpr std::string_view options_file = "cofferdam-options.json";
constexpr std::string_view default_root = "/run/containerd/cofferdam";
constexpr std::string_view default_file = "/etc/containerd/cofferdam.toml";

// Keys of the file, and the runtime's option that each stands for.
struct Key {
  std::string_view name, option;
  bool is_flag;
};
constexpr Key keys[] = {
    {"platform", "--platform", false},
    {"overlay", "--overlay", false},
    {"network", "--network", false},
    {"host_uds", "--host-uds", false},
    {"debug_log", "--debug-log", false},
    {"mm_approval", "--mm-approval", false},
    {"strace", "--strace", true},
    {"debug", "--debug", true},
    {"systemd_cgroup", "--systemd-cgroup", true},
};

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  size_t const first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// The value of a line, and whether nothing but a comment follows it.
Outcome<std::string> value_of(std::string_view text) {
  if (text.starts_with('"')) {
    size_t const end = text.find('"', 1);
    if (end == std::string_view::npos) return refuse("a string is not closed");
    if (text.substr(1, end - 1).find('\\') != std::string_view::npos)
      return refuse("escapes in strings are not supported");
    std::string_view const rest = trim(text.substr(end + 1));
    if (!rest.empty() && !rest.starts_with('#')) return refuse("something follows the string");
    return std::string(text.substr(1, end - 1));
  }
  text = trim(text.substr(0, text.find('#')));
  if (text != "true" && text != "false") return refuse("a value is a string in double quotes, true or false");
  return std::string(text);
}

Outcome<> apply(RuntimeOptions& o, std::string_view key, std::string const& value, bool quoted) {
  if (key == "binary" || key == "root" || key == "shim_cgroup") {
    if (!quoted) return refuse(fmt::format("'{}' wants a string", key));
    (key == "binary" ? o.binary : key == "root" ? o.root : o.shim_cgroup) = value;
    return {};
  }
  auto const* known = std::ranges::find(keys, key, &Key::name);
  if (known == std::end(keys)) return refuse(fmt::format("'{}' is no option", key));
  if (known->is_flag == quoted) return refuse(fmt::format("'{}' wants {}", key, quoted ? "true or false" : "a string"));
  if (!known->is_flag) o.globals.insert(o.globals.end(), {std::string(known->option), value});
  if (known->is_flag && value == "true") o.globals.emplace_back(known->option);
  return {};
}

RuntimeOptions from_runc(wire::RuncOptions const& r) {
  RuntimeOptions o{.binary = r.binary_name(), .root = r.root(), .shim_cgroup = r.shim_cgroup()};
  if (r.systemd_cgroup()) o.globals.emplace_back("--systemd-cgroup");
  return o;
}

Outcome<RuntimeOptions> from_file(wire::FileOptions const& f) {
  if (!f.config_body().empty()) return parse_options(f.config_body(), "the options in the engine's configuration");
  if (f.config_path().empty()) return RuntimeOptions{};
  return parse_options(ATTEMPT(oci::read_text_file(f.config_path())), f.config_path());
}

}  // namespace

Outcome<RuntimeOptions> parse_options(std::string_view text, std::string_view name) {
  RuntimeOptions o;
  for (unsigned number = 1; !text.empty(); ++number) {
    std::string_view const line = trim(text.substr(0, text.find('\n')));
    text.remove_prefix(
        std::min(text.size(), text.find('\n') == std::string_view::npos ? text.size() : text.find('\n') + 1));
    if (line.empty() || line.starts_with('#')) continue;
    auto wrong = [&](std::string_view why) { return refuse(fmt::format("{}: line {}: {}", name, number, why)); };
    size_t const equals = line.find('=');
    if (equals == std::string_view::npos) return wrong("give KEY = VALUE");
    std::string_view const given = trim(line.substr(equals + 1));
    auto value = value_of(given);
    if (!value) return wrong(value.error());
    if (auto done = apply(o, trim(line.substr(0, equals)), *value, given.starts_with('"')); !done)
      return wrong(done.error());
  }
  return o;
}

Outcome<RuntimeOptions> decode_options(std::string_view type, std::string_view value) {
  // A prefix with a host name, as newer clients write it, says nothing.
  type = type.substr(type.rfind('/') + 1);
  std::string const bytes(value);
  if (type == "containerd.runc.v1.Options") {
    wire::RuncOptions r;
    if (!r.ParseFromString(bytes)) return refuse("the runtime's options cannot be decoded");
    return from_runc(r);
  }
  if (type == "runtimeoptions.v1.Options") {
    wire::FileOptions f;
    if (!f.ParseFromString(bytes)) return refuse("the runtime's options cannot be decoded");
    if (!f.config_body().empty() || !f.config_path().empty()) return from_file(f);
    type = {};
  }
  if (!type.empty()) return refuse(fmt::format("options of the type {} are not known to this shim", type));
  std::string const file(default_file);
  if (::access(file.c_str(), F_OK) != 0) return RuntimeOptions{};
  return parse_options(ATTEMPT(oci::read_text_file(file)), file);
}

Outcome<> save_options(std::string const& bundle, RuntimeOptions const& o) {
  oci::JsonArray globals;
  globals.reserve(o.globals.size());
  for (auto const& word : o.globals) globals.emplace_back(word);
  std::string const text =
      oci::print_json(oci::JsonObject{{"binary", o.binary}, {"root", o.root}, {"globals", std::move(globals)}});
  std::string const path = fmt::format("{}/{}", bundle, options_file);
  host::OwnedFd fd(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
  if (fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) return {};
  return refuse(fmt::format("cannot write {}: {}", path, strerror(errno)));
}

RuntimeOptions load_options(std::string const& bundle) {
  RuntimeOptions o;
  auto const text = oci::read_text_file(fmt::format("{}/{}", bundle, options_file));
  auto const json = text ? oci::parse_json(*text) : refuse("");
  if (!json) return o;
  std::string error;
  oci::Reader const top(&*json, "", &error);
  top.at("binary").read(o.binary);
  top.at("root").read(o.root);
  top.at("globals").read(o.globals);
  return o;
}

std::string own_program() {
  char self[4096];
  ssize_t const n = ::readlink("/proc/self/exe", self, sizeof self);
  return {self, n > 0 ? static_cast<size_t>(n) : 0};
}

std::string runtime_binary(RuntimeOptions const& options) {
  if (!options.binary.empty()) return options.binary;
  std::string const path = own_program();
  std::string beside = fmt::format("{}/cofferdam", path.substr(0, path.rfind('/')));
  return ::access(beside.c_str(), X_OK) == 0 ? beside : "cofferdam";
}

std::string record_root(RuntimeOptions const& options, std::string const& name_space) {
  return fmt::format("{}/{}", options.root.empty() ? default_root : options.root, name_space);
}

}  // namespace cofferdam::shim
