// read(2), write(2) and their kin, lseek(2).
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/descriptor_service.h"
#include "kernel/task/task_internal.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/notify.h"
#include "syscalls/handlers_file.h"
#include "syscalls/io_vector.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

Result<Ref<File>> readable_file(Task& task, Fd fd) {
  auto file = TRY(task.file(fd.value));
  if (!file->readable()) return fail(Errno::BadF);
  return file;
}

Result<Ref<File>> writable_file(Task& task, Fd fd) {
  auto file = TRY(task.file(fd.value));
  if (!file->writable()) return fail(Errno::BadF);
  return file;
}

IoOptions options_of(File const& file) {
  int flags = file.flags();
  return {.nowait = (flags & O_NONBLOCK) != 0, .append = (flags & O_APPEND) != 0, .sync = (flags & O_DSYNC) != 0};
}

bool is_directory(File& file) { return file.inode() && S_ISDIR(file.inode()->type()); }

Result<size_t> read_at(Task& task, File& file, IoSink& sink, uint64_t offset, IoOptions options) {
  if (is_directory(file)) return fail(Errno::IsDir);
  auto done = file.read(task, sink, offset, options);
  task.implementation().io.add_read(done.value_or(0));
  if (done.value_or(0) != 0) notify(file, IN_ACCESS);
  return done;
}

Result<size_t> write_at(Task& task, File& file, IoSource& source, uint64_t offset, IoOptions options) {
  auto done = file.write(task, source, offset, options);
  task.implementation().io.add_write(done.value_or(0));
  if (done.value_or(0) != 0) notify(file, IN_MODIFY);
  return done;
}

// The first bytes of another source.
class FirstBytes final : public IoSource {
 public:
  FirstBytes(IoSource& whole, uint64_t most) : whole_(whole), most_(most) {}
  size_t remaining() const override { return std::min<uint64_t>(whole_.remaining(), most_); }
  Result<size_t> get(std::span<std::byte> to) override {
    size_t n = TRY(whole_.get(to.first(std::min<uint64_t>(to.size(), most_))));
    most_ -= n;
    return n;
  }
  Result<size_t> get_to_host(int host_fd, size_t n, int64_t offset) override {
    size_t done = TRY(whole_.get_to_host(host_fd, std::min<uint64_t>(n, most_), offset));
    most_ -= done;
    return done;
  }
  void unget(size_t n) override {
    whole_.unget(n);
    most_ += n;
  }

 private:
  IoSource& whole_;
  uint64_t most_;
};

// Up to RLIMIT_FSIZE; EFBIG with SIGXFSZ for a write that begins there.
Result<size_t> write_limited(Task& task, File& file, IoSource& source, uint64_t offset, IoOptions options) {
  uint64_t limit = task.thread_group().limits.current(RLIMIT_FSIZE);
  if (limit == RLIM_INFINITY || !file.inode() || !S_ISREG(file.inode()->type()))
    return write_at(task, file, source, offset, options);
  if (offset >= limit && source.remaining() != 0) {
    (void)task.send_signal(SignalInfo::from_kernel(SIGXFSZ));
    return fail(Errno::FBig);
  }
  FirstBytes first(source, limit - std::min(offset, limit));
  return write_at(task, file, first, offset, options);
}

// rw_verify_area of Linux, for files that have offsets.
Result<void> check_span(uint64_t offset, size_t count) {
  constexpr auto most = static_cast<uint64_t>(INT64_MAX);
  if (offset > most || count > most - offset) return fail(Errno::Inval);
  return {};
}

Result<size_t> read_stream(Task& task, Fd fd, File& file, IoSink& sink, IoOptions options) {
  if (!file.seekable()) return read_at(task, file, sink, 0, options);
  MutexLock lock(file.position_lock);
  TRY(check_span(file.position, sink.remaining()));
  size_t n = TRY(read_at(task, file, sink, file.position, options));
  file.position += n;
  task.implementation().last_read = {fd.value, &file};
  return n;
}

// A write by somebody else takes set-user-ID off (inode(7)); mostly one look at the inode's mode.
Result<void> strip_privileges(Task& task, File& file) {
  return file.inode() ? task.kernel().vfs().strip_privileges(task, *file.inode()) : Result<void>();
}

Result<size_t> write_stream(Task& task, File& file, IoSource& source, IoOptions options) {
  if (!file.seekable()) return write_at(task, file, source, 0, options);
  MutexLock lock(file.position_lock);
  if (!options.append) TRY(check_span(file.position, source.remaining()));
  if (options.append) file.position = TRY(file.attributes()).size;
  TRY(strip_privileges(task, file));
  size_t n = TRY(write_limited(task, file, source, file.position, options));
  if (options.append) {
    file.position = TRY(file.attributes()).size;
  } else {
    file.position += n;
  }
  return n;
}

Result<size_t> read_positioned(Task& task, File& file, IoSink& sink, int64_t offset, IoOptions options) {
  if (offset < 0) return fail(Errno::Inval);
  if (!file.seekable()) return fail(Errno::SPipe);
  TRY(check_span(static_cast<uint64_t>(offset), sink.remaining()));
  return read_at(task, file, sink, static_cast<uint64_t>(offset), options);
}

Result<size_t> write_positioned(Task& task, File& file, IoSource& source, int64_t offset, IoOptions options) {
  if (offset < 0) return fail(Errno::Inval);
  if (!file.seekable()) return fail(Errno::SPipe);
  if (!options.append) TRY(check_span(static_cast<uint64_t>(offset), source.remaining()));
  TRY(strip_privileges(task, file));
  return write_limited(task, file, source, static_cast<uint64_t>(offset), options);
}

Result<IoOptions> options_with(File const& file, int32_t rwf, bool writing) {
  constexpr int32_t no_append = 0x20;  // RWF_NOAPPEND of Linux 6.9
  constexpr int32_t known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | no_append;
  if (rwf & ~known) return fail(Errno::OpNotSupp);
  if ((rwf & RWF_APPEND) && (!writing || (rwf & no_append))) return fail(writing ? Errno::Inval : Errno::OpNotSupp);
  IoOptions options = options_of(file);
  if (rwf & RWF_NOWAIT) options.nowait = true;
  if (rwf & (RWF_SYNC | RWF_DSYNC)) options.sync = true;
  if (rwf & RWF_APPEND) options.append = true;
  if (rwf & no_append) options.append = false;
  return options;
}

// Files whose calls the platform may answer by itself are offered to it when they are used much.
Result<size_t> used(Task& task, Fd fd, File& file, File::Use use, Result<size_t> done) {
  if (done.value_or(0) != 0 && file.is_service_due(use)) kernel::offer_descriptor_service(task, fd.value, file);
  return done;
}

int64_t offset_of_halves(uint64_t low, uint64_t) { return static_cast<int64_t>(low); }  // 64-bit: all of it is in low

}  // namespace

Result<size_t> read_file_at(Task& task, File& file, std::vector<UserSlice> to, int64_t offset, int32_t rwf) {
  auto options = TRY(options_with(file, rwf, false));
  UserSink sink(task, std::move(to));
  if (!file.seekable()) return read_at(task, file, sink, 0, options);
  return read_positioned(task, file, sink, offset, options);
}

Result<size_t> write_file_at(Task& task, File& file, std::vector<UserSlice> from, int64_t offset, int32_t rwf) {
  auto options = TRY(options_with(file, rwf, true));
  UserSource source(task, std::move(from));
  if (!file.seekable()) return write_at(task, file, source, 0, options);
  return write_positioned(task, file, source, offset, options);
}

Result<size_t> sys_read(Task& task, Fd fd, UserAddr buffer, uint64_t count) {
  auto file = TRY(readable_file(task, fd));
  if (!kernel::is_user_range(buffer, count)) return fail(Errno::Fault);
  UserSink sink(task, UserSlice{buffer, std::min(count, max_transfer)});
  return used(task, fd, *file, File::Use::Read, read_stream(task, fd, *file, sink, options_of(*file)));
}

Result<size_t> sys_write(Task& task, Fd fd, UserAddr buffer, uint64_t count) {
  auto file = TRY(writable_file(task, fd));
  if (!kernel::is_user_range(buffer, count)) return fail(Errno::Fault);
  UserSource source(task, UserSlice{buffer, std::min(count, max_transfer)});
  return used(task, fd, *file, File::Use::Write, write_stream(task, *file, source, options_of(*file)));
}

Result<size_t> sys_pread64(Task& task, Fd fd, UserAddr buffer, uint64_t count, int64_t offset) {
  if (offset < 0) return fail(Errno::Inval);
  auto file = TRY(readable_file(task, fd));
  if (!kernel::is_user_range(buffer, count)) return fail(Errno::Fault);
  UserSink sink(task, UserSlice{buffer, std::min(count, max_transfer)});
  return used(task, fd, *file, File::Use::Read, read_positioned(task, *file, sink, offset, options_of(*file)));
}

Result<size_t> sys_pwrite64(Task& task, Fd fd, UserAddr buffer, uint64_t count, int64_t offset) {
  if (offset < 0) return fail(Errno::Inval);
  auto file = TRY(writable_file(task, fd));
  if (!kernel::is_user_range(buffer, count)) return fail(Errno::Fault);
  UserSource source(task, UserSlice{buffer, std::min(count, max_transfer)});
  return write_positioned(task, *file, source, offset, options_of(*file));
}

Result<size_t> sys_readv(Task& task, Fd fd, UserAddr vector, uint64_t count) {
  auto file = TRY(readable_file(task, fd));
  UserSink sink(task, TRY(read_io_vector(task, vector, count)));
  return read_stream(task, fd, *file, sink, options_of(*file));
}

Result<size_t> sys_writev(Task& task, Fd fd, UserAddr vector, uint64_t count) {
  auto file = TRY(writable_file(task, fd));
  UserSource source(task, TRY(read_io_vector(task, vector, count)));
  return write_stream(task, *file, source, options_of(*file));
}

Result<size_t> sys_preadv2(Task& task, Fd fd, UserAddr vector, uint64_t count, uint64_t low, uint64_t high,
                           int32_t flags) {
  auto file = TRY(readable_file(task, fd));
  auto options = TRY(options_with(*file, flags, false));
  UserSink sink(task, TRY(read_io_vector(task, vector, count)));
  int64_t offset = offset_of_halves(low, high);
  if (offset == -1) return read_stream(task, fd, *file, sink, options);
  return read_positioned(task, *file, sink, offset, options);
}

Result<size_t> sys_pwritev2(Task& task, Fd fd, UserAddr vector, uint64_t count, uint64_t low, uint64_t high,
                            int32_t flags) {
  auto file = TRY(writable_file(task, fd));
  auto options = TRY(options_with(*file, flags, true));
  UserSource source(task, TRY(read_io_vector(task, vector, count)));
  int64_t offset = offset_of_halves(low, high);
  if (offset == -1) return write_stream(task, *file, source, options);
  return write_positioned(task, *file, source, offset, options);
}

Result<size_t> sys_preadv(Task& task, Fd fd, UserAddr vector, uint64_t count, uint64_t low, uint64_t high) {
  if (offset_of_halves(low, high) < 0) return fail(Errno::Inval);
  return sys_preadv2(task, fd, vector, count, low, high, 0);
}

Result<size_t> sys_pwritev(Task& task, Fd fd, UserAddr vector, uint64_t count, uint64_t low, uint64_t high) {
  if (offset_of_halves(low, high) < 0) return fail(Errno::Inval);
  return sys_pwritev2(task, fd, vector, count, low, high, 0);
}

Result<uint64_t> sys_lseek(Task& task, Fd fd, int64_t offset, int32_t whence) {
  auto file = TRY(task.file(fd.value));
  if (whence < SEEK_SET || whence > SEEK_HOLE) return fail(Errno::Inval);
  return file->seek(task, offset, whence);
}

}  // namespace cofferdam::syscalls
