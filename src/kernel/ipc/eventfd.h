// eventfd(2).
#pragma once

#include <cstdint>

#include "base/mutex.h"
#include "kernel/ipc/anonymous_file.h"

namespace cofferdam::kernel {

class EventFile final : public AnonymousFile {
 public:
  enum class Mode { Counter, Semaphore };
  EventFile(uint64_t initial, Mode, int flags);

  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override;
  Result<size_t> write(Task&, IoSource&, uint64_t, IoOptions) override;
  PollMask poll() override;
  WaitQueue* wait_queue() override { return &queue_; }
  std::string fdinfo() override;

  // Nothing here blocks: EAGAIN when the counter is 0, or has no room.
  Result<uint64_t> take();
  Result<void> add(uint64_t);

 private:
  static constexpr uint64_t max_count = UINT64_MAX - 1;
  Mode const mode_;
  mutable Mutex mutex_;
  uint64_t count_ GUARDED_BY(mutex_);
  WaitQueue queue_;
};

}  // namespace cofferdam::kernel
