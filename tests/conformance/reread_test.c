// Files that are read often: the hundredth read does as the first one did, whatever has happened in between to the
// file, the descriptor, the description, its position, the process.
#define CONFORMANCE_FILES
#include "conformance.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { OFTEN = 100, BLOCK = 64, BLOCKS = 1024, SIZE = BLOCK * BLOCKS };

// Block n of the file is all of the byte that stands for n and the generation.
static char byte_of(int block, int generation) { return (char)(block * 7 + generation * 31 + 1); }

static void fill(int fd, int generation) {
  static char bytes[SIZE];
  for (int i = 0; i < SIZE; i++) bytes[i] = byte_of(i / BLOCK, generation);
  EXPECT_EQ(pwrite(fd, bytes, SIZE, 0), SIZE);
}
static int make_file(int flags) {
  int fd = (int)OK(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));
  fill(fd, 0);
  int again = (int)OK(open("f", flags));
  OK(close(fd));
  return again;
}
static void expect_block(const char* got, int block, int generation) {
  for (int i = 0; i < BLOCK; i++)
    if (got[i] != byte_of(block, generation)) FAIL("byte %d of block %d is %d", i, block, got[i]);
}
static void pread_block(int fd, int block, int generation) {
  char got[BLOCK] = {0};
  EXPECT_EQ(pread(fd, got, BLOCK, (off_t)block * BLOCK), BLOCK);
  expect_block(got, block, generation);
}
static void pread_often(int fd) {
  for (int i = 0; i < OFTEN; i++) pread_block(fd, i * 11 % BLOCKS, 0);
}
static void read_block(int fd, int block, int generation) {
  char got[BLOCK] = {0};
  EXPECT_EQ(read(fd, got, BLOCK), BLOCK);
  expect_block(got, block, generation);
}
static void read_often(int fd, int from) {
  for (int i = 0; i < OFTEN; i++) read_block(fd, from + i, 0);
}
static off_t here(int fd) { return (off_t)OK(lseek(fd, 0, SEEK_CUR)); }

// What is read

CASE(every_block_is_read_in_order) {
  int fd = make_file(O_RDONLY);
  for (int i = 0; i < BLOCKS; i++) read_block(fd, i, 0);
  char more;
  EXPECT_EQ(read(fd, &more, 1), 0);
  EXPECT_EQ(here(fd), SIZE);
}
CASE(a_read_across_the_end_is_short) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  char got[2 * BLOCK];
  EXPECT_EQ(pread(fd, got, sizeof got, SIZE - 10), 10);
  EXPECT_EQ(pread(fd, got, sizeof got, SIZE), 0);
  EXPECT_EQ(pread(fd, got, sizeof got, SIZE + 1000), 0);
  OK(lseek(fd, SIZE - 10, SEEK_SET));
  EXPECT_EQ(read(fd, got, sizeof got), 10);
  EXPECT_EQ(read(fd, got, sizeof got), 0);
  EXPECT_EQ(here(fd), SIZE);
}
CASE(reads_of_nothing_and_of_all) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  EXPECT_EQ(read(fd, NULL, 0), 0);
  EXPECT_EQ(pread(fd, NULL, 0, 5), 0);
  static char all[SIZE + 1];
  EXPECT_EQ(pread(fd, all, sizeof all, 0), SIZE);
  for (int i = 0; i < BLOCKS; i++) expect_block(all + i * BLOCK, i, 0);
  EXPECT_EQ(here(fd), OFTEN * BLOCK);
}
CASE(bad_addresses_are_efault_and_move_nothing) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  pread_often(fd);
  EXPECT_ERRNO(read(fd, (void*)8, BLOCK), EFAULT);
  EXPECT_ERRNO(pread(fd, (void*)8, BLOCK, 0), EFAULT);
  EXPECT_ERRNO(read(fd, (void*)-4096L, BLOCK), EFAULT);
  EXPECT_EQ(here(fd), OFTEN * BLOCK);
  read_block(fd, OFTEN, 0);
}
CASE(a_read_into_memory_that_ends_gives_what_fits) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  char* pages = MAP(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  OK(munmap(pages + PAGE, PAGE));
  EXPECT_EQ(pread(fd, pages + PAGE - BLOCK, 4 * BLOCK, 0), BLOCK);
  expect_block(pages + PAGE - BLOCK, 0, 0);
}
CASE(a_read_into_read_only_memory_is_efault) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  char* page = MAP(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_ERRNO(pread(fd, page, BLOCK, 0), EFAULT);
}
CASE(a_read_into_memory_that_was_never_touched) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  char* pages = MAP(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_EQ(pread(fd, pages, SIZE, 0), SIZE);
  for (int i = 0; i < BLOCKS; i++) expect_block(pages + i * BLOCK, i, 0);
}
CASE(negative_and_huge_offsets) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  char got[BLOCK];
  EXPECT_ERRNO(pread(fd, got, BLOCK, -1), EINVAL);
  EXPECT_EQ(pread(fd, got, BLOCK, INT64_MAX - BLOCK), 0);
  EXPECT_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
  EXPECT_ERRNO(lseek(fd, -1, SEEK_CUR), EINVAL);
  EXPECT_ERRNO(lseek(fd, 0, 77), EINVAL);
  EXPECT_EQ(here(fd), 0);
}

// Changes of the file

CASE(what_is_written_is_read) {
  int fd = make_file(O_RDWR);
  for (int i = 0; i < OFTEN; i++) {
    pread_block(fd, i, i);
    fill(fd, i + 1);
  }
}
CASE(what_another_process_writes_is_read) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  pid_t child = IN_CHILD({
    int own = (int)OK(open("f", O_WRONLY));
    fill(own, 5);
  });
  EXPECT_EXIT(child, 0);
  for (int i = 0; i < OFTEN; i++) pread_block(fd, i, 5);
}
CASE(what_is_appended_is_read) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  int other = (int)OK(open("f", O_WRONLY | O_APPEND));
  char got[BLOCK];
  for (int i = 0; i < OFTEN; i++) {
    EXPECT_EQ(write(other, "0123456789", 10), 10);
    EXPECT_EQ(pread(fd, got, BLOCK, SIZE + i * 10), 10);
    EXPECT_EQ(memcmp(got, "0123456789", 10), 0);
  }
  OK(lseek(fd, SIZE - BLOCK, SEEK_SET));
  read_block(fd, BLOCKS - 1, 0);
  EXPECT_EQ(read(fd, got, 20), 20);
}
CASE(after_truncation_nothing_is_read_behind_the_end) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  read_often(fd, 0);
  OK(truncate("f", BLOCK + 10));
  char got[BLOCK];
  EXPECT_EQ(pread(fd, got, BLOCK, BLOCK), 10);
  EXPECT_EQ(pread(fd, got, BLOCK, 2 * BLOCK), 0);
  EXPECT_EQ(read(fd, got, BLOCK), 0);
  EXPECT_EQ(here(fd), OFTEN * BLOCK);
  OK(truncate("f", SIZE));
  EXPECT_EQ(pread(fd, got, BLOCK, BLOCK), BLOCK);
  for (int i = 10; i < BLOCK; i++) EXPECT_EQ(got[i], 0);
}
CASE(ftruncate_of_another_process_ends_the_file) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  pid_t child = IN_CHILD({
    int own = (int)OK(open("f", O_RDWR));
    OK(ftruncate(own, 100));
  });
  EXPECT_EXIT(child, 0);
  char got[BLOCK];
  EXPECT_EQ(pread(fd, got, BLOCK, BLOCK), 100 - BLOCK);
}
CASE(open_with_truncation_ends_the_file) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  OK(close((int)OK(open("f", O_WRONLY | O_TRUNC))));
  char got[BLOCK];
  EXPECT_EQ(pread(fd, got, BLOCK, 0), 0);
}
CASE(a_punched_hole_reads_as_zeros) {
  int fd = make_file(O_RDWR);
  pread_often(fd);
  if (fallocate(fd, 3 /* KEEP_SIZE|PUNCH_HOLE */, 4 * PAGE, PAGE) != 0) SKIP("no holes here");
  char got[BLOCK];
  EXPECT_EQ(pread(fd, got, BLOCK, 4 * PAGE), BLOCK);
  for (int i = 0; i < BLOCK; i++) EXPECT_EQ(got[i], 0);
  for (int i = 0; i < OFTEN; i++) pread_block(fd, 0, 0);
  struct stat before, after;
  OK(fstat(fd, &before));
  for (int i = 0; i < OFTEN; i++) EXPECT_EQ(pread(fd, got, BLOCK, 4 * PAGE + i), BLOCK);
  OK(fstat(fd, &after));
  EXPECT_EQ(after.st_blocks, before.st_blocks);
}
CASE(reading_a_hole_fills_nothing) {
  int fd = (int)OK(open("f", O_RDWR | O_CREAT, 0644));
  OK(ftruncate(fd, 64 * PAGE));
  char got[BLOCK];
  for (int i = 0; i < OFTEN; i++) EXPECT_EQ(pread(fd, got, BLOCK, i % 64 * PAGE), BLOCK);
  struct stat st;
  OK(fstat(fd, &st));
  EXPECT_EQ(st.st_blocks, 0);
}
CASE(a_file_that_is_renamed_over_is_read_on) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  write_file("g", "another");
  OK(rename("g", "f"));
  pread_often(fd);
  OK(unlink("f"));
  pread_often(fd);
}
CASE(shared_mappings_and_reads_see_each_other) {
  int fd = make_file(O_RDWR);
  pread_often(fd);
  char* map = MAP(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  for (int i = 0; i < OFTEN; i++) {
    map[i * BLOCK] = 99;
    char got[BLOCK];
    EXPECT_EQ(pread(fd, got, BLOCK, i * BLOCK), BLOCK);
    EXPECT_EQ(got[0], 99);
  }
}
CASE(a_write_only_descriptor_stays_unreadable) {
  make_file(O_RDONLY);
  int fd = (int)OK(open("f", O_WRONLY));
  char got[BLOCK];
  for (int i = 0; i < OFTEN; i++) EXPECT_EQ(pwrite(fd, "x", 1, i), 1);
  EXPECT_ERRNO(pread(fd, got, BLOCK, 0), EBADF);
  EXPECT_ERRNO(read(fd, got, BLOCK), EBADF);
}
CASE(a_read_only_descriptor_stays_unwritable) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  EXPECT_ERRNO(write(fd, "x", 1), EBADF);
}

// The descriptor

CASE(a_closed_descriptor_is_ebadf) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  pread_often(fd);
  OK(close(fd));
  char got[BLOCK];
  EXPECT_ERRNO(pread(fd, got, BLOCK, 0), EBADF);
  EXPECT_ERRNO(read(fd, got, BLOCK), EBADF);
  EXPECT_ERRNO(lseek(fd, 0, SEEK_CUR), EBADF);
}
CASE(the_next_file_with_the_number_is_read) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  write_file("g", "short");
  int other = (int)OK(open("g", O_RDONLY));
  OK(close(fd));
  EXPECT_EQ(fcntl(other, F_DUPFD, fd), fd);
  char got[BLOCK];
  EXPECT_EQ(pread(fd, got, BLOCK, 0), 5);
  EXPECT_EQ(read(fd, got, BLOCK), 5);
}
CASE(dup2_puts_another_file_there) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  write_file("g", "short");
  int other = (int)OK(open("g", O_RDONLY));
  OK(dup2(other, fd));
  char got[BLOCK];
  EXPECT_EQ(read(fd, got, BLOCK), 5);
  EXPECT_EQ(read(other, got, BLOCK), 0);
}
CASE(close_range_closes_it) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  OK(syscall(SYS_close_range, fd, fd, 0));
  char got[BLOCK];
  EXPECT_ERRNO(pread(fd, got, BLOCK, 0), EBADF);
}
CASE(descriptors_a_multiple_of_64_apart_keep_apart) {
  int fd = make_file(O_RDONLY);
  write_file("g", "another file, of its own");
  int other = (int)OK(open("g", O_RDONLY));
  OK(dup2(other, fd + 64));
  OK(close(other));
  char got[7];
  for (int i = 0; i < OFTEN; i++) {
    pread_block(fd, i, 0);
    EXPECT_EQ(pread(fd + 64, got, 7, 0), 7);
    EXPECT_EQ(memcmp(got, "another", 7), 0);
  }
}
CASE(many_files_are_read_side_by_side) {
  enum { FILES = 100 };
  int fds[FILES];
  for (int f = 0; f < FILES; f++) {
    char name[16];
    snprintf(name, sizeof name, "f%d", f);
    fds[f] = (int)OK(open(name, O_RDWR | O_CREAT, 0644));
    char bytes[PAGE];
    memset(bytes, f, sizeof bytes);
    EXPECT_EQ(write(fds[f], bytes, PAGE), PAGE);
    OK(lseek(fds[f], 0, SEEK_SET));
  }
  for (int round = 0; round < 60; round++)
    for (int f = 0; f < FILES; f++) {
      char got[BLOCK];
      EXPECT_EQ(read(fds[f], got, BLOCK), BLOCK);
      EXPECT_EQ(got[0], (char)f);
      EXPECT_EQ(got[BLOCK - 1], (char)f);
    }
  for (int f = 0; f < FILES; f++) EXPECT_EQ(here(fds[f]), 60 * BLOCK);
}

// The position

CASE(reads_and_seeks_of_all_kinds_share_the_position) {
  int fd = make_file(O_RDWR);
  read_often(fd, 0);
  char a[BLOCK], b[BLOCK];
  struct iovec parts[2] = {{a, BLOCK}, {b, BLOCK}};
  EXPECT_EQ(readv(fd, parts, 2), 2 * BLOCK);
  expect_block(a, OFTEN, 0);
  expect_block(b, OFTEN + 1, 0);
  read_block(fd, OFTEN + 2, 0);
  EXPECT_EQ(lseek(fd, -3 * BLOCK, SEEK_CUR), OFTEN * BLOCK);
  read_block(fd, OFTEN, 0);
  EXPECT_EQ(lseek(fd, -BLOCK, SEEK_END), SIZE - BLOCK);
  read_block(fd, BLOCKS - 1, 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_DATA), 0);
  read_block(fd, 0, 0);
  EXPECT_EQ(write(fd, "x", 1), 1);
  EXPECT_EQ(here(fd), BLOCK + 1);
  OK(lseek(fd, 2 * BLOCK, SEEK_SET));
  read_block(fd, 2, 0);
}
CASE(duplicates_share_the_position) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  int twin = (int)OK(dup(fd));
  for (int i = 0; i < OFTEN; i++) read_block(i % 2 ? fd : twin, OFTEN + i, 0);
  OK(lseek(twin, 3 * BLOCK, SEEK_SET));
  read_block(fd, 3, 0);
  EXPECT_EQ(here(twin), 4 * BLOCK);
  OK(close(fd));
  read_block(twin, 4, 0);
}
CASE(children_share_the_position) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  pid_t child = IN_CHILD(read_often(fd, OFTEN););
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(here(fd), 2 * OFTEN * BLOCK);
  read_often(fd, 2 * OFTEN);
  child = IN_CHILD(EXPECT_EQ(here(fd), 3 * OFTEN * BLOCK); OK(lseek(fd, 5 * BLOCK, SEEK_SET)););
  EXPECT_EXIT(child, 0);
  read_block(fd, 5, 0);
}
CASE(parent_and_child_take_turns) {
  int fd = make_file(O_RDONLY), to[2], back[2];
  read_often(fd, 0);
  OK(pipe(to));
  OK(pipe(back));
  char turn = 0;
  pid_t child = IN_CHILD({
    for (int i = 0; i < OFTEN; i++) {
      EXPECT_EQ(read(to[0], &turn, 1), 1);
      read_block(fd, OFTEN + 2 * i, 0);
      EXPECT_EQ(write(back[1], &turn, 1), 1);
    }
  });
  for (int i = 0; i < OFTEN; i++) {
    EXPECT_EQ(write(to[1], &turn, 1), 1);
    EXPECT_EQ(read(back[0], &turn, 1), 1);
    read_block(fd, OFTEN + 2 * i + 1, 0);
  }
  EXPECT_EXIT(child, 0);
}
CASE(a_receiver_of_the_descriptor_shares_the_position) {
  int fd = make_file(O_RDONLY), pair[2];
  read_often(fd, 0);
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  EXPECT_EQ(sendmsg(pair[0], &message, 0), 1);
  EXPECT_EQ(recvmsg(pair[1], &message, 0), 1);
  int got;
  memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
  read_block(got, OFTEN, 0);
  read_block(fd, OFTEN + 1, 0);
  pid_t child = IN_CHILD(read_often(got, OFTEN + 2););
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(here(fd), (2 * OFTEN + 2) * BLOCK);
}
CASE(pidfd_getfd_shares_the_position) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  int self = (int)OK(syscall(SYS_pidfd_open, getpid(), 0));
  int twin = (int)OK(syscall(SYS_pidfd_getfd, self, fd, 0));
  read_often(fd, OFTEN);
  EXPECT_EQ(here(twin), 2 * OFTEN * BLOCK);
}
CASE(open_of_proc_self_fd_has_its_own_position) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  int other = (int)OK(open(name, O_RDONLY));
  read_often(other, 0);
  EXPECT_EQ(here(fd), OFTEN * BLOCK);
}
CASE(fdinfo_tells_the_position) {
  int fd = make_file(O_RDONLY);
  for (int i = 0; i < OFTEN; i++) {
    read_block(fd, i, 0);
    char name[64], text[512], wanted[64];
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
    OK(read_file(name, text, sizeof text));
    snprintf(wanted, sizeof wanted, "pos:\t%d\n", (i + 1) * BLOCK);
    EXPECT(strstr(text, wanted) != NULL);
  }
}
CASE(sendfile_moves_the_position) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  int out = (int)OK(open("out", O_WRONLY | O_CREAT, 0644));
  EXPECT_EQ(sendfile(out, fd, NULL, 2 * BLOCK), 2 * BLOCK);
  read_block(fd, OFTEN + 2, 0);
}
CASE(exec_keeps_the_position) {
  int fd = make_file(O_RDONLY);
  read_often(fd, 0);
  OK(dup2(fd, 0));
  pid_t child = IN_CHILD({
    OK(dup2((int)OK(open("out", O_WRONLY | O_CREAT, 0644)), 1));
    execl("/bin/dd", "dd", "bs=64", "count=1", "status=none", (char*)NULL);
    _exit(77);
  });
  int status = wait_status(child);
  if (WEXITSTATUS(status) == 77) SKIP("no dd");
  EXPECT_EQ(status, 0);
  EXPECT_EQ(here(fd), (OFTEN + 1) * BLOCK);
  char got[BLOCK];
  int out = (int)OK(open("out", O_RDONLY));
  EXPECT_EQ(read(out, got, BLOCK), BLOCK);
  expect_block(got, OFTEN, 0);
}

// Threads and children in the same memory

static int shared_fd;
static void* read_in_thread(void* blocks) {
  for (int i = 0; i < OFTEN * 20; i++) pread_block(shared_fd, i % (int)(long)blocks, 0);
  return NULL;
}
CASE(threads_read_at_offsets_side_by_side) {
  shared_fd = make_file(O_RDONLY);
  pread_often(shared_fd);
  pthread_t threads[4];
  for (long t = 0; t < 4; t++) EXPECT_ZERO(pthread_create(&threads[t], NULL, read_in_thread, (void*)(BLOCKS - t)));
  for (int t = 0; t < 4; t++) pthread_join(threads[t], NULL);
}
static void* read_in_order(void* counts) {
  int* seen = counts;
  char got[BLOCK];
  while (read(shared_fd, got, BLOCK) == BLOCK)
    for (int b = 0; b < BLOCKS; b++)
      if (got[0] == byte_of(b, 0)) __atomic_fetch_add(&seen[(unsigned char)got[0]], 1, __ATOMIC_RELAXED), b = BLOCKS;
  return NULL;
}
CASE(threads_share_one_position_and_no_block_is_read_twice) {
  shared_fd = make_file(O_RDONLY);
  static int seen[256], wanted[256];
  for (int b = 0; b < BLOCKS; b++) ++wanted[(unsigned char)byte_of(b, 0)];
  for (int i = 0; i < 50; i++) {
    char got[BLOCK];
    EXPECT_EQ(read(shared_fd, got, BLOCK), BLOCK);
    ++seen[(unsigned char)got[0]];
  }
  pthread_t threads[3];
  for (int t = 0; t < 3; t++) EXPECT_ZERO(pthread_create(&threads[t], NULL, read_in_order, seen));
  for (int t = 0; t < 3; t++) pthread_join(threads[t], NULL);
  for (int i = 0; i < 256; i++) EXPECT_EQ(seen[i], wanted[i]);
  EXPECT_EQ(here(shared_fd), SIZE);
}
static void* close_in_thread(void* unused) {
  close(shared_fd);
  return unused;
}
CASE(a_descriptor_that_another_thread_closes_is_ebadf) {
  shared_fd = make_file(O_RDONLY);
  pread_often(shared_fd);
  pthread_t thread;
  EXPECT_ZERO(pthread_create(&thread, NULL, close_in_thread, NULL));
  pthread_join(thread, NULL);
  char got[BLOCK];
  EXPECT_ERRNO(pread(shared_fd, got, BLOCK, 0), EBADF);
}
static void* other_table(void* file) {
  OK(unshare(CLONE_FILES));
  OK(dup2((int)(long)file, shared_fd));
  char got[BLOCK];
  for (int i = 0; i < OFTEN; i++) {
    EXPECT_EQ(pread(shared_fd, got, BLOCK, 0), 5);
    EXPECT_EQ(memcmp(got, "other", 5), 0);
    pread_block(50, i, 0);
  }
  return NULL;
}
CASE(a_thread_with_its_own_table_reads_its_own_files) {
  shared_fd = make_file(O_RDONLY);
  pread_often(shared_fd);
  write_file("g", "other");
  int other = (int)OK(open("g", O_RDONLY));
  OK(dup2(shared_fd, 50));
  pthread_t thread;
  EXPECT_ZERO(pthread_create(&thread, NULL, other_table, (void*)(long)other));
  for (int i = 0; i < OFTEN * 10; i++) pread_block(shared_fd, i % BLOCKS, 0);
  pthread_join(thread, NULL);
  pread_often(shared_fd);
}
static char vfork_result;
static int in_vfork_child(void* other) {
  char got[BLOCK];
  vfork_result = 1;
  if (dup2((int)(long)other, shared_fd) != shared_fd) return 1;
  if (pread(shared_fd, got, BLOCK, 0) != 5 || memcmp(got, "other", 5) != 0) return 1;
  vfork_result = 0;
  return 0;
}
CASE(a_vfork_child_reads_its_own_files) {
  shared_fd = make_file(O_RDONLY);
  read_often(shared_fd, 0);
  pread_often(shared_fd);
  write_file("g", "other");
  long other = OK(open("g", O_RDONLY));
  static char stack[65536];
  pid_t child = (pid_t)OK(clone(in_vfork_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, (void*)other));
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(vfork_result, 0);
  read_block(shared_fd, OFTEN, 0);
  pread_often(shared_fd);
}
CASE(a_process_that_shares_the_table_closes_it) {
  shared_fd = make_file(O_RDONLY);
  read_often(shared_fd, 0);
  static char stack[65536];
  pid_t child =
      (pid_t)OK(clone((int (*)(void*))(void*)close_in_thread, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL));
  wait_status(child);
  char got[BLOCK];
  EXPECT_ERRNO(pread(shared_fd, got, BLOCK, 0), EBADF);
}

// Who watches

CASE(a_watch_that_comes_later_hears_of_each_read) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  int watcher = (int)OK(inotify_init1(IN_NONBLOCK));
  OK(inotify_add_watch(watcher, "f", IN_ACCESS));
  _Alignas(struct inotify_event) char events[4096];
  for (int i = 0; i < OFTEN; i++) {
    pread_block(fd, i, 0);
    EXPECT_EQ(read(watcher, events, sizeof events), sizeof(struct inotify_event));
  }
}
CASE(the_time_of_access_follows_that_of_modification) {
  int fd = make_file(O_RDWR);
  pread_often(fd);
  struct timespec const old[2] = {{1000, 0}, {2000, 0}};
  OK(futimens(fd, old));
  struct stat st;
  for (int i = 0; i < OFTEN; i++) pread_block(fd, i, 0);
  OK(fstat(fd, &st));
  if (st.st_atim.tv_sec == 1000) SKIP("times of access are not kept here");
  EXPECT(st.st_atim.tv_sec > 2000);
}
CASE(proc_self_io_counts_the_reads) {
  int fd = make_file(O_RDONLY);
  char text[512];
  if (read_file("/proc/self/io", text, sizeof text) < 0) SKIP("no /proc/self/io");
  long long before = atoll(strstr(text, "rchar: ") + 7), calls = atoll(strstr(text, "syscr: ") + 7);
  for (int i = 0; i < OFTEN * 10; i++) pread_block(fd, i % BLOCKS, 0);
  OK(read_file("/proc/self/io", text, sizeof text));
  EXPECT(atoll(strstr(text, "rchar: ") + 7) - before >= OFTEN * 10 * BLOCK);
  EXPECT(atoll(strstr(text, "syscr: ") + 7) - calls >= OFTEN * 10);
}
CASE(a_filter_that_comes_later_decides_on_each_read) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  read_often(fd, 0);
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pread64, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lseek, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOANO),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof code[0], code};
  OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
  char got[BLOCK];
  for (int i = 0; i < OFTEN; i++) {
    EXPECT_ERRNO(pread(fd, got, BLOCK, 0), ENOANO);
    EXPECT_ERRNO(lseek(fd, 0, SEEK_CUR), ENOANO);
    read_block(fd, OFTEN + i, 0);
  }
}
static volatile sig_atomic_t signals;
static void count(int signal_number) { signals++; }
CASE(signals_arrive_between_reads) {
  int fd = make_file(O_RDONLY);
  pread_often(fd);
  pid_t parent = getpid();
  pid_t child = IN_CHILD({
    for (int i = 0; i < 50; i++) {
      sleep_ms(1);
      OK(kill(parent, SIGUSR1));
    }
  });
  struct sigaction action = {.sa_handler = count};
  OK(sigaction(SIGUSR1, &action, NULL));
  int64_t until = now_ns(CLOCK_MONOTONIC) + 5000000000;
  for (int i = 0; signals == 0 || waitpid(child, NULL, WNOHANG) == 0; i++) {
    pread_block(fd, i % BLOCKS, 0);
    if (now_ns(CLOCK_MONOTONIC) > until) FAIL("no signal in 5 s");
  }
}

// Devices

CASE(dev_null_takes_everything_and_gives_nothing) {
  int fd = (int)OK(open("/dev/null", O_RDWR));
  char got[BLOCK];
  for (int i = 0; i < OFTEN; i++) {
    EXPECT_EQ(write(fd, got, BLOCK), BLOCK);
    EXPECT_EQ(read(fd, got, BLOCK), 0);
  }
  EXPECT_EQ(write(fd, (void*)8, 100), 100);
  EXPECT_ERRNO(write(fd, (void*)-4096L, 100), EFAULT);
  EXPECT_EQ(write(fd, got, 0), 0);
  EXPECT_EQ(lseek(fd, 100, SEEK_SET), 0);
}
CASE(dev_null_for_reading_alone_takes_nothing) {
  int fd = (int)OK(open("/dev/null", O_RDONLY)), out = (int)OK(open("/dev/null", O_WRONLY));
  char got[BLOCK];
  for (int i = 0; i < OFTEN; i++) {
    EXPECT_EQ(read(fd, got, BLOCK), 0);
    EXPECT_ERRNO(write(fd, got, BLOCK), EBADF);
    EXPECT_EQ(write(out, got, BLOCK), BLOCK);
    EXPECT_ERRNO(read(out, got, BLOCK), EBADF);
  }
}
CASE(dev_zero_gives_zeros) {
  int fd = (int)OK(open("/dev/zero", O_RDWR));
  static char got[100000];
  for (int i = 0; i < OFTEN; i++) {
    memset(got, 1, sizeof got);
    size_t n = (size_t)i * 1000 + 1;
    EXPECT_EQ(read(fd, got, n), n);
    for (size_t k = 0; k < n; k++)
      if (got[k] != 0) FAIL("byte %zu is %d", k, got[k]);
    EXPECT_EQ(got[n], 1);
    EXPECT_EQ(write(fd, got, n), n);
  }
  EXPECT_ERRNO(read(fd, (void*)8, 10), EFAULT);
}
CASE(dev_full_stays_full) {
  int fd = (int)OK(open("/dev/full", O_RDWR));
  char got[BLOCK];
  for (int i = 0; i < OFTEN; i++) {
    EXPECT_EQ(read(fd, got, BLOCK), BLOCK);
    EXPECT_ERRNO(write(fd, got, BLOCK), ENOSPC);
  }
}
CASE(dev_null_by_a_number_that_is_reused) {
  int fd = (int)OK(open("/dev/null", O_WRONLY));
  for (int i = 0; i < OFTEN; i++) EXPECT_EQ(write(fd, "x", 1), 1);
  int pipes[2];
  OK(pipe(pipes));
  OK(dup2(pipes[1], fd));
  EXPECT_EQ(write(fd, "abc", 3), 3);
  char got[8];
  EXPECT_EQ(read(pipes[0], got, sizeof got), 3);
}
