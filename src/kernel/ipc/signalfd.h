// signalfd(2): signals of whoever reads, as records of 128 bytes.
#pragma once

#include <atomic>

#include "kernel/ipc/anonymous_file.h"
#include "kernel/signal/signal.h"

namespace cofferdam::kernel {

class SignalFile final : public AnonymousFile {
 public:
  SignalFile(SignalSet wanted, int flags);
  void set_wanted(SignalSet);

  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override;
  // Readiness belongs to the task that asks.
  PollMask poll() override { return 0; }
  PollMask poll_as(Task&) override;
  WaitQueue* wait_queue_as(Task&) override;
  bool pollable() const override { return true; }
  std::string fdinfo() override;

 private:
  SignalSet wanted() const { return SignalSet(wanted_.load(std::memory_order_relaxed)); }
  std::atomic<uint64_t> wanted_;
};

}  // namespace cofferdam::kernel
