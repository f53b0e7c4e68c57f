// io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2).
#include "kernel/ipc/aio.h"

#include <poll.h>

#include "kernel/ipc/eventfd.h"
#include "kernel/kernel.h"
#include "kernel/mm/memory_manager.h"
#include "syscalls/handlers_file.h"
#include "syscalls/io_vector.h"
#include "syscalls/wait_arguments.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

constexpr uint64_t ring_length = 4096;

Result<Ref<AioContext>> context_at(Task& task, uint64_t address) {
  auto mm = task.mm();
  auto vma = mm->find(address);
  if (!vma || vma->start != address) return fail(Errno::Inval);
  auto context = ref_cast<AioContext>(vma->backing);
  if (!context || !context->belongs_to(*mm)) return fail(Errno::Inval);
  return context;
}

// What a request came to: a submission that fails is told by io_submit, a result by an event.
struct Request {
  iocb control;
  Ref<File> file;
  Ref<File> notified;  // an EventFile
  io_event event;
};

Result<Request> read_request(Task& task, uint64_t address) {
  Request r{.control = TRY(task.read(UserPtr<iocb>(address))), .file = {}, .notified = {}, .event = {}};
  if (r.control.aio_reserved2 != 0) return fail(Errno::Inval);
  r.file = TRY(task.file(static_cast<int>(r.control.aio_fildes)));
  if (r.control.aio_flags & IOCB_FLAG_RESFD) {
    r.notified = TRY(task.file(static_cast<int>(r.control.aio_resfd)));
    if (dynamic_cast<EventFile*>(r.notified.get()) == nullptr) return fail(Errno::Inval);
  }
  r.event = {.data = r.control.aio_data, .obj = address, .res = 0, .res2 = 0};
  TRY(task.write(UserPtr<uint32_t>(address + offsetof(iocb, aio_key)), uint32_t{0}));
  return r;
}

Result<std::vector<UserSlice>> buffers_of(Task& task, iocb const& c) {
  bool const vector = c.aio_lio_opcode == IOCB_CMD_PREADV || c.aio_lio_opcode == IOCB_CMD_PWRITEV;
  if (vector) return read_io_vector(task, UserAddr{c.aio_buf}, c.aio_nbytes);
  if (static_cast<int64_t>(c.aio_nbytes) < 0) return fail(Errno::Inval);
  return std::vector{UserSlice{UserAddr{c.aio_buf}, std::min<uint64_t>(c.aio_nbytes, max_transfer)}};
}

// The result of a read or write as an event tells it: an interrupted one is not restarted.
int64_t told(Result<size_t> const& r) {
  if (r) return static_cast<int64_t>(*r);
  if (r.error().is_restart()) return -EINTR;
  return -static_cast<int64_t>(r.error().code);
}

Result<int64_t> transfer(Task& task, Request const& r, bool writing) {
  iocb const& c = r.control;
  if (writing ? !r.file->writable() : !r.file->readable()) return fail(Errno::BadF);
  if (r.file->seekable() && c.aio_offset < 0) return fail(Errno::Inval);
  auto buffers = TRY(buffers_of(task, c));
  auto move = writing ? &write_file_at : &read_file_at;
  auto moved = move(task, *r.file, std::move(buffers), c.aio_offset, c.aio_rw_flags);
  // The event says how it went: so the bytes have to be there now.
  if (moved && !writing)
    if (auto landed = task.context().flush(); !landed) moved = std::unexpected(landed.error());
  return told(moved);
}

Result<int64_t> sync(Task& task, Request const& r) {
  iocb const& c = r.control;
  if (c.aio_buf || c.aio_offset || c.aio_nbytes || c.aio_rw_flags) return fail(Errno::Inval);
  auto done = r.file->sync(task, c.aio_lio_opcode == IOCB_CMD_FDSYNC);
  if (!done && done.error() == Errno::Inval) return fail(Errno::Inval);
  return done ? 0 : told(std::unexpected(done.error()));
}

Result<void> submit_poll(AioContext& context, Request& r) {
  iocb const& c = r.control;
  if (c.aio_buf > UINT16_MAX || c.aio_offset || c.aio_nbytes || c.aio_rw_flags) return fail(Errno::Inval);
  if (r.notified || !r.file->pollable()) return fail(Errno::Inval);
  context.poll(std::move(r.file), static_cast<PollMask>(c.aio_buf), r.event);
  return {};
}

// Has its reservation; on failure the caller gives that back.
Result<void> submit(Task& task, AioContext& context, uint64_t address) {
  Request r = TRY(read_request(task, address));
  switch (r.control.aio_lio_opcode) {
    case IOCB_CMD_PREAD:
    case IOCB_CMD_PREADV:
      r.event.res = TRY(transfer(task, r, false));
      break;
    case IOCB_CMD_PWRITE:
    case IOCB_CMD_PWRITEV:
      r.event.res = TRY(transfer(task, r, true));
      break;
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC:
      r.event.res = TRY(sync(task, r));
      break;
    case IOCB_CMD_POLL:
      return submit_poll(context, r);
    default:
      return fail(Errno::Inval);
  }
  context.complete(r.event);
  if (r.notified) (void)dynamic_cast<EventFile&>(*r.notified).add(1);  // a full counter says enough
  return {};
}

Result<int64_t> get_events(Task& task, uint64_t address, int64_t least, int64_t most, UserPtr<io_event> to,
                           Deadline deadline) {
  auto context = TRY(context_at(task, address));
  if (least < 0 || most < 0 || least > most) return fail(Errno::Inval);
  if (most == 0) return 0;
  int64_t done = 0;
  for (;;) {
    auto events = context->take(static_cast<size_t>(std::min<int64_t>(most - done, 1024)));
    if (!events.empty())
      TRY(task.write_array(TRY(to.at(static_cast<size_t>(done))), std::span<io_event const>(events)));
    done += static_cast<int64_t>(events.size());
    if (done >= least && (events.empty() || done == most)) return done;
    if (!events.empty()) continue;
    if (context->closed()) return done != 0 ? Result<int64_t>(done) : fail(Errno::Inval);
    auto waited = task.wait_until(context->queue(), EPOLLIN, deadline,
                                  [&] { return context->ready() != 0 || context->closed(); });
    if (waited) continue;
    if (done != 0 || waited.error() == Errno::TimedOut) return done;
    return waited.error().is_restart() ? fail(Errno::Intr) : std::unexpected(waited.error());
  }
}

}  // namespace

Result<void> sys_io_setup(Task& task, uint32_t most, UserPtr<uint64_t> to) {
  constexpr uint32_t most_ever = 0x10000000 / sizeof(io_event) / 2;  // as Linux, against overflow
  if (TRY(task.read(to)) != 0 || most == 0 || most > most_ever) return fail(Errno::Inval);
  auto mm = task.mm();
  auto ring = make_ref<AioRing>(TRY(AioContext::create(task.kernel().ipc(), *mm, most)));
  uint64_t address = TRY(mm->mmap(
      task, {.length = ring_length, .protection = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE, .file = ring}));
  auto done = mm->madvise(task, address, ring_length, MADV_DONTFORK);
  if (done) done = task.write(to, address);
  if (!done) (void)mm->munmap(task, address, ring_length);
  return done;
}

Result<void> sys_io_destroy(Task& task, uint64_t address) {
  auto context = TRY(context_at(task, address));
  context->close();
  return task.mm()->munmap(task, address, ring_length);
}

Result<int64_t> sys_io_submit(Task& task, uint64_t address, int64_t count, UserPtr<uint64_t> requests) {
  if (count < 0) return fail(Errno::Inval);
  auto context = TRY(context_at(task, address));
  int64_t done = 0;
  for (Result<void> outcome; done < count; ++done) {
    auto at = requests.at(static_cast<size_t>(done));
    auto request = at ? task.read(*at) : Result<uint64_t>(std::unexpected(at.error()));
    outcome = request ? context->reserve() : std::unexpected(request.error());
    if (outcome) {
      outcome = submit(task, *context, *request);
      if (!outcome) context->release();
    }
    if (!outcome && done == 0) return std::unexpected(outcome.error());
    if (!outcome || (done + 1 < count && task.signal_pending())) return outcome ? done + 1 : done;
  }
  return done;
}

Result<void> sys_io_cancel(Task& task, uint64_t address, UserAddr request, UserAddr) {
  auto context = TRY(context_at(task, address));
  (void)TRY(task.read(UserPtr<uint32_t>(request.value + offsetof(iocb, aio_key))));
  TRY(context->cancel(request.value));
  return fail(Errno::InProgress);  // the event tells the end, since Linux 4.18 too
}

Result<int64_t> sys_io_getevents(Task& task, uint64_t context, int64_t least, int64_t most, UserPtr<io_event> events,
                                 UserPtr<timespec> timeout) {
  return get_events(task, context, least, most, events, TRY(read_relative_timeout(task, timeout)));
}

Result<int64_t> sys_io_pgetevents(Task& task, uint64_t context, int64_t least, int64_t most, UserPtr<io_event> events,
                                  UserPtr<timespec> timeout, UserPtr<AioSignalMask> mask) {
  Deadline deadline = TRY(read_relative_timeout(task, timeout));
  if (mask) {
    auto given = TRY(task.read(mask));
    TRY(set_temporary_mask(task, UserPtr<uint64_t>(given.mask), given.size));
  }
  return get_events(task, context, least, most, events, deadline);
}

}  // namespace cofferdam::syscalls
