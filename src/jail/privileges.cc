#include "jail/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

namespace cofferdam::jail {

namespace {

constexpr KeptCapability kept[] = {
    {CAP_CHOWN, "directfs gives new files the guest's owner, and serves chown"},
    {CAP_DAC_OVERRIDE,
     "the sentry has checked the guest's permission itself; the host file may belong to any guest id"},
    {CAP_FOWNER, "chmod, utimensat and sticky directories on files of any guest id"},
    {CAP_FSETID, "chmod and write keep setuid and setgid bits where Linux would, for a file's group of any guest id"},
    {CAP_SETFCAP,
     "setcap(8) on files of the host's that the guest may change, which it could make set-user-ID as well"},
};

std::unexpected<std::string> failed(char const* step) {
  return refuse(fmt::format("cannot drop privileges: {}: {}", step, strerror(errno)));
}

// The stubs share the table of descriptors, and the host's kernel waits for a grace period of RCU (10 to 20 ms)
// whenever a shared one grows. So it gets its size while it is still this process's own.
void grow_descriptor_table(rlim_t limit) {
  constexpr rlim_t enough = 4096;
  if (limit == 0) return;
  int const last = ::fcntl(0, F_DUPFD_CLOEXEC, static_cast<int>(std::min(limit, enough)) - 1);
  if (last >= 0) ::close(last);
}

}  // namespace

std::span<KeptCapability const> kept_capabilities() { return kept; }

uint64_t kept_capability_bits() {
  uint64_t bits = 0;
  for (auto& k : kept) bits |= uint64_t{1} << k.number;
  return bits;
}

Outcome<> drop_privileges() {
  uint64_t const bits = kept_capability_bits();
  for (int n = 0; n < 64; ++n) {
    if (bits >> n & 1) continue;
    if (::prctl(PR_CAPBSET_DROP, n, 0, 0, 0) != 0) {
      if (errno == EINVAL) break;  // beyond the last one that this host knows
      return failed("PR_CAPBSET_DROP");
    }
  }
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return failed("PR_CAP_AMBIENT_CLEAR_ALL");
  // No setuid-root magic, no ambient set, for good.
  constexpr unsigned long secure_bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                        SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                        SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (::prctl(PR_SET_SECUREBITS, secure_bits, 0, 0, 0) != 0) return failed("PR_SET_SECUREBITS");
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  for (int word = 0; word < 2; ++word)
    data[word].permitted = data[word].effective = static_cast<uint32_t>(bits >> (32 * word));
  if (::syscall(SYS_capset, &header, data) != 0) return failed("capset");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("PR_SET_NO_NEW_PRIVS");
  return {};
}

void set_limits() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    grow_descriptor_table(files.rlim_cur);
  }
  rlimit none{.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

Outcome<> forbid_dumps() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed("PR_SET_DUMPABLE");
  return {};
}

}  // namespace cofferdam::jail
