#include <algorithm>

#include "kernel/ipc/anonymous_file.h"
#include "kernel/ipc/pipe_end.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

constexpr size_t max_splice_bytes = size_t{1} << 20;

Result<PipeEnd*> reading_end(File& f) {
  PipeEnd* end = pipe_end(f);
  if (!end || !end->readable()) return fail(Errno::BadF);
  return end;
}

Result<PipeEnd*> writing_end(File& f) {
  PipeEnd* end = pipe_end(f);
  if (!end || !end->writable()) return fail(Errno::BadF);
  return end;
}

// Runs `step` until it says something else than EAGAIN, waiting for bytes in between.
template <class Step>
auto when_readable(Task& task, PipeEnd& end, bool nowait, Step step) -> decltype(step()) {
  for (;;) {
    auto result = step();
    if (result || result.error() != Errno::Again || nowait || end.nonblocking()) return result;
    TRY(end.wait_readable(task));
  }
}

Result<size_t> wait_for_room(Task& task, PipeEnd& end, bool nowait) {
  for (;;) {
    auto room = end.pipe().room();
    if (!room && room.error() == Errno::Pipe) return std::unexpected(broken_pipe(task));
    if (room || nowait || end.nonblocking()) return room;
    TRY(end.wait_writable(task));
  }
}

Result<size_t> append(Task& task, PipeEnd& end, PipeSegments segments) {
  size_t n = total_length(segments);
  if (!end.pipe().append(std::move(segments))) return std::unexpected(broken_pipe(task));
  return n;
}

// What `get` gives of one pipe's bytes goes into another. Waits before getting: nothing may be held while the task
// sleeps.
template <class Get>
Result<size_t> between_pipes(Task& task, File& from, File& to, size_t count, bool nowait, Get get) {
  PipeEnd* in = TRY(reading_end(from));
  PipeEnd* out = TRY(writing_end(to));
  if (&in->pipe() == &out->pipe()) return fail(Errno::Inval);
  if (count == 0) return 0;
  for (;;) {
    size_t room = TRY(wait_for_room(task, *out, nowait));
    auto got = get(in->pipe(), std::min({count, room, max_splice_bytes}));
    if (got) return append(task, *out, std::move(*got));
    if (nowait || in->nonblocking()) return std::unexpected(got.error());
    TRY(in->wait_readable(task));
  }
}

}  // namespace

Result<size_t> splice_from_pipe(Task& task, File& from, File& to, uint64_t offset, size_t count, bool nowait) {
  PipeEnd* end = TRY(reading_end(from));
  count = std::min(count, max_splice_bytes);
  if (count == 0) return 0;
  PipeSegmentSource source(TRY(when_readable(task, *end, nowait, [&] { return end->pipe().take(count); })));
  size_t taken = source.remaining();
  if (taken == 0) return 0;
  auto written = to.write(task, source, offset, {.nowait = nowait || to.nonblocking()});
  end->pipe().put_back(source.take_rest());
  return written;
}

Result<size_t> splice_to_pipe(Task& task, File& from, uint64_t offset, File& to, size_t count, bool nowait) {
  PipeEnd* end = TRY(writing_end(to));
  if (count == 0) return 0;
  size_t room = TRY(wait_for_room(task, *end, nowait));
  PipeSegmentSink sink(std::min({count, room, max_splice_bytes}));
  size_t got = TRY(from.read(task, sink, offset, {.nowait = nowait || from.nonblocking()}));
  if (got == 0) return 0;
  return append(task, *end, sink.take());
}

Result<size_t> splice_pipes(Task& task, File& from, File& to, size_t count, bool nowait) {
  return between_pipes(task, from, to, count, nowait, [](Pipe& pipe, size_t n) { return pipe.take(n); });
}

Result<size_t> tee_pipes(Task& task, File& from, File& to, size_t count, bool nowait) {
  return between_pipes(task, from, to, count, nowait, [](Pipe& pipe, size_t n) { return pipe.copy_front(n); });
}

}  // namespace cofferdam::kernel
