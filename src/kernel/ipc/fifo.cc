#include "kernel/ipc/pipe_end.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dentry.h"

namespace cofferdam::kernel {
namespace {

// What there was of the other kind at the moment when an end was opened: opens of one FIFO come one after the other.
struct Opened {
  Ref<Pipe> pipe;
  bool writers, readers;
  uint64_t writer_generation, reader_generation;
};

Opened open_end(Task& task, Inode& inode, Pipe::End end) {
  return inode.with_attachment(Attachment::Fifo, [&](Ref<RefCounted>& slot) {
    auto pipe = ref_cast<Pipe>(slot);
    if (!pipe) {
      pipe = new_pipe(task);
      slot = pipe;
    }
    pipe->open_end(end);
    return Opened{pipe, pipe->writers() != 0, pipe->readers() != 0, pipe->writer_generation(),
                  pipe->reader_generation()};
  });
}

// Until an end of the other kind is opened, even if it is closed again at once.
template <class Generation>
Result<void> wait_for_partner(Task& task, Pipe& pipe, uint64_t before, Generation generation) {
  return task.wait_until(pipe.queue, Pipe::partner_event, Deadline::never(), [&] { return generation() != before; });
}

}  // namespace

Result<Ref<File>> open_fifo(Task& task, Path const& path, int flags) {
  int access = flags & O_ACCMODE;
  Pipe::End end = access == O_RDONLY ? Pipe::End::Read : access == O_WRONLY ? Pipe::End::Write : Pipe::End::Both;
  Opened const opened = open_end(task, *path.dentry->inode(), end);
  Ref<Pipe> const& pipe = opened.pipe;
  uint64_t no_writer_yet = 0;
  bool reader_waits = end == Pipe::End::Read && !opened.writers;
  if (reader_waits && (flags & O_NONBLOCK)) no_writer_yet = opened.writer_generation;
  // From here on the end is the file's, and given back with it when the open fails.
  Ref<File> file = make_ref<PipeEnd>(pipe, end, path, flags, 0, no_writer_yet);
  if (reader_waits && !(flags & O_NONBLOCK))
    TRY(wait_for_partner(task, *pipe, opened.writer_generation, [&] { return pipe->writer_generation(); }));
  if (end == Pipe::End::Write && !opened.readers) {
    if (flags & O_NONBLOCK) return fail(Errno::NxIo);
    TRY(wait_for_partner(task, *pipe, opened.reader_generation, [&] { return pipe->reader_generation(); }));
  }
  return file;
}

}  // namespace cofferdam::kernel
