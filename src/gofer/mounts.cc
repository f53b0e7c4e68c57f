#include "gofer/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

namespace cofferdam::gofer {

namespace {

// <sys/mount.h> and <linux/mount.h> of Debian 12 cannot be included together.
constexpr unsigned long ms_rdonly = 1, ms_nosuid = 2, ms_nodev = 4, ms_noexec = 8, ms_rec = 16384, ms_private = 1 << 18;

long mount(char const* source, char const* target, char const* type, unsigned long flags, char const* data) {
  return ::syscall(SYS_mount, source, target, type, flags, data);
}

// File systems that show or steer the host rather than hold files.
constexpr std::string_view host_file_systems[] = {
    "proc",      "sysfs",  "devtmpfs",   "devpts", "cgroup",      "cgroup2",  "securityfs", "debugfs",
    "tracefs",   "pstore", "bpf",        "mqueue", "hugetlbfs",   "configfs", "fusectl",    "efivarfs",
    "selinuxfs", "autofs", "rpc_pipefs", "nfsd",   "binfmt_misc", "binder",   "resctrl"};

struct HostMount {
  std::string path;
  bool speaks_of_host;
};

// "\040" and its like of /proc/self/mountinfo.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t n = 0; n < text.size(); ++n) {
    if (text[n] == '\\' && n + 3 < text.size()) {
      out += static_cast<char>((text[n + 1] - '0') * 64 + (text[n + 2] - '0') * 8 + (text[n + 3] - '0'));
      n += 3;
    } else {
      out += text[n];
    }
  }
  return out;
}

std::string_view field(std::string_view line, size_t index) {
  for (; index > 0; --index) {
    size_t at = line.find(' ');
    if (at == std::string_view::npos) return {};
    line.remove_prefix(at + 1);
  }
  return line.substr(0, line.find(' '));
}

Outcome<std::vector<HostMount>> mount_points() {
  host::OwnedFd fd(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!fd) return refuse(fmt::format("cannot read /proc/self/mountinfo: {}", strerror(errno)));
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(fd.get(), buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
  std::vector<HostMount> out;
  std::string_view rest = text;
  while (!rest.empty()) {
    size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    std::string_view type = field(line.substr(dash + 3), 0);
    out.push_back(
        {unescape(field(line, 4)), std::ranges::find(host_file_systems, type) != std::end(host_file_systems)});
  }
  return out;
}

bool below(std::string_view path, std::string_view base) {
  if (base == "/") return path.size() > 1;
  return path.size() > base.size() && path.starts_with(base) && path[base.size()] == '/';
}

Outcome<> cover(std::string const& path) {
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) return {};  // covered with a directory above it already
  constexpr unsigned long flags = ms_rdonly | ms_nosuid | ms_nodev | ms_noexec;
  if (S_ISDIR(st.st_mode) && mount("none", path.c_str(), "tmpfs", flags, "size=4096,nr_inodes=1,mode=0755") != 0)
    return refuse(fmt::format("cannot hide {} from the container: {}", path, strerror(errno)));
  return {};
}

// own_fds: /proc/self/fd, opened before that is covered.
Outcome<DonatedMount> donate(MountRequest const& request, int own_fds) {
  auto failed = [&](std::string_view step) {
    return refuse(fmt::format("cannot give '{}' to the container: {}: {}", request.source, step, strerror(errno)));
  };
  struct stat st{};
  if (::stat(request.source.c_str(), &st) != 0) return failed("stat");
  unsigned recursive = request.recursive ? AT_RECURSIVE : 0;
  unsigned const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  host::OwnedFd tree(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, request.source.c_str(), flags | recursive)));
  if (!tree && errno == EINVAL && !recursive) {
    // A mount below it that this user namespace may not uncover: it has to come along.
    recursive = AT_RECURSIVE;
    tree =
        host::OwnedFd(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, request.source.c_str(), flags | recursive)));
  }
  if (!tree) return failed("open_tree");
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (request.readonly ? MOUNT_ATTR_RDONLY : 0);
  if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH | recursive, &attributes, sizeof attributes) != 0)
    return failed("mount_setattr");
  if (S_ISREG(st.st_mode)) {
    // directfs reads and writes a single file through the descriptor itself.
    std::string name = fmt::format("{}", tree.get());
    host::OwnedFd file(::openat(own_fds, name.c_str(), (request.readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    if (!file && !request.readonly) file = host::OwnedFd(::openat(own_fds, name.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return failed("open");
    tree = std::move(file);
  }
  return DonatedMount{std::move(tree), S_ISDIR(st.st_mode)};
}

}  // namespace

void make_mount_points(std::string const& root, std::vector<MountPoint> const& points) {
  host::OwnedFd base(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!base) return;
  auto open_inside = [&](std::string const& path, uint64_t flags) {
    open_how how{};
    how.flags = flags | O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    return host::OwnedFd(static_cast<int>(::syscall(SYS_openat2, base.get(), path.c_str(), &how, sizeof how)));
  };
  for (auto& point : points) {
    if (open_inside(point.path, 0)) continue;
    for (size_t at = 0; at != std::string::npos && at < point.path.size();) {
      size_t end = point.path.find('/', at + 1);
      std::string prefix = point.path.substr(0, end), parent_path = point.path.substr(0, at);
      std::string name = prefix.substr(at + 1);
      bool last = end == std::string::npos;
      at = end;
      if (name.empty() || open_inside(prefix, 0)) continue;
      host::OwnedFd parent = open_inside(parent_path.empty() ? "/" : parent_path, O_DIRECTORY);
      if (!parent) break;
      if (last && !point.directory)
        (void)::mknodat(parent.get(), name.c_str(), S_IFREG | 0644, 0);
      else
        (void)::mkdirat(parent.get(), name.c_str(), 0755);
    }
  }
}

Outcome<std::vector<DonatedMount>> donate_mounts(std::vector<MountRequest> const& requests) {
  // Nothing that is done here may travel back to the host's mount table.
  if (mount(nullptr, "/", nullptr, ms_rec | ms_private, nullptr) != 0)
    return refuse(fmt::format("cannot make the sandbox's mounts private: {}", strerror(errno)));
  std::vector<HostMount> const points = ATTEMPT(mount_points());
  host::OwnedFd own_fds(::open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::vector<std::string> sources;
  for (auto& request : requests) {
    char* real = ::realpath(request.source.c_str(), nullptr);
    if (!real) return refuse(fmt::format("cannot give '{}' to the container: {}", request.source, strerror(errno)));
    sources.emplace_back(real);
    ::free(real);
  }
  std::vector<DonatedMount> out(requests.size());
  // A source that is itself of such a file system was asked for by name: it is cloned before anything is covered.
  auto named = [&](size_t n) {
    return std::ranges::any_of(
        points, [&](auto& p) { return p.speaks_of_host && (p.path == sources[n] || below(sources[n], p.path)); });
  };
  for (size_t n = 0; n < requests.size(); ++n)
    if (named(n)) out[n] = ATTEMPT(donate(requests[n], own_fds.get()));
  for (auto& point : points) {
    bool reachable = false;
    for (size_t n = 0; n < requests.size(); ++n) reachable |= !out[n].fd && below(point.path, sources[n]);
    if (point.speaks_of_host && reachable) ATTEMPT(cover(point.path));
  }
  for (size_t n = 0; n < requests.size(); ++n)
    if (!out[n].fd) out[n] = ATTEMPT(donate(requests[n], own_fds.get()));
  return out;
}

}  // namespace cofferdam::gofer
