#include "jail/jail.h"

#include "jail/privileges.h"
#include "jail/root.h"
#include "jail/sentry_rules.h"
#include "jail/used_rules.h"

namespace cofferdam::jail {

Outcome<> enter() {
  ATTEMPT(enter_empty_root());
  set_limits();
  return drop_privileges();
}

Outcome<> close(std::span<host::CallRule const> platform_rules, std::span<host::CallRule const> network_rules,
                Violation violation, bool report_use) {
  ATTEMPT(forbid_dumps());
  std::span<host::CallRule const> const sets[] = {
      sentry_rules,
      platform_rules,
      network_rules,
#if defined(COFFERDAM_SANITIZED)
      sanitizer_rules,
#endif
  };
  if (report_use) return install_observed_filter(sets, absent_calls, violation);
  return install_filter(sets, absent_calls, {.violation = violation});
}

}  // namespace cofferdam::jail
