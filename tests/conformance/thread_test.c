// Threads, futexes (wait, wake, bitset, requeue, wake-op, priority inheritance), robust lists, thread-local storage.
#include "conformance.h"

#include <asm/prctl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

static long futex(void* word, int operation, uint32_t value, const struct timespec* timeout, void* word2,
                  uint32_t value3) {
  return syscall(SYS_futex, word, operation, value, timeout, word2, value3);
}
static const struct timespec short_time = {0, 20000000};

static _Atomic uint32_t word, word2;
static atomic_int woken, ready;
static pthread_t threads[64];

static void start(pthread_t* thread, void* (*run)(void*), void* argument) {
  EXPECT_ZERO(pthread_create(thread, NULL, run, argument));
}
static void join(pthread_t thread) { EXPECT_ZERO(pthread_join(thread, NULL)); }

static char thread_state(pid_t tid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  if (read_file(path, text, sizeof text) <= 0) return 0;
  char* end = strrchr(text, ')');
  return end ? end[2] : 0;
}

// Gives a thread (or process) time to fall asleep in the call that it is about to make: until it is seen asleep, 50 ms
// at most.
static void settle(pid_t tid) {
  for (int i = 0; i < 50 && thread_state(tid) != 'S'; i++) sleep_ms(1);
}
static void settle_process(pid_t pid) {
  for (int i = 0; i < 50 && process_state(pid) != 'S'; i++) sleep_ms(1);
}

static void* pause_thread(void* unused) {
  for (;;) pause();
}
static void* sleep_a_little(void* unused) {
  sleep_ms(20);
  return NULL;
}
static void* give_back(void* value) { return value; }

CASE(thread_returns_its_value) {
  void* value = NULL;
  start(&threads[0], give_back, (void*)77);
  EXPECT_ZERO(pthread_join(threads[0], &value));
  EXPECT(value == (void*)77);
}

static void* own_ids(void* ids) {
  ((pid_t*)ids)[0] = getpid();
  ((pid_t*)ids)[1] = (pid_t)syscall(SYS_gettid);
  return NULL;
}

CASE(threads_share_the_pid_and_have_tids_of_their_own) {
  pid_t ids[2];
  start(&threads[0], own_ids, ids);
  join(threads[0]);
  EXPECT_EQ(ids[0], getpid());
  EXPECT(ids[1] != getpid());
}

static atomic_int counter;
static void* count_up(void* unused) {
  for (int i = 0; i < 1000; i++) atomic_fetch_add(&counter, 1);
  return NULL;
}

CASE(sixty_four_threads_run) {
  for (int i = 0; i < 64; i++) start(&threads[i], count_up, NULL);
  for (int i = 0; i < 64; i++) join(threads[i]);
  EXPECT_EQ(counter, 64000);
}

CASE(threads_come_and_go_many_times) {
  for (int i = 0; i < 500; i++) {
    start(&threads[0], give_back, NULL);
    join(threads[0]);
  }
}

static __thread int local = 5;
static void* change_local(void* unused) {
  if (local != 5) return (void*)1;
  local = 9;
  return NULL;
}

CASE(thread_local_storage_is_per_thread) {
  void* result;
  local = 6;
  start(&threads[0], change_local, NULL);
  EXPECT_ZERO(pthread_join(threads[0], &result));
  EXPECT(result == NULL);
  EXPECT_EQ(local, 6);
}

CASE(arch_prctl_gets_what_it_set) {
  unsigned long fs = 0, gs = 0;
  OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
  EXPECT(fs != 0);
  OK(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x12345000));
  OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
  EXPECT_EQ(gs, 0x12345000);
}

CASE(gs_base_survives_system_calls) {
  static uint64_t area[2] = {111, 222};
  uint64_t value = 0;
  OK(syscall(SYS_arch_prctl, ARCH_SET_GS, area));
  for (int i = 0; i < 10; i++) getppid();
  __asm__ volatile("mov %%gs:8, %0" : "=r"(value));
  EXPECT_EQ(value, 222);
}

CASE(arch_prctl_unknown_code_is_einval) { EXPECT_ERRNO(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL); }

CASE(exit_group_ends_all_threads) {
  pid_t child = IN_CHILD({
    for (int i = 0; i < 4; i++) start(&threads[i], pause_thread, NULL);
    exit(8);
  });
  EXPECT_EXIT(child, 8);
}

static void* exit_the_process(void* unused) {
  sleep_ms(10);
  exit(9);
}

CASE(exit_from_another_thread_ends_the_process) {
  pid_t child = IN_CHILD({
    start(&threads[0], exit_the_process, NULL);
    for (;;) pause();
  });
  EXPECT_EXIT(child, 9);
}

static void* exit_late(void* unused) {
  sleep_ms(20);
  _exit(10);
}

CASE(process_lives_on_when_its_first_thread_ends) {
  pid_t child = IN_CHILD({
    start(&threads[0], exit_late, NULL);
    syscall(SYS_exit, 3);
  });
  EXPECT_EXIT(child, 10);
}

static void* fault(void* unused) {
  *(volatile int*)0x10 = 1;
  return NULL;
}

CASE(fault_in_a_thread_ends_the_process) {
  pid_t child = IN_CHILD({
    start(&threads[0], fault, NULL);
    for (;;) pause();
  });
  EXPECT_KILLED(child, SIGSEGV);
}

static void* fork_and_wait(void* unused) {
  pid_t child = IN_CHILD({
    DIR* tasks = opendir("/proc/self/task");
    int n = 0;
    while (readdir(tasks)) n++;
    _exit(n);
  });
  return (void*)(intptr_t)WEXITSTATUS(wait_status(child));
}

CASE(fork_from_a_thread_copies_that_thread_only) {
  void* tasks;
  start(&threads[1], pause_thread, NULL);
  start(&threads[0], fork_and_wait, NULL);
  EXPECT_ZERO(pthread_join(threads[0], &tasks));
  EXPECT_EQ((intptr_t)tasks, 3);
}

CASE(clear_child_tid_wakes_the_joiner) {
  // pthread_join waits on this very word; here the thread takes its time.
  start(&threads[0], sleep_a_little, NULL);
  join(threads[0]);
}

CASE(set_tid_address_returns_the_tid) {
  static pid_t cleared;
  EXPECT_EQ(syscall(SYS_set_tid_address, &cleared), syscall(SYS_gettid));
}

// Futexes.

CASE(futex_wait_with_another_value_is_eagain) {
  word = 1;
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT, 2, NULL, NULL, 0), EAGAIN);
}

CASE(futexes_of_no_address) {
  void* const nowhere = (void*)-4096L;
  uint32_t word = 0;
  EXPECT_ERRNO(futex(nowhere, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
  EXPECT_ERRNO(futex((char*)nowhere + 1, FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
  EXPECT_ERRNO(futex(nowhere, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
  EXPECT_ERRNO(futex(nowhere, FUTEX_WAIT_BITSET, 0, NULL, NULL, 1), EFAULT);
  EXPECT_ERRNO(futex(nowhere, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
  EXPECT_ERRNO(futex(&word, FUTEX_REQUEUE, 0, NULL, nowhere, 0), EFAULT);
  EXPECT_ERRNO(futex(&word, FUTEX_WAKE_OP, 0, NULL, (char*)nowhere + 1, 0), EINVAL);
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT, 1, NULL, nowhere, 0), EAGAIN);
  EXPECT_ERRNO(futex(&word, 0x200, 1, NULL, NULL, 0), ENOSYS);
}

CASE(futex_wait_times_out) {
  int64_t before = now_ns(CLOCK_MONOTONIC);
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &short_time, NULL, 0), ETIMEDOUT);
  EXPECT(now_ns(CLOCK_MONOTONIC) - before >= 20000000);
}

CASE(futex_wait_at_an_odd_address_is_einval) {
  EXPECT_ERRNO(futex((char*)&word + 1, FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
}

CASE(futex_wait_at_a_bad_address_is_efault) {
  EXPECT_ERRNO(futex((void*)0x1000, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
}

CASE(futex_wait_with_a_bad_timeout_is_einval) {
  struct timespec bad = {0, 1000000000};
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
}

CASE(futex_unknown_operation_is_enosys) { EXPECT_ERRNO(futex(&word, 100, 0, NULL, NULL, 0), ENOSYS); }

CASE(futex_wake_without_waiters_is_zero) { EXPECT_EQ(futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0), 0); }

static pid_t waiter_tids[16];
static void* wait_on_word(void* index) {
  waiter_tids[(intptr_t)index] = (pid_t)syscall(SYS_gettid);
  atomic_fetch_add(&ready, 1);
  while (futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) != 0 && errno == EINTR) {
  }
  atomic_fetch_add(&woken, 1);
  return NULL;
}
static void start_waiters(int n) {
  for (intptr_t i = 0; i < n; i++) start(&threads[i], wait_on_word, (void*)i);
  EVENTUALLY(ready == n);
  for (int i = 0; i < n; i++) settle(waiter_tids[i]);
}

CASE(thread_asleep_in_a_futex_is_shown_asleep) {
  start_waiters(1);
  EVENTUALLY(thread_state(waiter_tids[0]) == 'S');
}

CASE(futex_wake_wakes_as_many_as_asked) {
  start_waiters(4);
  int total = (int)futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  EXPECT_EQ(total, 1);
  EVENTUALLY(woken == 1);
  EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 3);
  for (int i = 0; i < 4; i++) join(threads[i]);
}

CASE(futex_requeue_moves_waiters) {
  start_waiters(3);
  EXPECT_EQ(futex(&word, FUTEX_REQUEUE_PRIVATE, 1, (void*)100, &word2, 0), 3);
  EVENTUALLY(woken == 1);
  EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 0);
  EXPECT_EQ(futex(&word2, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 2);
  for (int i = 0; i < 3; i++) join(threads[i]);
}

CASE(futex_cmp_requeue_with_another_value_is_eagain) {
  EXPECT_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void*)1, &word2, 5), EAGAIN);
}

CASE(futex_wake_op_changes_the_word_and_wakes) {
  start_waiters(1);
  word2 = 5;
  // word2 += 3; wake on word; and, as 5 > 4, on word2.
  EXPECT_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void*)1, &word2, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 4)), 1);
  EXPECT_EQ(word2, 8);
  join(threads[0]);
}

static void* wait_on_bit_one(void* unused) {
  atomic_fetch_add(&ready, 1);
  waiter_tids[0] = (pid_t)syscall(SYS_gettid);
  futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 1);
  woken = 1;
  return NULL;
}

CASE(futex_wake_bitset_wakes_matching_waiters_only) {
  start(&threads[0], wait_on_bit_one, NULL);
  EVENTUALLY(ready == 1);
  settle(waiter_tids[0]);
  EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 2), 0);
  EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 3), 1);
  join(threads[0]);
}

CASE(futex_wait_bitset_zero_is_einval) { EXPECT_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL); }

CASE(futex_wait_bitset_takes_an_absolute_time) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec--;
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, NULL, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
}

CASE(futex_wait_bitset_by_the_realtime_clock) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 10000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &until, NULL, FUTEX_BITSET_MATCH_ANY),
               ETIMEDOUT);
}

CASE(futex_in_shared_memory_works_between_processes) {
  _Atomic uint32_t* shared = MAP(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t child = IN_CHILD({
    while (*shared == 0) futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0);
  });
  settle_process(child);
  *shared = 1;
  EXPECT_EQ(futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
  EXPECT_EXIT(child, 0);
}

CASE(private_futexes_of_two_processes_are_apart) {
  pid_t child = IN_CHILD({ futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0); });
  settle_process(child);
  EXPECT_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

static void nothing(int signal) {}

CASE(futex_wait_is_interrupted_by_a_handler) {
  struct sigaction action = {.sa_handler = nothing};
  pid_t parent = getpid();
  OK(sigaction(SIGUSR1, &action, NULL));
  pid_t child = IN_CHILD({
    sleep_ms(20);
    kill(parent, SIGUSR1);
  });
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0), EINTR);
  EXPECT_EXIT(child, 0);
}

CASE(killed_process_leaves_its_futex_wait) {
  pid_t child = IN_CHILD({ futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0); });
  settle_process(child);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

// Priority inheritance.

CASE(lock_pi_takes_and_unlock_pi_frees) {
  EXPECT_EQ(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
  EXPECT_EQ(word & FUTEX_TID_MASK, syscall(SYS_gettid));
  EXPECT_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
  EXPECT_EQ(word, 0);
}

CASE(lock_pi_twice_is_edeadlk) {
  EXPECT_EQ(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
  EXPECT_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
}

CASE(unlock_pi_by_another_is_eperm) {
  word = 1;
  EXPECT_ERRNO(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
}

CASE(lock_pi_of_a_dead_owner_is_esrch) {
  word = 4000000;
  EXPECT_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), ESRCH);
}

CASE(pi_mutex_excludes) {
  pthread_mutexattr_t attributes;
  static pthread_mutex_t mutex;
  EXPECT_ZERO(pthread_mutexattr_init(&attributes));
  EXPECT_ZERO(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
  EXPECT_ZERO(pthread_mutex_init(&mutex, &attributes));
  EXPECT_ZERO(pthread_mutex_lock(&mutex));
  pid_t child = fork();
  if (child == 0) _exit(pthread_mutex_trylock(&mutex) == EBUSY ? 0 : 1);
  EXPECT_EXIT(child, 0);
  EXPECT_ZERO(pthread_mutex_unlock(&mutex));
}

static pthread_mutex_t pi_mutex;
static int pi_total;
static void* add_under_pi_mutex(void* unused) {
  for (int i = 0; i < 200; i++) {
    pthread_mutex_lock(&pi_mutex);
    int seen = pi_total;
    sched_yield();
    pi_total = seen + 1;
    pthread_mutex_unlock(&pi_mutex);
  }
  return NULL;
}

CASE(pi_mutex_under_contention_loses_no_update) {
  pthread_mutexattr_t attributes;
  EXPECT_ZERO(pthread_mutexattr_init(&attributes));
  EXPECT_ZERO(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
  EXPECT_ZERO(pthread_mutex_init(&pi_mutex, &attributes));
  for (int i = 0; i < 4; i++) start(&threads[i], add_under_pi_mutex, NULL);
  for (int i = 0; i < 4; i++) join(threads[i]);
  EXPECT_EQ(pi_total, 800);
}

// Robust lists.

static pthread_mutex_t robust;
static void* die_with_lock(void* unused) {
  pthread_mutex_lock(&robust);
  return NULL;
}
static void init_robust(bool shared) {
  pthread_mutexattr_t attributes;
  EXPECT_ZERO(pthread_mutexattr_init(&attributes));
  EXPECT_ZERO(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
  if (shared) EXPECT_ZERO(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
  EXPECT_ZERO(pthread_mutex_init(&robust, &attributes));
}

CASE(robust_mutex_tells_that_its_owner_died) {
  init_robust(false);
  start(&threads[0], die_with_lock, NULL);
  join(threads[0]);
  EXPECT_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
  EXPECT_ZERO(pthread_mutex_consistent(&robust));
  EXPECT_ZERO(pthread_mutex_unlock(&robust));
  EXPECT_ZERO(pthread_mutex_lock(&robust));
}

CASE(robust_mutex_of_a_killed_process_tells_the_others) {
  pthread_mutex_t* shared = MAP(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  init_robust(true);
  memcpy(shared, &robust, sizeof robust);
  pid_t child = IN_CHILD({
    pthread_mutex_lock(shared);
    raise(SIGKILL);
  });
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_EQ(pthread_mutex_lock(shared), EOWNERDEAD);
}

CASE(waiter_on_a_robust_mutex_is_woken_by_the_owners_death) {
  pthread_mutex_t* shared = MAP(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int p[2];
  char byte;
  OK(pipe(p));
  init_robust(true);
  memcpy(shared, &robust, sizeof robust);
  pid_t child = IN_CHILD({
    pthread_mutex_lock(shared);
    OK(write(p[1], "r", 1));
    sleep_ms(30);
    raise(SIGKILL);
  });
  OK(read(p[0], &byte, 1));
  EXPECT_EQ(pthread_mutex_lock(shared), EOWNERDEAD);
  EXPECT_KILLED(child, SIGKILL);
}

CASE(get_robust_list_returns_what_was_set) {
  struct robust_list_head* head = NULL;
  size_t length = 0;
  OK(syscall(SYS_get_robust_list, 0, &head, &length));
  EXPECT(head != NULL);
  EXPECT_EQ(length, sizeof *head);
}

CASE(set_robust_list_of_another_size_is_einval) {
  static struct robust_list_head head;
  EXPECT_ERRNO(syscall(SYS_set_robust_list, &head, 8), EINVAL);
}

// What pthreads builds on top.

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn;
static void* take_turns(void* me) {
  for (int i = 0; i < 200; i++) {
    pthread_mutex_lock(&mutex);
    while (turn != (intptr_t)me) pthread_cond_wait(&condition, &mutex);
    turn = 1 - turn;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

CASE(condition_variable_passes_turns) {
  start(&threads[0], take_turns, (void*)0);
  start(&threads[1], take_turns, (void*)1);
  join(threads[0]);
  join(threads[1]);
}

CASE(timed_condition_wait_times_out) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 10000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  pthread_mutex_lock(&mutex);
  EXPECT_EQ(pthread_cond_timedwait(&condition, &mutex, &until), ETIMEDOUT);
}

static pthread_barrier_t barrier;
static void* meet(void* unused) {
  for (int i = 0; i < 50; i++) pthread_barrier_wait(&barrier);
  return NULL;
}

CASE(barrier_of_four) {
  EXPECT_ZERO(pthread_barrier_init(&barrier, NULL, 4));
  for (int i = 0; i < 4; i++) start(&threads[i], meet, NULL);
  for (int i = 0; i < 4; i++) join(threads[i]);
}

CASE(semaphore_between_processes) {
  sem_t* semaphore = MAP(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  OK(sem_init(semaphore, 1, 0));
  pid_t child = IN_CHILD({
    sleep_ms(10);
    OK(sem_post(semaphore));
  });
  OK(sem_wait(semaphore));
  EXPECT_EXIT(child, 0);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static void* read_and_write(void* unused) {
  for (int i = 0; i < 100; i++) {
    pthread_rwlock_rdlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
    pthread_rwlock_wrlock(&rwlock);
    turn++;
    pthread_rwlock_unlock(&rwlock);
  }
  return NULL;
}

CASE(readers_and_writers) {
  for (int i = 0; i < 4; i++) start(&threads[i], read_and_write, NULL);
  for (int i = 0; i < 4; i++) join(threads[i]);
  EXPECT_EQ(turn, 400);
}

static void* sleep_for_ever(void* unused) {
  ready = 1;
  for (;;) sleep_ms(1000);
}

CASE(pthread_cancel_ends_a_sleeping_thread) {
  void* result;
  start(&threads[0], sleep_for_ever, NULL);
  EVENTUALLY(ready == 1);
  EXPECT_ZERO(pthread_cancel(threads[0]));
  EXPECT_ZERO(pthread_join(threads[0], &result));
  EXPECT(result == PTHREAD_CANCELED);
}

static void* name_me(void* unused) {
  pthread_setname_np(pthread_self(), "worker-name");
  ready = (int)syscall(SYS_gettid);
  while (!woken) sleep_ms(1);
  return NULL;
}

CASE(thread_name_is_in_proc) {
  char path[64], text[64];
  start(&threads[0], name_me, NULL);
  EVENTUALLY(ready != 0);
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", ready);
  EXPECT(read_file(path, text, sizeof text) > 0);
  EXPECT_STR(text, "worker-name\n");
  woken = 1;
  join(threads[0]);
}

CASE(threads_in_a_killed_process_all_end) {
  pid_t child = IN_CHILD({
    for (int i = 0; i < 8; i++) start(&threads[i], sleep_for_ever, NULL);
    for (;;) pause();
  });
  sleep_ms(10);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

CASE(rseq_is_registered_or_refused_cleanly) {
  static char area[32] __attribute__((aligned(32)));
  long result = syscall(SYS_rseq, area, 32, 0, 0x53053053);
  EXPECT(result == 0 || errno == EBUSY || errno == EINVAL || errno == ENOSYS || errno == EPERM);
}
