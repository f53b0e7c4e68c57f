#include "kernel/task/thread_group.h"

namespace cofferdam::kernel {

// Linux's own defaults (INIT_RLIMITS) with the counts that a middle-sized machine computes.
ResourceLimits::ResourceLimits() {
  constexpr rlim_t unlimited = RLIM_INFINITY, tasks = 32768;
  limits_.with([](auto& l) {
    l.fill({unlimited, unlimited});
    l[RLIMIT_STACK] = {8u << 20, unlimited};
    l[RLIMIT_CORE] = {0, unlimited};
    l[RLIMIT_NPROC] = {tasks, tasks};
    l[RLIMIT_NOFILE] = {1024, 1u << 20};
    l[RLIMIT_MEMLOCK] = {8u << 20, 8u << 20};
    l[RLIMIT_SIGPENDING] = {tasks, tasks};
    l[RLIMIT_MSGQUEUE] = {819200, 819200};
    l[RLIMIT_NICE] = {0, 0};
    l[RLIMIT_RTPRIO] = {0, 0};
  });
}

rlimit ResourceLimits::get(int resource) const {
  return limits_.with([&](auto const& l) { return l[static_cast<size_t>(resource)]; });
}

void ResourceLimits::set(int resource, rlimit value) {
  limits_.with([&](auto& l) { l[static_cast<size_t>(resource)] = value; });
}

}  // namespace cofferdam::kernel
