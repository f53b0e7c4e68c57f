// containerd-shim-cofferdam-v1: what stands between containerd and the containers of one pod.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "shim/port_forward.h"
#include "shim/start.h"

namespace cofferdam::shim {
namespace {

constexpr char usage[] =
    "containerd-shim-cofferdam-v1: containerd starts it for containers of the runtime io.containerd.cofferdam.v1.\n"
    "usage: containerd-shim-cofferdam-v1 -namespace NAMESPACE -id ID -address SOCKET [-bundle DIRECTORY] [-debug] "
    "[start | delete]\n";

// As Go's package flag has it: one dash or two, values behind a blank or an equals sign.
struct Words {
  std::vector<std::string_view> rest;
  std::string_view take(std::string_view& value) {
    std::string_view word = rest.front();
    rest.erase(rest.begin());
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    size_t const equals = word.find('=');
    value = equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
    return word.substr(0, equals);
  }
  bool at_option() const { return !rest.empty() && rest.front().size() > 1 && rest.front().starts_with('-'); }
};

struct Parsed {
  Arguments arguments;
  bool version = false, info = false, help = false;
  std::string_view command;
};

Outcome<Parsed> parse(Words words) {
  Parsed p;
  while (words.at_option()) {
    std::string_view value;
    std::string_view const name = words.take(value);
    bool* const flag = name == "debug"                    ? &p.arguments.debug
                       : name == "v" || name == "version" ? &p.version
                       : name == "info"                   ? &p.info
                       : name == "h" || name == "help"    ? &p.help
                                                          : nullptr;
    if (flag != nullptr) {
      *flag = value != "false";
      continue;
    }
    std::string ignored;
    std::string* const text = name == "namespace"        ? &p.arguments.name_space
                              : name == "id"             ? &p.arguments.id
                              : name == "address"        ? &p.arguments.address
                              : name == "bundle"         ? &p.arguments.bundle
                              : name == "publish-binary" ? &p.arguments.publish_binary
                              : name == "socket"         ? &ignored
                                                         : nullptr;
    if (text == nullptr) return refuse(fmt::format("-{} is no option", name));
    if (value.empty() && !words.rest.empty()) {
      value = words.rest.front();
      words.rest.erase(words.rest.begin());
    }
    *text = value;
  }
  if (!words.rest.empty()) p.command = words.rest.front();
  return p;
}

Outcome<> run(Parsed const& p) {
  if (p.help) return fmt::print("{}", usage), Outcome<>();
  if (p.version) return fmt::print("containerd-shim-cofferdam-v1:\n  Version:  {}\n", COFFERDAM_VERSION), Outcome<>();
  if (p.info) return print_info();
  if (p.arguments.name_space.empty()) return refuse("-namespace is missing");
  if (p.command == "start" || p.command == "delete") {
    std::string const& id = p.arguments.id;
    if (id.empty() || id.find('/') != std::string::npos) return refuse("-id is missing, or cannot be used");
    return p.command == "start" ? start_shim(p.arguments) : delete_after_shim(p.arguments);
  }
  if (!p.command.empty()) return refuse(fmt::format("'{}' is no command", p.command));
  return serve_shim(p.arguments);
}

}  // namespace
}  // namespace cofferdam::shim

int main(int argc, char** argv) {
  for (int fd = 0; fd < 3; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) ::open("/dev/null", O_RDWR);
  if (argc == 3 && std::string_view(argv[1]) == "-relay")
    return cofferdam::shim::relay(static_cast<uint16_t>(::atoi(argv[2])));
  auto const parsed = cofferdam::shim::parse({{argv + 1, argv + argc}});
  auto const done = parsed ? cofferdam::shim::run(*parsed) : std::unexpected(parsed.error());
  if (done) return 0;
  fmt::print(stderr, "containerd-shim-cofferdam-v1: {}\n", done.error());
  return 1;
}
