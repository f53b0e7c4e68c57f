#include "dev/host_stream.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <optional>

#include <fmt/core.h>

#include "base/mutex.h"
#include "host/readiness.h"
#include "host/stream.h"
#include "kernel/host_notifier.h"
#include "kernel/ipc/anonymous_file.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::dev {
namespace {

using kernel::Attributes;
using kernel::Deadline;
using kernel::File;
using kernel::IoOptions;
using kernel::IoSink;
using kernel::IoSource;
using kernel::Kernel;
using kernel::PollMask;
using kernel::Task;
using kernel::UserAddr;
using kernel::WaitQueue;

constexpr PollMask readable_events = EPOLLIN | EPOLLHUP | EPOLLERR;
constexpr PollMask writable_events = EPOLLOUT | EPOLLHUP | EPOLLERR;

// The descriptor itself; shared by the files that stand for it.
class HostStream : public RefCounted {
 public:
  HostStream(Kernel& k, host::OwnedFd f, host::StreamKind kind, bool never_blocks)
      : kernel(k), fd(std::move(f)), kind(kind), never_blocks(never_blocks), inode(k.ipc().allocate_inode()) {}
  ~HostStream() override { kernel.host_notifier().remove(fd.get()); }

  // Null for what is always ready. The notifier begins to watch at the first call.
  WaitQueue* queue() {
    if (S_ISREG(kind.mode) || S_ISBLK(kind.mode) || S_ISDIR(kind.mode)) return nullptr;
    MutexLock lock(mutex_);
    if (!watched_) watched_ = kernel.host_notifier().add(fd.get(), queue_).has_value();
    return *watched_ ? &queue_ : nullptr;
  }

  Kernel& kernel;
  host::OwnedFd const fd;
  host::StreamKind const kind;
  bool const never_blocks;  // a description of our own with O_NONBLOCK
  uint64_t const inode;

 private:
  Mutex mutex_;
  std::optional<bool> watched_ GUARDED_BY(mutex_);
  WaitQueue queue_;
};

class HostStreamFile final : public File {
 public:
  HostStreamFile(Ref<HostStream> stream, int flags) : File(kernel::Path(), flags), stream_(std::move(stream)) {}

  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override;
  Result<size_t> write(Task&, IoSource&, uint64_t, IoOptions) override;
  Result<uint64_t> seek(Task&, int64_t offset, int whence) override;
  Result<uint64_t> ioctl(Task&, uint32_t request, uint64_t argument) override;
  Result<Attributes> attributes() override;
  Result<Ref<File>> reopen(Task&, int flags) override;
  PollMask poll() override;
  WaitQueue* wait_queue() override { return stream_->queue(); }
  std::string anonymous_name() const override;

 private:
  int fd() const { return stream_->fd.get(); }
  bool can_block() const { return !stream_->never_blocks && !S_ISREG(stream_->kind.mode); }
  Result<void> wait_for(Task&, PollMask);

  Ref<HostStream> stream_;
};

Result<void> HostStreamFile::wait_for(Task& task, PollMask events) {
  WaitQueue* queue = stream_->queue();
  if (!queue) return {};
  return task.wait_until(*queue, events, Deadline::never(),
                         [&] { return (host::ready_now(fd(), events) & events) != 0; });
}

Result<size_t> HostStreamFile::read(Task& task, IoSink& to, uint64_t, IoOptions options) {
  if (to.remaining() == 0) return 0;
  for (;;) {
    if (!can_block() || host::ready_now(fd(), EPOLLIN) != 0) {
      auto got = to.put_from_host(fd(), to.remaining(), -1);
      if (got || (got.error() != Errno::Again && got.error() != Errno::Intr)) return got;
    }
    if (options.nowait || nonblocking()) return fail(Errno::Again);
    TRY(wait_for(task, readable_events));
  }
}

Result<size_t> HostStreamFile::write(Task& task, IoSource& from, uint64_t, IoOptions options) {
  size_t total = 0;
  while (from.remaining() != 0) {
    Result<size_t> put = fail(Errno::Again);
    if (!can_block() || host::ready_now(fd(), EPOLLOUT) != 0) {
      // A pipe that is ready takes PIPE_BUF bytes without blocking.
      size_t n = can_block() ? std::min<size_t>(from.remaining(), PIPE_BUF) : from.remaining();
      put = from.get_to_host(fd(), n, -1);
    }
    if (put) {
      if (*put == 0) break;
      total += *put;
      continue;
    }
    if (put.error() == Errno::Intr) continue;
    if (put.error() == Errno::Pipe && total == 0) return std::unexpected(kernel::broken_pipe(task));
    bool may_wait = put.error() == Errno::Again && !options.nowait && !nonblocking();
    auto waited = may_wait ? wait_for(task, writable_events) : Result<void>(std::unexpected(put.error()));
    if (waited) continue;
    if (total != 0) break;
    return std::unexpected(waited.error());
  }
  return total;
}

// The position belongs to the host's description, which others outside share (`run >> log`).
Result<uint64_t> HostStreamFile::seek(Task&, int64_t offset, int whence) {
  if (!S_ISREG(stream_->kind.mode)) return fail(Errno::SPipe);
  return host::seek_stream(fd(), offset, whence);
}

Result<uint64_t> HostStreamFile::ioctl(Task& task, uint32_t request, uint64_t argument) {
  std::array<std::byte, host::terminal_argument_max> value{};
  if (!stream_->kind.terminal && request != static_cast<uint32_t>(host::TerminalGet::InputQueue))
    return fail(Errno::NoTty);
  switch (auto get = static_cast<host::TerminalGet>(request)) {
    case host::TerminalGet::Attributes:
    case host::TerminalGet::WindowSize:
    case host::TerminalGet::InputQueue:
      TRY(host::terminal_get(fd(), get, value));
      TRY(task.copy_out(UserAddr{argument}, std::span(value).first(host::terminal_argument_size(get))));
      return 0;
  }
  switch (auto set = static_cast<host::TerminalSet>(request)) {
    case host::TerminalSet::Attributes:
    case host::TerminalSet::AttributesWait:
    case host::TerminalSet::AttributesFlush:
      TRY(task.copy_in(UserAddr{argument}, std::span(value).first(host::terminal_argument_size(set))));
      TRY(host::terminal_set(fd(), set, value));
      return 0;
  }
  switch (auto act = static_cast<host::TerminalAct>(request)) {
    case host::TerminalAct::Flush:
      TRY(host::terminal_act(fd(), act, static_cast<int>(argument)));
      return 0;
  }
  return fail(Errno::NoTty);
}

Result<Attributes> HostStreamFile::attributes() {
  auto kind = TRY(host::stream_kind(fd()));
  Attributes a;
  a.device = kernel::pipe_device;
  a.inode = stream_->inode;
  a.mode = kind.mode;
  a.size = kind.size;
  a.special_device = kind.special_device;
  return a;
}

Result<Ref<File>> HostStreamFile::reopen(Task&, int flags) {
  int wanted = flags & O_ACCMODE, have = stream_->kind.access;
  if (have != O_RDWR && wanted != have) return fail(Errno::Acces);
  return make_ref<HostStreamFile>(stream_, flags);
}

PollMask HostStreamFile::poll() {
  if (!stream_->queue()) return File::poll();
  PollMask ready = host::ready_now(fd(), EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP);
  if (ready & EPOLLIN) ready |= EPOLLRDNORM;
  if (ready & EPOLLOUT) ready |= EPOLLWRNORM;
  return ready;
}

std::string HostStreamFile::anonymous_name() const {
  mode_t mode = stream_->kind.mode;
  if (S_ISFIFO(mode)) return fmt::format("pipe:[{}]", stream_->inode);
  if (S_ISSOCK(mode)) return fmt::format("socket:[{}]", stream_->inode);
  if (stream_->kind.terminal) return "/dev/console";
  if (S_ISCHR(mode) && stream_->kind.special_device == makedev(1, 3)) return "/dev/null";
  return fmt::format("host:[{}]", stream_->inode);
}

}  // namespace

Result<Ref<File>> make_host_stream(Kernel& kernel, host::OwnedFd fd) {
  auto kind = TRY(host::stream_kind(fd.get()));
  bool never_blocks = kind.nonblocking;  // the command that passed it on has opened it anew
  if (!never_blocks && (S_ISFIFO(kind.mode) || kind.terminal)) {
    if (auto own = host::reopen_nonblocking(fd.get())) {
      fd = std::move(*own);
      never_blocks = true;
    }
  }
  auto stream = make_ref<HostStream>(kernel, std::move(fd), kind, never_blocks);
  return make_ref<HostStreamFile>(std::move(stream), kind.access);
}

}  // namespace cofferdam::dev
