#include "fs/dev/populate.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "kernel/vfs/dentry.h"

namespace cofferdam::fs::dev {

using namespace kernel;

namespace {

struct Node {
  std::string_view name;
  unsigned major, minor;
};
constexpr Node nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                          {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

struct Link {
  std::string_view name, target;
};
constexpr Link links[] = {{"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
                          {"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"},      {"ptmx", "pts/ptmx"}};

constexpr std::string_view directories[] = {"pts", "shm", "mqueue"};

template <class T>
Result<void> unless_there(Result<T> const& made) {
  if (!made && made.error() != Errno::Exist) return std::unexpected(made.error());
  return {};
}

}  // namespace

Result<void> populate_dev(Kernel&, Path const& path) {
  Inode& directory = *path.dentry->inode();
  WriteLock lock(directory.directory_lock());
  for (Node const& node : nodes) {
    NewInode const made{.mode = S_IFCHR | 0666, .uid = 0, .gid = 0, .special_device = makedev(node.major, node.minor)};
    TRY(unless_there(directory.create(node.name, made)));
  }
  for (Link const& link : links)
    TRY(unless_there(directory.symlink(link.name, link.target, {.mode = S_IFLNK | 0777, .uid = 0, .gid = 0})));
  for (std::string_view name : directories)
    TRY(unless_there(directory.create(name, {.mode = S_IFDIR | 0755, .uid = 0, .gid = 0})));
  return {};
}

}  // namespace cofferdam::fs::dev
