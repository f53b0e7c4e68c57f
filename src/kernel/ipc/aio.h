// Asynchronous I/O contexts (io_setup(2)).
//
// A context lives as long as the page that io_setup maps into the process, whose address is its name: munmap, exec and
// the end of the process end it. Reads, writes and syncs are done when they are submitted (as Linux does wherever the
// file has no way of its own); only IOCB_CMD_POLL completes later.
#pragma once

#include <linux/aio_abi.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/ipc/ipc_state.h"
#include "kernel/time/clock.h"
#include "kernel/vfs/file.h"

namespace cofferdam::kernel {

class MemoryManager;

class AioContext final : public RefCounted {
 public:
  // EAGAIN beyond fs.aio-max-nr.
  static Result<Ref<AioContext>> create(IpcState&, MemoryManager const& owner, uint32_t most);
  AioContext(IpcState&, MemoryManager const& owner, uint32_t most);
  ~AioContext() override;

  bool belongs_to(MemoryManager const& mm) const { return owner_ == &mm; }
  // Room for one more request: EAGAIN. Each reservation becomes a completion, a poll, or is released.
  Result<void> reserve();
  void release();
  void complete(io_event const&);
  // EINVAL when the file cannot be polled.
  void poll(Ref<File>, PollMask, io_event const&);
  // Ends a poll that has not completed: EINVAL when there is none of that iocb.
  Result<void> cancel(uint64_t iocb);
  // Takes up to `most` completions.
  std::vector<io_event> take(size_t most);
  size_t ready() const;
  WaitQueue& queue() { return queue_; }
  // io_destroy(2): nothing completes any more, and who waits for events hears of it.
  void close();
  bool closed() const { return closed_.load(std::memory_order_acquire); }

 private:
  class PollRequest;
  void fired(PollRequest&);

  IpcState& ipc_;
  MemoryManager const* const owner_;  // only compared
  uint32_t const most_;
  mutable Mutex mutex_;
  uint32_t reserved_ GUARDED_BY(mutex_) = 0;  // completions that wait to be taken among them
  std::deque<io_event> completed_ GUARDED_BY(mutex_);
  std::map<uint64_t, Ref<PollRequest>> polls_ GUARDED_BY(mutex_);  // by iocb
  std::vector<Ref<PollRequest>> spent_ GUARDED_BY(mutex_);
  std::atomic<bool> closed_{false};
  WaitQueue queue_;
};

// What io_setup maps: no file of a descriptor table.
class AioRing final : public File {
 public:
  explicit AioRing(Ref<AioContext> context) : File(Path(), O_RDWR), context_(std::move(context)) {}
  Result<MapTarget> map(Task&, MapRequest const&) override {
    MapTarget target;  // plain memory of the process's own
    target.backing = context_;
    return target;
  }

 private:
  Ref<AioContext> const context_;
};

}  // namespace cofferdam::kernel
