// What a shell would show for a wait(2) status.
#pragma once

#include <sys/wait.h>

namespace cofferdam::host {

inline int shell_status(int wait_status) {
  constexpr int first_of_signals = 128;
  return WIFSIGNALED(wait_status) ? first_of_signals + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace cofferdam::host
