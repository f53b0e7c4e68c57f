// Donated mounts: the container's host directories and files as detached, private copies of mounts, each known by one
// O_PATH descriptor. They are made in the sandbox process, inside its own mount namespace and before its jail closes,
// so that the host's mount table never sees them and nothing is left to unmount.
#pragma once

#include <string>
#include <vector>

#include "base/outcome.h"
#include "host/fd.h"

namespace cofferdam::gofer {

// What to donate.
struct MountRequest {
  std::string source;  // on the host, absolute; symlinks are followed
  bool readonly = false;
  bool recursive = true;  // with what is mounted below it
};

struct DonatedMount {
  host::OwnedFd fd;  // O_PATH: of the directory, or of the file when a file is bound
  bool directory = true;
};

// Every donated tree has nosuid and nodev (the sentry opens guest devices itself), and is read-only if asked. File
// systems that speak of the host (proc, sysfs, devtmpfs, cgroup and their like) mounted below a source are covered by
// empty directories. In the order of the requests.
Outcome<std::vector<DonatedMount>> donate_mounts(std::vector<MountRequest> const& requests);

struct MountPoint {
  std::string path;  // in the container, absolute
  bool directory = true;
};

// Makes what is missing of these in a root that the container itself will see read-only. Symlinks are followed within
// the root. What cannot be made is left: mounting there fails with its own message.
void make_mount_points(std::string const& root, std::vector<MountPoint> const& points);

}  // namespace cofferdam::gofer
