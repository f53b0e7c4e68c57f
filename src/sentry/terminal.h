// A guest's terminal whose other side is a terminal of the host.
#pragma once

#include <memory>
#include <optional>

#include "base/outcome.h"
#include "host/fd.h"
#include "kernel/kernel.h"
#include "kernel/terminal.h"
#include "oci/spec.h"

namespace cofferdam::sentry {

// Line editing, echo and job control are the guest terminal's; the host's is in raw mode and only carries bytes.
class TerminalBridge {
 public:
  // A new pseudoterminal in the kernel's devpts; what comes from `in` is typed on it, what it shows goes to `out`.
  static Outcome<std::unique_ptr<TerminalBridge>> create(kernel::Kernel&, host::OwnedFd in, host::OwnedFd out,
                                                         std::optional<oci::ConsoleSize>);
  ~TerminalBridge();
  Ref<kernel::Terminal> terminal() const;
  Ref<kernel::File> file() const;                // the guest's side, open for reading and writing
  void resize(uint16_t rows, uint16_t columns);  // SIGWINCH to the foreground group when it changes
  // Passes the rest of the output on, for a bounded time.
  void drain();

 private:
  struct State;
  explicit TerminalBridge(std::unique_ptr<State>);
  std::unique_ptr<State> state_;
};

}  // namespace cofferdam::sentry
