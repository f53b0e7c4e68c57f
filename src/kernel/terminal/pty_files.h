// The open files of a pseudo-terminal's two sides.
#pragma once

#include "kernel/terminal/pty.h"

namespace cofferdam::kernel {

class PtyMasterFile final : public File {
 public:
  PtyMasterFile(Ref<Pty>, Path, int flags);
  ~PtyMasterFile() override;
  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override;
  Result<size_t> write(Task&, IoSource&, uint64_t, IoOptions) override;
  Result<uint64_t> ioctl(Task&, uint32_t request, uint64_t argument) override;
  PollMask poll() override { return pty_->poll(Pty::Side::Master, 0); }
  WaitQueue* wait_queue() override { return &pty_->queue(Pty::Side::Master); }
  std::string fdinfo() override;
  Pty& pty() const { return *pty_; }

 private:
  Ref<Pty> pty_;
};

class PtySlaveFile final : public File {
 public:
  PtySlaveFile(Ref<Pty>, Path, int flags, uint64_t epoch);
  ~PtySlaveFile() override;
  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override;
  Result<size_t> write(Task&, IoSource&, uint64_t, IoOptions) override;
  Result<uint64_t> ioctl(Task&, uint32_t request, uint64_t argument) override;
  PollMask poll() override { return pty_->poll(Pty::Side::Slave, epoch_); }
  WaitQueue* wait_queue() override { return &pty_->queue(Pty::Side::Slave); }
  Pty& pty() const { return *pty_; }

 private:
  struct ReadRule;
  ReadRule read_rule() const;
  Result<size_t> read_some(IoSink&, bool& end_of_file);

  Ref<Pty> pty_;
  uint64_t const epoch_;
};

}  // namespace cofferdam::kernel
