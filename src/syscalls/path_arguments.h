// What the handlers of paths share: (dirfd, path, flags) to a Path.
#pragma once

#include <fcntl.h>

#include "kernel/kernel.h"
#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

inline constexpr Fd here{AT_FDCWD};

// A guest's path with the place that it starts from.
struct PathArgument {
  kernel::Path start;
  std::string text;
};

inline Result<PathArgument> path_argument(Task& task, Fd directory, UserCString path) {
  auto text = TRY(task.read_path(path));
  auto start = TRY(task.kernel().vfs().start_of(task, directory.value, text));
  return PathArgument{std::move(start), std::move(text)};
}

// EINVAL: it is of the host's and has no place in the sandbox, as standard input may be.
inline Result<kernel::Path> path_of_descriptor(Task& task, Fd fd, bool allow_path) {
  auto file = TRY(task.file(fd.value, allow_path));
  if (!file->path()) return fail(Errno::Inval);
  return file->path();
}

// As below, for a path that has been read: guest memory is read once.
inline Result<kernel::Path> lookup_text(Task& task, Fd directory, std::string const& text, bool follow,
                                        bool allow_empty = false) {
  if (text.empty() && allow_empty) {
    if (directory.value == AT_FDCWD) return task.fs()->cwd();
    return path_of_descriptor(task, directory, true);
  }
  auto start = TRY(task.kernel().vfs().start_of(task, directory.value, text));
  return task.kernel().vfs().lookup(task, start, text, {.follow_last = follow});
}

// What AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW and AT_EMPTY_PATH make of it. ENOENT for "" without AT_EMPTY_PATH.
inline Result<kernel::Path> lookup_argument(Task& task, Fd directory, UserCString path, bool follow,
                                            bool allow_empty = false) {
  return lookup_text(task, directory, TRY(task.read_path(path)), follow, allow_empty);
}

inline uint64_t descriptor_limit(Task& task) { return task.thread_group().limits.current(RLIMIT_NOFILE); }

}  // namespace cofferdam::syscalls
