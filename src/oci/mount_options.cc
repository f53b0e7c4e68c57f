#include "oci/mount_options.h"

#include <sys/mount.h>

#include <algorithm>

#include <fmt/format.h>

#include "oci/spec.h"

namespace cofferdam::oci {

namespace {

constexpr unsigned long no_symbolic_links = 256;  // MS_NOSYMFOLLOW, which <sys/mount.h> of Debian 12 lacks

// Sorted by name. Words that begin with "r" and name a flag mean the whole tree of a bind mount, which a container sees
// as one mount. Those without flags say what holds anyway, or what has no effect that a program could see.
constexpr MountOption known[] = {
    {"acl"},
    {"async", 0, MS_SYNCHRONOUS},
    {"atime", 0, MS_NOATIME},
    {"bind"},
    {"defaults"},
    {"dev", 0, MS_NODEV},
    {"diratime", 0, MS_NODIRATIME},
    {"dirsync"},
    {"exec", 0, MS_NOEXEC},
    {"iversion"},
    {"lazytime"},
    {"loud"},
    {"mand"},
    {"newinstance"},
    {"noacl"},
    {"noatime", MS_NOATIME, 0},
    {"nodev", MS_NODEV, 0},
    {"nodiratime", MS_NODIRATIME, 0},
    {"noexec", MS_NOEXEC, 0},
    {"noiversion"},
    {"nolazytime"},
    {"nomand"},
    {"norelatime", 0, MS_RELATIME},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"nosuid", MS_NOSUID, 0},
    {"nosymfollow", no_symbolic_links, 0},
    {"private"},
    {"ratime", 0, MS_NOATIME},
    {"rbind"},
    {"rdev", 0, MS_NODEV},
    {"rdiratime", 0, MS_NODIRATIME},
    {"relatime", MS_RELATIME, 0},
    {"rexec", 0, MS_NOEXEC},
    {"rnoatime", MS_NOATIME, 0},
    {"rnodev", MS_NODEV, 0},
    {"rnodiratime", MS_NODIRATIME, 0},
    {"rnoexec", MS_NOEXEC, 0},
    {"rnorelatime", 0, MS_RELATIME},
    {"rnostrictatime", 0, MS_STRICTATIME},
    {"rnosuid", MS_NOSUID, 0},
    {"rnosymfollow", no_symbolic_links, 0},
    {"ro", MS_RDONLY, 0},
    {"rprivate"},
    {"rrelatime", MS_RELATIME, 0},
    {"rro", MS_RDONLY, 0},
    {"rrw", 0, MS_RDONLY},
    {"rslave"},
    {"rstrictatime", MS_STRICTATIME, MS_NOATIME},
    {"rsuid", 0, MS_NOSUID},
    {"rsymfollow", 0, no_symbolic_links},
    {"runbindable"},
    {"rw", 0, MS_RDONLY},
    {"silent"},
    {"slave"},
    {"strictatime", MS_STRICTATIME, MS_NOATIME},
    {"suid", 0, MS_NOSUID},
    {"symfollow", 0, no_symbolic_links},
    {"sync", MS_SYNCHRONOUS, 0},
    {"unbindable"},
};

// Labels are the engine's to set before it calls a runtime. tmpcopyup, an extension of runc's, is accepted: the tmpfs
// begins empty (docs/cli.md).
constexpr std::string_view engines_own[] = {"tmpcopyup", "z", "Z", "U", "copy", "nocopy"};

struct Refused {
  std::string_view name, why;
};
constexpr Refused refused[] = {
    {"shared", "mounts of a container cannot spread to the host; use private or slave"},
    {"rshared", "mounts of a container cannot spread to the host; use rprivate or rslave"},
    {"idmap", "a mapping of a mount's own is not supported; remove it"},
    {"ridmap", "a mapping of a mount's own is not supported; remove it"},
    {"remount", "there is nothing to mount again; give the options to the mount itself"},
};

}  // namespace

std::span<MountOption const> mount_options() { return known; }

ParsedOptions parse_mount_options(Mount const& m) {
  ParsedOptions o;
  for (auto& option : m.options) {
    if (std::ranges::find(engines_own, std::string_view(option)) != std::end(engines_own)) continue;
    auto const* found = std::ranges::find(known, std::string_view(option), &MountOption::name);
    if (found != std::end(known)) {
      o.flags = (o.flags & ~found->clear) | found->set;
      continue;
    }
    if (!o.data.empty()) o.data += ',';
    o.data += option;
  }
  return o;
}

void check_mount_options(Reader const& list, Mount const& m) {
  auto const items = list.items();
  for (size_t n = 0; n < items.size() && n < m.options.size(); ++n) {
    auto const* found = std::ranges::find(refused, std::string_view(m.options[n]), &Refused::name);
    if (found != std::end(refused)) items[n].complain(fmt::format("'{}': {}", found->name, found->why));
  }
}

}  // namespace cofferdam::oci
