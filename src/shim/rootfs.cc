#include "shim/rootfs.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include <fmt/format.h>

namespace cofferdam::shim {

namespace {

struct Flag {
  std::string_view name;
  unsigned long set, clear;
};

// mount(8), the options that are flags of mount(2).
constexpr Flag flags[] = {
    {"async", 0, MS_SYNCHRONOUS},
    {"atime", 0, MS_NOATIME},
    {"bind", MS_BIND, 0},
    {"defaults", 0, 0},
    {"dev", 0, MS_NODEV},
    {"diratime", 0, MS_NODIRATIME},
    {"dirsync", MS_DIRSYNC, 0},
    {"exec", 0, MS_NOEXEC},
    {"mand", MS_MANDLOCK, 0},
    {"noatime", MS_NOATIME, 0},
    {"nodev", MS_NODEV, 0},
    {"nodiratime", MS_NODIRATIME, 0},
    {"noexec", MS_NOEXEC, 0},
    {"nomand", 0, MS_MANDLOCK},
    {"norelatime", 0, MS_RELATIME},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"nosuid", MS_NOSUID, 0},
    {"rbind", MS_BIND | MS_REC, 0},
    {"relatime", MS_RELATIME, 0},
    {"remount", MS_REMOUNT, 0},
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"strictatime", MS_STRICTATIME, 0},
    {"suid", 0, MS_NOSUID},
    {"sync", MS_SYNCHRONOUS, 0},
};

struct Parsed {
  unsigned long flags = 0;
  std::vector<std::string> data;
};

Parsed parse(std::vector<std::string> const& options) {
  Parsed out;
  for (auto const& option : options) {
    auto const* known = std::ranges::find(flags, option, &Flag::name);
    if (known == std::end(flags))
      out.data.push_back(option);
    else
      out.flags = (out.flags & ~known->clear) | known->set;
  }
  return out;
}

std::string join(std::vector<std::string> const& parts, char between) {
  std::string out;
  for (auto const& part : parts) {
    if (!out.empty()) out += between;
    out += part;
  }
  return out;
}

// mount(2) takes one page of data. The layers of an overlay stand side by side: their paths get short by entering the
// directory above them.
struct Shortened {
  std::string directory, data;
};

std::optional<Shortened> shorten(std::vector<std::string> data) {
  constexpr std::string_view lower = "lowerdir=";
  auto const option = std::ranges::find_if(data, [&](auto& o) { return o.starts_with(lower); });
  if (option == data.end()) return std::nullopt;
  std::vector<std::string> layers;
  for (std::string_view rest = std::string_view(*option).substr(lower.size()); !rest.empty();) {
    layers.emplace_back(rest.substr(0, rest.find(':')));
    rest.remove_prefix(std::min(rest.size(), layers.back().size() + 1));
  }
  std::string_view common = layers.front();
  for (auto const& layer : layers) {
    auto const differs = std::ranges::mismatch(common, layer);
    common = common.substr(0, static_cast<size_t>(differs.in1 - common.begin()));
  }
  common = common.substr(0, common.rfind('/'));
  if (common.size() < 2) return std::nullopt;
  std::string const directory(common);
  for (auto& layer : layers) layer.erase(0, directory.size() + 1);
  *option = std::string(lower) + join(layers, ':');
  return Shortened{.directory = directory, .data = join(data, ',')};
}

// In a child: the shim's own working directory is its bundle.
int mount_from(Shortened const& shortened, RootMount const& m, std::string const& target, unsigned long mount_flags) {
  pid_t const pid = ::fork();
  if (pid < 0) return errno;
  if (pid == 0) {
    bool const done =
        ::chdir(shortened.directory.c_str()) == 0 &&
        ::mount(m.source.c_str(), target.c_str(), m.type.c_str(), mount_flags, shortened.data.c_str()) == 0;
    ::_exit(done ? 0 : errno);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

int mount_plain(RootMount const& m, std::string const& target, Parsed const& parsed, std::string const& data) {
  if (::mount(m.source.c_str(), target.c_str(), m.type.c_str(), parsed.flags, data.empty() ? nullptr : data.c_str()) !=
      0)
    return errno;
  // A bind mount takes its other flags only afterwards.
  constexpr unsigned long with_bind = MS_BIND | MS_REC;
  if (!(parsed.flags & MS_BIND) || (parsed.flags & ~with_bind) == 0) return 0;
  return ::mount(nullptr, target.c_str(), nullptr, parsed.flags | MS_REMOUNT, nullptr) == 0 ? 0 : errno;
}

Outcome<> mount_one(RootMount const& m, std::string const& target) {
  Parsed const parsed = parse(m.options);
  std::string const data = join(parsed.data, ',');
  auto const page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  auto const shortened = data.size() + 1 > page ? shorten(parsed.data) : std::nullopt;
  if (std::max(shortened ? shortened->data.size() + 1 : data.size() + 1, size_t{0}) > page)
    return refuse(fmt::format("cannot mount {} at {}: its options are longer than a page", m.type, target));
  int const error = shortened ? mount_from(*shortened, m, target, parsed.flags) : mount_plain(m, target, parsed, data);
  if (error == 0) return {};
  return refuse(fmt::format("cannot mount {} ({}) at {}: {}", m.type, m.source, target, strerror(error)));
}

// A target comes from containerd, not from an image; it must still not lead out.
bool leads_out(std::string_view target) {
  while (!target.empty()) {
    std::string_view const part = target.substr(0, target.find('/'));
    if (part == "..") return true;
    target.remove_prefix(std::min(target.size(), part.size() + 1));
  }
  return false;
}

}  // namespace

Outcome<> mount_root(std::vector<RootMount> const& mounts, std::string const& directory) {
  if (::mkdir(directory.c_str(), 0711) != 0 && errno != EEXIST)
    return refuse(fmt::format("cannot make {}: {}", directory, strerror(errno)));
  for (auto const& m : mounts) {
    auto done = leads_out(m.target) ? refuse(fmt::format("the mount target {} leads out", m.target))
                                    : mount_one(m, m.target.empty() ? directory : directory + "/" + m.target);
    if (done) continue;
    unmount_root(directory);
    return done;
  }
  return {};
}

bool unmount_root(std::string const& directory) {
  for (int n = 0; n < 64; ++n) {
    if (::umount2(directory.c_str(), UMOUNT_NOFOLLOW) == 0) continue;
    if (errno == EINVAL || errno == ENOENT) return true;  // no mount there
    if (errno == EBUSY && ::umount2(directory.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    return false;
  }
  return false;
}

}  // namespace cofferdam::shim
