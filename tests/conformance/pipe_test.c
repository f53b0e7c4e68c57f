// pipe(2), pipe2(2), pipe(7).
#define CONFORMANCE_FILES
#include "conformance.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

static void make_pipe(int fds[2], int flags) { OK(pipe2(fds, flags)); }

CASE(what_is_written_is_read) {
  int p[2];
  char buffer[16] = {0};
  make_pipe(p, 0);
  EXPECT_EQ(write(p[1], "hello", 5), 5);
  EXPECT_EQ(read(p[0], buffer, sizeof buffer), 5);
  EXPECT_STR(buffer, "hello");
}

CASE(read_takes_what_is_there_and_leaves_the_rest) {
  int p[2];
  char buffer[16] = {0};
  make_pipe(p, 0);
  EXPECT_EQ(write(p[1], "abcdef", 6), 6);
  EXPECT_EQ(read(p[0], buffer, 2), 2);
  EXPECT_EQ(read(p[0], buffer + 2, 10), 4);
  EXPECT_STR(buffer, "abcdef");
}

CASE(read_of_empty_pipe_without_writers_is_end_of_file) {
  int p[2];
  char byte;
  make_pipe(p, 0);
  close(p[1]);
  EXPECT_EQ(read(p[0], &byte, 1), 0);
}

CASE(data_written_before_the_writer_closed_is_still_read) {
  int p[2];
  char buffer[8] = {0};
  make_pipe(p, 0);
  OK(write(p[1], "x", 1));
  close(p[1]);
  EXPECT_EQ(read(p[0], buffer, 8), 1);
  EXPECT_EQ(read(p[0], buffer, 8), 0);
}

CASE(write_without_readers_raises_sigpipe) {
  pid_t child = IN_CHILD({
    int p[2];
    make_pipe(p, 0);
    close(p[0]);
    write(p[1], "x", 1);
  });
  EXPECT_KILLED(child, SIGPIPE);
}

CASE(write_without_readers_and_sigpipe_ignored_is_epipe) {
  int p[2];
  make_pipe(p, 0);
  close(p[0]);
  signal(SIGPIPE, SIG_IGN);
  EXPECT_ERRNO(write(p[1], "x", 1), EPIPE);
}

CASE(write_of_nothing_without_readers_is_zero) {
  int p[2];
  make_pipe(p, 0);
  close(p[0]);
  EXPECT_EQ(write(p[1], "", 0), 0);
}

CASE(nonblocking_read_of_empty_pipe_is_eagain) {
  int p[2];
  char byte;
  make_pipe(p, O_NONBLOCK);
  EXPECT_ERRNO(read(p[0], &byte, 1), EAGAIN);
}

CASE(nonblocking_write_to_full_pipe_is_eagain) {
  int p[2];
  static char block[65536];
  make_pipe(p, O_NONBLOCK);
  EXPECT_EQ(write(p[1], block, sizeof block), sizeof block);
  EXPECT_ERRNO(write(p[1], "x", 1), EAGAIN);
}

CASE(nonblocking_write_larger_than_the_room_is_partial) {
  int p[2];
  static char block[100000];
  make_pipe(p, O_NONBLOCK);
  EXPECT_EQ(write(p[1], block, sizeof block), 65536);
}

CASE(small_nonblocking_write_is_all_or_nothing) {
  int p[2];
  static char block[65536];
  make_pipe(p, O_NONBLOCK);
  EXPECT_EQ(write(p[1], block, 65536 - 100), 65536 - 100);
  EXPECT_ERRNO(write(p[1], block, PAGE), EAGAIN);
}

CASE(reading_from_the_write_end_is_ebadf) {
  int p[2];
  char byte;
  make_pipe(p, 0);
  EXPECT_ERRNO(read(p[1], &byte, 1), EBADF);
}

CASE(writing_to_the_read_end_is_ebadf) {
  int p[2];
  make_pipe(p, 0);
  EXPECT_ERRNO(write(p[0], "x", 1), EBADF);
}

CASE(lseek_is_espipe) {
  int p[2];
  make_pipe(p, 0);
  EXPECT_ERRNO(lseek(p[0], 0, SEEK_SET), ESPIPE);
}

CASE(pread_is_espipe) {
  int p[2];
  char byte;
  make_pipe(p, 0);
  EXPECT_ERRNO(pread(p[0], &byte, 1, 0), ESPIPE);
}

CASE(ftruncate_is_einval) {
  int p[2];
  make_pipe(p, 0);
  EXPECT_ERRNO(ftruncate(p[1], 0), EINVAL);
}

CASE(pipe2_with_an_unknown_flag_is_einval) {
  int p[2];
  EXPECT_ERRNO(pipe2(p, 0x1), EINVAL);
}

CASE(pipe2_to_a_bad_address_is_efault) { EXPECT_ERRNO(syscall(SYS_pipe2, (int*)8, 0), EFAULT); }

CASE(pipe2_sets_close_on_exec_and_nonblock) {
  int p[2];
  make_pipe(p, O_CLOEXEC | O_NONBLOCK);
  EXPECT_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(p[1], F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | O_WRONLY);
  EXPECT_EQ(fcntl(p[0], F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | O_RDONLY);
}

CASE(blocked_reader_is_woken_by_a_write) {
  int p[2];
  char byte = 0;
  make_pipe(p, 0);
  pid_t child = IN_CHILD({
    sleep_ms(20);
    OK(write(p[1], "z", 1));
  });
  EXPECT_EQ(read(p[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'z');
  EXPECT_EXIT(child, 0);
}

CASE(blocked_reader_is_woken_by_the_last_writer_closing) {
  int p[2];
  char byte = 0;
  make_pipe(p, 0);
  pid_t child = IN_CHILD({
    sleep_ms(20);
    close(p[1]);
  });
  close(p[1]);
  EXPECT_EQ(read(p[0], &byte, 1), 0);
  EXPECT_EXIT(child, 0);
}

CASE(blocked_writer_is_woken_by_a_read) {
  int p[2];
  static char block[65536 + 10];
  make_pipe(p, 0);
  pid_t child = IN_CHILD({
    static char in[65536 + 10];
    size_t have = 0;
    close(p[1]);
    sleep_ms(20);
    while (have < sizeof in) {
      ssize_t got = read(p[0], in + have, sizeof in - have);
      EXPECT(got > 0);
      have += (size_t)got;
    }
  });
  EXPECT_EQ(write(p[1], block, sizeof block), sizeof block);
  EXPECT_EXIT(child, 0);
}

CASE(fionread_tells_the_bytes_in_the_pipe) {
  int p[2], n = -1;
  make_pipe(p, 0);
  OK(write(p[1], "abcd", 4));
  OK(ioctl(p[0], FIONREAD, &n));
  EXPECT_EQ(n, 4);
}

CASE(default_capacity_is_64_kib) {
  int p[2];
  make_pipe(p, 0);
  EXPECT_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
}

CASE(capacity_can_be_set_and_is_rounded_to_a_power_of_two_of_pages) {
  int p[2];
  make_pipe(p, 0);
  EXPECT_EQ(fcntl(p[1], F_SETPIPE_SZ, 5000), 8192);
  EXPECT_EQ(fcntl(p[0], F_GETPIPE_SZ), 8192);
}

CASE(capacity_below_the_content_is_ebusy) {
  int p[2];
  static char block[32768];
  make_pipe(p, 0);
  OK(write(p[1], block, sizeof block));
  EXPECT_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY);
}

CASE(fstat_says_fifo) {
  int p[2];
  struct stat st;
  make_pipe(p, 0);
  OK(fstat(p[0], &st));
  EXPECT(S_ISFIFO(st.st_mode));
  EXPECT_EQ(st.st_mode & 07777, 0600);
}

CASE(poll_tells_readable_writable_and_hangup) {
  int p[2];
  make_pipe(p, 0);
  struct pollfd in = {p[0], POLLIN, 0}, out = {p[1], POLLOUT, 0};
  EXPECT_EQ(poll(&in, 1, 0), 0);
  EXPECT_EQ(poll(&out, 1, 0), 1);
  EXPECT_EQ(out.revents, POLLOUT);
  OK(write(p[1], "x", 1));
  EXPECT_EQ(poll(&in, 1, 0), 1);
  EXPECT_EQ(in.revents, POLLIN);
  close(p[1]);
  EXPECT_EQ(poll(&in, 1, 0), 1);
  EXPECT_EQ(in.revents, POLLIN | POLLHUP);
}

CASE(poll_of_a_write_end_without_readers_is_pollerr) {
  int p[2];
  make_pipe(p, 0);
  close(p[0]);
  struct pollfd out = {p[1], POLLOUT, 0};
  EXPECT_EQ(poll(&out, 1, 0), 1);
  EXPECT(out.revents & POLLERR);
}

CASE(packet_mode_reads_one_packet_at_a_time) {
  int p[2];
  char buffer[16];
  make_pipe(p, O_DIRECT);
  OK(write(p[1], "aaa", 3));
  OK(write(p[1], "bb", 2));
  EXPECT_EQ(read(p[0], buffer, sizeof buffer), 3);
  EXPECT_EQ(read(p[0], buffer, sizeof buffer), 2);
}

CASE(writev_and_readv_gather_and_scatter) {
  int p[2];
  char a[3] = {0}, b[4] = {0};
  struct iovec out[2] = {{"ab", 2}, {"cde", 3}}, in[2] = {{a, 2}, {b, 3}};
  make_pipe(p, 0);
  EXPECT_EQ(writev(p[1], out, 2), 5);
  EXPECT_EQ(readv(p[0], in, 2), 5);
  EXPECT_STR(a, "ab");
  EXPECT_STR(b, "cde");
}

CASE(read_to_a_bad_address_is_efault) {
  int p[2];
  make_pipe(p, 0);
  OK(write(p[1], "x", 1));
  EXPECT_ERRNO(syscall(SYS_read, p[0], 8, 1), EFAULT);
}

// A page, and behind it none.
static char* end_of_memory(void) {
  char* page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(page != MAP_FAILED);
  OK(munmap(page + 4096, 4096));
  return page + 4096;
}
CASE(bytes_that_cannot_be_stored_stay_in_the_pipe) {
  int p[2];
  char bytes[100], got[200];
  char* end = end_of_memory();
  for (int i = 0; i < 100; i++) bytes[i] = (char)i;
  make_pipe(p, O_NONBLOCK);
  OK(write(p[1], bytes, 100));
  EXPECT_ERRNO(read(p[0], end, 100), EFAULT);
  EXPECT_ERRNO(read(p[0], end - 40, 100), EFAULT);
  EXPECT_EQ(read(p[0], got, 200), 100);
  EXPECT(memcmp(got, bytes, 100) == 0);
}
CASE(the_first_of_two_writes_is_read_when_the_second_cannot_be_stored) {
  int p[2];
  char got[4096] = {0};
  char* end = end_of_memory();
  make_pipe(p, O_NONBLOCK);
  EXPECT_EQ(write(p[1], got, sizeof got), sizeof got);  // a page is full
  OK(write(p[1], "second", 6));
  struct iovec in[2] = {{end - 4096, 4096}, {end, 6}};
  EXPECT_EQ(readv(p[0], in, 2), 4096);
  EXPECT_EQ(read(p[0], got, sizeof got), 6);
  EXPECT(memcmp(got, "second", 6) == 0);
}

CASE(fifo_open_for_reading_waits_for_a_writer) {
  OK(mkfifo("fifo", 0600));
  pid_t child = IN_CHILD({
    int fd = (int)OK(open("fifo", O_WRONLY));
    OK(write(fd, "f", 1));
  });
  int fd = (int)OK(open("fifo", O_RDONLY));
  char byte = 0;
  EXPECT_EQ(read(fd, &byte, 1), 1);
  EXPECT_EQ(byte, 'f');
  EXPECT_EXIT(child, 0);
}

CASE(fifo_nonblocking_open_for_writing_without_a_reader_is_enxio) {
  OK(mkfifo("fifo", 0600));
  EXPECT_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
}

CASE(fifo_nonblocking_open_for_reading_succeeds) {
  OK(mkfifo("fifo", 0600));
  int fd = (int)OK(open("fifo", O_RDONLY | O_NONBLOCK));
  char byte;
  EXPECT_EQ(read(fd, &byte, 1), 0);
}

CASE(proc_self_fd_names_the_pipe) {
  int p[2];
  char path[64], name[64] = {0}, want[64];
  struct stat st;
  make_pipe(p, 0);
  OK(fstat(p[0], &st));
  snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
  OK(readlink(path, name, sizeof name - 1));
  snprintf(want, sizeof want, "pipe:[%lu]", (unsigned long)st.st_ino);
  EXPECT_STR(name, want);
}

CASE(splice_moves_between_pipes) {
  int a[2], b[2];
  char buffer[8] = {0};
  make_pipe(a, 0);
  make_pipe(b, 0);
  OK(write(a[1], "move", 4));
  EXPECT_EQ(splice(a[0], NULL, b[1], NULL, 4, 0), 4);
  EXPECT_EQ(read(b[0], buffer, 8), 4);
  EXPECT_STR(buffer, "move");
}

CASE(tee_copies_without_consuming) {
  int a[2], b[2];
  char buffer[8] = {0};
  make_pipe(a, 0);
  make_pipe(b, 0);
  OK(write(a[1], "both", 4));
  EXPECT_EQ(tee(a[0], b[1], 4, 0), 4);
  EXPECT_EQ(read(a[0], buffer, 8), 4);
  EXPECT_EQ(read(b[0], buffer, 8), 4);
  EXPECT_STR(buffer, "both");
}
CASE(vmsplice_moves_memory_into_a_pipe_and_out_of_it) {
  int ends[2];
  OK(pipe(ends));
  char a[4] = "one", b[4] = "two", back[8] = {0};
  struct iovec v[2] = {{a, 3}, {b, 3}}, to = {back, 7};
  EXPECT_EQ(vmsplice(ends[1], v, 2, 0), 6);
  EXPECT_EQ(vmsplice(ends[0], &to, 1, 0), 6);
  EXPECT_STR(back, "onetwo");
  EXPECT_ERRNO(vmsplice(ends[0], &to, 1, SPLICE_F_NONBLOCK), EAGAIN);
  EXPECT_EQ(vmsplice(ends[0], &to, 0, 0), 0);
}
CASE(vmsplice_checks_its_arguments) {
  int ends[2], file = (int)OK(open("/proc/self/exe", O_RDONLY));
  OK(pipe(ends));
  char byte = 0;
  struct iovec v = {&byte, 1};
  EXPECT_ERRNO(vmsplice(file, &v, 1, 0), EBADF);
  EXPECT_ERRNO(vmsplice(ends[1], &v, 1, 0x100), EINVAL);
  EXPECT_ERRNO(vmsplice(ends[1], (void*)64, 1, 0), EFAULT);
  OK(close(ends[0]));
  signal(SIGPIPE, SIG_IGN);
  EXPECT_ERRNO(vmsplice(ends[1], &v, 1, 0), EPIPE);
}
