// AppArmor profile and SELinux label of the sandbox's host processes.
#pragma once

#include <string>

#include "base/outcome.h"
#include "host/fd.h"

namespace cofferdam::jail {

class SecurityLabels {
 public:
  // While /proc of the host is there. Refused when something is asked for and the host has no such security module.
  static Outcome<SecurityLabels> prepare(std::string const& apparmor_profile, std::string const& selinux_label);
  // Confines this process, and with it every stub that it makes from here on.
  Outcome<> apply();

 private:
  std::string profile_, label_;
  host::OwnedFd apparmor_, selinux_;
};

}  // namespace cofferdam::jail
