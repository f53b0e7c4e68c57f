#include "base/result.h"

#include <cstring>

namespace cofferdam {

std::string_view errno_name(Errno e) {
  switch (e) {
    case Errno::RestartSys:
      return "ERESTARTSYS";
    case Errno::RestartNoIntr:
      return "ERESTARTNOINTR";
    case Errno::RestartNoHand:
      return "ERESTARTNOHAND";
    case Errno::RestartRestartBlock:
      return "ERESTART_RESTARTBLOCK";
    default:
      break;
  }
  char const* name = strerrorname_np(static_cast<int>(e));
  return name ? name : "E?";
}

std::string_view errno_text(Errno e) {
  char const* text = strerrordesc_np(static_cast<int>(e));
  return text ? text : "unknown error";
}

}  // namespace cofferdam
