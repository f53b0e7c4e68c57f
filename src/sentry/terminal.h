// A guest's terminal whose other side is a terminal of the host.
#pragma once

#include <memory>
#include <optional>

#include "base/outcome.h"
#include "host/fd.h"
#include "kernel/kernel.h"
#include "kernel/terminal/host_terminal.h"
#include "kernel/terminal/pty.h"
#include "oci/spec.h"

namespace cofferdam::sentry {

// Line editing, echo and job control are the guest terminal's; the host's is in raw mode and only carries bytes.
class Terminal {
 public:
  // A new pseudoterminal in the devpts at /dev/pts, joined to the host's.
  static Outcome<std::unique_ptr<Terminal>> create(kernel::Kernel&, kernel::MountNamespace&, host::OwnedFd host_side,
                                                   uint32_t uid, std::optional<oci::ConsoleSize>);
  Ref<kernel::Pty> const& pty() const { return pty_; }
  Ref<kernel::File> const& slave() const { return slave_; }  // open for reading and writing
  void forget_slave() { slave_ = nullptr; }                  // once the process has it: its last close must be seen
  void resize(uint16_t rows, uint16_t columns);              // SIGWINCH to the foreground group when it changes

 private:
  Terminal() = default;
  Ref<kernel::Pty> pty_;
  Ref<kernel::File> slave_;
  std::unique_ptr<kernel::HostTerminal> bridge_;  // its end passes the rest of the output on
};

}  // namespace cofferdam::sentry
