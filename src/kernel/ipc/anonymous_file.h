// Files that live on no file system: what eventfd, epoll, pidfd and their kin have in common.
#pragma once

#include <string>
#include <string_view>

#include "kernel/vfs/file.h"

namespace cofferdam::kernel {

class AnonymousFile : public File {
 public:
  // name: a literal, as in "anon_inode:[eventfd]".
  AnonymousFile(std::string_view name, int flags);
  Result<Attributes> attributes() override;
  std::string anonymous_name() const override;

 private:
  std::string_view name_;
};

// Device numbers of the file systems that have no mount (fstat's st_dev).
inline constexpr uint64_t pipe_device = 0x0d, socket_device = 0x08, anonymous_device = 0x0e;

// For a write to a pipe or socket that nobody reads any more: sends SIGPIPE, gives EPIPE.
Error broken_pipe(Task&);

// A blocked call that a signal handler ends with EINTR even under SA_RESTART (signal(7)).
inline Error never_restarted(Error e) { return e.is_restart() ? Error(Errno::Intr, e.where) : e; }

}  // namespace cofferdam::kernel
