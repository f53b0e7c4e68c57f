#include "kernel/time/group_timers.h"

#include <sys/time.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/task_internal.h"
#include "kernel/time/cpu_time.h"
#include "kernel/time/group_timers_internal.h"

namespace cofferdam::kernel {
namespace {

constexpr Nanoseconds sample_period = 5'000'000;

Nanoseconds saturating_add(Nanoseconds a, Nanoseconds b) {
  Nanoseconds sum;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<Nanoseconds>::max() : sum;
}

void real_expired(GroupTimers& timers, int32_t, ProcessLocked const& lock) {
  if (!timers.real_armed || timers.real_expiry > host_now(CLOCK_MONOTONIC)) return;  // set anew meanwhile
  timers.real_armed = false;
  (void)timers.group->send_signal(SignalInfo::from_kernel(SIGALRM), lock);
}

void check_interval(GroupTimers& timers, CpuInterval& timer, int signal, Nanoseconds now, ProcessLocked const& lock) {
  if (timer.expiry == 0 || now < timer.expiry) return;
  if (timer.interval == 0)
    timer.expiry = 0;
  else
    wind_on(timer.expiry, timer.interval, now);
  (void)timers.group->send_signal(SignalInfo::from_kernel(signal), lock);
}

// RLIMIT_CPU: SIGXCPU at the soft limit and every second after it, SIGKILL at the hard one.
void check_limit(ThreadGroup& group, Nanoseconds now, ProcessLocked const& lock) {
  rlimit limit = group.limits.get(RLIMIT_CPU);
  auto seconds = static_cast<uint64_t>(now / ns_per_second);
  if (seconds >= limit.rlim_max) {
    (void)group.send_signal(SignalInfo::from_kernel(SIGKILL), lock);
  } else if (seconds >= limit.rlim_cur) {
    (void)group.send_signal(SignalInfo::from_kernel(SIGXCPU), lock);
    group.limits.set(RLIMIT_CPU, {std::min(seconds + 1, static_cast<uint64_t>(limit.rlim_max)), limit.rlim_max});
  }
}

bool needs_sampling(GroupTimers const& timers) {
  if (timers.virtual_time.expiry || timers.profile.expiry) return true;
  rlimit limit = timers.group->limits.get(RLIMIT_CPU);
  if (limit.rlim_cur != RLIM_INFINITY || limit.rlim_max != RLIM_INFINITY) return true;
  return std::ranges::any_of(timers.posix, [](auto const& t) { return t.second.cpu && t.second.armed; });
}

std::vector<std::pair<int32_t, CpuClock>> armed_cpu_timers(GroupTimers const& timers) {
  std::vector<std::pair<int32_t, CpuClock>> armed;
  for (auto const& [id, timer] : timers.posix)
    if (timer.cpu && timer.armed && !timer.signal_waits) armed.emplace_back(id, *timer.cpu);
  return armed;
}

// Runs on the timer thread: CPU times are read without the lock, then compared under it.
void sample(std::weak_ptr<GroupTimers> const& weak) {
  auto timers = weak.lock();
  if (!timers) return;
  Ref<ThreadGroup> group;
  std::vector<std::pair<int32_t, CpuClock>> clocks;
  {
    ProcessLocked lock(timers->kernel);
    if (!timers->group) return;
    group = Ref<ThreadGroup>(timers->group);
    clocks = armed_cpu_timers(*timers);
  }
  GroupUsage usage = usage_of(*group);
  std::vector<Nanoseconds> times;
  times.reserve(clocks.size());
  for (auto const& [id, clock] : clocks) times.push_back(clock.now());
  ProcessLocked lock(timers->kernel);
  if (!timers->group) return;
  check_interval(*timers, timers->virtual_time, SIGVTALRM, usage.user_ns, lock);
  check_interval(*timers, timers->profile, SIGPROF, cpu_time(usage), lock);
  check_limit(*group, cpu_time(usage), lock);
  for (size_t i = 0; i < clocks.size(); ++i) {
    auto it = timers->posix.find(clocks[i].first);
    if (it != timers->posix.end() && it->second.cpu && it->second.armed && it->second.expiry <= times[i])
      posix_timer_expired(*timers, it->second, times[i], lock);
  }
  timers->sampling = needs_sampling(*timers);
  if (timers->sampling) timers->sampler->arm(host_now(CLOCK_MONOTONIC) + sample_period);
}

IntervalSetting real_setting(GroupTimers const& t) {
  if (!t.real_armed) return {0, t.real_interval};
  // A timer that is about to fire is still armed: never zero.
  return {std::max<Nanoseconds>(t.real_expiry - host_now(CLOCK_MONOTONIC), 1000), t.real_interval};
}

IntervalSetting cpu_setting(CpuInterval const& t, Nanoseconds now) {
  if (t.expiry == 0) return {0, t.interval};
  return {std::max<Nanoseconds>(t.expiry - now, 1000), t.interval};
}

void set_real(GroupTimers& t, IntervalSetting const& s) {
  if (!t.real) t.real = make_timer(*t.group, real_expired, 0);
  t.real_armed = s.value != 0;
  t.real_interval = s.value ? s.interval : 0;
  if (!t.real_armed) return t.real->cancel();
  t.real_expiry = saturating_add(host_now(CLOCK_MONOTONIC), s.value);
  t.real->arm(t.real_expiry);
}

}  // namespace

int64_t wind_on(Nanoseconds& expiry, Nanoseconds interval, Nanoseconds now) {
  if (expiry > now) return 0;
  int64_t steps = (now - expiry) / interval + 1;
  expiry = saturating_add(expiry, steps * interval);
  return steps - 1;
}

GroupTimers& timers_of(ThreadGroup& group, ProcessLocked const&) {
  auto& timers = group.implementation().timers;
  if (!timers) timers = std::make_shared<GroupTimers>(group.kernel(), group);
  return *timers;
}

std::unique_ptr<Timer> make_timer(ThreadGroup& group, void (*callback)(GroupTimers&, int32_t, ProcessLocked const&),
                                  int32_t id) {
  std::weak_ptr<GroupTimers> weak = group.implementation().timers;
  auto fire = [weak, callback, id] {
    auto timers = weak.lock();
    if (!timers) return;
    ProcessLocked lock(timers->kernel);
    if (timers->group) callback(*timers, id, lock);
  };
  return std::make_unique<Timer>(group.kernel().timers(), fire, Timer::End::Abandon);
}

void start_sampling(GroupTimers& timers, ProcessLocked const&) {
  if (timers.sampling) return;
  if (!timers.sampler) {
    std::weak_ptr<GroupTimers> weak = timers.group->implementation().timers;
    timers.sampler = std::make_unique<Timer>(timers.kernel.timers(), [weak] { sample(weak); }, Timer::End::Abandon);
  }
  timers.sampling = true;
  timers.sampler->arm(host_now(CLOCK_MONOTONIC) + sample_period);
}

void signal_taken(ThreadGroup& group, SignalInfo& info, ProcessLocked const& lock) {
  auto const& timers = group.implementation().timers;
  if (!timers) return;
  if (info.code() == SI_TIMER) posix_signal_taken(*timers, info, lock);
  if (info.signal() == SIGALRM && !timers->real_armed && timers->real_interval != 0) {
    timers->real_armed = true;
    wind_on(timers->real_expiry, timers->real_interval, host_now(CLOCK_MONOTONIC));
    timers->real->arm(timers->real_expiry);
  }
}

void cpu_limit_changed(ThreadGroup& group) {
  if (group.limits.current(RLIMIT_CPU) == RLIM_INFINITY) return;
  ProcessLocked lock(group.kernel());
  if (!group.implementation().zombie) start_sampling(timers_of(group, lock), lock);
}

void delete_timers_for_exec(ThreadGroup& group, ProcessLocked const&) {
  auto& g = group.implementation();
  if (!g.timers) return;
  for (auto const& [id, timer] : g.timers->posix) {
    g.pending.discard_timer(id);
    for (auto const& t : g.tasks) t->implementation().pending.discard_timer(id);
  }
  g.timers->posix.clear();
}

void detach_timers(ThreadGroup& group, ProcessLocked const&) {
  auto& timers = group.implementation().timers;
  if (!timers) return;
  timers->group = nullptr;
  timers.reset();
}

IntervalSetting interval_timer(ThreadGroup& group, int which) {
  GroupUsage usage;
  if (which != ITIMER_REAL) usage = usage_of(group);
  ProcessLocked lock(group.kernel());
  auto const& timers = group.implementation().timers;
  if (!timers) return {};
  switch (which) {
    case ITIMER_REAL:
      return real_setting(*timers);
    case ITIMER_VIRTUAL:
      return cpu_setting(timers->virtual_time, usage.user_ns);
    default:
      return cpu_setting(timers->profile, cpu_time(usage));
  }
}

IntervalSetting set_interval_timer(ThreadGroup& group, int which, IntervalSetting const& setting) {
  GroupUsage usage;
  if (which != ITIMER_REAL) usage = usage_of(group);
  ProcessLocked lock(group.kernel());
  auto& timers = timers_of(group, lock);
  if (which == ITIMER_REAL) {
    auto old = real_setting(timers);
    set_real(timers, setting);
    return old;
  }
  auto& timer = which == ITIMER_VIRTUAL ? timers.virtual_time : timers.profile;
  Nanoseconds now = which == ITIMER_VIRTUAL ? usage.user_ns : cpu_time(usage);
  auto old = cpu_setting(timer, now);
  timer = {setting.value ? saturating_add(now, setting.value) : 0, setting.interval};
  if (timer.expiry) start_sampling(timers, lock);
  return old;
}

}  // namespace cofferdam::kernel
