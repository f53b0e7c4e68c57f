// Settings of /proc/sys that are per namespace in Linux, and that a container's configuration may therefore set: those
// of an IPC namespace and those of the network.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"

namespace cofferdam::kernel {

struct SysvIpc;

class Sysctls {
 public:
  struct Setting {
    std::string_view path;     // "kernel/shmmax"
    std::string_view initial;  // Linux's default; numbers stand between tabs
    uint64_t least = 0, most = UINT64_MAX;
    bool numeric = true;
    void (*apply)(SysvIpc&, std::span<uint64_t const>) = nullptr;  // for settings that others keep a copy of
  };
  enum class Scope { Ipc, Network };
  // sysv: whose limits the settings of an IPC namespace are.
  Sysctls(Scope scope, SysvIpc* sysv) : scope_(scope), sysv_(sysv) {}
  static Scope scope_of(std::string_view path) { return path.starts_with("net/") ? Scope::Network : Scope::Ipc; }

  static std::span<Setting const> settings();
  static Setting const* find(std::string_view path);

  // The value now, as /proc/sys shows it without the newline; empty for a path that is no setting of this list.
  std::string text(std::string_view path) const;
  // The index-th number of it; 0 when there is none.
  uint64_t number(std::string_view path, size_t index = 0) const;
  // ENOENT, also for a setting of another scope; EINVAL for what is no number, out of range, or the wrong count of
  // numbers.
  Result<void> set(std::string_view path, std::string_view text);
  // Takes over what the host has: from now on EPERM to set it.
  void adopt(std::string_view path, std::string text);

 private:
  Scope const scope_;
  SysvIpc* const sysv_;
  Guarded<std::map<std::string, std::string, std::less<>>> changed_;
  Guarded<std::set<std::string, std::less<>>> adopted_;
};

}  // namespace cofferdam::kernel
