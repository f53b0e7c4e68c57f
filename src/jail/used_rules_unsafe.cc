#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include <fmt/format.h>

#include "base/log.h"
#include "jail/used_rules.h"

namespace cofferdam::jail {

namespace {

constexpr size_t max_rules = 512;

// Seen by the sentry and the observer.
struct SharedPage {
  std::atomic<int> listener{-1};
};

void say_used(size_t set, size_t index) {
  char line[64];
  auto end = fmt::format_to_n(line, sizeof line, "jail: rule {}.{} is used\n", set, index);
  [[maybe_unused]] auto n =
      ::write(log::sink().fd.load(std::memory_order_relaxed), line, static_cast<size_t>(end.out - line));
}

// A fork of one thread of the sentry's: nothing here may allocate or lock.
[[noreturn]] void observe(SharedPage& page, RuleSets rule_sets) {
  bool used[max_rules] = {};
  while (page.listener.load(std::memory_order_acquire) < 0) ::usleep(100);
  for (;;) {
    seccomp_notif call{};
    if (::ioctl(page.listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
      if (errno == EINTR || errno == ENOENT) continue;  // the caller was interrupted
      ::_exit(1);
    }
    uint64_t arguments[6];
    memcpy(arguments, call.data.args, sizeof arguments);
    size_t number = 0;
    for (size_t s = 0; s < rule_sets.size(); ++s)
      for (size_t n = 0; n < rule_sets[s].size(); ++n, ++number) {
        if (number >= max_rules || used[number] || !allows(rule_sets[s][n], call.data.nr, arguments)) continue;
        used[number] = true;
        say_used(s, n);
      }
    seccomp_notif_resp answer{.id = call.id, .val = 0, .error = 0, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    ::ioctl(page.listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}

}  // namespace

bool allows(host::CallRule const& rule, int number, std::span<uint64_t const, 6> arguments) {
  if (rule.number != number) return false;
  return std::all_of(rule.checks, rule.checks + rule.check_count, [&](host::ArgumentCheck const& check) {
    uint64_t const value = arguments[check.index];
    switch (check.compare) {
      case host::Compare::Equal:
        return value == check.value;
      case host::Compare::MaskedEqual:
        return (value & check.mask) == check.value;
      case host::Compare::LessOrEqual:
        return value <= check.value;
    }
    return false;
  });
}

Outcome<> install_observed_filter(RuleSets rule_sets, std::span<host::CallRule const> absent, Violation violation) {
  void* memory = ::mmap(nullptr, sizeof(SharedPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return refuse("cannot watch the jail's rules: out of memory");
  auto* page = new (memory) SharedPage;
  // It shares the descriptors, so that the listener is its own, and is no child that the platform would wait for.
  long const observer = ::syscall(SYS_clone, CLONE_FILES, nullptr, nullptr, nullptr, 0);
  if (observer < 0) return refuse(fmt::format("cannot watch the jail's rules: clone: {}", strerror(errno)));
  if (observer == 0) observe(*page, rule_sets);
  return install_filter(rule_sets, absent, {.violation = violation, .listener = &page->listener});
}

}  // namespace cofferdam::jail
