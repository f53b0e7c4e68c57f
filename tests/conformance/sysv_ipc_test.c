// System V IPC: shared memory, semaphores, message queues (sysvipc(7)).
#include "conformance.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/time.h>

union semun {
  int val;
  struct semid_ds* buf;
  unsigned short* array;
};

static int new_shm(size_t size) { return (int)OK(shmget(IPC_PRIVATE, size, IPC_CREAT | 0600)); }
static int new_sem(int count) { return (int)OK(semget(IPC_PRIVATE, count, IPC_CREAT | 0600)); }
static int new_msg(void) { return (int)OK(msgget(IPC_PRIVATE, IPC_CREAT | 0600)); }
static key_t own_key(void) { return (key_t)(0x43000000 | getpid()); }

struct message {
  long type;
  char text[64];
};

CASE(shm_is_shared_with_a_child) {
  int id = new_shm(10000);
  char* p = shmat(id, NULL, 0);
  EXPECT(p != (void*)-1);
  OK(shmctl(id, IPC_RMID, NULL));
  EXPECT_EQ(p[9999], 0);
  pid_t child = IN_CHILD({ p[9999] = 42; });
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(p[9999], 42);
  OK(shmdt(p));
}

CASE(shm_counts_attachments_through_fork) {
  int id = new_shm(4096);
  struct shmid_ds d;
  char* p = shmat(id, NULL, 0);
  char* q = shmat(id, NULL, SHM_RDONLY);
  EXPECT(p != q);
  p[0] = 'x';
  EXPECT_EQ(q[0], 'x');
  OK(shmctl(id, IPC_STAT, &d));
  EXPECT_EQ(d.shm_nattch, 2);
  EXPECT_EQ(d.shm_segsz, 4096);
  EXPECT_EQ(d.shm_cpid, getpid());
  EXPECT_EQ(d.shm_perm.mode & 0777, 0600);
  pid_t child = IN_CHILD({
    OK(shmctl(id, IPC_STAT, &d));
    EXPECT_EQ(d.shm_nattch, 4);
    OK(shmdt(p));
    OK(shmctl(id, IPC_STAT, &d));
    EXPECT_EQ(d.shm_nattch, 3);
  });
  EXPECT_EXIT(child, 0);
  OK(shmctl(id, IPC_STAT, &d));
  EXPECT_EQ(d.shm_nattch, 2);
  OK(shmdt(q));
  OK(shmdt(p));
  EXPECT_ERRNO(shmdt(p), EINVAL);
  OK(shmctl(id, IPC_RMID, NULL));
  EXPECT_ERRNO(shmctl(id, IPC_STAT, &d), EINVAL);
}

CASE(shm_removed_segment_lives_until_its_last_detach) {
  int id = new_shm(4096);
  struct shmid_ds d;
  char* p = shmat(id, NULL, 0);
  OK(shmctl(id, IPC_RMID, NULL));
  OK(shmctl(id, IPC_STAT, &d));
  EXPECT(d.shm_perm.mode & 01000);
  p[1] = 1;
  OK(shmdt(p));
  EXPECT((long)shmat(id, NULL, 0) == -1);
}

CASE(shm_keys_find_segments) {
  key_t key = own_key();
  EXPECT_ERRNO(shmget(key, 4096, 0600), ENOENT);
  int id = (int)OK(shmget(key, 4096, IPC_CREAT | 0600));
  EXPECT_EQ(shmget(key, 0, 0), id);
  EXPECT_EQ(shmget(key, 4096, IPC_CREAT | 0600), id);
  EXPECT_ERRNO(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
  EXPECT_ERRNO(shmget(key, 8192, 0600), EINVAL);
  OK(shmctl(id, IPC_RMID, NULL));
  EXPECT_ERRNO(shmget(key, 4096, 0600), ENOENT);
  EXPECT_ERRNO(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
}

CASE(shm_attach_addresses) {
  int id = new_shm(8192);
  char* place = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT((long)shmat(id, place + 1, 0) == -1 && errno == EINVAL);
  EXPECT((long)shmat(id, place, 0) == -1 && errno == EINVAL);
  EXPECT(shmat(id, place, SHM_REMAP) == place);
  place[8191] = 1;
  OK(munmap(place + 8192, 4096));
  EXPECT(shmat(id, place + 8192 + 5, SHM_RND) == (void*)-1);
  OK(shmdt(place));
  OK(munmap(place, 1 << 20));
  EXPECT(shmat(id, place + 100, SHM_RND) == place);
  OK(shmctl(id, IPC_RMID, NULL));
}

CASE(shm_name_in_maps) {
  int id = new_shm(4096);
  char *p = shmat(id, NULL, 0), text[65536], wanted[64];
  int fd = (int)OK(open("/proc/self/maps", O_RDONLY));
  size_t n = 0;
  for (ssize_t r; (r = read(fd, text + n, sizeof text - 1 - n)) > 0;) n += (size_t)r;
  text[n] = 0;
  snprintf(wanted, sizeof wanted, "%lx-%lx rw-s 00000000", (long)p, (long)p + 4096);
  EXPECT(strstr(text, wanted));
  EXPECT(strstr(text, "/SYSV00000000 (deleted)"));
  OK(shmctl(id, IPC_RMID, NULL));
}

CASE(sem_values) {
  int id = new_sem(3);
  unsigned short values[3] = {1, 2, 3};
  EXPECT_EQ(semctl(id, 0, GETVAL), 0);
  OK(semctl(id, 0, SETALL, (union semun){.array = values}));
  EXPECT_EQ(semctl(id, 2, GETVAL), 3);
  OK(semctl(id, 1, SETVAL, (union semun){.val = 32767}));
  OK(semctl(id, 0, GETALL, (union semun){.array = values}));
  EXPECT_EQ(values[1], 32767);
  EXPECT_ERRNO(semctl(id, 1, SETVAL, (union semun){.val = 32768}), ERANGE);
  EXPECT_ERRNO(semctl(id, 3, GETVAL), EINVAL);
  struct sembuf up = {1, 1, 0};
  EXPECT_ERRNO(semop(id, &up, 1), ERANGE);
  struct sembuf far = {3, 1, 0};
  EXPECT_ERRNO(semop(id, &far, 1), EFBIG);
  EXPECT_ERRNO(semop(id, &up, 0), EINVAL);
  EXPECT_ERRNO(semop(id, &up, 501), E2BIG);
  OK(semctl(id, 0, IPC_RMID));
  EXPECT_ERRNO(semctl(id, 0, GETVAL), EINVAL);
  EXPECT_ERRNO(semget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
  EXPECT_ERRNO(semget(IPC_PRIVATE, 32001, IPC_CREAT | 0600), EINVAL);
}

CASE(sem_operations_are_all_or_none) {
  int id = new_sem(2);
  struct sembuf both[2] = {{0, 1, 0}, {1, -1, IPC_NOWAIT}};
  EXPECT_ERRNO(semop(id, both, 2), EAGAIN);
  EXPECT_EQ(semctl(id, 0, GETVAL), 0);
  struct sembuf zero = {0, 0, 0}, up = {0, 1, 0};
  OK(semop(id, &zero, 1));
  OK(semop(id, &up, 1));
  EXPECT_EQ(semctl(id, 0, GETPID), getpid());
  zero.sem_flg = IPC_NOWAIT;
  EXPECT_ERRNO(semop(id, &zero, 1), EAGAIN);
  OK(semctl(id, 0, IPC_RMID));
}

CASE(sem_waits_for_another_process) {
  int id = new_sem(1);
  struct sembuf down = {0, -2, 0}, up = {0, 1, 0};
  pid_t child = IN_CHILD({ OK(semop(id, &down, 1)); });
  while (semctl(id, 0, GETNCNT) != 1) usleep(1000);
  OK(semop(id, &up, 1));
  usleep(10000);
  EXPECT_EQ(semctl(id, 0, GETNCNT), 1);
  OK(semop(id, &up, 1));
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(semctl(id, 0, GETVAL), 0);
  OK(semctl(id, 0, IPC_RMID));
}

CASE(sem_removal_wakes_with_eidrm) {
  int id = new_sem(1);
  struct sembuf down = {0, -1, 0};
  pid_t child = IN_CHILD({ EXPECT_ERRNO(semop(id, &down, 1), EIDRM); });
  while (semctl(id, 0, GETNCNT) != 1) usleep(1000);
  OK(semctl(id, 0, IPC_RMID));
  EXPECT_EXIT(child, 0);
}

CASE(sem_undo_at_exit) {
  int id = new_sem(1);
  OK(semctl(id, 0, SETVAL, (union semun){.val = 5}));
  pid_t child = IN_CHILD({
    struct sembuf down = {0, -3, SEM_UNDO}, up = {0, 1, SEM_UNDO};
    OK(semop(id, &down, 1));
    OK(semop(id, &up, 1));
    EXPECT_EQ(semctl(id, 0, GETVAL), 3);
  });
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(semctl(id, 0, GETVAL), 5);
  OK(semctl(id, 0, IPC_RMID));
}

CASE(semtimedop_times_out_with_eagain) {
  int id = new_sem(1);
  struct sembuf down = {0, -1, 0};
  struct timespec t = {0, 20000000}, bad = {0, -1};
  EXPECT_ERRNO(semtimedop(id, &down, 1, &t), EAGAIN);
  EXPECT_ERRNO(semtimedop(id, &down, 1, &bad), EINVAL);
  EXPECT_EQ(semctl(id, 0, GETNCNT), 0);
  OK(semctl(id, 0, IPC_RMID));
}

static void nothing(int signal) {}

CASE(semop_is_interrupted_even_with_sa_restart) {
  int id = new_sem(1);
  struct sembuf down = {0, -1, 0};
  struct sigaction a = {.sa_handler = nothing, .sa_flags = SA_RESTART};
  OK(sigaction(SIGALRM, &a, NULL));
  struct itimerval t = {{0, 0}, {0, 20000}};
  OK(setitimer(ITIMER_REAL, &t, NULL));
  EXPECT_ERRNO(semop(id, &down, 1), EINTR);
  OK(semctl(id, 0, IPC_RMID));
}

CASE(msg_are_received_by_type) {
  int id = new_msg();
  struct message m = {3, "three"}, got;
  OK(msgsnd(id, &m, 6, 0));
  m = (struct message){1, "one"};
  OK(msgsnd(id, &m, 4, 0));
  m = (struct message){2, "two"};
  OK(msgsnd(id, &m, 4, 0));
  EXPECT_EQ(msgrcv(id, &got, 64, 2, 0), 4);
  EXPECT_STR(got.text, "two");
  EXPECT_EQ(msgrcv(id, &got, 64, -3, 0), 4);
  EXPECT_EQ(got.type, 1);
  EXPECT_ERRNO(msgrcv(id, &got, 64, 3, IPC_NOWAIT | MSG_EXCEPT), ENOMSG);
  EXPECT_ERRNO(msgrcv(id, &got, 3, 0, 0), E2BIG);
  EXPECT_EQ(msgrcv(id, &got, 3, 0, MSG_NOERROR), 3);
  EXPECT_ERRNO(msgrcv(id, &got, 64, 0, IPC_NOWAIT), ENOMSG);
  OK(msgctl(id, IPC_RMID, NULL));
  EXPECT_ERRNO(msgsnd(id, &m, 4, 0), EINVAL);
}

CASE(msg_errors) {
  int id = new_msg();
  static struct {
    long type;
    char text[8193];
  } big = {1, ""};
  EXPECT_ERRNO(msgsnd(id, &big, 8193, 0), EINVAL);
  big.type = 0;
  EXPECT_ERRNO(msgsnd(id, &big, 1, 0), EINVAL);
  big.type = 1;
  EXPECT_ERRNO(msgsnd(id, (void*)8, 1, 0), EFAULT);
  OK(msgsnd(id, &big, 8192, 0));
  OK(msgsnd(id, &big, 8192, 0));
  EXPECT_ERRNO(msgsnd(id, &big, 1, IPC_NOWAIT), EAGAIN);
  struct msqid_ds d;
  OK(msgctl(id, IPC_STAT, &d));
  EXPECT_EQ(d.msg_qnum, 2);
  EXPECT_EQ(d.msg_qbytes, 16384);
  EXPECT_EQ(d.msg_lspid, getpid());
  OK(msgctl(id, IPC_RMID, NULL));
}

CASE(msg_blocked_sender_and_receiver) {
  int id = new_msg();
  pid_t child = IN_CHILD({
    struct message m;
    EXPECT_EQ(msgrcv(id, &m, 64, 0, 0), 5);
    EXPECT_STR(m.text, "late");
    EXPECT_ERRNO(msgrcv(id, &m, 64, 0, 0), EIDRM);
  });
  usleep(20000);
  struct message m = {9, "late"};
  OK(msgsnd(id, &m, 5, 0));
  usleep(20000);
  OK(msgctl(id, IPC_RMID, NULL));
  EXPECT_EXIT(child, 0);
}

CASE(permissions_are_checked) {
  if (geteuid() != 0) SKIP("needs root");
  int shm = new_shm(4096), sem = new_sem(1), msg = new_msg();
  pid_t child = IN_CHILD({
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    struct sembuf up = {0, 1, 0};
    struct message m = {1, ""};
    EXPECT((long)shmat(shm, NULL, SHM_RDONLY) == -1 && errno == EACCES);
    EXPECT_ERRNO(shmctl(shm, IPC_RMID, NULL), EPERM);
    EXPECT_ERRNO(semop(sem, &up, 1), EACCES);
    EXPECT_ERRNO(semctl(sem, 0, GETVAL), EACCES);
    EXPECT_ERRNO(semctl(sem, 0, IPC_RMID), EPERM);
    EXPECT_ERRNO(msgsnd(msg, &m, 1, 0), EACCES);
    EXPECT_ERRNO(msgctl(msg, IPC_RMID, NULL), EPERM);
  });
  EXPECT_EXIT(child, 0);
  struct shmid_ds d;
  OK(shmctl(shm, IPC_STAT, &d));
  d.shm_perm.mode = 0644;
  OK(shmctl(shm, IPC_SET, &d));
  child = IN_CHILD({
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    EXPECT((long)shmat(shm, NULL, 0) == -1 && errno == EACCES);
    EXPECT((long)shmat(shm, NULL, SHM_RDONLY) != -1);
  });
  EXPECT_EXIT(child, 0);
  OK(shmctl(shm, IPC_RMID, NULL));
  OK(semctl(sem, 0, IPC_RMID));
  OK(msgctl(msg, IPC_RMID, NULL));
}
