// Files: open flags, reading and writing, offsets, truncation, stat, permissions, times, descriptors, fcntl, locks.
#define CONFORMANCE_FILES
#include "conformance.h"

#include <limits.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <utime.h>

static int make(const char* name, const char* text) {
  write_file(name, text);
  return (int)OK(open(name, O_RDWR));
}
static struct stat status_of(const char* name) {
  struct stat st;
  OK(lstat(name, &st));
  return st;
}
static void expect_content(const char* name, const char* wanted) {
  char text[256];
  OK(read_file(name, text, sizeof text));
  EXPECT_STR(text, wanted);
}
// Root opens everything: cases on permissions run their block as nobody.
#define AS_NOBODY(...)                      \
  do {                                      \
    if (geteuid() != 0) SKIP("needs root"); \
    pid_t nobody_ = IN_CHILD({              \
      OK(syscall(SYS_setgroups, 0, NULL));  \
      OK(setresgid(65534, 65534, 65534));   \
      OK(setresuid(65534, 65534, 65534));   \
      __VA_ARGS__                           \
    });                                     \
    EXPECT_EXIT(nobody_, 0);                \
  } while (0)

// open

CASE(open_of_a_missing_file_is_enoent) { EXPECT_ERRNO(open("missing", O_RDONLY), ENOENT); }
CASE(open_of_an_empty_path_is_enoent) { EXPECT_ERRNO(open("", O_RDONLY), ENOENT); }
CASE(open_at_a_bad_address_is_efault) { EXPECT_ERRNO(syscall(SYS_open, 8, O_RDONLY), EFAULT); }
CASE(open_through_a_file_is_enotdir) {
  write_file("f", "");
  EXPECT_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
}
CASE(open_gives_the_lowest_free_descriptor) {
  int a = (int)OK(open("/", O_RDONLY)), b = (int)OK(open("/", O_RDONLY));
  EXPECT_EQ(b, a + 1);
  close(a);
  EXPECT_EQ(open("/", O_RDONLY), a);
}
CASE(create_makes_an_empty_file_with_mode_less_umask) {
  umask(027);
  OK(open("f", O_WRONLY | O_CREAT, 0666));
  EXPECT_EQ(status_of("f").st_mode, S_IFREG | 0640);
  EXPECT_EQ(status_of("f").st_size, 0);
  EXPECT_EQ(status_of("f").st_nlink, 1);
}
CASE(create_exclusive_of_an_existing_file_is_eexist) {
  write_file("f", "");
  EXPECT_ERRNO(open("f", O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
}
CASE(create_exclusive_does_not_follow_a_dangling_link) {
  OK(symlink("nowhere", "link"));
  EXPECT_ERRNO(open("link", O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
}
CASE(create_follows_a_dangling_link) {
  OK(symlink("target", "link"));
  OK(open("link", O_WRONLY | O_CREAT, 0666));
  EXPECT(S_ISREG(status_of("target").st_mode));
}
CASE(create_with_a_trailing_slash_is_eisdir) { EXPECT_ERRNO(open("new/", O_WRONLY | O_CREAT, 0666), EISDIR); }
CASE(truncate_flag_empties_the_file) {
  write_file("f", "text");
  OK(open("f", O_WRONLY | O_TRUNC));
  EXPECT_EQ(status_of("f").st_size, 0);
}
CASE(directory_flag_on_a_file_is_enotdir) {
  write_file("f", "");
  EXPECT_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
}
CASE(writing_open_of_a_directory_is_eisdir) { EXPECT_ERRNO(open(".", O_WRONLY), EISDIR); }
CASE(read_of_a_directory_is_eisdir) {
  char byte;
  int fd = (int)OK(open(".", O_RDONLY));
  EXPECT_ERRNO(read(fd, &byte, 1), EISDIR);
}
CASE(nofollow_on_a_link_is_eloop) {
  OK(symlink("/", "link"));
  EXPECT_ERRNO(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
}
CASE(path_descriptor_can_be_stated_but_not_read) {
  char byte;
  struct stat st;
  write_file("f", "abc");
  int fd = (int)OK(open("f", O_PATH));
  OK(fstat(fd, &st));
  EXPECT_EQ(st.st_size, 3);
  EXPECT_ERRNO(read(fd, &byte, 1), EBADF);
  EXPECT_ERRNO(fchmod(fd, 0600), EBADF);
}
CASE(path_descriptor_of_a_link_with_nofollow_is_the_link) {
  char target[16] = {0};
  struct stat st;
  OK(symlink("target", "link"));
  int fd = (int)OK(open("link", O_PATH | O_NOFOLLOW));
  OK(fstat(fd, &st));
  EXPECT(S_ISLNK(st.st_mode));
  EXPECT_EQ(readlinkat(fd, "", target, sizeof target), 6);
}
CASE(tmpfile_has_no_name_and_can_be_given_one) {
  char path[64];
  int fd = open(".", O_TMPFILE | O_RDWR, 0600);
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) SKIP("no O_TMPFILE here");
  OK(fd);
  struct stat st;
  OK(fstat(fd, &st));
  EXPECT_EQ(st.st_nlink, 0);
  OK(write(fd, "tmp", 3));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
  expect_content("named", "tmp");
}
CASE(openat_is_relative_to_its_directory) {
  OK(mkdir("d", 0755));
  write_file("d/f", "in d");
  int d = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
  OK(openat(d, "f", O_RDONLY));
  EXPECT_ERRNO(openat(d, "missing", O_RDONLY), ENOENT);
}
CASE(openat_on_a_file_is_enotdir_and_on_nothing_ebadf) {
  int fd = make("f", "");
  EXPECT_ERRNO(openat(fd, "x", O_RDONLY), ENOTDIR);
  EXPECT_ERRNO(openat(999, "x", O_RDONLY), EBADF);
  OK(openat(999, "/", O_RDONLY));
}
CASE(name_too_long_is_enametoolong) {
  char name[300];
  memset(name, 'n', sizeof name - 1);
  name[299] = 0;
  EXPECT_ERRNO(open(name, O_RDONLY | O_CREAT, 0600), ENAMETOOLONG);
  name[255] = 0;
  OK(open(name, O_RDONLY | O_CREAT, 0600));
}
CASE(path_of_more_than_4095_bytes_is_enametoolong) {
  static char path[5000];
  for (int i = 0; i < 4998; i += 2) memcpy(path + i, "./", 2);
  EXPECT_ERRNO(open(path, O_RDONLY), ENAMETOOLONG);
}
CASE(descriptor_limit_is_emfile) {
  struct rlimit limit = {10, 10};
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  int last = 0;
  while (last >= 0) last = open("/", O_RDONLY);
  EXPECT(errno == EMFILE);
}
CASE(openat2_beneath_refuses_to_leave) {
  struct {
    uint64_t flags, mode, resolve;
  } how = {O_RDONLY, 0, 8 /* RESOLVE_BENEATH */};
  int d = (int)OK(open(".", O_RDONLY));
  EXPECT_ERRNO(syscall(SYS_openat2, d, "..", &how, sizeof how), EXDEV);
  EXPECT_ERRNO(syscall(SYS_openat2, d, "/", &how, sizeof how), EXDEV);
  OK(syscall(SYS_openat2, d, ".", &how, sizeof how));
}
CASE(openat2_no_symlinks_refuses_links) {
  struct {
    uint64_t flags, mode, resolve;
  } how = {O_RDONLY, 0, 4 /* RESOLVE_NO_SYMLINKS */};
  OK(symlink(".", "link"));
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, "link/.", &how, sizeof how), ELOOP);
}
CASE(openat2_unknown_flag_is_einval) {
  struct {
    uint64_t flags, mode, resolve;
  } how = {(uint64_t)1 << 40, 0, 0};
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof how), EINVAL);
}

// Reading and writing

CASE(what_is_written_is_read_back) {
  char text[8] = {0};
  int fd = make("f", "");
  EXPECT_EQ(write(fd, "hello", 5), 5);
  EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
  EXPECT_EQ(read(fd, text, 8), 5);
  EXPECT_STR(text, "hello");
  EXPECT_EQ(read(fd, text, 8), 0);
}
CASE(read_of_nothing_to_a_bad_address_at_end_of_file_is_zero) {
  int fd = make("f", "");
  EXPECT_EQ(syscall(SYS_read, fd, 8, 1), 0);
}
CASE(read_to_a_bad_address_is_efault) {
  int fd = make("f", "abc");
  EXPECT_ERRNO(syscall(SYS_read, fd, 8, 3), EFAULT);
}
CASE(write_from_a_bad_address_is_efault) {
  int fd = make("f", "");
  EXPECT_ERRNO(syscall(SYS_write, fd, 8, 3), EFAULT);
}
CASE(read_across_into_unmapped_memory_is_partial) {
  static char block[2 * PAGE];
  char* p = MAP(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  OK(munmap(p + PAGE, PAGE));
  int fd = make("f", "");
  EXPECT_EQ(write(fd, block, sizeof block), sizeof block);
  EXPECT_EQ(pread(fd, p, 2 * PAGE, 0), PAGE);
}
CASE(read_of_a_bad_descriptor_is_ebadf) {
  char byte;
  EXPECT_ERRNO(read(999, &byte, 1), EBADF);
  EXPECT_ERRNO(read(-1, &byte, 1), EBADF);
}
CASE(read_of_a_write_only_descriptor_is_ebadf) {
  char byte;
  int fd = (int)OK(open("f", O_WRONLY | O_CREAT, 0600));
  EXPECT_ERRNO(read(fd, &byte, 1), EBADF);
}
CASE(write_of_a_read_only_descriptor_is_ebadf) {
  write_file("f", "");
  int fd = (int)OK(open("f", O_RDONLY));
  EXPECT_ERRNO(write(fd, "x", 1), EBADF);
}
CASE(append_writes_at_the_end_whatever_the_offset) {
  write_file("f", "abc");
  int fd = (int)OK(open("f", O_WRONLY | O_APPEND));
  OK(lseek(fd, 0, SEEK_SET));
  OK(write(fd, "d", 1));
  expect_content("f", "abcd");
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 4);
}
CASE(two_opens_have_offsets_of_their_own_and_dups_share) {
  char byte;
  int a = make("f", "abc"), b = (int)OK(open("f", O_RDONLY)), c = dup(a);
  OK(read(a, &byte, 1));
  OK(read(b, &byte, 1));
  EXPECT_EQ(byte, 'a');
  OK(read(c, &byte, 1));
  EXPECT_EQ(byte, 'b');
}
CASE(children_share_offsets) {
  char byte;
  int fd = make("f", "abc");
  pid_t child = IN_CHILD({ OK(read(fd, &byte, 1)); });
  EXPECT_EXIT(child, 0);
  OK(read(fd, &byte, 1));
  EXPECT_EQ(byte, 'b');
}
CASE(pread_and_pwrite_leave_the_offset_alone) {
  char text[4] = {0};
  int fd = make("f", "abcdef");
  EXPECT_EQ(pread(fd, text, 2, 3), 2);
  EXPECT_STR(text, "de");
  EXPECT_EQ(pwrite(fd, "X", 1, 1), 1);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
  expect_content("f", "aXcdef");
}
CASE(pread_at_a_negative_offset_is_einval) {
  char byte;
  int fd = make("f", "abc");
  EXPECT_ERRNO(pread(fd, &byte, 1, -1), EINVAL);
}
CASE(writev_and_readv) {
  char a[4] = {0}, b[4] = {0};
  int fd = make("f", "");
  struct iovec out[3] = {{"abc", 3}, {"", 0}, {"de", 2}}, in[2] = {{a, 2}, {b, 3}};
  EXPECT_EQ(writev(fd, out, 3), 5);
  EXPECT_EQ(preadv(fd, in, 2, 0), 5);
  EXPECT_STR(a, "ab");
  EXPECT_STR(b, "cde");
}
CASE(readv_with_too_many_or_too_long_vectors_is_einval) {
  static struct iovec many[1025];
  struct iovec huge[2] = {{NULL, (size_t)-1}, {NULL, 1}};
  int fd = make("f", "abc");
  EXPECT_ERRNO(readv(fd, many, 1025), EINVAL);
  EXPECT_ERRNO(readv(fd, many, -1), EINVAL);
  EXPECT_ERRNO(readv(fd, huge, 2), EINVAL);
  EXPECT_EQ(readv(fd, many, 0), 0);
}
CASE(preadv2_unknown_flag_is_eopnotsupp) {
  char byte;
  struct iovec in = {&byte, 1};
  int fd = make("f", "abc");
  EXPECT_ERRNO(preadv2(fd, &in, 1, 0, 0x40000000), EOPNOTSUPP);
}
CASE(lseek_whence) {
  int fd = make("f", "abcdef");
  EXPECT_EQ(lseek(fd, 2, SEEK_SET), 2);
  EXPECT_EQ(lseek(fd, 2, SEEK_CUR), 4);
  EXPECT_EQ(lseek(fd, -1, SEEK_END), 5);
  EXPECT_EQ(lseek(fd, 100, SEEK_END), 106);
  EXPECT_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
  EXPECT_ERRNO(lseek(fd, 0, 99), EINVAL);
}
CASE(seek_hole_and_data) {
  int fd = make("f", "abc");
  EXPECT_EQ(lseek(fd, 0, SEEK_DATA), 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_HOLE), 3);
  EXPECT_ERRNO(lseek(fd, 10, SEEK_DATA), ENXIO);
}
CASE(write_beyond_the_end_leaves_zeros) {
  char text[8];
  int fd = make("f", "a");
  EXPECT_EQ(pwrite(fd, "z", 1, 5), 1);
  EXPECT_EQ(pread(fd, text, 8, 0), 6);
  EXPECT(memcmp(text, "a\0\0\0\0z", 6) == 0);
}
CASE(large_write_and_read) {
  enum { N = 1 << 20 };
  char* p = MAP(NULL, N, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char* q = MAP(NULL, N, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < N; i++) p[i] = (char)(i * 7 + i / 4096);
  int fd = make("f", "");
  EXPECT_EQ(write(fd, p, N), N);
  EXPECT_EQ(pread(fd, q, N, 0), N);
  EXPECT(memcmp(p, q, N) == 0);
}
CASE(file_size_limit_raises_sigxfsz) {
  pid_t child = IN_CHILD({
    struct rlimit limit = {4, 4};
    int fd = make("f", "");
    OK(setrlimit(RLIMIT_FSIZE, &limit));
    EXPECT_EQ(write(fd, "abcdef", 6), 4);
    write(fd, "x", 1);
  });
  EXPECT_KILLED(child, SIGXFSZ);
}
CASE(sendfile_copies_from_file_to_pipe) {
  int fd = make("f", "abcdef"), p[2];
  char text[8] = {0};
  off_t offset = 2;
  OK(pipe(p));
  EXPECT_EQ(sendfile(p[1], fd, &offset, 3), 3);
  EXPECT_EQ(offset, 5);
  EXPECT_EQ(read(p[0], text, 8), 3);
  EXPECT_STR(text, "cde");
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
}
CASE(copy_file_range_copies) {
  int a = make("a", "abcdef"), b = make("b", "");
  ssize_t n = copy_file_range(a, NULL, b, NULL, 4, 0);
  if (n < 0 && (errno == ENOSYS || errno == EXDEV)) SKIP("not here");
  EXPECT_EQ(n, 4);
  expect_content("b", "abcd");
}
CASE(fsync_and_fdatasync) {
  int fd = make("f", "abc"), p[2];
  OK(pipe(p));
  EXPECT_EQ(fsync(fd), 0);
  EXPECT_EQ(fdatasync(fd), 0);
  EXPECT_ERRNO(fsync(p[0]), EINVAL);
}
CASE(posix_fadvise_of_a_file_and_of_a_pipe) {
  int fd = make("f", "abc"), p[2];
  OK(pipe(p));
  EXPECT_ZERO(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
  EXPECT_EQ(posix_fadvise(p[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
}

// Truncation

CASE(ftruncate_shrinks_and_grows_with_zeros) {
  char text[8];
  int fd = make("f", "abcdef");
  OK(ftruncate(fd, 2));
  OK(ftruncate(fd, 4));
  EXPECT_EQ(pread(fd, text, 8, 0), 4);
  EXPECT(memcmp(text, "ab\0\0", 4) == 0);
}
CASE(truncate_by_path) {
  write_file("f", "abcdef");
  OK(truncate("f", 3));
  expect_content("f", "abc");
}
CASE(truncate_errors) {
  int fd = make("f", "");
  EXPECT_ERRNO(ftruncate(fd, -1), EINVAL);
  EXPECT_ERRNO(truncate(".", 0), EISDIR);
  EXPECT_ERRNO(truncate("missing", 0), ENOENT);
  int reader = (int)OK(open("f", O_RDONLY));
  EXPECT_ERRNO(ftruncate(reader, 0), EINVAL);
}
CASE(fallocate_grows_the_file) {
  int fd = make("f", "");
  if (fallocate(fd, 0, 0, 8192) != 0 && errno == EOPNOTSUPP) SKIP("not here");
  EXPECT_EQ(status_of("f").st_size, 8192);
  OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 16384));
  EXPECT_EQ(status_of("f").st_size, 8192);
  EXPECT_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
}

// stat

CASE(stat_tells_type_size_and_owner) {
  write_file("f", "abc");
  struct stat st = status_of("f");
  EXPECT_EQ(st.st_mode, S_IFREG | 0644);
  EXPECT_EQ(st.st_size, 3);
  EXPECT_EQ(st.st_uid, geteuid());
  EXPECT_EQ(st.st_gid, getegid());
  EXPECT(st.st_ino != 0);
}
CASE(stat_follows_and_lstat_does_not) {
  struct stat st;
  write_file("f", "abc");
  OK(symlink("f", "link"));
  OK(stat("link", &st));
  EXPECT(S_ISREG(st.st_mode));
  OK(lstat("link", &st));
  EXPECT(S_ISLNK(st.st_mode));
  EXPECT_EQ(st.st_size, 1);
}
CASE(fstat_of_a_bad_descriptor_is_ebadf) {
  struct stat st;
  EXPECT_ERRNO(fstat(999, &st), EBADF);
}
CASE(fstatat_empty_path) {
  struct stat st;
  int fd = make("f", "abc");
  OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
  EXPECT_EQ(st.st_size, 3);
  EXPECT_ERRNO(fstatat(fd, "", &st, 0), ENOENT);
  EXPECT_ERRNO(fstatat(fd, "", &st, 0x80000000), EINVAL);
}
CASE(statx_agrees_with_stat) {
  struct statx sx;
  write_file("f", "abc");
  struct stat st = status_of("f");
  OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &sx));
  EXPECT_EQ(sx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  EXPECT_EQ(sx.stx_size, 3);
  EXPECT_EQ(sx.stx_ino, st.st_ino);
  EXPECT_EQ(sx.stx_mode, st.st_mode);
  EXPECT_EQ(makedev(sx.stx_dev_major, sx.stx_dev_minor), st.st_dev);
  EXPECT_EQ(sx.stx_mtime.tv_sec, st.st_mtim.tv_sec);
  EXPECT_EQ(sx.stx_mtime.tv_nsec, (unsigned)st.st_mtim.tv_nsec);
}
CASE(statx_reserved_mask_is_einval) {
  struct statx sx;
  EXPECT_ERRNO(statx(AT_FDCWD, ".", 0, 0x80000000U, &sx), EINVAL);
}
CASE(stat_to_a_bad_address_is_efault) { EXPECT_ERRNO(syscall(SYS_stat, ".", 8), EFAULT); }
CASE(statfs_gives_sane_numbers) {
  struct statfs fs;
  OK(statfs(".", &fs));
  EXPECT(fs.f_bsize > 0 && fs.f_namelen == 255);
  OK(statfs("/proc", &fs));
  EXPECT_EQ(fs.f_type, 0x9fa0);
}
CASE(inode_numbers_are_stable_and_distinct) {
  write_file("a", "");
  write_file("b", "");
  ino_t a = status_of("a").st_ino;
  EXPECT(a != status_of("b").st_ino);
  EXPECT_EQ(a, status_of("a").st_ino);
}

// Permissions, owners, times

CASE(chmod_and_fchmod) {
  int fd = make("f", "");
  OK(chmod("f", 0751));
  EXPECT_EQ(status_of("f").st_mode, S_IFREG | 0751);
  OK(fchmod(fd, 0600));
  EXPECT_EQ(status_of("f").st_mode, S_IFREG | 0600);
  EXPECT_ERRNO(chmod("missing", 0600), ENOENT);
}
CASE(chmod_by_another_user_is_eperm) {
  write_file("f", "");
  AS_NOBODY({ EXPECT_ERRNO(chmod("f", 0777), EPERM); });
}
CASE(chown_changes_owner_and_minus_one_keeps) {
  if (geteuid() != 0) SKIP("needs root");
  write_file("f", "");
  OK(chown("f", 11, 22));
  OK(chown("f", (uid_t)-1, 33));
  EXPECT_EQ(status_of("f").st_uid, 11);
  EXPECT_EQ(status_of("f").st_gid, 33);
}
CASE(chown_by_an_unprivileged_user_is_eperm) {
  write_file("f", "");
  AS_NOBODY({ EXPECT_ERRNO(chown("f", 65534, 65534), EPERM); });
}
CASE(chown_clears_set_user_id) {
  if (geteuid() != 0) SKIP("needs root");
  write_file("f", "");
  OK(chmod("f", 06755));
  OK(chown("f", 11, 22));
  EXPECT_EQ(status_of("f").st_mode & 07777, 0755);
}
CASE(lchown_changes_the_link) {
  if (geteuid() != 0) SKIP("needs root");
  OK(symlink("x", "link"));
  OK(lchown("link", 5, 6));
  EXPECT_EQ(status_of("link").st_uid, 5);
}
CASE(read_without_permission_is_eacces) {
  write_file("f", "");
  OK(chmod("f", 0600));
  AS_NOBODY({ EXPECT_ERRNO(open("f", O_RDONLY), EACCES); });
}
CASE(group_and_other_bits_are_checked) {
  write_file("f", "");
  OK(chmod("f", 0604));
  AS_NOBODY({
    OK(open("f", O_RDONLY));
    EXPECT_ERRNO(open("f", O_WRONLY), EACCES);
  });
}
CASE(search_without_permission_is_eacces) {
  OK(mkdir("d", 0700));
  write_file("d/f", "");
  AS_NOBODY({ EXPECT_ERRNO(open("d/f", O_RDONLY), EACCES); });
}
CASE(create_in_an_unwritable_directory_is_eacces) {
  OK(mkdir("d", 0755));
  AS_NOBODY({ EXPECT_ERRNO(open("d/f", O_WRONLY | O_CREAT, 0600), EACCES); });
}
CASE(root_reads_what_it_has_no_bits_for) {
  if (geteuid() != 0) SKIP("needs root");
  write_file("f", "abc");
  OK(chmod("f", 0));
  OK(open("f", O_RDWR));
}
CASE(access_checks_with_the_real_user) {
  if (geteuid() != 0) SKIP("needs root");
  write_file("f", "");
  OK(chmod("f", 0600));
  EXPECT_EQ(access("f", R_OK | W_OK), 0);
  EXPECT_ERRNO(access("f", X_OK), EACCES);
  EXPECT_EQ(access("f", F_OK), 0);
  EXPECT_ERRNO(access("missing", F_OK), ENOENT);
  EXPECT_ERRNO(access("f", 8), EINVAL);
  OK(setresuid(65534, 0, 0));
  EXPECT_ERRNO(access("f", R_OK), EACCES);
  EXPECT_EQ(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS), 0);
}
CASE(umask_returns_the_old_one) {
  umask(0123);
  EXPECT_EQ(umask(0), 0123);
}
CASE(setgid_directory_gives_its_group) {
  if (geteuid() != 0) SKIP("needs root");
  OK(mkdir("d", 0755));
  OK(chown("d", 0, 77));
  OK(chmod("d", 02755));
  write_file("d/f", "");
  OK(mkdir("d/e", 0755));
  EXPECT_EQ(status_of("d/f").st_gid, 77);
  EXPECT_EQ(status_of("d/e").st_mode & S_ISGID, S_ISGID);
}
CASE(sticky_directory_protects_others_files) {
  OK(mkdir("d", 0755));
  OK(chmod("d", 01777));
  write_file("d/f", "");
  AS_NOBODY({ EXPECT_ERRNO(unlink("d/f"), EPERM); });
}
CASE(utimensat_sets_nanoseconds) {
  struct timespec times[2] = {{1000000, 111}, {2000000, 222}};
  write_file("f", "");
  OK(utimensat(AT_FDCWD, "f", times, 0));
  struct stat st = status_of("f");
  EXPECT_EQ(st.st_atim.tv_sec, 1000000);
  EXPECT_EQ(st.st_mtim.tv_sec, 2000000);
  EXPECT_EQ(st.st_mtim.tv_nsec, 222);
}
CASE(utimensat_omit_and_now) {
  struct timespec times[2] = {{1000000, 0}, {2000000, 0}};
  write_file("f", "");
  OK(utimensat(AT_FDCWD, "f", times, 0));
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_nsec = UTIME_NOW;
  OK(utimensat(AT_FDCWD, "f", times, 0));
  struct stat st = status_of("f");
  EXPECT_EQ(st.st_atim.tv_sec, 1000000);
  EXPECT(st.st_mtim.tv_sec >= time(NULL) - 5);
}
CASE(utimensat_of_the_link_itself) {
  struct timespec times[2] = {{1000, 0}, {2000, 0}};
  OK(symlink("missing", "link"));
  OK(utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW));
  EXPECT_EQ(status_of("link").st_mtim.tv_sec, 2000);
  EXPECT_ERRNO(utimensat(AT_FDCWD, "link", times, 0), ENOENT);
}
CASE(utimensat_bad_nanoseconds_is_einval) {
  struct timespec times[2] = {{0, 0}, {0, 1000000000}};
  write_file("f", "");
  EXPECT_ERRNO(utimensat(AT_FDCWD, "f", times, 0), EINVAL);
}
CASE(writing_moves_the_modification_time) {
  struct timespec times[2] = {{1000, 0}, {1000, 0}};
  int fd = make("f", "");
  OK(futimens(fd, times));
  OK(write(fd, "x", 1));
  EXPECT(status_of("f").st_mtim.tv_sec > 1000);
}
CASE(set_user_id_is_cleared_by_a_write_of_another) {
  write_file("f", "");
  OK(chmod("f", 04777));
  AS_NOBODY({
    int fd = (int)OK(open("f", O_WRONLY));
    OK(write(fd, "x", 1));
  });
  EXPECT_EQ(status_of("f").st_mode & 07777, 0777);
}

// Descriptors

CASE(dup_gives_the_lowest) {
  int fd = (int)OK(dup(0)), next = (int)OK(dup(0));
  close(fd);
  EXPECT_EQ(dup(0), fd);
  (void)next;
}
CASE(dup2_replaces_and_returns_the_new) {
  int fd = make("f", "abc");
  char byte;
  EXPECT_EQ(dup2(fd, 50), 50);
  OK(read(50, &byte, 1));
  EXPECT_EQ(byte, 'a');
  EXPECT_EQ(dup2(fd, fd), fd);
  EXPECT_ERRNO(dup2(999, 50), EBADF);
  EXPECT_ERRNO(dup2(fd, -1), EBADF);
}
CASE(dup3_of_the_same_is_einval) {
  EXPECT_ERRNO(dup3(0, 0, 0), EINVAL);
  EXPECT_ERRNO(dup3(0, 50, 1), EINVAL);
}
CASE(dup_clears_close_on_exec) {
  int fd = (int)OK(open("/", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl((int)OK(dup(fd)), F_GETFD), 0);
  EXPECT_EQ(fcntl((int)OK(dup3(fd, 60, O_CLOEXEC)), F_GETFD), FD_CLOEXEC);
}
CASE(fcntl_dupfd_starts_at_its_argument) {
  EXPECT_EQ(fcntl(0, F_DUPFD, 70), 70);
  EXPECT_EQ(fcntl(0, F_DUPFD, 70), 71);
  EXPECT_EQ(fcntl(0, F_DUPFD_CLOEXEC, 80), 80);
  EXPECT_EQ(fcntl(80, F_GETFD), FD_CLOEXEC);
  EXPECT_ERRNO(fcntl(0, F_DUPFD, -1), EINVAL);
}
CASE(fcntl_flags_can_be_set) {
  int fd = make("f", "");
  OK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
  EXPECT_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_APPEND | O_NONBLOCK);
  OK(fcntl(fd, F_SETFL, O_WRONLY));  // the access mode cannot be changed
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
}
CASE(fcntl_unknown_command_is_einval) { EXPECT_ERRNO(fcntl(0, 9999), EINVAL); }
CASE(close_twice_is_ebadf) {
  int fd = (int)OK(dup(0));
  EXPECT_EQ(close(fd), 0);
  EXPECT_ERRNO(close(fd), EBADF);
}
CASE(close_range_closes_and_marks) {
  OK(dup2(0, 50));
  OK(dup2(0, 51));
  OK(dup2(0, 52));
  OK(syscall(SYS_close_range, 50, 51, 0));
  EXPECT_ERRNO(fcntl(50, F_GETFD), EBADF);
  OK(syscall(SYS_close_range, 52, 52, 4 /* CLOSE_RANGE_CLOEXEC */));
  EXPECT_EQ(fcntl(52, F_GETFD), FD_CLOEXEC);
  EXPECT_ERRNO(syscall(SYS_close_range, 5, 4, 0), EINVAL);
}
CASE(unlinked_file_lives_as_long_as_it_is_open) {
  char text[8] = {0};
  int fd = make("f", "abc");
  struct stat st;
  OK(unlink("f"));
  OK(fstat(fd, &st));
  EXPECT_EQ(st.st_nlink, 0);
  EXPECT_EQ(read(fd, text, 8), 3);
}
CASE(proc_self_fd_reopens) {
  char path[64];
  int fd = make("f", "abc");
  OK(unlink("f"));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int again = (int)OK(open(path, O_RDONLY));
  char byte;
  OK(read(again, &byte, 1));
  EXPECT_EQ(byte, 'a');
}
CASE(proc_self_fd_of_an_unlinked_file_says_deleted) {
  char path[64], name[4096] = {0};
  int fd = make("f", "");
  OK(unlink("f"));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  OK(readlink(path, name, sizeof name - 1));
  EXPECT(strstr(name, "/f (deleted)"));
}

// Locks

CASE(flock_excludes_other_opens) {
  int a = make("f", ""), b = (int)OK(open("f", O_RDONLY));
  OK(flock(a, LOCK_EX));
  EXPECT_ERRNO(flock(b, LOCK_EX | LOCK_NB), EAGAIN);
  OK(flock(a, LOCK_SH));
  OK(flock(b, LOCK_SH | LOCK_NB));
  OK(flock(a, LOCK_UN));
  OK(flock(b, LOCK_EX | LOCK_NB));
}
CASE(flock_goes_with_the_last_descriptor) {
  int a = make("f", ""), b = (int)OK(open("f", O_RDONLY)), c = dup(a);
  OK(flock(a, LOCK_EX));
  close(a);
  EXPECT_ERRNO(flock(b, LOCK_EX | LOCK_NB), EAGAIN);
  close(c);
  OK(flock(b, LOCK_EX | LOCK_NB));
}
CASE(record_locks_exclude_other_processes) {
  int fd = make("f", "abcdef");
  struct flock lock = {.l_type = F_WRLCK, .l_start = 2, .l_len = 2};
  OK(fcntl(fd, F_SETLK, &lock));
  pid_t owner = getpid();
  pid_t child = IN_CHILD({
    struct flock mine = {.l_type = F_WRLCK, .l_start = 0, .l_len = 3};
    EXPECT_ERRNO(fcntl(fd, F_SETLK, &mine), EAGAIN);
    OK(fcntl(fd, F_GETLK, &mine));
    EXPECT_EQ(mine.l_type, F_WRLCK);
    EXPECT_EQ(mine.l_pid, owner);
    EXPECT_EQ(mine.l_start, 2);
    mine = (struct flock){.l_type = F_WRLCK, .l_start = 0, .l_len = 2};
    OK(fcntl(fd, F_SETLK, &mine));
  });
  EXPECT_EXIT(child, 0);
}
CASE(record_lock_is_waited_for) {
  int fd = make("f", ""), p[2];
  char byte;
  OK(pipe(p));
  pid_t child = IN_CHILD({
    struct flock lock = {.l_type = F_WRLCK};
    OK(fcntl(fd, F_SETLK, &lock));
    OK(write(p[1], "r", 1));
    sleep_ms(20);
  });
  OK(read(p[0], &byte, 1));
  struct flock lock = {.l_type = F_WRLCK};
  OK(fcntl(fd, F_SETLKW, &lock));
  EXPECT_EXIT(child, 0);
}
CASE(record_locks_go_with_any_close_of_the_process) {
  int fd = make("f", ""), other = (int)OK(open("f", O_RDONLY));
  struct flock lock = {.l_type = F_WRLCK};
  OK(fcntl(fd, F_SETLK, &lock));
  close(other);
  pid_t child = IN_CHILD({
    struct flock mine = {.l_type = F_WRLCK};
    OK(fcntl(fd, F_SETLK, &mine));
  });
  EXPECT_EXIT(child, 0);
}
CASE(open_file_description_locks_exclude_other_opens) {
  int a = make("f", ""), b = (int)OK(open("f", O_RDWR));
  struct flock lock = {.l_type = F_WRLCK};
  OK(fcntl(a, F_OFD_SETLK, &lock));
  EXPECT_ERRNO(fcntl(b, F_OFD_SETLK, &lock), EAGAIN);
  lock.l_type = F_UNLCK;
  OK(fcntl(a, F_OFD_SETLK, &lock));
  lock.l_type = F_WRLCK;
  OK(fcntl(b, F_OFD_SETLK, &lock));
}
CASE(getlk_of_a_free_range_says_unlocked) {
  struct flock lock = {.l_type = F_WRLCK, .l_start = 3, .l_len = 5};
  int fd = make("f", "0123456789");
  OK(fcntl(fd, F_GETLK, &lock));
  EXPECT_EQ(lock.l_type, F_UNLCK);
  EXPECT_EQ(lock.l_start, 3);
  EXPECT_EQ(lock.l_len, 5);
}
CASE(deadlock_of_record_locks_is_edeadlk) {
  int fd = make("f", ""), p[2];
  char byte;
  OK(pipe(p));
  struct flock first = {.l_type = F_WRLCK, .l_start = 0, .l_len = 1},
               second = {.l_type = F_WRLCK, .l_start = 1, .l_len = 1};
  OK(fcntl(fd, F_SETLK, &first));
  pid_t child = IN_CHILD({
    struct flock mine = {.l_type = F_WRLCK, .l_start = 1, .l_len = 1},
                 theirs = {.l_type = F_WRLCK, .l_start = 0, .l_len = 1};
    OK(fcntl(fd, F_SETLK, &mine));
    OK(write(p[1], "r", 1));
    if (fcntl(fd, F_SETLKW, &theirs) != 0) _exit(errno == EDEADLK ? 7 : 8);
  });
  OK(read(p[0], &byte, 1));
  // Whoever comes second is told; the other gets its lock.
  int got = fcntl(fd, F_SETLKW, &second), error = errno;
  if (got == 0) {
    EXPECT_EXIT(child, 7);
    return;
  }
  EXPECT_EQ(error, EDEADLK);
  first.l_type = F_UNLCK;
  OK(fcntl(fd, F_SETLK, &first));
  EXPECT_EXIT(child, 0);
}
