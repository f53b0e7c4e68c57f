// install and uninstall: entries for this runtime in the configuration files of container engines.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/launching.h"
#include "cli/options.h"
#include "host/fd.h"
#include "oci/spec.h"

namespace cofferdam::cli {

namespace {

struct InstallArguments {
  std::string engine = "docker", config, name = "cofferdam", binary;
  Words arguments;
};

void declare(Options& o, InstallArguments& a, bool removes) {
  o.text("--engine", a.engine, "docker, containerd or crio");
  o.text("--config", a.config, "the engine's configuration file (default: where Debian has it)");
  o.text("--name", a.name, "name of the runtime in the engine");
  if (removes) return;
  o.text("--binary", a.binary, "path of the runtime (default: this program)");
  o.list("--runtime-arg", a.arguments, "an option that the engine passes before the command (docker)");
}

Outcome<std::string> read_or_empty(std::string const& path) {
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) return std::string();
  return oci::read_text_file(path);
}

Outcome<> write_whole(std::string const& path, std::string const& text) {
  for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
    ::mkdir(path.substr(0, at).c_str(), 0755);
  struct stat old{};
  mode_t const mode = ::stat(path.c_str(), &old) == 0 ? old.st_mode & 07777 : 0644;
  std::string const temporary = path + ".cofferdam-new";
  host::OwnedFd fd(::open(temporary.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, mode));
  bool const written = fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::rename(temporary.c_str(), path.c_str()) == 0;
  if (written) return {};
  std::string const why = strerror(errno);
  ::unlink(temporary.c_str());
  return refuse(fmt::format("cannot write {}: {}", path, why));
}

// --- Docker: "runtimes" of daemon.json ---

Outcome<oci::JsonObject> docker_config(std::string const& path) {
  std::string const text = ATTEMPT(read_or_empty(path));
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return oci::JsonObject{};
  auto json = oci::parse_json(text);
  if (!json) return refuse(fmt::format("{}: {}", path, json.error()));
  auto* object = json->as<oci::JsonObject>();
  if (!object) return refuse(fmt::format("{}: expected an object, found {}", path, json->kind()));
  return std::move(*object);
}

oci::JsonObject* runtimes_of(oci::JsonObject& config) {
  auto it = std::ranges::find(config, "runtimes", &oci::JsonMember::first);
  if (it == config.end()) it = config.emplace(config.end(), "runtimes", oci::JsonObject{});
  return it->second.as<oci::JsonObject>();
}

Outcome<> change_docker(InstallArguments const& a, bool removes) {
  auto config = ATTEMPT(docker_config(a.config));
  auto* runtimes = runtimes_of(config);
  if (!runtimes) return refuse(fmt::format("{}: runtimes: expected an object", a.config));
  std::erase_if(*runtimes, [&](auto& member) { return member.first == a.name; });
  if (!removes) {
    oci::JsonObject entry{{"path", a.binary}};
    if (!a.arguments.empty()) {
      oci::JsonArray arguments;
      for (auto& word : a.arguments) arguments.emplace_back(word);
      entry.emplace_back("runtimeArgs", std::move(arguments));
    }
    runtimes->emplace_back(a.name, std::move(entry));
  }
  if (runtimes->empty()) std::erase_if(config, [](auto& member) { return member.first == "runtimes"; });
  return write_whole(a.config, oci::print_json(config, oci::Layout::Indented) + "\n");
}

// --- containerd and CRI-O: a stanza between two comments, which nobody else writes ---

std::string begin_mark(InstallArguments const& a) {
  return fmt::format("# begin of runtime {} (cofferdam install)\n", a.name);
}
std::string end_mark(InstallArguments const& a) { return fmt::format("# end of runtime {}\n", a.name); }

std::string stanza(InstallArguments const& a) {
  if (a.engine == "crio")
    return fmt::format("[crio.runtime.runtimes.{0}]\nruntime_path = \"{1}\"\nruntime_type = \"oci\"\n", a.name,
                       a.binary);
  // The shim of our own where it stands beside the runtime, by its path: containerd need not find it.
  std::string const shim = a.binary.substr(0, a.binary.rfind('/') + 1) + "containerd-shim-cofferdam-v1";
  if (::access(shim.c_str(), X_OK) == 0)
    return fmt::format("[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.{}]\n  runtime_type = \"{}\"\n",
                       a.name, shim);
  return fmt::format(
      "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.{0}]\n"
      "  runtime_type = \"io.containerd.runc.v2\"\n"
      "  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.{0}.options]\n"
      "    BinaryName = \"{1}\"\n",
      a.name, a.binary);
}

Outcome<> change_stanza(InstallArguments const& a, bool removes) {
  std::string text = ATTEMPT(read_or_empty(a.config));
  std::string const begin = begin_mark(a), end = end_mark(a);
  if (size_t from = text.find(begin); from != std::string::npos) {
    size_t const to = text.find(end, from);
    if (to == std::string::npos)
      return refuse(fmt::format("{}: the stanza of {} has no end; remove it by hand", a.config, a.name));
    text.erase(from, to + end.size() - from);
  }
  if (!removes) {
    if (text.empty() && a.engine == "containerd") text = "version = 2\n";
    if (!text.empty() && !text.ends_with('\n')) text += '\n';
    text += begin + stanza(a) + end;
  }
  if (text.empty()) {
    ::unlink(a.config.c_str());
    return {};
  }
  return write_whole(a.config, text);
}

Outcome<int> change(Words const& words, bool removes) {
  InstallArguments a;
  std::string const name = removes ? "cofferdam uninstall" : "cofferdam install";
  Options options(name, "",
                  removes ? "Takes the entry for this runtime out of an engine's configuration."
                          : "Puts an entry for this runtime into an engine's configuration; restart the engine then.");
  declare(options, a, removes);
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  if (!rest.empty())
    return refuse(fmt::format("{}: '{}' is one word too many", removes ? "uninstall" : "install", rest[0]));
  constexpr std::pair<std::string_view, std::string_view> places[] = {
      {"docker", "/etc/docker/daemon.json"},
      {"containerd", "/etc/containerd/config.toml"},
      {"crio", "/etc/crio/crio.conf.d/99-cofferdam.conf"}};
  auto* place = std::ranges::find(places, a.engine, &std::pair<std::string_view, std::string_view>::first);
  if (place == std::end(places))
    return refuse(fmt::format("--engine: '{}' is not known; use docker, containerd or crio", a.engine));
  bool const plain = !a.name.empty() && std::ranges::all_of(a.name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  if (!plain)
    return refuse(fmt::format("--name: '{}' cannot name a runtime; use letters, digits, '-' and '_'", a.name));
  if (a.config.empty()) a.config = place->second;
  if (!removes) a.binary = ATTEMPT(absolute(a.binary.empty() ? "/proc/self/exe" : a.binary));
  ATTEMPT(a.engine == "docker" ? change_docker(a, removes) : change_stanza(a, removes));
  return 0;
}

}  // namespace

Outcome<int> run_install(Globals const&, Words const& words) { return change(words, false); }
Outcome<int> run_uninstall(Globals const&, Words const& words) { return change(words, true); }

}  // namespace cofferdam::cli
