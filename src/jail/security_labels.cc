#include "jail/security_labels.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace cofferdam::jail {

namespace {

bool has_apparmor() {
  host::OwnedFd fd(::open("/sys/module/apparmor/parameters/enabled", O_RDONLY | O_CLOEXEC));
  char answer = 'N';
  return fd && ::read(fd.get(), &answer, 1) == 1 && answer == 'Y';
}

bool has_selinux() {
  struct stat st{};
  return ::stat("/sys/fs/selinux/enforce", &st) == 0;
}

Outcome<> write_all(host::OwnedFd const& fd, std::string const& text, std::string_view field) {
  if (::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) return {};
  return refuse(fmt::format("{}: the host does not let the sandbox take it on: {}", field, strerror(errno)));
}

}  // namespace

Outcome<SecurityLabels> SecurityLabels::prepare(std::string const& apparmor_profile, std::string const& selinux_label) {
  SecurityLabels self;
  self.profile_ = apparmor_profile;
  self.label_ = selinux_label;
  // "unconfined" asks for nothing.
  if (self.profile_ == "unconfined") self.profile_.clear();
  if (!self.profile_.empty()) {
    if (!has_apparmor())
      return refuse(fmt::format(
          "process.apparmorProfile: '{}' cannot be applied: this host has no AppArmor; leave it out", self.profile_));
    self.apparmor_ = host::OwnedFd(::open("/proc/self/attr/apparmor/current", O_WRONLY | O_CLOEXEC));
    if (!self.apparmor_) self.apparmor_ = host::OwnedFd(::open("/proc/self/attr/current", O_WRONLY | O_CLOEXEC));
    if (!self.apparmor_)
      return refuse(fmt::format("process.apparmorProfile: cannot open the attribute: {}", strerror(errno)));
  }
  if (!self.label_.empty()) {
    if (!has_selinux())
      return refuse(fmt::format("process.selinuxLabel: '{}' cannot be applied: this host has no SELinux; leave it out",
                                self.label_));
    self.selinux_ = host::OwnedFd(::open("/proc/self/attr/current", O_WRONLY | O_CLOEXEC));
    if (!self.selinux_)
      return refuse(fmt::format("process.selinuxLabel: cannot open the attribute: {}", strerror(errno)));
  }
  return self;
}

Outcome<> SecurityLabels::apply() {
  if (apparmor_) ATTEMPT(write_all(apparmor_, "changeprofile " + profile_, "process.apparmorProfile"));
  if (selinux_) ATTEMPT(write_all(selinux_, label_, "process.selinuxLabel"));
  apparmor_.reset();
  selinux_.reset();
  return {};
}

}  // namespace cofferdam::jail
