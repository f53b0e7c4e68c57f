#include "sentry/terminal.h"

#include <fcntl.h>

#include <fmt/format.h>

#include "fs/devpts/devpts.h"
#include "kernel/vfs/mount.h"

namespace cofferdam::sentry {

Outcome<std::unique_ptr<Terminal>> Terminal::create(kernel::Kernel& kernel, kernel::MountNamespace& mounts,
                                                    host::OwnedFd host_side, uint32_t uid,
                                                    std::optional<oci::ConsoleSize> size) {
  auto failed = [](Error const& e) {
    return refuse(fmt::format("cannot make a terminal in the sandbox: {}; config.json must mount devpts at /dev/pts",
                              errno_text(e.code)));
  };
  constexpr gid_t tty_group = 5;
  auto at = kernel.vfs().resolve(mounts, "/dev/pts");
  if (!at) return failed(at.error());
  auto pair = fs::devpts::make_terminal(at->mount->file_system(), uid, tty_group);
  if (!pair) return failed(pair.error());
  auto path = kernel.vfs().resolve(mounts, "/dev/pts/" + pair->name);
  if (!path) return failed(path.error());
  std::unique_ptr<Terminal> self(new Terminal);
  self->pty_ = pair->pty;
  if (size) self->resize(size->height, size->width);
  auto slave = self->pty_->open_slave(nullptr, *path, O_RDWR);
  if (!slave) return failed(slave.error());
  self->slave_ = *slave;
  auto bridge = kernel::HostTerminal::attach(pair->pty, pair->master, std::move(host_side));
  if (!bridge) return failed(bridge.error());
  self->bridge_ = std::move(*bridge);
  return self;
}

void Terminal::resize(uint16_t rows, uint16_t columns) {
  abi::WindowSize window = pty_->window_size();
  window.rows = rows;
  window.columns = columns;
  pty_->set_window_size(window);
}

}  // namespace cofferdam::sentry
