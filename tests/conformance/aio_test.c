// Linux AIO: io_setup, io_submit, io_getevents, io_cancel, io_destroy.
#define CONFORMANCE_FILES
#include "conformance.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

static aio_context_t context;

static void set_up(unsigned n) { OK(syscall(SYS_io_setup, n, &context)); }
static long submit(struct iocb* one) { return syscall(SYS_io_submit, context, 1L, &one); }
static long get(long least, long most, struct io_event* events, struct timespec* limit) {
  return syscall(SYS_io_getevents, context, least, most, events, limit);
}
static struct iocb request(int operation, int fd, void* buffer, size_t length, long offset) {
  return (struct iocb){.aio_lio_opcode = (uint16_t)operation,
                       .aio_fildes = (uint32_t)fd,
                       .aio_buf = (uint64_t)(uintptr_t)buffer,
                       .aio_nbytes = length,
                       .aio_offset = offset,
                       .aio_data = 77};
}
static int test_file(void) { return (int)OK(open("f", O_RDWR | O_CREAT, 0644)); }

CASE(aio_write_and_read_move_bytes_at_an_offset) {
  set_up(4);
  int fd = test_file();
  char text[8] = "abcdefg", back[8] = {0};
  struct iocb w = request(IOCB_CMD_PWRITE, fd, text, 7, 100), r = request(IOCB_CMD_PREAD, fd, back, 8, 100);
  struct io_event e;
  EXPECT_EQ(submit(&w), 1);
  EXPECT_EQ(get(1, 1, &e, NULL), 1);
  EXPECT_EQ(e.res, 7);
  EXPECT_EQ(e.data, 77);
  EXPECT_EQ(e.obj, (uintptr_t)&w);
  EXPECT_EQ(submit(&r), 1);
  EXPECT_EQ(get(1, 1, &e, NULL), 1);
  EXPECT_EQ(e.res, 7);
  EXPECT_STR(back, "abcdefg");
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
}
CASE(aio_vectors_and_several_requests_at_once) {
  set_up(8);
  int fd = test_file();
  char a[4] = "one", b[4] = "two";
  struct iovec v[2] = {{a, 3}, {b, 3}};
  struct iocb first = request(IOCB_CMD_PWRITEV, fd, v, 2, 0), second = request(IOCB_CMD_FSYNC, fd, NULL, 0, 0);
  struct iocb* both[2] = {&first, &second};
  EXPECT_EQ(syscall(SYS_io_submit, context, 2L, both), 2);
  struct io_event events[4];
  EXPECT_EQ(get(2, 4, events, NULL), 2);
  EXPECT_EQ(events[0].res + events[1].res, 6);
  char text[16] = {0};
  EXPECT_EQ(pread(fd, text, 15, 0), 6);
  EXPECT_STR(text, "onetwo");
}
CASE(aio_read_into_bad_memory_is_an_event) {
  set_up(1);
  int fd = test_file();
  EXPECT_EQ(pwrite(fd, "x", 1, 0), 1);
  struct iocb r = request(IOCB_CMD_PREAD, fd, (void*)64, 1, 0);
  struct io_event e;
  EXPECT_EQ(submit(&r), 1);
  EXPECT_EQ(get(1, 1, &e, NULL), 1);
  EXPECT_EQ(e.res, -EFAULT);
}
CASE(aio_submit_checks_its_arguments) {
  set_up(1);
  int fd = test_file(), read_only = (int)OK(open("f", O_RDONLY));
  char byte = 0;
  struct iocb bad = request(IOCB_CMD_PWRITE, 999, &byte, 1, 0);
  EXPECT_ERRNO(submit(&bad), EBADF);
  bad = request(IOCB_CMD_PWRITE, read_only, &byte, 1, 0);
  EXPECT_ERRNO(submit(&bad), EBADF);
  bad = request(99, fd, &byte, 1, 0);
  EXPECT_ERRNO(submit(&bad), EINVAL);
  bad = request(IOCB_CMD_PREAD, fd, &byte, 1, -1);
  EXPECT_ERRNO(submit(&bad), EINVAL);
  bad = request(IOCB_CMD_PREAD, fd, &byte, 1, 0);
  bad.aio_reserved2 = 1;
  EXPECT_ERRNO(submit(&bad), EINVAL);
  bad = request(IOCB_CMD_PREAD, fd, &byte, 1, 0);
  bad.aio_flags = IOCB_FLAG_RESFD;
  bad.aio_resfd = (uint32_t)fd;
  EXPECT_ERRNO(submit(&bad), EINVAL);
  EXPECT_ERRNO(syscall(SYS_io_submit, context, -1L, NULL), EINVAL);
  EXPECT_ERRNO(syscall(SYS_io_submit, context, 1L, (void*)64), EFAULT);
  EXPECT_ERRNO(syscall(SYS_io_submit, 12345L, 1L, NULL), EINVAL);
  EXPECT_EQ(syscall(SYS_io_submit, context, 0L, NULL), 0);
}
CASE(aio_submits_up_to_the_first_bad_request) {
  set_up(4);
  int fd = test_file();
  char byte = 'x';
  struct iocb good = request(IOCB_CMD_PWRITE, fd, &byte, 1, 0), bad = request(99, fd, &byte, 1, 0);
  struct iocb* list[3] = {&good, &bad, &good};
  EXPECT_EQ(syscall(SYS_io_submit, context, 3L, list), 1);
}
CASE(aio_setup_checks_its_arguments) {
  aio_context_t used = 1, fresh = 0;
  EXPECT_ERRNO(syscall(SYS_io_setup, 1, &used), EINVAL);
  EXPECT_ERRNO(syscall(SYS_io_setup, 0, &fresh), EINVAL);
  EXPECT_ERRNO(syscall(SYS_io_setup, 1, (void*)64), EFAULT);
  EXPECT_ERRNO(syscall(SYS_io_setup, 0x7fffffff, &fresh), EINVAL);
  EXPECT_ERRNO(syscall(SYS_io_setup, 0x300000, &fresh), EAGAIN);
}
CASE(aio_destroy_ends_the_context) {
  set_up(1);
  OK(syscall(SYS_io_destroy, context));
  EXPECT_ERRNO(syscall(SYS_io_destroy, context), EINVAL);
  struct io_event e;
  EXPECT_ERRNO(get(0, 1, &e, NULL), EINVAL);
}
static void* destroy_soon(void* unused) {
  (void)unused;
  usleep(50000);
  OK(syscall(SYS_io_destroy, context));
  return NULL;
}
CASE(aio_destroy_ends_a_wait_for_events) {
  set_up(4);
  pthread_t other;
  EXPECT_ZERO(pthread_create(&other, NULL, destroy_soon, NULL));
  struct io_event e;
  EXPECT_ERRNO(get(1, 1, &e, NULL), EINVAL);
  EXPECT_ZERO(pthread_join(other, NULL));
}
CASE(aio_getevents_waits_no_longer_than_its_time) {
  set_up(1);
  struct io_event e;
  struct timespec limit = {.tv_nsec = 20000000};
  int64_t before = now_ns(CLOCK_MONOTONIC);
  EXPECT_EQ(get(1, 1, &e, &limit), 0);
  EXPECT(now_ns(CLOCK_MONOTONIC) - before >= 20000000);
  EXPECT_EQ(get(0, 1, &e, NULL), 0);
  EXPECT_ERRNO(get(2, 1, &e, NULL), EINVAL);
}
CASE(aio_tells_an_eventfd) {
  set_up(2);
  int fd = test_file(), notified = (int)OK(eventfd(0, EFD_NONBLOCK));
  char byte = 'x';
  struct iocb w = request(IOCB_CMD_PWRITE, fd, &byte, 1, 0);
  w.aio_flags = IOCB_FLAG_RESFD;
  w.aio_resfd = (uint32_t)notified;
  EXPECT_EQ(submit(&w), 1);
  struct io_event e;
  EXPECT_EQ(get(1, 1, &e, NULL), 1);
  uint64_t count;
  EXPECT_EQ(read(notified, &count, 8), 8);
  EXPECT_EQ(count, 1);
}
CASE(aio_poll_completes_when_the_file_is_ready) {
  set_up(2);
  int ends[2];
  OK(pipe(ends));
  struct iocb p = {.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = (uint32_t)ends[0], .aio_buf = POLLIN};
  struct io_event e;
  struct timespec none = {0};
  EXPECT_EQ(submit(&p), 1);
  EXPECT_EQ(get(1, 1, &e, &none), 0);
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_EQ(get(1, 1, &e, NULL), 1);
  EXPECT(e.res & POLLIN);
  EXPECT_EQ(submit(&p), 1);
  EXPECT_EQ(get(1, 1, &e, NULL), 1);
}
CASE(aio_poll_can_be_cancelled) {
  set_up(2);
  int ends[2];
  OK(pipe(ends));
  struct iocb p = {.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = (uint32_t)ends[0], .aio_buf = POLLIN};
  struct io_event e;
  EXPECT_EQ(submit(&p), 1);
  EXPECT_ERRNO(syscall(SYS_io_cancel, context, &p, &e), EINPROGRESS);
  EXPECT_EQ(get(1, 1, &e, NULL), 1);
  EXPECT_EQ(e.res, 0);
  EXPECT_ERRNO(syscall(SYS_io_cancel, context, &p, &e), EINVAL);
}
CASE(aio_contexts_are_not_the_childs) {
  set_up(1);
  pid_t child = IN_CHILD({
    struct io_event e;
    EXPECT_ERRNO(get(0, 1, &e, NULL), EINVAL);
  });
  EXPECT_EXIT(child, 0);
}
