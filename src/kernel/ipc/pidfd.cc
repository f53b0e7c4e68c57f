#include "kernel/ipc/pidfd.h"
#include "kernel/vfs/pseudo_fs.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "kernel/ipc/anonymous_file.h"
#include "kernel/task/process_internal.h"

namespace cofferdam::kernel {
namespace {

class PidFile final : public AnonymousFile {
 public:
  PidFile(Ref<ThreadGroup> group, int flags)
      : AnonymousFile("pidfd", O_RDWR | (flags & O_NONBLOCK)), group_(std::move(group)) {}

  Ref<ThreadGroup> const& group() const { return group_; }
  PollMask poll() override {
    ProcessLocked locked(group_->kernel());
    return group_->exited(locked) ? EPOLLIN | EPOLLRDNORM : 0;
  }
  WaitQueue* wait_queue() override { return &group_->exit_queue; }
  std::string fdinfo_in(PidNamespace const& reader) override {
    // -1: the process has gone; 0: it is not to be seen from there (pidfd_show_fdinfo of Linux).
    bool reaped = false;
    {
      ProcessLocked locked(group_->kernel());
      reaped = group_->implementation().reaped;
    }
    if (reaped) return "Pid:\t-1\nNSpid:\t-1\n";
    auto const numbers = group_->pid().numbers_from(reader);
    if (numbers.empty()) return "Pid:\t0\nNSpid:\t0\n";
    return fmt::format("Pid:\t{}\nNSpid:\t{}\n", numbers.front(), fmt::join(numbers, "\t"));
  }

 private:
  Ref<ThreadGroup> group_;
};

}  // namespace

Ref<File> make_pidfd(Ref<ThreadGroup> group, int flags) { return make_ref<PidFile>(std::move(group), flags); }

Ref<ThreadGroup> group_of(File& f) {
  auto* pidfd = dynamic_cast<PidFile*>(&f);
  return pidfd ? pidfd->group() : Ref<ThreadGroup>();
}

Ref<ThreadGroup> group_to_signal(File& f) {
  if (auto group = group_of(f)) return group;
  auto* inode = dynamic_cast<PseudoInode*>(f.inode());
  return inode ? inode->process() : Ref<ThreadGroup>();
}

}  // namespace cofferdam::kernel
