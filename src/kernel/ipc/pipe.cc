#include "kernel/ipc/pipe.h"

#include <sys/ioctl.h>

#include <bit>

#include <fmt/core.h>

#include "kernel/ipc/anonymous_file.h"
#include "kernel/ipc/pipe_end.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

constexpr uint64_t pages_soft_limit = 16384;  // pipe-user-pages-soft
constexpr uint64_t max_pipe_bytes = 1 << 20;  // pipe-max-size

bool may_exceed(Task& task) { return task.capable(CAP_SYS_RESOURCE) || task.capable(CAP_SYS_ADMIN); }

size_t slots_for_new_pipe(Task& task) {
  if (task.kernel().ipc().pipe_pages.load(std::memory_order_relaxed) + pipe_default_slots <= pages_soft_limit)
    return pipe_default_slots;
  return may_exceed(task) ? pipe_default_slots : 2;
}

}  // namespace

Ref<Pipe> new_pipe(Task& task) { return make_ref<Pipe>(task.kernel().ipc().pipe_pages, slots_for_new_pipe(task)); }

PipeEnd::PipeEnd(Ref<Pipe> pipe, Pipe::End end, Path path, int flags, uint64_t inode, uint64_t seen_writer_generation)
    : File(std::move(path), flags),
      pipe_(std::move(pipe)),
      end_(end),
      inode_number_(inode),
      seen_writer_generation_(seen_writer_generation),
      created_(to_timespec(host_now(CLOCK_REALTIME))) {}

PipeEnd::~PipeEnd() {
  if (Inode* fifo = inode()) {
    fifo->with_attachment(Attachment::Fifo, [&](Ref<RefCounted>& slot) {
      if (pipe_->close_end(end_) && slot == pipe_.get()) slot = {};
    });
  } else {
    pipe_->close_end(end_);
  }
}

Result<size_t> PipeEnd::read(Task& task, IoSink& to, uint64_t, IoOptions options) {
  for (bool waited = false;; waited = true) {
    auto got = pipe_->read(to);
    if (got || got.error() != Errno::Again) {
      // Only one of several readers is woken by a write: it wakes the next when it leaves something.
      if (waited && pipe_->readable()) pipe_->queue.wake(EPOLLIN | EPOLLRDNORM);
      return got;
    }
    if (options.nowait || nonblocking()) return got;
    TRY(wait_readable(task));
  }
}

Result<size_t> PipeEnd::write(Task& task, IoSource& from, uint64_t, IoOptions options) {
  size_t total = 0;
  for (;;) {
    auto put = pipe_->write(from, flags() & O_DIRECT);
    if (put) {
      total += *put;
      if (from.remaining() == 0) return total;
    } else if (put.error() == Errno::Pipe) {
      Error error = broken_pipe(task);
      if (total != 0) return total;
      return std::unexpected(error);
    } else if (put.error() != Errno::Again || options.nowait || nonblocking()) {
      if (total != 0) return total;
      return put;
    }
    if (put) continue;
    if (auto waited = wait_writable(task); !waited) {
      if (total != 0) return total;
      return std::unexpected(waited.error());
    }
  }
}

Result<void> PipeEnd::wait_readable(Task& task) {
  auto waited = task.wait_until(pipe_->queue, EPOLLIN, Deadline::never(), [&] { return pipe_->readable(); }, true);
  if (!waited && pipe_->readable()) pipe_->queue.wake(EPOLLIN | EPOLLRDNORM);  // the wake was perhaps meant for us
  return waited;
}

Result<void> PipeEnd::wait_writable(Task& task) {
  auto waited = task.wait_until(pipe_->queue, EPOLLOUT, Deadline::never(), [&] { return pipe_->writable(); }, true);
  if (pipe_->writable()) pipe_->queue.wake(EPOLLOUT | EPOLLWRNORM);
  return waited;
}

Result<uint64_t> PipeEnd::ioctl(Task& task, uint32_t request, uint64_t argument) {
  if (request != FIONREAD) return fail(Errno::NoTty);
  TRY(task.write(UserPtr<int32_t>(argument), static_cast<int32_t>(pipe_->bytes())));
  return 0;
}

Result<Attributes> PipeEnd::attributes() {
  if (inode()) return File::attributes();
  Attributes a;
  a.device = pipe_device;
  a.inode = inode_number_;
  a.mode = S_IFIFO | 0600;
  a.uid = owner_uid;
  a.gid = owner_gid;
  a.accessed = a.modified = a.changed = created_;
  return a;
}

Result<Ref<File>> PipeEnd::reopen(Task&, int flags) {
  int access = flags & O_ACCMODE;
  Pipe::End end = access == O_RDONLY ? Pipe::End::Read : access == O_WRONLY ? Pipe::End::Write : Pipe::End::Both;
  pipe_->open_end(end);
  auto file = make_ref<PipeEnd>(pipe_, end, Path(), flags, inode_number_, 0);
  file->owner_uid = owner_uid;
  file->owner_gid = owner_gid;
  return file;
}

PollMask PipeEnd::poll() { return pipe_->poll(end_, seen_writer_generation_); }

std::string PipeEnd::anonymous_name() const { return fmt::format("pipe:[{}]", inode_number_); }

Result<std::pair<Ref<File>, Ref<File>>> make_pipe(Task& task, int flags) {
  auto pipe = new_pipe(task);
  uint64_t inode = task.kernel().ipc().allocate_inode();
  flags &= O_NONBLOCK | O_DIRECT;
  auto credentials = task.credentials();
  auto make_end = [&](Pipe::End end, int access) {
    pipe->open_end(end);
    auto file = make_ref<PipeEnd>(pipe, end, Path(), access | flags, inode, 0);
    file->owner_uid = credentials->fsuid;
    file->owner_gid = credentials->fsgid;
    return file;
  };
  auto reader = make_end(Pipe::End::Read, O_RDONLY);
  return std::pair<Ref<File>, Ref<File>>(reader, make_end(Pipe::End::Write, O_WRONLY));
}

PipeEnd* pipe_end(File& f) { return dynamic_cast<PipeEnd*>(&f); }

bool is_pipe(File const& f) { return dynamic_cast<PipeEnd const*>(&f) != nullptr; }

Result<uint64_t> pipe_size(File& f) {
  PipeEnd* end = pipe_end(f);
  if (!end) return fail(Errno::BadF);
  return end->pipe().capacity();
}

Result<uint64_t> set_pipe_size(Task& task, File& f, uint64_t bytes) {
  PipeEnd* end = pipe_end(f);
  if (!end) return fail(Errno::BadF);
  if (bytes > uint64_t{1} << 31) return fail(Errno::Inval);
  uint64_t wanted = std::bit_ceil(std::max<uint64_t>(bytes, pipe_page_size));
  uint64_t now = end->pipe().capacity(), slots = wanted / pipe_page_size;
  if (wanted > now && !may_exceed(task)) {
    if (wanted > max_pipe_bytes) return fail(Errno::Perm);
    uint64_t pages = task.kernel().ipc().pipe_pages.load(std::memory_order_relaxed);
    if (pages + slots - now / pipe_page_size > pages_soft_limit) return fail(Errno::Perm);
  }
  TRY(end->pipe().set_slots(slots));
  return wanted;
}

}  // namespace cofferdam::kernel
