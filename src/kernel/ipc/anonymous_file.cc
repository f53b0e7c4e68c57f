#include "kernel/ipc/anonymous_file.h"

#include <fmt/core.h>

#include "kernel/task/task.h"

namespace cofferdam::kernel {

AnonymousFile::AnonymousFile(std::string_view name, int flags) : File(Path(), flags), name_(name) {}

Result<Attributes> AnonymousFile::attributes() {
  Attributes a;
  a.device = anonymous_device;
  a.inode = 1;  // all of them share one inode
  a.mode = 0600;
  return a;
}

std::string AnonymousFile::anonymous_name() const { return fmt::format("anon_inode:[{}]", name_); }

Error broken_pipe(Task& task) {
  auto sent = task.send_signal(SignalInfo::from_user(SIGPIPE, SI_USER, task.tgid(), task.credentials()->uid));
  static_cast<void>(sent);  // a full queue: SIGPIPE is pending already
  return Errno::Pipe;
}

}  // namespace cofferdam::kernel
