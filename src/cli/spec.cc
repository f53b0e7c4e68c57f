#include "oci/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"

namespace cofferdam::cli {

Outcome<int> run_spec(Globals const&, Words const& words) {
  std::string bundle;
  bool rootless = false;
  Options options("cofferdam spec", "", "Writes a config.json to start from.");
  options.text("--bundle,-b", bundle, "directory to write it to (default: the current one)");
  options.flag("--rootless", rootless, "for a container of a user who is not root");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  if (!rest.empty()) return refuse(fmt::format("spec: '{}' is one word too many", rest[0]));
  std::string file = (bundle.empty() ? "." : bundle) + "/config.json", text = oci::default_config(rootless);
  host::OwnedFd fd(::open(file.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666));
  if (!fd && errno == EEXIST) return refuse(fmt::format("{} exists already; remove it first", file));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return refuse(fmt::format("cannot write {}: {}", file, strerror(errno)));
  return 0;
}

}  // namespace cofferdam::cli
