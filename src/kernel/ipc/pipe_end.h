// An open end of a pipe or FIFO.
#pragma once

#include "kernel/ipc/pipe.h"
#include "kernel/ipc/pipe_buffer.h"

namespace cofferdam::kernel {

class PipeEnd final : public File {
 public:
  // The pipe's end has been counted (Pipe::open_end); the destructor gives it back.
  PipeEnd(Ref<Pipe>, Pipe::End, Path, int flags, uint64_t inode, uint64_t seen_writer_generation);
  ~PipeEnd() override;

  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override;
  Result<size_t> write(Task&, IoSource&, uint64_t, IoOptions) override;
  Result<uint64_t> ioctl(Task&, uint32_t request, uint64_t argument) override;
  Result<Attributes> attributes() override;
  Result<Ref<File>> reopen(Task&, int flags) override;  // by /proc/PID/fd; FIFOs are opened by their path
  PollMask poll() override;
  WaitQueue* wait_queue() override { return &pipe_->queue; }
  std::string anonymous_name() const override;

  Pipe& pipe() { return *pipe_; }
  Result<void> wait_readable(Task&);
  Result<void> wait_writable(Task&);

  uid_t owner_uid = 0;
  gid_t owner_gid = 0;

 private:
  Ref<Pipe> pipe_;
  Pipe::End const end_;
  uint64_t const inode_number_;
  uint64_t const seen_writer_generation_;
  timespec const created_;
};

PipeEnd* pipe_end(File&);  // null when it is none
Ref<Pipe> new_pipe(Task&);

}  // namespace cofferdam::kernel
