// Paths and what stands at their ends: openat2's resolve flags, AT_EMPTY_PATH, O_PATH, O_TMPFILE, renameat2, xattrs,
// statx, copies within the kernel, holes, locks of open files, directories that change while they are read.
#define CONFORMANCE_FILES
#include "conformance.h"

#include <grp.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static bool exists(const char* path) {
  struct stat st;
  return lstat(path, &st) == 0;
}
static void touch(const char* path) { write_file(path, ""); }
static long openat2(int directory, const char* path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags, .resolve = resolve};
  return syscall(SYS_openat2, directory, path, &how, sizeof how);
}
static int make(const char* path, const char* text) {
  write_file(path, text);
  return (int)OK(open(path, O_RDWR));
}

CASE(openat2_beneath_allows_what_stays_below) {
  OK(mkdir("d", 0755));
  OK(mkdir("d/e", 0755));
  touch("d/f");
  OK(symlink("../f", "d/e/up"));
  OK(symlink("../../f", "d/e/out"));
  OK(symlink("/etc", "d/absolute"));
  int d = (int)OK(open("d", O_PATH | O_DIRECTORY));
  OK(openat2(d, "e/../f", O_RDONLY, RESOLVE_BENEATH));
  OK(openat2(d, "e/up", O_RDONLY, RESOLVE_BENEATH));
  EXPECT_ERRNO(openat2(d, "..", O_RDONLY, RESOLVE_BENEATH), EXDEV);
  EXPECT_ERRNO(openat2(d, "e/out", O_RDONLY, RESOLVE_BENEATH), EXDEV);
  EXPECT_ERRNO(openat2(d, "absolute", O_RDONLY, RESOLVE_BENEATH), EXDEV);
  EXPECT_ERRNO(openat2(d, "/etc", O_RDONLY, RESOLVE_BENEATH), EXDEV);
}
CASE(openat2_in_root_makes_the_directory_the_root) {
  OK(mkdir("d", 0755));
  touch("d/f");
  OK(symlink("/f", "d/l"));
  OK(symlink("../../../f", "d/up"));
  int d = (int)OK(open("d", O_PATH | O_DIRECTORY));
  OK(openat2(d, "/f", O_RDONLY, RESOLVE_IN_ROOT));
  OK(openat2(d, "l", O_RDONLY, RESOLVE_IN_ROOT));
  OK(openat2(d, "up", O_RDONLY, RESOLVE_IN_ROOT));
  OK(openat2(d, "../../f", O_RDONLY, RESOLVE_IN_ROOT));
  EXPECT_ERRNO(openat2(d, "f", O_RDONLY, RESOLVE_IN_ROOT | RESOLVE_BENEATH), EINVAL);
}
CASE(openat2_no_magiclinks_refuses_proc_fd) {
  int fd = make("f", "");
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  EXPECT_ERRNO(openat2(AT_FDCWD, path, O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);
  OK(openat2(AT_FDCWD, "f", O_RDONLY, RESOLVE_NO_MAGICLINKS));
  OK(openat2(AT_FDCWD, path, O_PATH | O_NOFOLLOW, RESOLVE_NO_MAGICLINKS));
}
CASE(openat2_no_symlinks_allows_the_link_itself_with_o_path) {
  touch("f");
  OK(symlink("f", "l"));
  EXPECT_ERRNO(openat2(AT_FDCWD, "l", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
  OK(openat2(AT_FDCWD, "l", O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS));
}
CASE(openat2_checks_how) {
  struct {
    struct open_how how;
    uint64_t more;
  } big = {.how = {.flags = O_RDONLY}};
  touch("f");
  OK(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof big));
  big.more = 1;
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof big), E2BIG);
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &big, 8), EINVAL);
  struct open_how mode = {.flags = O_RDONLY, .mode = 0600};
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &mode, sizeof mode), EINVAL);
  struct open_how bad_mode = {.flags = O_CREAT | O_RDWR, .mode = 010000};
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, "g", &bad_mode, sizeof bad_mode), EINVAL);
}
CASE(o_path_descriptors_name_and_do_nothing_else) {
  write_file("f", "text");
  int fd = (int)OK(open("f", O_PATH));
  char byte;
  EXPECT_ERRNO(read(fd, &byte, 1), EBADF);
  EXPECT_ERRNO(write(fd, &byte, 1), EBADF);
  EXPECT_ERRNO(fchmod(fd, 0600), EBADF);
  EXPECT_ERRNO(fchown(fd, 0, 0), EBADF);
  EXPECT_ERRNO(ftruncate(fd, 0), EBADF);
  EXPECT_ERRNO(ioctl(fd, 0x5401, &byte), EBADF);
  EXPECT_ERRNO(fgetxattr(fd, "user.x", &byte, 1), EBADF);
  EXPECT_ERRNO(flock(fd, LOCK_SH), EBADF);
  EXPECT_EQ(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED, 1);
  EXPECT_EQ(fcntl(fd, F_GETFL) & (O_PATH | O_ACCMODE), O_PATH);
  OK(close((int)OK(dup(fd))));
  struct stat st;
  OK(fstat(fd, &st));
  struct statvfs s;
  OK(fstatvfs(fd, &s));
}
CASE(o_path_of_a_directory_serves_as_start_and_fchdir) {
  OK(mkdir("d", 0111));
  int d = (int)OK(open("d", O_PATH | O_DIRECTORY));
  OK(chmod("d", 0755));
  int f = (int)OK(openat(d, "f", O_CREAT | O_RDWR, 0644));
  OK(close(f));
  OK(fchdir(d));
  EXPECT(exists("f"));
  char byte[64];
  EXPECT_ERRNO(syscall(SYS_getdents64, d, byte, sizeof byte), EBADF);
}
CASE(o_path_descriptors_reopen_through_proc) {
  write_file("f", "text");
  int fd = (int)OK(open("f", O_PATH));
  char path[64], text[8] = {0};
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int again = (int)OK(open(path, O_RDONLY));
  EXPECT_EQ(read(again, text, 8), 4);
}
CASE(empty_path_of_a_descriptor_without_a_place_is_no_link_and_no_program) {
  int p[2];
  char text[100] = {0};
  OK(pipe(p));
  int const descriptors[] = {0, p[0]};
  for (int i = 0; i < 2; i++) {
    char* none[] = {NULL};
    EXPECT_ERRNO(readlinkat(descriptors[i], "", text, sizeof text), ENOENT);
    EXPECT_ERRNO(syscall(SYS_execveat, descriptors[i], "", none, none, AT_EMPTY_PATH), EACCES);
    EXPECT_ERRNO(openat(descriptors[i], "", O_RDONLY), ENOENT);
    // What these give depends on what it is. They change nothing: natively standard input is the machine's.
    struct stat st;
    OK(fstat(descriptors[i], &st));
    (void)syscall(452 /* fchmodat2 */, descriptors[i], "", st.st_mode & 07777, AT_EMPTY_PATH);
    (void)!fchownat(descriptors[i], "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH);
    struct timespec const unchanged[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    (void)utimensat(descriptors[i], "", unchanged, AT_EMPTY_PATH);
    (void)faccessat(descriptors[i], "", R_OK, AT_EMPTY_PATH);
    (void)!linkat(descriptors[i], "", AT_FDCWD, "new", AT_EMPTY_PATH);
    (void)syscall(SYS_name_to_handle_at, descriptors[i], "", text, text, AT_EMPTY_PATH);
  }
}
CASE(empty_path_works_on_the_descriptor) {
  int fd = make("f", "text");
  struct stat st;
  OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
  EXPECT_EQ(st.st_size, 4);
  OK(fchownat(fd, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH));
  EXPECT_ERRNO(fstatat(fd, "", &st, 0), ENOENT);
  EXPECT_ERRNO(faccessat(fd, "", R_OK, 0), ENOENT);
  OK(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH));
  OK(symlink("target", "l"));
  int link = (int)OK(open("l", O_PATH | O_NOFOLLOW));
  char text[16] = {0};
  EXPECT_EQ(readlinkat(link, "", text, sizeof text), 6);
  EXPECT_STR(text, "target");
}
CASE(linkat_with_empty_path_names_an_open_file) {
  int fd = make("f", "text");
  if (linkat(fd, "", AT_FDCWD, "g", AT_EMPTY_PATH) != 0) {
    if (errno == ENOENT) SKIP("needs CAP_DAC_READ_SEARCH");
    FAIL("linkat: %s", strerror(errno));
  }
  struct stat st;
  OK(stat("g", &st));
  EXPECT_EQ(st.st_nlink, 2);
}
CASE(tmpfile_with_o_excl_cannot_be_named) {
  int fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
  if (fd < 0 && errno == EOPNOTSUPP) SKIP("no O_TMPFILE here");
  OK(fd);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  EXPECT_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), ENOENT);
  EXPECT_ERRNO(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
}
CASE(a_file_that_lost_its_last_name_gets_none_again) {
  int fd = make("f", "");
  OK(unlink("f"));
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  EXPECT_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW), ENOENT);
}
CASE(rename_noreplace_and_exchange_are_exclusive) {
  touch("a");
  EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
  EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 0x100), EINVAL);
  EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE), ENOENT);
}
CASE(rename_exchange_of_a_file_and_a_directory) {
  write_file("f", "text");
  OK(mkdir("d", 0755));
  touch("d/inside");
  OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_EXCHANGE));
  EXPECT(exists("f/inside"));
  char text[8];
  OK(read_file("d", text, sizeof text));
  EXPECT_STR(text, "text");
}
CASE(rename_exchange_across_directories_moves_dot_dot) {
  OK(mkdir("a", 0755));
  OK(mkdir("b", 0755));
  OK(mkdir("a/x", 0755));
  OK(mkdir("b/y", 0755));
  touch("b/marker");
  OK(renameat2(AT_FDCWD, "a/x", AT_FDCWD, "b/y", RENAME_EXCHANGE));
  EXPECT(exists("b/y/../marker"));
  EXPECT(!exists("a/x/../marker"));
}
CASE(rename_of_a_directory_below_itself_by_exchange_is_einval) {
  OK(mkdir("a", 0755));
  OK(mkdir("a/b", 0755));
  EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "a/b", RENAME_EXCHANGE), EINVAL);
}
CASE(rename_with_dots_is_ebusy) {
  OK(mkdir("a", 0755));
  EXPECT_ERRNO(rename("a/.", "b"), EBUSY);
  EXPECT_ERRNO(rename("a", "a/.."), EBUSY);
}
CASE(rename_with_trailing_slashes) {
  touch("f");
  OK(mkdir("d", 0755));
  EXPECT_ERRNO(rename("f/", "g"), ENOTDIR);
  EXPECT_ERRNO(rename("f", "g/"), ENOTDIR);
  OK(rename("d/", "e/"));
  EXPECT(exists("e"));
}
CASE(rename_keeps_the_cwd_and_open_directories) {
  OK(mkdir("d", 0755));
  touch("d/f");
  int d = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
  OK(chdir("d"));
  OK(rename("../d", "../e"));
  char here[512];
  EXPECT(getcwd(here, sizeof here));
  EXPECT_STR(strrchr(here, '/'), "/e");
  struct stat st;
  OK(fstatat(d, "f", &st, 0));
}
CASE(ctime_moves_with_rename_and_link) {
  touch("f");
  struct stat before, after;
  OK(stat("f", &before));
  sleep_ms(20);
  OK(link("f", "g"));
  OK(stat("f", &after));
  EXPECT(after.st_ctim.tv_sec > before.st_ctim.tv_sec ||
         (after.st_ctim.tv_sec == before.st_ctim.tv_sec && after.st_ctim.tv_nsec > before.st_ctim.tv_nsec));
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}
CASE(directory_times_move_with_its_entries) {
  OK(mkdir("d", 0755));
  struct stat before, after;
  OK(stat("d", &before));
  sleep_ms(20);
  touch("d/f");
  OK(stat("d", &after));
  EXPECT(after.st_mtim.tv_sec > before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
}
CASE(xattr_sizes_and_lists) {
  touch("f");
  if (setxattr("f", "user.a", "1", 1, 0) != 0) SKIP("no user xattrs here");
  OK(setxattr("f", "user.b", "", 0, 0));
  EXPECT_EQ(getxattr("f", "user.a", NULL, 0), 1);
  EXPECT_EQ(getxattr("f", "user.b", NULL, 0), 0);
  EXPECT_EQ(listxattr("f", NULL, 0), 14);
  char names[32];
  EXPECT_ERRNO(listxattr("f", names, 13), ERANGE);
  EXPECT_EQ(listxattr("f", names, 14), 14);
  OK(setxattr("f", "user.a", "22", 2, XATTR_REPLACE));
  EXPECT_EQ(getxattr("f", "user.a", names, 32), 2);
  EXPECT_ERRNO(setxattr("f", "user.c", "x", 1, XATTR_REPLACE), ENODATA);
  EXPECT_ERRNO(setxattr("f", "user.a", "x", 1, 4), EINVAL);
}
CASE(xattr_names_are_checked) {
  touch("f");
  char name[300];
  memset(name, 'x', sizeof name);
  memcpy(name, "user.", 5);
  name[299] = 0;
  EXPECT_ERRNO(setxattr("f", name, "x", 1, 0), ERANGE);
  EXPECT_ERRNO(setxattr("f", "", "x", 1, 0), ERANGE);
  EXPECT_ERRNO(setxattr("f", "nonsense.a", "x", 1, 0), EOPNOTSUPP);
  EXPECT_ERRNO(getxattr("f", "nonsense.a", name, 1), EOPNOTSUPP);
  EXPECT_ERRNO(setxattr("missing", "user.a", "x", 1, 0), ENOENT);
  EXPECT_ERRNO(setxattr("f", "user.a", "x", 70000, 0), E2BIG);
}
CASE(xattrs_of_links_and_special_files_are_not_the_users) {
  touch("f");
  OK(symlink("f", "l"));
  OK(mkfifo("p", 0644));
  EXPECT_ERRNO(lsetxattr("l", "user.a", "x", 1, 0), EPERM);
  EXPECT_ERRNO(setxattr("p", "user.a", "x", 1, 0), EPERM);
  char byte;
  EXPECT_ERRNO(lgetxattr("l", "user.a", &byte, 1), ENODATA);
}
CASE(xattrs_follow_rename_and_link) {
  touch("f");
  if (setxattr("f", "user.a", "1", 1, 0) != 0) SKIP("no user xattrs here");
  OK(rename("f", "g"));
  OK(link("g", "h"));
  char byte;
  EXPECT_EQ(getxattr("h", "user.a", &byte, 1), 1);
  OK(removexattr("h", "user.a"));
  EXPECT_ERRNO(getxattr("g", "user.a", &byte, 1), ENODATA);
}
CASE(xattr_of_a_file_of_another_needs_the_mode) {
  touch("f");
  if (setxattr("f", "user.a", "1", 1, 0) != 0) SKIP("no user xattrs here");
  OK(chmod("f", 0640));
  pid_t child = IN_CHILD({
    if (setresuid(1234, 1234, 1234) != 0) _exit(77);
    if (setgroups(0, NULL) != 0) errno = 0;
    char byte;
    EXPECT_ERRNO(setxattr("f", "user.a", "x", 1, 0), EACCES);
    (void)byte;
  });
  int status = wait_status(child);
  if (WEXITSTATUS(status) == 77) SKIP("not root");
  EXPECT_EQ(status, 0);
}
CASE(statx_tells_birth_and_mask) {
  touch("f");
  struct statx s;
  OK(statx(AT_FDCWD, "f", AT_STATX_SYNC_AS_STAT, STATX_ALL, &s));
  EXPECT_EQ(s.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  EXPECT_EQ(s.stx_size, 0);
  EXPECT_EQ(s.stx_nlink, 1);
  EXPECT(s.stx_blksize >= 512);
  if (s.stx_mask & STATX_BTIME) EXPECT(s.stx_btime.tv_sec > 0);
  OK(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_SIZE, &s));
  EXPECT_ERRNO(statx(AT_FDCWD, "f", AT_STATX_SYNC_TYPE, STATX_SIZE, &s), EINVAL);
  EXPECT_ERRNO(statx(AT_FDCWD, "f", 0x10, STATX_SIZE, &s), EINVAL);
}
CASE(copy_file_range_with_offsets_and_at_the_end) {
  int in = make("in", "0123456789"), out = make("out", "");
  off_t from = 2, to = 5;
  EXPECT_EQ(copy_file_range(in, &from, out, &to, 4, 0), 4);
  EXPECT_EQ(from, 6);
  EXPECT_EQ(to, 9);
  char text[16] = {0};
  EXPECT_EQ(pread(out, text, 16, 0), 9);
  EXPECT_EQ(memcmp(text, "\0\0\0\0\0002345", 9), 0);
  from = 10;
  EXPECT_EQ(copy_file_range(in, &from, out, &to, 4, 0), 0);
  EXPECT_ERRNO(copy_file_range(in, NULL, out, NULL, 4, 1), EINVAL);
  int d = (int)OK(open(".", O_RDONLY));
  EXPECT_ERRNO(copy_file_range(d, NULL, out, NULL, 4, 0), EISDIR);
}
CASE(copy_file_range_within_a_file_must_not_overlap) {
  int fd = make("f", "0123456789");
  off_t from = 0, to = 2;
  EXPECT_ERRNO(copy_file_range(fd, &from, fd, &to, 4, 0), EINVAL);
  to = 10;
  EXPECT_EQ(copy_file_range(fd, &from, fd, &to, 4, 0), 4);
  char text[16] = {0};
  EXPECT_EQ(pread(fd, text, 16, 0), 14);
  EXPECT_STR(text, "01234567890123");
}
CASE(copy_file_range_needs_reading_and_writing) {
  touch("f");
  touch("g");
  int read_only = (int)OK(open("f", O_RDONLY)), append = (int)OK(open("g", O_WRONLY | O_APPEND));
  int write_only = (int)OK(open("g", O_WRONLY));
  EXPECT_ERRNO(copy_file_range(write_only, NULL, write_only, NULL, 1, 0), EBADF);
  EXPECT_ERRNO(copy_file_range(read_only, NULL, read_only, NULL, 1, 0), EBADF);
  EXPECT_ERRNO(copy_file_range(read_only, NULL, append, NULL, 1, 0), EBADF);
}
CASE(sendfile_moves_offsets_as_asked) {
  int in = make("in", "0123456789"), out = make("out", "");
  off_t at = 3;
  EXPECT_EQ(sendfile(out, in, &at, 4), 4);
  EXPECT_EQ(at, 7);
  EXPECT_EQ(lseek(in, 0, SEEK_CUR), 0);
  EXPECT_EQ(lseek(out, 0, SEEK_CUR), 4);
  EXPECT_EQ(sendfile(out, in, NULL, 2), 2);
  EXPECT_EQ(lseek(in, 0, SEEK_CUR), 2);
  at = -1;
  EXPECT_ERRNO(sendfile(out, in, &at, 1), EINVAL);
}
CASE(splice_from_file_to_pipe_to_file) {
  int in = make("in", "0123456789"), out = make("out", ""), ends[2];
  OK(pipe(ends));
  off_t from = 1;
  EXPECT_EQ(splice(in, &from, ends[1], NULL, 5, 0), 5);
  EXPECT_EQ(from, 6);
  EXPECT_EQ(splice(ends[0], NULL, out, NULL, 5, SPLICE_F_MOVE), 5);
  char text[8] = {0};
  EXPECT_EQ(pread(out, text, 8, 0), 5);
  EXPECT_STR(text, "12345");
  EXPECT_ERRNO(splice(in, NULL, out, NULL, 1, 0), EINVAL);
  EXPECT_ERRNO(splice(ends[0], &from, out, NULL, 1, 0), ESPIPE);
  EXPECT_ERRNO(splice(ends[0], NULL, out, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
}
CASE(fallocate_modes) {
  int fd = make("f", "0123456789");
  struct stat st;
  if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 65536) != 0) SKIP("no fallocate here");
  OK(fstat(fd, &st));
  EXPECT_EQ(st.st_size, 10);
  EXPECT(st.st_blocks >= 128);
  OK(fallocate(fd, 0, 0, 8192));
  OK(fstat(fd, &st));
  EXPECT_EQ(st.st_size, 8192);
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
  char text[4];
  EXPECT_EQ(pread(fd, text, 4, 0), 4);
  EXPECT_EQ(memcmp(text, "\0\0\0\0", 4), 0);
  EXPECT_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
  EXPECT_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
  EXPECT_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
  int read_only = (int)OK(open("f", O_RDONLY)), ends[2];
  EXPECT_ERRNO(fallocate(read_only, 0, 0, 10), EBADF);
  OK(pipe(ends));
  EXPECT_ERRNO(fallocate(ends[1], 0, 0, 10), ESPIPE);
}
CASE(holes_are_found_and_read_as_zeros) {
  int fd = make("f", "");
  OK(ftruncate(fd, 1 << 20));
  EXPECT_EQ(pwrite(fd, "x", 1, 512 << 10), 1);
  EXPECT_EQ(lseek(fd, 0, SEEK_DATA), 512 << 10);
  EXPECT_EQ(lseek(fd, 0, SEEK_HOLE), 0);
  off_t hole = lseek(fd, 512 << 10, SEEK_HOLE);
  EXPECT(hole > (512 << 10) && hole <= (1 << 20));
  EXPECT_ERRNO(lseek(fd, 1 << 20, SEEK_DATA), ENXIO);
  EXPECT_ERRNO(lseek(fd, (512 << 10) + 65536, SEEK_DATA), ENXIO);
}
CASE(ofd_locks_and_posix_locks_conflict) {
  int a = make("f", "0123456789"), b = (int)OK(open("f", O_RDWR));
  struct flock lock = {.l_type = F_WRLCK, .l_start = 2, .l_len = 3};
  OK(fcntl(a, F_OFD_SETLK, &lock));
  struct flock other = {.l_type = F_RDLCK, .l_start = 4, .l_len = 1};
  EXPECT_ERRNO(fcntl(b, F_SETLK, &other), EAGAIN);
  OK(fcntl(b, F_GETLK, &other));
  EXPECT_EQ(other.l_type, F_WRLCK);
  EXPECT_EQ(other.l_pid, -1);
  EXPECT_EQ(other.l_start, 2);
  EXPECT_EQ(other.l_len, 3);
  lock.l_pid = 1;
  EXPECT_ERRNO(fcntl(a, F_OFD_SETLK, &lock), EINVAL);
}
CASE(locks_split_and_merge) {
  int fd = make("f", "");
  struct flock all = {.l_type = F_WRLCK, .l_start = 0, .l_len = 100};
  struct flock middle = {.l_type = F_UNLCK, .l_start = 40, .l_len = 20};
  OK(fcntl(fd, F_SETLK, &all));
  OK(fcntl(fd, F_SETLK, &middle));
  pid_t child = IN_CHILD({
    struct flock probe = {.l_type = F_WRLCK, .l_start = 45, .l_len = 5};
    OK(fcntl(fd, F_SETLK, &probe));
    probe = (struct flock){.l_type = F_WRLCK, .l_start = 0, .l_len = 1000};
    OK(fcntl(fd, F_GETLK, &probe));
    EXPECT_EQ(probe.l_type, F_WRLCK);
    EXPECT_EQ(probe.l_start, 0);
    EXPECT_EQ(probe.l_len, 40);
    EXPECT_EQ(probe.l_pid, getppid());
  });
  EXPECT_EXIT(child, 0);
}
CASE(lock_ranges_may_lie_before_the_offset) {
  int fd = make("f", "0123456789");
  OK(lseek(fd, 8, SEEK_SET));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = -2, .l_len = -3};
  OK(fcntl(fd, F_SETLK, &lock));
  pid_t child = IN_CHILD({
    struct flock probe = {.l_type = F_WRLCK, .l_start = 0, .l_len = 0};
    OK(fcntl(fd, F_GETLK, &probe));
    EXPECT_EQ(probe.l_start, 3);
    EXPECT_EQ(probe.l_len, 3);
  });
  EXPECT_EXIT(child, 0);
  lock = (struct flock){.l_type = F_WRLCK, .l_start = -1, .l_len = 1};
  EXPECT_ERRNO(fcntl(fd, F_SETLK, &lock), EINVAL);
}
CASE(locks_need_the_access_mode) {
  touch("f");
  int read_only = (int)OK(open("f", O_RDONLY)), write_only = (int)OK(open("f", O_WRONLY));
  struct flock lock = {.l_type = F_WRLCK};
  EXPECT_ERRNO(fcntl(read_only, F_SETLK, &lock), EBADF);
  lock.l_type = F_RDLCK;
  EXPECT_ERRNO(fcntl(write_only, F_SETLK, &lock), EBADF);
  OK(flock(read_only, LOCK_EX));
}
CASE(flock_upgrades_and_downgrades) {
  touch("f");
  int a = (int)OK(open("f", O_RDONLY)), b = (int)OK(open("f", O_RDONLY));
  OK(flock(a, LOCK_SH));
  OK(flock(b, LOCK_SH));
  EXPECT_ERRNO(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  OK(flock(b, LOCK_UN));
  OK(flock(a, LOCK_EX | LOCK_NB));
  OK(flock(a, LOCK_SH));
  OK(flock(b, LOCK_SH | LOCK_NB));
  EXPECT_ERRNO(flock(a, 0), EINVAL);
}
CASE(getdents_is_stable_while_names_come_and_go) {
  char name[32];
  for (int i = 0; i < 500; i++) {
    snprintf(name, sizeof name, "old%d", i);
    touch(name);
  }
  DIR* d = opendir(".");
  EXPECT(d);
  static bool seen[500];
  int n = 0;
  for (struct dirent* e; (e = readdir(d)) != NULL; n++) {
    int i;
    if (sscanf(e->d_name, "old%d", &i) == 1) {
      if (seen[i]) FAIL("%s twice", e->d_name);
      seen[i] = true;
    }
    if (n < 200) {
      snprintf(name, sizeof name, "new%d", n);
      touch(name);
      snprintf(name, sizeof name, "extra%d", n);
      touch(name);
      OK(unlink(name));
    }
  }
  for (int i = 0; i < 500; i++)
    if (!seen[i]) FAIL("old%d is missing", i);
  closedir(d);
}
CASE(removing_while_reading_leaves_nothing) {
  char name[32];
  for (int i = 0; i < 3000; i++) {
    snprintf(name, sizeof name, "f%d", i);
    touch(name);
  }
  DIR* d = opendir(".");
  EXPECT(d);
  int removed = 0;
  for (struct dirent* e; (e = readdir(d)) != NULL;)
    if (e->d_name[0] == 'f') {
      OK(unlink(e->d_name));
      removed++;
    }
  closedir(d);
  EXPECT_EQ(removed, 3000);
}
CASE(directories_tell_types_of_all_kinds) {
  touch("r");
  OK(mkdir("d", 0755));
  OK(symlink("x", "l"));
  OK(mkfifo("p", 0644));
  DIR* d = opendir(".");
  int found = 0;
  for (struct dirent* e; (e = readdir(d)) != NULL;) {
    int wanted = e->d_name[0] == 'r' ? DT_REG : e->d_name[0] == 'l' ? DT_LNK : e->d_name[0] == 'p' ? DT_FIFO : DT_DIR;
    EXPECT_EQ(e->d_type, wanted);
    struct stat st;
    OK(lstat(e->d_name, &st));
    if (strcmp(e->d_name, "..") != 0) EXPECT_EQ(e->d_ino, st.st_ino);
    found++;
  }
  EXPECT_EQ(found, 6);
  closedir(d);
}
CASE(preadv2_flags) {
  int fd = make("f", "0123456789");
  char text[4];
  struct iovec v = {text, 4};
  EXPECT_EQ(preadv2(fd, &v, 1, 2, RWF_NOWAIT) >= 0 || errno == EAGAIN, 1);
  EXPECT_EQ(preadv2(fd, &v, 1, 2, RWF_HIPRI), 4);
  EXPECT_EQ(preadv2(fd, &v, 1, -1, 0), 4);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 4);
  EXPECT_EQ(pwritev2(fd, &v, 1, 0, RWF_APPEND), 4);
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 14);
  EXPECT_EQ(pwritev2(fd, &v, 1, 0, RWF_DSYNC | RWF_SYNC), 4);
  EXPECT_ERRNO(preadv2(fd, &v, 1, 0, RWF_APPEND | 0x40000000), EOPNOTSUPP);
}
CASE(pipes_refuse_positions) {
  int ends[2];
  OK(pipe(ends));
  char byte;
  EXPECT_ERRNO(pread(ends[0], &byte, 1, 0), ESPIPE);
  EXPECT_ERRNO(pwrite(ends[1], &byte, 1, 0), ESPIPE);
  EXPECT_ERRNO(lseek(ends[0], 0, SEEK_SET), ESPIPE);
  EXPECT_ERRNO(fsync(ends[0]), EINVAL);
  EXPECT_ERRNO(ftruncate(ends[1], 0), EINVAL);
}
CASE(fifo_opens_block_for_each_other) {
  OK(mkfifo("p", 0644));
  EXPECT_ERRNO(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
  int r = (int)OK(open("p", O_RDONLY | O_NONBLOCK));
  int w = (int)OK(open("p", O_WRONLY | O_NONBLOCK));
  EXPECT_EQ(write(w, "x", 1), 1);
  char byte;
  EXPECT_EQ(read(r, &byte, 1), 1);
  EXPECT_ERRNO(read(r, &byte, 1), EAGAIN);
  OK(close(w));
  EXPECT_EQ(read(r, &byte, 1), 0);
  OK(close(r));
  pid_t child = IN_CHILD({
    int fd = (int)OK(open("p", O_WRONLY));
    EXPECT_EQ(write(fd, "y", 1), 1);
  });
  r = (int)OK(open("p", O_RDONLY));
  EXPECT_EQ(read(r, &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_EXIT(child, 0);
  OK(close((int)OK(open("p", O_RDWR))));
}
CASE(readlink_cuts_and_checks) {
  OK(symlink("0123456789", "l"));
  char text[16] = {0};
  EXPECT_EQ(readlink("l", text, 4), 4);
  EXPECT_STR(text, "0123");
  EXPECT_ERRNO(syscall(SYS_readlink, "l", text, 0), EINVAL);
  touch("f");
  EXPECT_ERRNO(readlink("f", text, 16), EINVAL);
}
CASE(symlink_size_is_its_length) {
  OK(symlink("0123456789", "l"));
  struct stat st;
  OK(lstat("l", &st));
  EXPECT_EQ(st.st_size, 10);
  EXPECT_EQ(st.st_mode, S_IFLNK | 0777);
}
CASE(access_of_a_link_itself) {
  OK(symlink("missing", "l"));
  EXPECT_ERRNO(access("l", F_OK), ENOENT);
  OK(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW));
}
CASE(fchmodat2_of_a_link_is_eopnotsupp) {
  touch("f");
  OK(symlink("f", "l"));
  if (syscall(452, AT_FDCWD, "f", 0600, 0) != 0 && errno == ENOSYS) SKIP("no fchmodat2 here");
  EXPECT_ERRNO(syscall(452, AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
  OK(syscall(452, AT_FDCWD, "f", 0640, AT_SYMLINK_NOFOLLOW));
  struct stat st;
  OK(stat("f", &st));
  EXPECT_EQ(st.st_mode & 0777, 0640);
}
CASE(sticky_append_and_truncate_rules_of_open) {
  int fd = make("f", "0123");
  int append = (int)OK(open("f", O_WRONLY | O_APPEND));
  OK(lseek(append, 0, SEEK_SET));
  EXPECT_EQ(write(append, "45", 2), 2);
  EXPECT_EQ(lseek(append, 0, SEEK_CUR), 6);
  EXPECT_EQ(pwrite(append, "67", 2, 0), 2);  // pwrite(2), BUGS: O_APPEND wins
  char text[16] = {0};
  EXPECT_EQ(pread(fd, text, 16, 0), 8);
  EXPECT_STR(text, "01234567");
  OK(fcntl(append, F_SETFL, 0));
  EXPECT_EQ(pwrite(append, "xx", 2, 0), 2);
  EXPECT_EQ(pread(fd, text, 16, 0), 8);
  EXPECT_STR(text, "xx234567");
}
CASE(o_noatime_needs_the_owner) {
  touch("f");
  OK(close((int)OK(open("f", O_RDONLY | O_NOATIME))));
  OK(chmod("f", 0644));
  pid_t child = IN_CHILD({
    if (setresuid(1234, 1234, 1234) != 0) _exit(77);
    EXPECT_ERRNO(open("f", O_RDONLY | O_NOATIME), EPERM);
  });
  int status = wait_status(child);
  if (WEXITSTATUS(status) == 77) SKIP("not root");
  EXPECT_EQ(status, 0);
}
CASE(mknod_devices_need_the_capability) {
  pid_t child = IN_CHILD({
    OK(chmod(".", 0777));
    if (setresuid(1234, 1234, 1234) != 0) _exit(77);
    EXPECT_ERRNO(mknod("d", S_IFCHR | 0600, makedev(1, 3)), EPERM);
    OK(mknod("p", S_IFIFO | 0600, 0));
    OK(mknod("r", S_IFREG | 0600, 0));
    OK(mknod("s", S_IFSOCK | 0600, 0));
  });
  int status = wait_status(child);
  if (WEXITSTATUS(status) == 77) SKIP("not root");
  EXPECT_EQ(status, 0);
}
CASE(a_shared_mapping_and_writes_agree) {
  int fd = make("f", "");
  OK(ftruncate(fd, 8192));
  char* map = MAP(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  EXPECT_EQ(pwrite(fd, "written", 7, 100), 7);
  EXPECT_EQ(memcmp(map + 100, "written", 7), 0);
  memcpy(map + 5000, "mapped", 6);
  char text[8] = {0};
  EXPECT_EQ(pread(fd, text, 6, 5000), 6);
  EXPECT_STR(text, "mapped");
  OK(msync(map, 8192, MS_SYNC));
  OK(ftruncate(fd, 4096));
  pid_t child = IN_CHILD({
    volatile char c = map[5000];
    (void)c;
  });
  EXPECT_KILLED(child, SIGBUS);
}
CASE(a_private_mapping_keeps_its_changes_to_itself) {
  int fd = make("f", "original");
  char* map = MAP(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  memcpy(map, "changed!", 8);
  char text[16] = {0};
  EXPECT_EQ(pread(fd, text, 8, 0), 8);
  EXPECT_STR(text, "original");
}
CASE(an_unlinked_directory_is_empty_and_takes_nothing) {
  OK(mkdir("d", 0755));
  int d = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
  OK(rmdir("d"));
  EXPECT_ERRNO(openat(d, "f", O_CREAT | O_RDWR, 0644), ENOENT);
  EXPECT_ERRNO(mkdirat(d, "e", 0755), ENOENT);
  struct stat st;
  OK(fstat(d, &st));
  EXPECT_EQ(st.st_nlink, 0);
  OK(fstatat(d, ".", &st, 0));
}
CASE(statfs_flags_and_names) {
  struct statvfs s;
  OK(statvfs(".", &s));
  EXPECT_EQ(s.f_namemax, 255);
  EXPECT(s.f_bsize >= 512);
  EXPECT(s.f_blocks >= s.f_bfree);
  EXPECT(!(s.f_flag & ST_RDONLY));
}
CASE(names_may_hold_any_byte_but_slash_and_nul) {
  char name[256];
  int n = 0;
  for (int c = 1; c < 256; c++)
    if (c != '/') name[n++] = (char)c;
  name[n] = 0;
  touch(name);
  DIR* d = opendir(".");
  bool found = false;
  for (struct dirent* e; (e = readdir(d)) != NULL;) found |= strcmp(e->d_name, name) == 0;
  EXPECT(found);
  closedir(d);
  OK(unlink(name));
}
