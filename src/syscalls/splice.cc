// sendfile(2), copy_file_range(2), splice(2), vmsplice(2), tee(2): bytes from descriptor to descriptor.
#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "kernel/ipc/pipe.h"
#include "kernel/kernel.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/notify.h"
#include "syscalls/handlers_file.h"
#include "syscalls/io_vector.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

constexpr size_t chunk = 64 << 10;

// Where one end stands: at an offset that the caller gave, or at the file's own position.
class Place {
 public:
  static Result<Place> of(Task& task, File& file, UserPtr<int64_t> offset) {
    Place place;
    if (offset) {
      int64_t given = TRY(task.read(offset));
      if (given < 0) return fail(Errno::Inval);
      if (!file.seekable()) return fail(Errno::SPipe);
      place.offset_ = static_cast<uint64_t>(given);
      place.user_ = offset;
    } else if (file.seekable()) {
      MutexLock lock(file.position_lock);
      place.offset_ = file.position;
    }
    return place;
  }
  uint64_t offset() const { return offset_; }
  void advance(uint64_t n) { offset_ += n; }
  Result<void> store(Task& task, File& file) const {
    if (user_) return task.write(user_, static_cast<int64_t>(offset_));
    if (file.seekable()) {
      MutexLock lock(file.position_lock);
      file.position = offset_;
    }
    return {};
  }

 private:
  uint64_t offset_ = 0;
  UserPtr<int64_t> user_;
};

void tell(File& in, File& out, size_t moved) {
  if (moved == 0) return;
  notify(in, IN_ACCESS);
  notify(out, IN_MODIFY);
}

// Copies through a buffer of the sentry's until the end, an error (kept if nothing was moved) or a short write.
Result<size_t> copy(Task& task, File& in, Place& from, File& out, Place& to, uint64_t count) {
  std::vector<std::byte> buffer(std::min<uint64_t>(count, chunk));
  size_t done = 0;
  while (done < count) {
    KernelSink sink(std::span(buffer).first(std::min<uint64_t>(count - done, buffer.size())));
    auto got = in.read(task, sink, from.offset(), {.nowait = in.nonblocking()});
    if (!got) return done ? Result<size_t>(done) : got;
    if (*got == 0) break;
    KernelSource source(std::span(buffer).first(*got));
    auto put = out.write(task, source, to.offset(), {.nowait = out.nonblocking()});
    if (!put) return done ? Result<size_t>(done) : put;
    tell(in, out, *put);
    from.advance(*put);
    to.advance(*put);
    done += *put;
    if (*put < *got) break;
    if (task.signal_pending()) break;
  }
  return done;
}

struct Ends {
  Ref<File> in, out;
};

Result<Ends> ends(Task& task, Fd in, Fd out) {
  auto source = TRY(task.file(in.value));
  auto sink = TRY(task.file(out.value));
  if (!source->readable() || !sink->writable()) return fail(Errno::BadF);
  return Ends{std::move(source), std::move(sink)};
}

bool is_regular(File& file) { return file.inode() && S_ISREG(file.inode()->type()); }
bool is_directory(File& file) { return file.inode() && S_ISDIR(file.inode()->type()); }

}  // namespace

Result<size_t> sys_sendfile(Task& task, Fd out_fd, Fd in_fd, UserPtr<int64_t> offset, uint64_t count) {
  auto [in, out] = TRY(ends(task, in_fd, out_fd));
  if (!in->seekable() || is_directory(*in)) return fail(Errno::Inval);
  if (out->flags() & O_APPEND) return fail(Errno::Inval);
  auto from = TRY(Place::of(task, *in, offset));
  auto to = TRY(Place::of(task, *out, {}));
  size_t n = TRY(copy(task, *in, from, *out, to, std::min(count, max_transfer)));
  TRY(from.store(task, *in));
  TRY(to.store(task, *out));
  return n;
}

// generic_copy_file_checks of Linux: a negative offset that the count wraps round is an overflow.
static Result<void> check_offset(Task& task, UserPtr<int64_t> offset, uint64_t count) {
  if (!offset) return {};
  auto const at = static_cast<uint64_t>(TRY(task.read(offset)));
  return at + count < at ? fail(Errno::Overflow) : Result<void>();
}

Result<size_t> sys_copy_file_range(Task& task, Fd in_fd, UserPtr<int64_t> in_offset, Fd out_fd,
                                   UserPtr<int64_t> out_offset, uint64_t count, uint32_t flags) {
  if (flags != 0) return fail(Errno::Inval);
  auto [in, out] = TRY(ends(task, in_fd, out_fd));
  if (is_directory(*in) || is_directory(*out)) return fail(Errno::IsDir);
  if (!is_regular(*in) || !is_regular(*out)) return fail(Errno::Inval);
  if (out->flags() & O_APPEND) return fail(Errno::BadF);
  TRY(check_offset(task, in_offset, count));
  TRY(check_offset(task, out_offset, count));
  auto from = TRY(Place::of(task, *in, in_offset));
  auto to = TRY(Place::of(task, *out, out_offset));
  count = std::min(count, max_transfer);
  if (in->inode() == out->inode() && from.offset() < to.offset() + count && to.offset() < from.offset() + count)
    return fail(Errno::Inval);
  size_t n = TRY(copy(task, *in, from, *out, to, count));
  TRY(from.store(task, *in));
  TRY(to.store(task, *out));
  return n;
}

Result<size_t> sys_splice(Task& task, Fd in_fd, UserPtr<int64_t> in_offset, Fd out_fd, UserPtr<int64_t> out_offset,
                          uint64_t count, uint32_t flags) {
  constexpr uint32_t known = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;
  if (flags & ~known) return fail(Errno::Inval);
  if (count == 0) return size_t{0};
  auto [in, out] = TRY(ends(task, in_fd, out_fd));
  bool from_pipe = is_pipe(*in), to_pipe = is_pipe(*out);
  if ((from_pipe && in_offset) || (to_pipe && out_offset)) return fail(Errno::SPipe);
  if (!from_pipe && !to_pipe) return fail(Errno::Inval);
  count = std::min(count, max_transfer);
  bool nowait = (flags & SPLICE_F_NONBLOCK) || (from_pipe && in->nonblocking()) || (to_pipe && out->nonblocking());
  if (from_pipe && to_pipe) return splice_pipes(task, *in, *out, count, nowait);
  if (from_pipe) {
    if (out->flags() & O_APPEND) return fail(Errno::Inval);
    auto to = TRY(Place::of(task, *out, out_offset));
    size_t n = TRY(splice_from_pipe(task, *in, *out, to.offset(), count, nowait));
    tell(*in, *out, n);
    to.advance(n);
    TRY(to.store(task, *out));
    return n;
  }
  if (is_directory(*in)) return fail(Errno::Inval);
  auto from = TRY(Place::of(task, *in, in_offset));
  size_t n = TRY(splice_to_pipe(task, *in, from.offset(), *out, count, nowait));
  tell(*in, *out, n);
  from.advance(n);
  TRY(from.store(task, *in));
  return n;
}

Result<size_t> sys_tee(Task& task, Fd in_fd, Fd out_fd, uint64_t count, uint32_t flags) {
  if (flags & ~uint32_t{SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT}) return fail(Errno::Inval);
  if (count == 0) return size_t{0};
  auto [in, out] = TRY(ends(task, in_fd, out_fd));
  if (!is_pipe(*in) || !is_pipe(*out)) return fail(Errno::Inval);
  bool nowait = (flags & SPLICE_F_NONBLOCK) || in->nonblocking() || out->nonblocking();
  return tee_pipes(task, *in, *out, std::min(count, max_transfer), nowait);
}

// The bytes are copied: pages of guest memory are the guest's alone. What SPLICE_F_GIFT gives away stays where it is.
Result<size_t> sys_vmsplice(Task& task, Fd fd, UserAddr vector, uint64_t count, uint32_t flags) {
  constexpr uint32_t known = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;
  if (flags & ~known) return fail(Errno::Inval);
  auto file = TRY(task.file(fd.value));
  if (!is_pipe(*file)) return fail(Errno::BadF);
  auto slices = TRY(read_io_vector(task, vector, count));
  IoOptions const options{.nowait = (flags & SPLICE_F_NONBLOCK) || file->nonblocking()};
  if (file->writable()) {
    UserSource source(task, std::move(slices));
    return source.remaining() == 0 ? Result<size_t>(0) : file->write(task, source, 0, options);
  }
  UserSink sink(task, std::move(slices));
  return sink.remaining() == 0 ? Result<size_t>(0) : file->read(task, sink, 0, options);
}

}  // namespace cofferdam::syscalls
