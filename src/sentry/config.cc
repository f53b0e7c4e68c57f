#include "sentry/config.h"

#include <algorithm>

namespace cofferdam::sentry {

bool has_option(oci::Mount const& m, std::string_view option) {
  return std::ranges::find(m.options, option) != m.options.end();
}

bool is_bind(oci::Mount const& m) { return m.type == "bind" || has_option(m, "bind") || has_option(m, "rbind"); }

}  // namespace cofferdam::sentry
