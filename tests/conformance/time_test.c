// Clocks, sleeping, interval timers, POSIX timers, timerfd.
#include "conformance.h"

#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>

enum { MS = 1000000 };

static volatile sig_atomic_t count;
static siginfo_t last_info;
static void on_signal(int signal, siginfo_t* info, void* context) {
  count++;
  last_info = *info;
}
static void catch_signal(int signal) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  OK(sigaction(signal, &action, NULL));
}
static void burn_ms(long ms) {
  int64_t end = now_ns(CLOCK_PROCESS_CPUTIME_ID) + ms * MS;
  while (now_ns(CLOCK_PROCESS_CPUTIME_ID) < end) {
  }
}

CASE(monotonic_clock_never_goes_back) {
  int64_t last = now_ns(CLOCK_MONOTONIC);
  for (int i = 0; i < 10000; i++) {
    int64_t now = now_ns(CLOCK_MONOTONIC);
    EXPECT(now >= last);
    last = now;
  }
}

CASE(realtime_clock_agrees_with_time_and_gettimeofday) {
  struct timeval tv;
  time_t seconds = now_ns(CLOCK_REALTIME) / 1000000000;
  OK(gettimeofday(&tv, NULL));
  EXPECT(tv.tv_sec - seconds >= 0 && tv.tv_sec - seconds <= 1);
  // time(2) may be a tick behind, also over the turn of a second.
  EXPECT(time(NULL) - seconds >= -1 && time(NULL) - seconds <= 1);
}

CASE(clock_by_system_call_agrees_with_the_vdso) {
  struct timespec direct;
  int64_t before = now_ns(CLOCK_MONOTONIC);
  OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &direct));
  int64_t between = (int64_t)direct.tv_sec * 1000000000 + direct.tv_nsec;
  int64_t after = now_ns(CLOCK_MONOTONIC);
  EXPECT(before <= between && between <= after);
}

CASE(all_common_clocks_can_be_read) {
  static const clockid_t clocks[] = {CLOCK_REALTIME,          CLOCK_MONOTONIC,     CLOCK_PROCESS_CPUTIME_ID,
                                     CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
                                     CLOCK_MONOTONIC_COARSE,  CLOCK_BOOTTIME,      CLOCK_TAI};
  for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
    struct timespec t;
    EXPECT_EQ(clock_gettime(clocks[i], &t), 0);
    EXPECT_EQ(syscall(SYS_clock_gettime, clocks[i], &t), 0);
    EXPECT_EQ(clock_getres(clocks[i], &t), 0);
  }
}

CASE(unknown_clock_is_einval) {
  struct timespec t;
  EXPECT_ERRNO(syscall(SYS_clock_gettime, 77, &t), EINVAL);
  EXPECT_ERRNO(syscall(SYS_clock_getres, 77, &t), EINVAL);
}

CASE(clock_gettime_to_a_bad_address_is_efault) { EXPECT_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8), EFAULT); }

CASE(clock_settime_of_monotonic_is_einval) {
  struct timespec t = {1, 0};
  EXPECT_ERRNO(clock_settime(CLOCK_MONOTONIC, &t), EINVAL);
}

CASE(thread_cpu_clock_counts_own_work_only) {
  int64_t thread = now_ns(CLOCK_THREAD_CPUTIME_ID);
  sleep_ms(50);
  EXPECT(now_ns(CLOCK_THREAD_CPUTIME_ID) - thread < 40 * MS);
  burn_ms(30);
  EXPECT(now_ns(CLOCK_THREAD_CPUTIME_ID) - thread >= 25 * MS);
}

CASE(cpu_clock_of_a_child_can_be_read) {
  clockid_t clock;
  pid_t child = IN_CHILD({
    for (;;) __asm__ volatile("");
  });
  EXPECT_ZERO(clock_getcpuclockid(child, &clock));
  EVENTUALLY(now_ns(clock) > 5 * MS);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

CASE(times_counts_children) {
  struct tms before, after;
  times(&before);
  pid_t child = IN_CHILD({ burn_ms(50); });
  EXPECT_EXIT(child, 0);
  times(&after);
  EXPECT(after.tms_cutime + after.tms_cstime > before.tms_cutime + before.tms_cstime);
}

CASE(nanosleep_sleeps_at_least_so_long) {
  struct timespec t = {0, 20 * MS};
  int64_t before = now_ns(CLOCK_MONOTONIC);
  EXPECT_EQ(nanosleep(&t, NULL), 0);
  EXPECT(now_ns(CLOCK_MONOTONIC) - before >= 20 * MS);
}

CASE(nanosleep_of_zero_returns_at_once) {
  struct timespec t = {0, 0};
  EXPECT_EQ(nanosleep(&t, NULL), 0);
}

CASE(nanosleep_of_a_bad_time_is_einval) {
  struct timespec t = {0, 1000 * MS};
  EXPECT_ERRNO(nanosleep(&t, NULL), EINVAL);
  t = (struct timespec){-1, 0};
  EXPECT_ERRNO(nanosleep(&t, NULL), EINVAL);
}

CASE(nanosleep_at_a_bad_address_is_efault) { EXPECT_ERRNO(syscall(SYS_nanosleep, 8, NULL), EFAULT); }

CASE(clock_nanosleep_until_a_time_that_has_passed_returns_at_once) {
  struct timespec t = {1, 0};
  EXPECT_ZERO(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
}

CASE(clock_nanosleep_until_an_absolute_time) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_nsec += 20 * MS;
  if (t.tv_nsec >= 1000 * MS) t.tv_sec++, t.tv_nsec -= 1000 * MS;
  EXPECT_ZERO(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
  EXPECT(now_ns(CLOCK_MONOTONIC) >= (int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
}

CASE(clock_nanosleep_on_the_thread_clock_is_einval) {
  struct timespec t = {0, 1};
  EXPECT_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL), EINVAL);
}

CASE(setitimer_fires_again_and_again) {
  struct itimerval timer = {.it_interval = {0, 5000}, .it_value = {0, 5000}};
  catch_signal(SIGALRM);
  OK(setitimer(ITIMER_REAL, &timer, NULL));
  EVENTUALLY(count >= 3);
}

CASE(setitimer_returns_what_was_left) {
  struct itimerval timer = {.it_value = {50, 0}}, old;
  OK(setitimer(ITIMER_REAL, &timer, NULL));
  timer.it_value.tv_sec = 0;
  OK(setitimer(ITIMER_REAL, &timer, &old));
  EXPECT(old.it_value.tv_sec == 49 || old.it_value.tv_sec == 50);
  OK(getitimer(ITIMER_REAL, &old));
  EXPECT(old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
}

CASE(setitimer_with_bad_microseconds_is_einval) {
  struct itimerval timer = {.it_value = {0, 1000000}};
  EXPECT_ERRNO(setitimer(ITIMER_REAL, &timer, NULL), EINVAL);
}

CASE(setitimer_unknown_timer_is_einval) {
  struct itimerval timer = {.it_value = {0, 1}};
  EXPECT_ERRNO(syscall(SYS_setitimer, 5, &timer, NULL), EINVAL);
}

CASE(virtual_timer_counts_work_only) {
  struct itimerval timer = {.it_value = {0, 20000}};
  catch_signal(SIGVTALRM);
  OK(setitimer(ITIMER_VIRTUAL, &timer, NULL));
  sleep_ms(40);
  EXPECT_EQ(count, 0);
  int64_t end = now_ns(CLOCK_MONOTONIC) + 3000ll * MS;
  while (count == 0 && now_ns(CLOCK_MONOTONIC) < end) {
  }
  EXPECT_EQ(count, 1);
}

CASE(profiling_timer_sends_sigprof) {
  struct itimerval timer = {.it_value = {0, 20000}};
  catch_signal(SIGPROF);
  OK(setitimer(ITIMER_PROF, &timer, NULL));
  int64_t end = now_ns(CLOCK_MONOTONIC) + 3000ll * MS;
  while (count == 0 && now_ns(CLOCK_MONOTONIC) < end) {
  }
  EXPECT_EQ(count, 1);
}

CASE(alarm_returns_the_seconds_left) {
  EXPECT_EQ(alarm(100), 0);
  EXPECT_EQ(alarm(0), 100);
}

CASE(posix_timer_sends_its_signal_and_value) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value = {.sival_int = 99}};
  struct itimerspec when = {.it_value = {0, 5 * MS}};
  catch_signal(SIGUSR1);
  OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
  OK(timer_settime(timer, 0, &when, NULL));
  EVENTUALLY(count == 1);
  EXPECT_EQ(last_info.si_code, SI_TIMER);
  EXPECT_EQ(last_info.si_value.sival_int, 99);
}

CASE(posix_timer_counts_overruns) {
  timer_t timer;
  sigset_t set;
  siginfo_t info;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  struct itimerspec when = {.it_value = {0, MS}, .it_interval = {0, MS}};
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
  OK(timer_settime(timer, 0, &when, NULL));
  sleep_ms(30);
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGUSR1);
  EXPECT(info.si_overrun >= 5);
  EXPECT_EQ(timer_getoverrun(timer), info.si_overrun);
}

CASE(posix_timer_gettime_tells_what_is_left) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  struct itimerspec when = {.it_value = {50, 0}, .it_interval = {7, 0}}, left;
  OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
  OK(timer_gettime(timer, &left));
  EXPECT_EQ(left.it_value.tv_sec, 0);
  OK(timer_settime(timer, 0, &when, NULL));
  OK(timer_gettime(timer, &left));
  EXPECT(left.it_value.tv_sec == 49 || left.it_value.tv_sec == 50);
  EXPECT_EQ(left.it_interval.tv_sec, 7);
}

CASE(posix_timer_absolute) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  struct itimerspec when = {0};
  catch_signal(SIGUSR1);
  clock_gettime(CLOCK_REALTIME, &when.it_value);
  OK(timer_create(CLOCK_REALTIME, &event, &timer));
  OK(timer_settime(timer, TIMER_ABSTIME, &when, NULL));
  EVENTUALLY(count == 1);
}

CASE(deleted_posix_timer_is_einval) {
  timer_t timer;
  struct itimerspec left;
  OK(timer_create(CLOCK_MONOTONIC, NULL, &timer));
  OK(timer_delete(timer));
  EXPECT_ERRNO(timer_gettime(timer, &left), EINVAL);
  EXPECT_ERRNO(timer_delete(timer), EINVAL);
}

CASE(posix_timer_on_an_unknown_clock_is_einval) {
  timer_t timer;
  EXPECT_ERRNO(timer_create(77, NULL, &timer), EINVAL);
}

CASE(posix_timer_to_a_thread) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
  struct itimerspec when = {.it_value = {0, MS}};
  event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  catch_signal(SIGUSR1);
  OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
  OK(timer_settime(timer, 0, &when, NULL));
  EVENTUALLY(count == 1);
}

CASE(cpu_timer_fires_after_work) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  struct itimerspec when = {.it_value = {0, 20 * MS}};
  catch_signal(SIGUSR1);
  OK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
  OK(timer_settime(timer, 0, &when, NULL));
  int64_t end = now_ns(CLOCK_MONOTONIC) + 3000ll * MS;
  while (count == 0 && now_ns(CLOCK_MONOTONIC) < end) {
  }
  EXPECT_EQ(count, 1);
}

CASE(timerfd_read_tells_expirations) {
  uint64_t times = 0;
  struct itimerspec when = {.it_value = {0, MS}, .it_interval = {0, MS}};
  int fd = (int)OK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  OK(timerfd_settime(fd, 0, &when, NULL));
  sleep_ms(20);
  EXPECT_EQ(read(fd, &times, 8), 8);
  EXPECT(times >= 5);
}

CASE(timerfd_read_waits) {
  uint64_t times = 0;
  struct itimerspec when = {.it_value = {0, 10 * MS}};
  int fd = (int)OK(timerfd_create(CLOCK_MONOTONIC, 0));
  OK(timerfd_settime(fd, 0, &when, NULL));
  EXPECT_EQ(read(fd, &times, 8), 8);
  EXPECT_EQ(times, 1);
}

CASE(timerfd_nonblocking_before_its_time_is_eagain) {
  uint64_t times;
  int fd = (int)OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  EXPECT_ERRNO(read(fd, &times, 8), EAGAIN);
}

CASE(timerfd_short_read_is_einval) {
  uint32_t times;
  int fd = (int)OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  EXPECT_ERRNO(read(fd, &times, 4), EINVAL);
}

CASE(timerfd_polls_readable) {
  struct itimerspec when = {.it_value = {0, 10 * MS}};
  int fd = (int)OK(timerfd_create(CLOCK_REALTIME, 0));
  struct pollfd poll_fd = {fd, POLLIN, 0};
  OK(timerfd_settime(fd, 0, &when, NULL));
  EXPECT_EQ(poll(&poll_fd, 1, 3000), 1);
}

CASE(timerfd_gettime_tells_what_is_left) {
  struct itimerspec when = {.it_value = {50, 0}}, left;
  int fd = (int)OK(timerfd_create(CLOCK_BOOTTIME, 0));
  OK(timerfd_settime(fd, 0, &when, NULL));
  OK(timerfd_gettime(fd, &left));
  EXPECT(left.it_value.tv_sec == 49 || left.it_value.tv_sec == 50);
}

CASE(timerfd_of_a_cpu_clock_is_einval) { EXPECT_ERRNO(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL); }

CASE(timerfd_settime_of_something_else_is_einval) {
  struct itimerspec when = {.it_value = {1, 0}};
  int p[2];
  OK(pipe(p));
  EXPECT_ERRNO(timerfd_settime(p[0], 0, &when, NULL), EINVAL);
}

CASE(timerfd_write_is_einval) {
  int fd = (int)OK(timerfd_create(CLOCK_MONOTONIC, 0));
  EXPECT_ERRNO(write(fd, "12345678", 8), EINVAL);
}

CASE(adjtimex_can_be_read) {
  struct timex t = {0};
  EXPECT(adjtimex(&t) >= 0);
}

CASE(getrusage_of_self_and_thread) {
  struct rusage self, thread;
  burn_ms(10);
  OK(getrusage(RUSAGE_SELF, &self));
  OK(getrusage(RUSAGE_THREAD, &thread));
  EXPECT(self.ru_utime.tv_sec * 1000000 + self.ru_utime.tv_usec + self.ru_stime.tv_sec * 1000000 +
             self.ru_stime.tv_usec >=
         5000);
  EXPECT(self.ru_maxrss > 0);
}

CASE(getrusage_unknown_who_is_einval) {
  struct rusage usage;
  EXPECT_ERRNO(getrusage((__rusage_who_t)9, &usage), EINVAL);
}

CASE(uptime_in_proc_agrees_with_boottime) {
  char text[64];
  EXPECT(read_file("/proc/uptime", text, sizeof text) > 0);
  double uptime = atof(text), clock = (double)now_ns(CLOCK_BOOTTIME) / 1e9;
  EXPECT(uptime - clock < 1.5 && clock - uptime < 1.5);
}
