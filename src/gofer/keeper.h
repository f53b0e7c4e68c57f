// The gofer process: outlives the command that started a sandbox for as long as something on the host may have to be
// removed, and does that when the command dies before it could. It takes no message from the sandbox: of the sandbox it
// sees only that the last holder of a pipe is gone. (When directfs can be switched off it is also the process that will
// serve opens; until then a donated mount is all that directfs needs.)
#pragma once

#include <functional>

#include "base/outcome.h"
#include "host/fd.h"

namespace cofferdam::gofer {

class Keeper {
 public:
  // Forks it. `clean_up` runs in the gofer when this process ends without release(), and the sandbox is gone.
  static Outcome<Keeper> start(std::function<void()> const& clean_up);
  Keeper() = default;
  Keeper(Keeper&&) = default;
  Keeper& operator=(Keeper&&) = default;

  // The descriptor that the sandbox process must hold for its life, and nobody else.
  int sandbox_end() const { return sandbox_end_.get(); }
  void sandbox_started() { sandbox_end_.reset(); }
  // Descriptors that the sandbox process must not hold.
  int command_end() const { return command_end_.get(); }
  // All is in order: ends the gofer, which touches nothing.
  void release();

 private:
  pid_t pid_ = 0;
  host::OwnedFd command_end_, sandbox_end_;
};

}  // namespace cofferdam::gofer
