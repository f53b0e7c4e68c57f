// What programs may expect of a file tree beyond the everyday calls: modes and groups of new files, capabilities on
// files, every resolve flag, ranges, moving data between files, attributes, and directories that change under a reader.
#define CONFORMANCE_FILES
#define CONFORMANCE_REEXEC
#include "conformance.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

static struct stat status(const char* path) {
  struct stat st;
  OK(lstat(path, &st));
  return st;
}

static void become(uid_t uid, gid_t gid, int groups, const gid_t* list) {
  OK(setgroups((size_t)groups, list));
  OK(setresgid(gid, gid, gid));
  OK(setresuid(uid, uid, uid));
}

static void become_nobody(void) { become(65534, 65534, 0, NULL); }

static long open_how(int directory, const char* path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
  return syscall(SYS_openat2, directory, path, &how, sizeof how);
}

static int new_file(const char* name, const char* text) {
  int fd = (int)OK(open(name, O_RDWR | O_CREAT | O_TRUNC, 0644));
  EXPECT_EQ(write(fd, text, strlen(text)), (long)strlen(text));
  OK(lseek(fd, 0, SEEK_SET));
  return fd;
}

static void expect_content(int fd, const char* text) {
  char buffer[256] = "";
  EXPECT_EQ(pread(fd, buffer, sizeof buffer - 1, 0), (long)strlen(text));
  EXPECT_STR(buffer, text);
}

// ---- who owns what is made

CASE(new_files_belong_to_the_fsuid_and_fsgid) {
  OK(chmod(".", 0777));
  EXPECT_EXIT(IN_CHILD({
                become(1234, 2345, 0, NULL);
                OK(mkdir("d", 0755));
                OK(symlink("x", "l"));
                OK(mkfifo("p", 0644));
                close((int)OK(creat("f", 0644)));
              }),
              0);
  const char* names[] = {"d", "l", "p", "f"};
  for (int i = 0; i < 4; i++) {
    EXPECT_EQ(status(names[i]).st_uid, 1234);
    EXPECT_EQ(status(names[i]).st_gid, 2345);
  }
}

CASE(directories_in_a_setgid_directory_are_setgid_themselves) {
  OK(mkdir("d", 0755));
  OK(chown("d", 0, 77));
  OK(chmod("d", 02777));
  OK(mkdir("d/sub", 0755));
  EXPECT_EQ(status("d/sub").st_mode, S_IFDIR | 02755);
  EXPECT_EQ(status("d/sub").st_gid, 77);
  OK(mkdir("d/sub/below", 0700));
  EXPECT_EQ(status("d/sub/below").st_mode, S_IFDIR | 02700);
}

CASE(files_in_a_setgid_directory_get_its_group_and_no_bit) {
  OK(mkdir("d", 0755));
  OK(chown("d", 0, 77));
  OK(chmod("d", 02777));
  close((int)OK(creat("d/f", 0755)));
  EXPECT_EQ(status("d/f").st_mode, S_IFREG | 0755);
  EXPECT_EQ(status("d/f").st_gid, 77);
  OK(symlink("x", "d/l"));
  EXPECT_EQ(status("d/l").st_gid, 77);
}

CASE(a_setgid_executable_made_by_a_stranger_of_the_group_loses_the_bit) {
  OK(mkdir("d", 0755));
  OK(chown("d", 0, 77));
  OK(chmod("d", 02777));
  EXPECT_EXIT(IN_CHILD({
                become(1234, 1234, 0, NULL);
                umask(0);
                close((int)OK(open("d/x", O_CREAT | O_WRONLY, 02775)));
                close((int)OK(open("d/n", O_CREAT | O_WRONLY, 02664)));
              }),
              0);
  EXPECT_EQ(status("d/x").st_mode, S_IFREG | 0775);
  EXPECT_EQ(status("d/n").st_mode, S_IFREG | 02664);
  EXPECT_EQ(status("d/x").st_gid, 77);
}

CASE(chmod_by_an_owner_outside_the_group_drops_setgid) {
  close((int)OK(creat("f", 0755)));
  OK(chown("f", 1234, 77));
  EXPECT_EXIT(IN_CHILD({
                become(1234, 1234, 0, NULL);
                OK(chmod("f", 02755));
              }),
              0);
  EXPECT_EQ(status("f").st_mode, S_IFREG | 0755);
  gid_t group = 77;
  EXPECT_EXIT(IN_CHILD({
                become(1234, 1234, 1, &group);
                OK(chmod("f", 02755));
              }),
              0);
  EXPECT_EQ(status("f").st_mode, S_IFREG | 02755);
}

CASE(an_owner_gives_a_file_to_a_group_of_his_and_no_other) {
  close((int)OK(creat("f", 0644)));
  OK(chown("f", 1234, 1234));
  gid_t group = 77;
  EXPECT_EXIT(IN_CHILD({
                become(1234, 1234, 1, &group);
                OK(chown("f", (uid_t)-1, 77));
                EXPECT_ERRNO(chown("f", (uid_t)-1, 78), EPERM);
                EXPECT_ERRNO(chown("f", 1235, (gid_t)-1), EPERM);
                OK(chown("f", 1234, 77));
                OK(chown("f", (uid_t)-1, (gid_t)-1));
              }),
              0);
  EXPECT_EQ(status("f").st_gid, 77);
}

CASE(chown_of_a_directory_keeps_its_setgid_bit) {
  OK(mkdir("d", 0755));
  OK(chmod("d", 06755));
  OK(chown("d", 5, 5));
  EXPECT_EQ(status("d").st_mode, S_IFDIR | 06755);
}

CASE(chown_keeps_setgid_without_group_execution) {
  close((int)OK(creat("f", 0644)));
  OK(chmod("f", 02644));
  OK(chown("f", 5, 5));
  EXPECT_EQ(status("f").st_mode, S_IFREG | 02644);
  OK(chmod("f", 06755));
  OK(chown("f", 6, 6));
  EXPECT_EQ(status("f").st_mode, S_IFREG | 0755);
}

CASE(sticky_directories_let_the_owner_of_the_directory_remove) {
  OK(mkdir("d", 0755));
  OK(chown("d", 1234, 1234));
  OK(chmod("d", 01777));
  close((int)OK(creat("d/f", 0666)));
  close((int)OK(creat("d/g", 0666)));
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                EXPECT_ERRNO(unlink("d/f"), EPERM);
                EXPECT_ERRNO(rename("d/f", "d/h"), EPERM);
                close((int)OK(creat("d/mine", 0600)));
                EXPECT_ERRNO(rename("d/mine", "d/f"), EPERM);
                OK(rename("d/mine", "d/other"));
                OK(unlink("d/other"));
              }),
              0);
  EXPECT_EXIT(IN_CHILD({
                become(1234, 1234, 0, NULL);
                OK(unlink("d/f"));
                OK(rename("d/g", "d/h"));
              }),
              0);
}

CASE(the_umask_is_of_the_process_and_survives_execve_and_fork) {
  umask(027);
  EXPECT_EXIT(IN_CHILD({
                EXPECT_EQ(umask(0), 027);
                umask(077);
              }),
              0);
  EXPECT_EQ(umask(022), 027);
}

CASE(the_umask_does_not_touch_special_bits_asked_for) {
  umask(0777);
  close((int)OK(open("f", O_CREAT | O_WRONLY, 07777)));
  OK(mkdir("d", 01777));
  EXPECT_EQ(status("f").st_mode, S_IFREG | 07000);
  EXPECT_EQ(status("d").st_mode, S_IFDIR | 01000);
}

// ---- capabilities on files

static void set_file_capability(const char* path, uint32_t permitted, uint32_t effective) {
  struct vfs_cap_data data = {.magic_etc = VFS_CAP_REVISION_2 | (effective ? VFS_CAP_FLAGS_EFFECTIVE : 0)};
  data.data[0].permitted = permitted;
  OK(setxattr(path, "security.capability", &data, sizeof data, 0));
}

static uint64_t effective_now(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{0}};
  OK(syscall(SYS_capget, &header, data));
  return data[0].effective;
}

static int reexec_main(int argc, char** argv) {
  if (strcmp(argv[1], "reexec-capabilities") == 0 && argc > 2)
    return effective_now() == strtoull(argv[2], NULL, 16) ? 0 : 3;
  return 2;
}

static void copy_self(const char* to) {
  int in = (int)OK(open("/proc/self/exe", O_RDONLY)), out = (int)OK(open(to, O_CREAT | O_WRONLY | O_TRUNC, 0755));
  struct stat st;
  OK(fstat(in, &st));
  for (off_t done = 0; done < st.st_size;) {
    ssize_t n = sendfile(out, in, NULL, (size_t)(st.st_size - done));
    EXPECT(n > 0);
    done += n;
  }
  close(in);
  close(out);
}

static int runs_here(void) {
  struct statvfs s;
  OK(statvfs(".", &s));
  return !(s.f_flag & (ST_NOEXEC | ST_NOSUID));
}

CASE(a_file_with_capabilities_gives_them_to_who_runs_it) {
  if (!runs_here()) SKIP("nothing can be run here");
  copy_self("program");
  set_file_capability("program", 1u << CAP_NET_RAW, 1);
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                char wanted[32];
                snprintf(wanted, sizeof wanted, "%x", 1u << CAP_NET_RAW);
                execl("./program", "program", "reexec-capabilities", wanted, NULL);
                _exit(9);
              }),
              0);
}

CASE(capabilities_of_a_file_without_the_effective_bit_are_permitted_only) {
  if (!runs_here()) SKIP("nothing can be run here");
  copy_self("program");
  set_file_capability("program", 1u << CAP_NET_RAW, 0);
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                execl("./program", "program", "reexec-capabilities", "0", NULL);
                _exit(9);
              }),
              0);
}

CASE(no_new_privs_withholds_the_capabilities_of_a_file) {
  if (!runs_here()) SKIP("nothing can be run here");
  copy_self("program");
  set_file_capability("program", 1u << CAP_NET_RAW, 0);
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
                execl("./program", "program", "reexec-capabilities", "0", NULL);
                _exit(9);
              }),
              0);
}

CASE(setting_capabilities_on_a_file_needs_cap_setfcap) {
  close((int)OK(creat("f", 0755)));
  OK(chown("f", 65534, 65534));
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                struct vfs_cap_data data = {.magic_etc = VFS_CAP_REVISION_2};
                EXPECT_ERRNO(setxattr("f", "security.capability", &data, sizeof data, 0), EPERM);
              }),
              0);
}

CASE(writing_to_a_file_takes_its_capabilities_off) {
  close((int)OK(creat("f", 0755)));
  set_file_capability("f", 1u << CAP_NET_RAW, 1);
  char data[64];
  EXPECT(getxattr("f", "security.capability", data, sizeof data) > 0);
  int fd = (int)OK(open("f", O_WRONLY));
  EXPECT_EQ(write(fd, "x", 1), 1);
  EXPECT_ERRNO(getxattr("f", "security.capability", data, sizeof data), ENODATA);
}

CASE(chown_takes_the_capabilities_of_a_file_off) {
  close((int)OK(creat("f", 0755)));
  set_file_capability("f", 1u << CAP_NET_RAW, 1);
  OK(chown("f", 5, 5));
  char data[64];
  EXPECT_ERRNO(getxattr("f", "security.capability", data, sizeof data), ENODATA);
}

CASE(a_malformed_capability_is_refused) {
  close((int)OK(creat("f", 0755)));
  EXPECT_ERRNO(setxattr("f", "security.capability", "short", 5, 0), EINVAL);
}

// ---- extended attributes

CASE(xattrs_of_each_kind_of_name) {
  close((int)OK(creat("f", 0644)));
  OK(setxattr("f", "user.a", "1", 1, 0));
  OK(setxattr("f", "trusted.b", "2", 1, 0));
  EXPECT_ERRNO(setxattr("f", "nonsense.c", "3", 1, 0), EOPNOTSUPP);
  EXPECT_ERRNO(setxattr("f", "user.", "3", 1, 0), EINVAL);
  char value[8];
  EXPECT_EQ(getxattr("f", "trusted.b", value, sizeof value), 1);
}

CASE(trusted_xattrs_are_hidden_from_others) {
  close((int)OK(creat("f", 0666)));
  OK(setxattr("f", "trusted.b", "2", 1, 0));
  OK(setxattr("f", "user.a", "1", 1, 0));
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                char value[64];
                EXPECT_ERRNO(getxattr("f", "trusted.b", value, sizeof value), ENODATA);
                EXPECT_ERRNO(setxattr("f", "trusted.b", "x", 1, 0), EPERM);
                ssize_t n = listxattr("f", value, sizeof value);
                EXPECT_EQ(n, (long)sizeof "user.a");
                EXPECT_STR(value, "user.a");
              }),
              0);
}

CASE(xattr_create_and_replace) {
  int fd = new_file("f", "");
  OK(fsetxattr(fd, "user.a", "1", 1, XATTR_CREATE));
  EXPECT_ERRNO(fsetxattr(fd, "user.a", "1", 1, XATTR_CREATE), EEXIST);
  OK(fsetxattr(fd, "user.a", "22", 2, XATTR_REPLACE));
  EXPECT_ERRNO(fsetxattr(fd, "user.b", "1", 1, XATTR_REPLACE), ENODATA);
  EXPECT_ERRNO(fsetxattr(fd, "user.b", "1", 1, 7), EINVAL);
  OK(fremovexattr(fd, "user.a"));
  EXPECT_ERRNO(fremovexattr(fd, "user.a"), ENODATA);
}

CASE(an_xattr_may_be_empty_and_hold_any_byte) {
  int fd = new_file("f", "");
  OK(fsetxattr(fd, "user.empty", NULL, 0, 0));
  char value[8] = "zzzzzzz";
  EXPECT_EQ(fgetxattr(fd, "user.empty", value, sizeof value), 0);
  OK(fsetxattr(fd, "user.bytes", "a\0b\n", 4, 0));
  EXPECT_EQ(fgetxattr(fd, "user.bytes", value, sizeof value), 4);
  EXPECT(memcmp(value, "a\0b\n", 4) == 0);
}

CASE(xattr_sizes_are_asked_for_with_no_room) {
  int fd = new_file("f", "");
  OK(fsetxattr(fd, "user.a", "12345", 5, 0));
  EXPECT_EQ(fgetxattr(fd, "user.a", NULL, 0), 5);
  char small[2];
  EXPECT_ERRNO(fgetxattr(fd, "user.a", small, sizeof small), ERANGE);
  EXPECT(flistxattr(fd, NULL, 0) >= (long)sizeof "user.a");
  EXPECT_ERRNO(flistxattr(fd, small, sizeof small), ERANGE);
}

CASE(user_xattrs_of_a_sticky_directory_are_its_owners) {
  OK(mkdir("d", 0755));
  OK(chmod("d", 01777));
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                EXPECT_ERRNO(setxattr("d", "user.a", "1", 1, 0), EPERM);
              }),
              0);
  OK(setxattr("d", "user.a", "1", 1, 0));
}

CASE(xattr_calls_on_an_o_path_descriptor_are_ebadf_and_work_by_proc) {
  new_file("f", "");
  int fd = (int)OK(open("f", O_PATH));
  EXPECT_ERRNO(fsetxattr(fd, "user.a", "1", 1, 0), EBADF);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  OK(setxattr(path, "user.a", "1", 1, 0));
}

// ---- openat2

CASE(resolve_beneath_refuses_every_way_out) {
  OK(mkdir("d", 0755));
  OK(symlink("/", "d/root"));
  OK(symlink("..", "d/up"));
  OK(symlink("up", "d/twice"));
  new_file("outside", "");
  int d = (int)OK(open("d", O_PATH));
  EXPECT_ERRNO(open_how(d, "..", O_PATH, 0, RESOLVE_BENEATH), EXDEV);
  EXPECT_ERRNO(open_how(d, "../outside", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
  EXPECT_ERRNO(open_how(d, "/", O_PATH, 0, RESOLVE_BENEATH), EXDEV);
  EXPECT_ERRNO(open_how(d, "root", O_PATH, 0, RESOLVE_BENEATH), EXDEV);
  EXPECT_ERRNO(open_how(d, "up/outside", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
  EXPECT_ERRNO(open_how(d, "twice/outside", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
  OK(open_how(d, "root", O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH));
}

CASE(resolve_beneath_allows_dot_dot_that_stays) {
  OK(mkdir("d", 0755));
  OK(mkdir("d/e", 0755));
  new_file("d/f", "");
  OK(symlink("../f", "d/e/link"));
  int d = (int)OK(open("d", O_PATH));
  OK(open_how(d, "e/../f", O_RDONLY, 0, RESOLVE_BENEATH));
  OK(open_how(d, "e/link", O_RDONLY, 0, RESOLVE_BENEATH));
  OK(open_how(d, "e/..", O_PATH, 0, RESOLVE_BENEATH));
}

CASE(resolve_in_root_makes_links_and_dot_dot_stay) {
  OK(mkdir("d", 0755));
  new_file("d/f", "inside");
  OK(symlink("/f", "d/absolute"));
  OK(symlink("../../../f", "d/up"));
  int d = (int)OK(open("d", O_PATH));
  expect_content((int)OK(open_how(d, "/f", O_RDONLY, 0, RESOLVE_IN_ROOT)), "inside");
  expect_content((int)OK(open_how(d, "absolute", O_RDONLY, 0, RESOLVE_IN_ROOT)), "inside");
  expect_content((int)OK(open_how(d, "up", O_RDONLY, 0, RESOLVE_IN_ROOT)), "inside");
  expect_content((int)OK(open_how(d, "../../f", O_RDONLY, 0, RESOLVE_IN_ROOT)), "inside");
}

CASE(resolve_in_root_creates_below_the_root) {
  OK(mkdir("d", 0755));
  int d = (int)OK(open("d", O_PATH));
  close((int)OK(open_how(d, "/../new", O_CREAT | O_RDWR, 0644, RESOLVE_IN_ROOT)));
  EXPECT_EQ(status("d/new").st_mode, S_IFREG | 0644);
}

CASE(resolve_no_symlinks_refuses_links_on_the_way_and_at_the_end) {
  OK(mkdir("d", 0755));
  new_file("d/f", "");
  OK(symlink("d", "l"));
  OK(symlink("d/f", "m"));
  EXPECT_ERRNO(open_how(AT_FDCWD, "l/f", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
  EXPECT_ERRNO(open_how(AT_FDCWD, "m", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
  EXPECT_ERRNO(open_how(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
  OK(open_how(AT_FDCWD, "d/f", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
}

CASE(resolve_no_magiclinks_allows_plain_links) {
  new_file("f", "");
  OK(symlink("f", "l"));
  OK(open_how(AT_FDCWD, "l", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
  EXPECT_ERRNO(open_how(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS), ELOOP);
  EXPECT_ERRNO(open_how(AT_FDCWD, "/proc/self/cwd/f", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS), ELOOP);
  OK(open_how(AT_FDCWD, "/proc/self/status", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
}

CASE(resolve_no_xdev_stays_on_its_mount) {
  EXPECT_ERRNO(open_how(AT_FDCWD, "/proc/self/status", O_RDONLY, 0, RESOLVE_NO_XDEV), EXDEV);
  int proc = (int)OK(open("/proc", O_PATH));
  OK(open_how(proc, "self/status", O_RDONLY, 0, RESOLVE_NO_XDEV));
  EXPECT_ERRNO(open_how(proc, "..", O_PATH, 0, RESOLVE_NO_XDEV), EXDEV);
}

CASE(resolve_cached_answers_from_memory_or_is_eagain) {
  new_file("f", "");
  long fd = open_how(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_CACHED);
  EXPECT(fd >= 0 || errno == EAGAIN);
  EXPECT_ERRNO(open_how(AT_FDCWD, "g", O_RDWR | O_CREAT, 0644, RESOLVE_CACHED), EAGAIN);
  EXPECT_ERRNO(open_how(AT_FDCWD, "f", O_RDWR | O_TRUNC, 0, RESOLVE_CACHED), EAGAIN);
}

CASE(openat2_refuses_what_open_ignores) {
  new_file("f", "");
  EXPECT_ERRNO(open_how(AT_FDCWD, "f", O_RDONLY, 0644, 0), EINVAL);              // a mode without creation
  EXPECT_ERRNO(open_how(AT_FDCWD, "f", O_RDONLY | (1ull << 40), 0, 0), EINVAL);  // unknown flags
  EXPECT_ERRNO(open_how(AT_FDCWD, "f", O_PATH | O_RDWR, 0, 0), EINVAL);
  EXPECT_ERRNO(open_how(AT_FDCWD, "g", O_CREAT | O_RDWR, 0100644, 0), EINVAL);
  EXPECT_ERRNO(open_how(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
  EXPECT_ERRNO(open_how(AT_FDCWD, "f", O_RDONLY, 0, 1ull << 20), EINVAL);
}

CASE(openat2_takes_structures_of_other_sizes) {
  new_file("f", "");
  struct {
    struct open_how how;
    uint64_t more;
  } large = {.how = {.flags = O_RDONLY}};
  OK(syscall(SYS_openat2, AT_FDCWD, "f", &large, sizeof large));
  large.more = 1;
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &large, sizeof large), E2BIG);
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &large, 8), EINVAL);
}

// ---- O_PATH, AT_EMPTY_PATH

CASE(an_o_path_descriptor_cannot_move_data) {
  new_file("f", "text");
  int fd = (int)OK(open("f", O_PATH));
  char byte;
  EXPECT_ERRNO(read(fd, &byte, 1), EBADF);
  EXPECT_ERRNO(write(fd, "x", 1), EBADF);
  EXPECT_ERRNO(ftruncate(fd, 0), EBADF);
  EXPECT_ERRNO(fchmod(fd, 0600), EBADF);
  EXPECT_ERRNO(fchown(fd, 1, 1), EBADF);
  EXPECT_ERRNO(ioctl(fd, FIONREAD, &byte), EBADF);
  EXPECT_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0), EBADF);
  EXPECT_ERRNO(fsync(fd), EBADF);
  EXPECT_ERRNO(flock(fd, LOCK_SH), EBADF);
  struct stat st;
  OK(fstat(fd, &st));
  EXPECT_EQ(st.st_size, 4);
  struct statfs s;
  OK(fstatfs(fd, &s));
}

CASE(o_path_needs_no_permission_on_the_object) {
  close((int)OK(creat("f", 0)));
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                int fd = (int)OK(open("f", O_PATH));
                struct stat st;
                OK(fstat(fd, &st));
                char path[64];
                snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                EXPECT_ERRNO(open(path, O_RDONLY), EACCES);
              }),
              0);
}

CASE(o_path_flags_that_are_told) {
  new_file("f", "");
  int fd = (int)OK(open("f", O_PATH | O_CLOEXEC | O_NOFOLLOW));
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_ERRNO(fcntl(fd, F_SETFL, O_NONBLOCK), EBADF);
  OK(fcntl(fd, F_DUPFD, 50));
}

CASE(o_path_descriptors_are_passed_and_duplicated) {
  OK(mkdir("d", 0755));
  new_file("d/f", "text");
  int copy = (int)OK(dup((int)OK(open("d", O_PATH))));
  expect_content((int)OK(openat(copy, "f", O_RDONLY)), "text");
}

CASE(empty_paths_change_what_the_descriptor_names) {
  new_file("f", "");
  int fd = (int)OK(open("f", O_PATH));
  OK(fchownat(fd, "", 12, 34, AT_EMPTY_PATH));
  EXPECT_EQ(status("f").st_uid, 12);
  struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
  OK(utimensat(fd, "", times, AT_EMPTY_PATH));
  EXPECT_EQ(status("f").st_mtime, 2);
  OK(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH));
  OK(syscall(452, fd, "", 0600, AT_EMPTY_PATH));
  EXPECT_EQ(status("f").st_mode, S_IFREG | 0600);
  EXPECT_ERRNO(fchownat(fd, "", 1, 1, 0), ENOENT);
}

CASE(an_o_path_descriptor_of_a_link_names_the_link) {
  OK(symlink("nowhere", "l"));
  int fd = (int)OK(open("l", O_PATH | O_NOFOLLOW));
  char text[32];
  EXPECT_EQ(readlinkat(fd, "", text, sizeof text), 7);
  OK(fchownat(fd, "", 12, 34, AT_EMPTY_PATH));
  EXPECT_EQ(status("l").st_uid, 12);
}

// ---- O_TMPFILE and links

CASE(a_nameless_file_takes_the_mode_and_the_umask) {
  umask(027);
  int fd = open(".", O_TMPFILE | O_RDWR, 0777);
  if (fd < 0 && errno == EOPNOTSUPP) SKIP("no O_TMPFILE here");
  struct stat st;
  OK(fstat(fd, &st));
  EXPECT_EQ(st.st_mode, S_IFREG | 0750);
  EXPECT_EQ(st.st_nlink, 0);
}

CASE(a_nameless_file_is_given_a_name_through_proc) {
  int fd = open(".", O_TMPFILE | O_RDWR, 0644);
  if (fd < 0 && errno == EOPNOTSUPP) SKIP("no O_TMPFILE here");
  EXPECT_EQ(write(fd, "text", 4), 4);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
  expect_content((int)OK(open("named", O_RDONLY)), "text");
  EXPECT_EQ(status("named").st_nlink, 1);
}

CASE(o_tmpfile_checks_its_flags) {
  EXPECT_ERRNO(open(".", O_TMPFILE | O_RDONLY, 0644), EINVAL);
  new_file("f", "");
  EXPECT_ERRNO(open("f", O_TMPFILE | O_RDWR, 0644), ENOTDIR);
  EXPECT_ERRNO(open("missing", O_TMPFILE | O_RDWR, 0644), ENOENT);
}

CASE(linkat_follows_only_when_told) {
  new_file("f", "");
  OK(symlink("f", "l"));
  OK(linkat(AT_FDCWD, "l", AT_FDCWD, "same", 0));
  EXPECT(S_ISLNK(status("same").st_mode));
  OK(linkat(AT_FDCWD, "l", AT_FDCWD, "file", AT_SYMLINK_FOLLOW));
  EXPECT(S_ISREG(status("file").st_mode));
  EXPECT_ERRNO(linkat(AT_FDCWD, "f", AT_FDCWD, "x", 1), EINVAL);
}

CASE(unlinkat_checks_its_flags) {
  new_file("f", "");
  OK(mkdir("d", 0755));
  EXPECT_ERRNO(unlinkat(AT_FDCWD, "f", 1), EINVAL);
  EXPECT_ERRNO(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
  EXPECT_ERRNO(unlinkat(AT_FDCWD, "d", 0), EISDIR);
  EXPECT_ERRNO(unlinkat(AT_FDCWD, "d/.", AT_REMOVEDIR), EINVAL);
  EXPECT_ERRNO(unlinkat(AT_FDCWD, "d/..", AT_REMOVEDIR), ENOTEMPTY);
  EXPECT_ERRNO(unlinkat(AT_FDCWD, "/", AT_REMOVEDIR), EBUSY);
}

CASE(renameat2_checks_its_flags) {
  new_file("a", "");
  new_file("b", "");
  EXPECT_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
  EXPECT_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 1 << 9), EINVAL);
  EXPECT_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "c", RENAME_EXCHANGE), ENOENT);
  OK(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
}

// ---- ranges of files

static off_t blocks_of(int fd) {
  struct stat st;
  OK(fstat(fd, &st));
  return st.st_blocks;
}

CASE(fallocate_keep_size_leaves_the_size) {
  int fd = new_file("f", "text");
  OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20));
  EXPECT_EQ(status("f").st_size, 4);
  EXPECT(blocks_of(fd) >= 2048);
}

CASE(punching_a_hole_frees_and_reads_as_zeros) {
  int fd = new_file("f", "");
  OK(fallocate(fd, 0, 0, 1 << 20));
  char page[PAGE];
  memset(page, 'x', sizeof page);
  for (int i = 0; i < 256; i++) EXPECT_EQ(pwrite(fd, page, PAGE, (off_t)i * PAGE), PAGE);
  off_t before = blocks_of(fd);
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 128 * PAGE));
  EXPECT(blocks_of(fd) < before);
  EXPECT_EQ(status("f").st_size, 1 << 20);
  EXPECT_EQ(pread(fd, page, PAGE, 5 * PAGE), PAGE);
  for (int i = 0; i < PAGE; i++) EXPECT_EQ(page[i], 0);
  EXPECT_EQ(pread(fd, page, 1, 0), 1);
  EXPECT_EQ(page[0], 'x');
}

CASE(punching_part_of_a_page_zeroes_that_part) {
  int fd = new_file("f", "abcdefghij");
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
  char text[11] = "";
  EXPECT_EQ(pread(fd, text, 10, 0), 10);
  EXPECT(memcmp(text, "ab\0\0\0fghij", 10) == 0);
}

CASE(punching_a_hole_needs_keep_size) {
  EXPECT_ERRNO(fallocate(new_file("f", "text"), FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
}

CASE(zero_range_zeroes_and_may_grow) {
  int fd = new_file("f", "abcdef");
  if (fallocate(fd, FALLOC_FL_ZERO_RANGE, 2, 2) != 0) {
    EXPECT(errno == EOPNOTSUPP);
    SKIP("not on this file system");
  }
  char text[7] = "";
  EXPECT_EQ(pread(fd, text, 6, 0), 6);
  EXPECT(memcmp(text, "ab\0\0ef", 6) == 0);
  OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 4, 6));
  EXPECT_EQ(status("f").st_size, 10);
  OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 8, 100));
  EXPECT_EQ(status("f").st_size, 10);
}

CASE(collapse_and_insert_move_what_is_behind) {
  int fd = new_file("f", "");
  char page[PAGE];
  for (int i = 0; i < 4; i++) {
    memset(page, 'a' + i, sizeof page);
    EXPECT_EQ(write(fd, page, PAGE), PAGE);
  }
  if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, PAGE, PAGE) != 0) {
    EXPECT(errno == EOPNOTSUPP);
    SKIP("not on this file system");
  }
  EXPECT_EQ(status("f").st_size, 3 * PAGE);
  char byte;
  EXPECT_EQ(pread(fd, &byte, 1, PAGE), 1);
  EXPECT_EQ(byte, 'c');
  OK(fallocate(fd, FALLOC_FL_INSERT_RANGE, PAGE, PAGE));
  EXPECT_EQ(status("f").st_size, 4 * PAGE);
  EXPECT_EQ(pread(fd, &byte, 1, PAGE), 1);
  EXPECT_EQ(byte, 0);
  EXPECT_EQ(pread(fd, &byte, 1, 2 * PAGE), 1);
  EXPECT_EQ(byte, 'c');
  EXPECT_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 1, PAGE), EINVAL);
  EXPECT_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 8 * PAGE), EINVAL);
}

CASE(fallocate_checks_its_arguments) {
  int fd = new_file("f", ""), ends[2];
  OK(pipe(ends));
  EXPECT_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
  EXPECT_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
  EXPECT_ERRNO(fallocate(fd, 0, 0, -5), EINVAL);
  EXPECT_ERRNO(fallocate(fd, 0x800, 0, 10), EOPNOTSUPP);
  EXPECT_ERRNO(fallocate(ends[1], 0, 0, 10), ESPIPE);
  EXPECT_ERRNO(fallocate((int)OK(open("f", O_RDONLY)), 0, 0, 10), EBADF);
  EXPECT_ERRNO(fallocate(fd, 0, INT64_MAX - 1, 10), EFBIG);
  EXPECT_ERRNO(fallocate((int)OK(open(".", O_RDONLY)), 0, 0, 10), EBADF);
}

CASE(seek_data_and_hole_walk_over_a_sparse_file) {
  int fd = new_file("f", "");
  enum { CHUNK = 1 << 20 };
  EXPECT_EQ(pwrite(fd, "x", 1, CHUNK), 1);
  OK(ftruncate(fd, 3 * CHUNK));
  off_t data = OK(lseek(fd, 0, SEEK_DATA));
  EXPECT(data > 0 && data <= CHUNK);
  off_t hole = OK(lseek(fd, data, SEEK_HOLE));
  EXPECT(hole > CHUNK && hole < 3 * CHUNK);
  EXPECT_EQ(lseek(fd, 0, SEEK_HOLE), 0);
  EXPECT_ERRNO(lseek(fd, hole, SEEK_DATA), ENXIO);
  EXPECT_ERRNO(lseek(fd, 3 * CHUNK, SEEK_HOLE), ENXIO);
  EXPECT_ERRNO(lseek(fd, -1, SEEK_DATA), ENXIO);
}

CASE(a_sparse_file_costs_no_blocks) {
  int fd = new_file("f", "");
  OK(ftruncate(fd, 1ll << 32));
  EXPECT(blocks_of(fd) < 100);
  EXPECT_EQ(pwrite(fd, "x", 1, (1ll << 32) - 1), 1);
  EXPECT(blocks_of(fd) < 1000);
}

// ---- data from file to file

CASE(copy_file_range_stops_at_the_end) {
  int in = new_file("in", "0123456789"), out = new_file("out", "");
  loff_t from = 4;
  EXPECT_EQ(copy_file_range(in, &from, out, NULL, 100, 0), 6);
  EXPECT_EQ(from, 10);
  EXPECT_EQ(copy_file_range(in, &from, out, NULL, 100, 0), 0);
  expect_content(out, "456789");
  EXPECT_EQ(lseek(in, 0, SEEK_CUR), 0);
  EXPECT_EQ(lseek(out, 0, SEEK_CUR), 6);
}

CASE(copy_file_range_checks_its_arguments) {
  int in = new_file("in", "text"), out = new_file("out", ""), ends[2];
  OK(pipe(ends));
  EXPECT_ERRNO(copy_file_range(in, NULL, out, NULL, 4, 1), EINVAL);
  EXPECT_ERRNO(copy_file_range(ends[0], NULL, out, NULL, 4, 0), EINVAL);
  EXPECT_ERRNO(copy_file_range((int)OK(open(".", O_RDONLY)), NULL, out, NULL, 4, 0), EISDIR);
  EXPECT_ERRNO(copy_file_range(in, NULL, (int)OK(open("out", O_WRONLY | O_APPEND)), NULL, 4, 0), EBADF);
  loff_t negative = -1;
  EXPECT_ERRNO(copy_file_range(in, &negative, out, NULL, 4, 0), EOVERFLOW);
}

CASE(sendfile_checks_its_arguments) {
  int in = new_file("in", "text"), out = new_file("out", ""), ends[2];
  OK(pipe(ends));
  EXPECT_ERRNO(sendfile(out, ends[0], NULL, 4), EINVAL);
  EXPECT_ERRNO(sendfile((int)OK(open("out", O_WRONLY | O_APPEND)), in, NULL, 4), EINVAL);
  EXPECT_ERRNO(sendfile((int)OK(open("out", O_RDONLY)), in, NULL, 4), EBADF);
  off_t negative = -1;
  EXPECT_ERRNO(sendfile(out, in, &negative, 4), EINVAL);
  EXPECT_EQ(sendfile(out, in, NULL, 0), 0);
  EXPECT_EQ(sendfile(out, in, NULL, 100), 4);
}

CASE(splice_checks_its_arguments) {
  int in = new_file("in", "text"), out = new_file("out", ""), ends[2];
  OK(pipe(ends));
  loff_t offset = 0;
  EXPECT_ERRNO(splice(in, NULL, out, NULL, 4, 0), EINVAL);
  EXPECT_ERRNO(splice(in, NULL, ends[1], &offset, 4, 0), ESPIPE);
  EXPECT_ERRNO(splice(in, NULL, ends[0], NULL, 4, 0), EBADF);
  EXPECT_ERRNO(splice(in, NULL, ends[1], NULL, 4, 0x100), EINVAL);
  EXPECT_ERRNO(splice(ends[0], NULL, (int)OK(open("out", O_WRONLY | O_APPEND)), NULL, 4, SPLICE_F_NONBLOCK), EINVAL);
  EXPECT_ERRNO(splice(ends[0], NULL, out, NULL, 4, SPLICE_F_NONBLOCK), EAGAIN);
  EXPECT_EQ(splice(in, NULL, ends[1], NULL, 0, 0), 0);
}

CASE(splice_moves_offsets_given_or_held) {
  int in = new_file("in", "0123456789"), ends[2];
  OK(pipe(ends));
  loff_t from = 3;
  EXPECT_EQ(splice(in, &from, ends[1], NULL, 4, 0), 4);
  EXPECT_EQ(from, 7);
  EXPECT_EQ(lseek(in, 0, SEEK_CUR), 0);
  EXPECT_EQ(splice(in, NULL, ends[1], NULL, 2, 0), 2);
  EXPECT_EQ(lseek(in, 0, SEEK_CUR), 2);
  char text[7] = "";
  EXPECT_EQ(read(ends[0], text, 6), 6);
  EXPECT_STR(text, "345601");
}

CASE(tee_checks_its_arguments) {
  int one[2], other[2];
  OK(pipe(one));
  OK(pipe(other));
  EXPECT_ERRNO(tee(one[0], one[1], 4, 0), EINVAL);
  EXPECT_ERRNO(tee(one[0], other[1], 4, SPLICE_F_NONBLOCK), EAGAIN);
  EXPECT_ERRNO(tee(new_file("f", "x"), other[1], 4, 0), EINVAL);
}

CASE(rwf_append_writes_at_the_end_and_noappend_does_not) {
  int fd = new_file("f", "0123");
  struct iovec v = {.iov_base = "ab", .iov_len = 2};
  EXPECT_EQ(pwritev2(fd, &v, 1, 0, RWF_APPEND), 2);
  expect_content(fd, "0123ab");
  int appending = (int)OK(open("f", O_RDWR | O_APPEND));
  long n = pwritev2(appending, &v, 1, 0, RWF_NOAPPEND);
  if (n < 0 && errno == EOPNOTSUPP) SKIP("no RWF_NOAPPEND");
  EXPECT_EQ(n, 2);
  expect_content(fd, "ab23ab");
}

CASE(rwf_flags_that_are_known_and_unknown) {
  int fd = new_file("f", "text");
  char buffer[4];
  struct iovec v = {.iov_base = buffer, .iov_len = 4};
  EXPECT_EQ(preadv2(fd, &v, 1, 0, RWF_HIPRI), 4);
  EXPECT_EQ(pwritev2(fd, &v, 1, 0, RWF_DSYNC), 4);
  EXPECT_EQ(pwritev2(fd, &v, 1, 0, RWF_SYNC), 4);
  EXPECT_ERRNO(preadv2(fd, &v, 1, 0, 1 << 20), EOPNOTSUPP);
  EXPECT_EQ(preadv2(fd, &v, 1, -1, 0), 4);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 4);
  EXPECT_ERRNO(preadv2(fd, &v, 1, -2, 0), EINVAL);
}

CASE(rwf_nowait_reads_what_is_cached_or_is_eagain) {
  int fd = new_file("f", "text"), ends[2];
  char buffer[4];
  struct iovec v = {.iov_base = buffer, .iov_len = 4};
  long n = preadv2(fd, &v, 1, 0, RWF_NOWAIT);
  EXPECT(n == 4 || (n == -1 && (errno == EAGAIN || errno == EOPNOTSUPP)));
  OK(pipe(ends));
  EXPECT_ERRNO(preadv2(ends[0], &v, 1, -1, RWF_NOWAIT), EAGAIN);
}

CASE(o_append_makes_pwrite_append_too) {
  new_file("f", "0123");
  int fd = (int)OK(open("f", O_RDWR | O_APPEND));
  EXPECT_EQ(pwrite(fd, "ab", 2, 0), 2);
  expect_content(fd, "0123ab");
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

CASE(many_appenders_lose_nothing) {
  close(new_file("f", ""));
  pid_t children[4];
  for (int c = 0; c < 4; c++)
    children[c] = IN_CHILD({
      int fd = (int)OK(open("f", O_WRONLY | O_APPEND));
      for (int i = 0; i < 200; i++) EXPECT_EQ(write(fd, "0123456789", 10), 10);
    });
  for (int c = 0; c < 4; c++) EXPECT_EXIT(children[c], 0);
  EXPECT_EQ(status("f").st_size, 8000);
}

CASE(the_sync_family_takes_files_and_directories) {
  int fd = new_file("f", "text"), directory = (int)OK(open(".", O_RDONLY)), ends[2];
  OK(fsync(fd));
  OK(fdatasync(fd));
  OK(fsync(directory));
  OK(fdatasync(directory));
  OK(syncfs(fd));
  OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
  OK(pipe(ends));
  EXPECT_ERRNO(fsync(ends[0]), EINVAL);
  EXPECT_ERRNO(sync_file_range(ends[0], 0, 0, SYNC_FILE_RANGE_WRITE), ESPIPE);
  EXPECT_ERRNO(sync_file_range(fd, 0, 0, 0x100), EINVAL);
  EXPECT_ERRNO(sync_file_range(fd, -1, 0, 0), EINVAL);
  EXPECT_ERRNO(fsync(-1), EBADF);
}

CASE(readahead_and_fadvise_check_their_arguments) {
  int fd = new_file("f", "text"), ends[2];
  OK(readahead(fd, 0, 4096));
  EXPECT_ERRNO(readahead((int)OK(open("f", O_WRONLY)), 0, 4096), EBADF);
  OK(pipe(ends));
  EXPECT_ERRNO(readahead(ends[0], 0, 4096), EINVAL);
  EXPECT_ZERO(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
  EXPECT_ZERO(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
  EXPECT_EQ(posix_fadvise(fd, 0, 0, 99), EINVAL);
  EXPECT_EQ(posix_fadvise(fd, 0, -1, POSIX_FADV_NORMAL), EINVAL);
}

// ---- attributes

CASE(statx_gives_what_the_mask_names_and_the_mount) {
  new_file("f", "text");
  struct statx s;
  OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | 0x1000 /* STATX_MNT_ID */, &s));
  EXPECT_EQ(s.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  EXPECT_EQ(s.stx_size, 4);
  EXPECT_EQ(s.stx_nlink, 1);
  EXPECT(s.stx_mask & 0x1000);
}

CASE(statx_flags_are_checked) {
  new_file("f", "");
  struct statx s;
  OK(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_SIZE, &s));
  OK(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_SIZE, &s));
  EXPECT_ERRNO(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, &s), EINVAL);
  EXPECT_ERRNO(statx(AT_FDCWD, "f", 1, STATX_SIZE, &s), EINVAL);
  EXPECT_ERRNO(statx(AT_FDCWD, "", 0, STATX_SIZE, &s), ENOENT);
}

CASE(times_take_nanoseconds_and_the_far_past_and_future) {
  new_file("f", "");
  struct timespec times[2] = {{.tv_sec = 1, .tv_nsec = 123456789}, {.tv_sec = 2147483640, .tv_nsec = 999999999}};
  OK(utimensat(AT_FDCWD, "f", times, 0));
  struct stat st = status("f");
  EXPECT_EQ(st.st_atim.tv_nsec, 123456789);
  EXPECT_EQ(st.st_mtim.tv_sec, 2147483640);
  EXPECT_EQ(st.st_mtim.tv_nsec, 999999999);
}

CASE(utimensat_of_another_users_file) {
  new_file("f", "");
  OK(chmod("f", 0666));
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                OK(utimensat(AT_FDCWD, "f", NULL, 0));  // writable: now is allowed
                struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
                EXPECT_ERRNO(utimensat(AT_FDCWD, "f", times, 0), EPERM);
                struct timespec half[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
                EXPECT_ERRNO(utimensat(AT_FDCWD, "f", half, 0), EPERM);
                struct timespec none[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
                OK(utimensat(AT_FDCWD, "f", none, 0));
              }),
              0);
  OK(chmod("f", 0644));
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                EXPECT_ERRNO(utimensat(AT_FDCWD, "f", NULL, 0), EACCES);
              }),
              0);
}

CASE(changing_the_mode_moves_ctime_alone) {
  new_file("f", "");
  struct timespec times[2] = {{.tv_sec = 100}, {.tv_sec = 100}};
  OK(utimensat(AT_FDCWD, "f", times, 0));
  struct stat before = status("f");
  sleep_ms(20);
  OK(chmod("f", 0600));
  struct stat after = status("f");
  EXPECT_EQ(after.st_mtime, 100);
  EXPECT(after.st_ctim.tv_sec != before.st_ctim.tv_sec || after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
}

CASE(faccessat2_with_effective_ids) {
  new_file("f", "");
  OK(chmod("f", 0600));
  EXPECT_EXIT(IN_CHILD({
                OK(setresuid(0, 65534, 0));
                OK(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, 0));
                EXPECT_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS), EACCES);
                EXPECT_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, 0x8000), EINVAL);
                EXPECT_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "f", 8, 0), EINVAL);
              }),
              0);
}

CASE(link_counts_of_directories_follow_their_subdirectories) {
  OK(mkdir("d", 0755));
  nlink_t empty = status("d").st_nlink;
  OK(mkdir("d/a", 0755));
  nlink_t with_one = status("d").st_nlink;
  EXPECT(with_one == empty + 1 || (empty == 1 && with_one == 1));
  OK(rmdir("d/a"));
  EXPECT_EQ(status("d").st_nlink, empty);
}

CASE(statvfs_tells_the_flags_of_the_mount) {
  struct statvfs s;
  OK(statvfs("/proc", &s));
  EXPECT(s.f_flag & ST_NOSUID || !(s.f_flag & ST_NOSUID));
  OK(statvfs(".", &s));
  EXPECT_EQ(s.f_flag & ST_RDONLY, 0);
  EXPECT_EQ(s.f_namemax, 255);
  EXPECT(s.f_bsize >= 512);
}

// ---- directories that change under their readers

CASE(fifty_thousand_entries_are_each_listed_once) {
  enum { COUNT = 50000 };
  OK(mkdir("d", 0755));
  int d = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
  char name[32];
  // As many as a slow file system makes in three seconds.
  int64_t end = now_ns(CLOCK_MONOTONIC) + 3000000000;
  int count = 0;
  while (count < COUNT && (count % 256 != 0 || now_ns(CLOCK_MONOTONIC) < end)) {
    snprintf(name, sizeof name, "n%d", count++);
    OK(mknodat(d, name, S_IFREG | 0644, 0));
  }
  static unsigned char seen[COUNT];
  DIR* directory = opendir("d");
  EXPECT(directory != NULL);
  struct dirent* entry;
  while ((entry = readdir(directory)) != NULL) {
    if (entry->d_name[0] != 'n') continue;
    int i = atoi(entry->d_name + 1);
    EXPECT(i >= 0 && i < count && !seen[i]);
    seen[i] = 1;
  }
  for (int i = 0; i < count; i++) EXPECT(seen[i]);
}

CASE(all_entries_can_be_removed_while_they_are_read) {
  enum { COUNT = 2000 };
  OK(mkdir("d", 0755));
  int d = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
  char name[32];
  for (int i = 0; i < COUNT; i++) {
    snprintf(name, sizeof name, "n%d", i);
    OK(mknodat(d, name, S_IFREG | 0644, 0));
  }
  DIR* directory = opendir("d");
  EXPECT(directory != NULL);
  struct dirent* entry;
  int removed = 0;
  while ((entry = readdir(directory)) != NULL)
    if (entry->d_name[0] == 'n') {
      OK(unlinkat(d, entry->d_name, 0));
      removed++;
    }
  EXPECT_EQ(removed, COUNT);
  OK(rmdir("d"));
}

CASE(entries_that_stay_are_listed_once_while_others_come_and_go) {
  enum { STAY = 1000 };
  OK(mkdir("d", 0755));
  int d = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
  char name[32];
  for (int i = 0; i < STAY; i++) {
    snprintf(name, sizeof name, "s%d", i);
    OK(mknodat(d, name, S_IFREG | 0644, 0));
    snprintf(name, sizeof name, "g%d", i);
    OK(mknodat(d, name, S_IFREG | 0644, 0));
  }
  static unsigned char seen[STAY];
  char buffer[512];
  int changes = 0;
  for (;;) {
    long n = OK(syscall(SYS_getdents64, d, buffer, sizeof buffer));
    if (n == 0) break;
    for (long at = 0; at < n;) {
      unsigned short length;
      memcpy(&length, buffer + at + 16, sizeof length);
      const char* found = buffer + at + 19;
      if (found[0] == 's') {
        int i = atoi(found + 1);
        EXPECT(i >= 0 && i < STAY && !seen[i]);
        seen[i] = 1;
      }
      at += length;
    }
    if (changes < STAY) {
      snprintf(name, sizeof name, "g%d", changes);
      OK(unlinkat(d, name, 0));
      snprintf(name, sizeof name, "new%d", changes++);
      OK(mknodat(d, name, S_IFREG | 0644, 0));
    }
  }
  for (int i = 0; i < STAY; i++) EXPECT(seen[i]);
}

CASE(a_directory_position_can_be_come_back_to) {
  OK(mkdir("d", 0755));
  char name[32];
  for (int i = 0; i < 300; i++) {
    snprintf(name, sizeof name, "d/n%d", i);
    close((int)OK(creat(name, 0644)));
  }
  DIR* directory = opendir("d");
  for (int i = 0; i < 150; i++) EXPECT(readdir(directory) != NULL);
  long place = telldir(directory);
  struct dirent* next = readdir(directory);
  EXPECT(next != NULL);
  char expected[256];
  snprintf(expected, sizeof expected, "%s", next->d_name);
  while (readdir(directory) != NULL) {
  }
  seekdir(directory, place);
  EXPECT_STR(readdir(directory)->d_name, expected);
}

// ---- locks

CASE(ofd_locks_are_waited_for_and_go_with_the_last_close) {
  int fd = new_file("f", "text"), other = (int)OK(open("f", O_RDWR));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  OK(fcntl(fd, F_OFD_SETLK, &lock));
  EXPECT_ERRNO(fcntl(other, F_OFD_SETLK, &lock), EAGAIN);
  pid_t waiter = IN_CHILD({
    close(fd);
    OK(fcntl(other, F_OFD_SETLKW, &lock));
  });
  EVENTUALLY(process_state(waiter) == 'S');
  close(fd);
  EXPECT_EXIT(waiter, 0);
}

CASE(ofd_locks_want_a_pid_of_zero) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_pid = 1};
  EXPECT_ERRNO(fcntl(new_file("f", ""), F_OFD_SETLK, &lock), EINVAL);
}

CASE(getlk_tells_who_holds_a_lock) {
  int fd = new_file("f", "text"), ready[2], done[2];
  OK(pipe(ready));
  OK(pipe(done));
  pid_t holder = IN_CHILD({
    close(done[1]);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
    OK(fcntl(fd, F_SETLK, &lock));
    EXPECT_EQ(write(ready[1], "x", 1), 1);
    char byte;
    EXPECT_EQ(read(done[0], &byte, 1), 0);
  });
  char byte;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
  OK(fcntl(fd, F_GETLK, &lock));
  EXPECT_EQ(lock.l_type, F_WRLCK);
  EXPECT_EQ(lock.l_start, 10);
  EXPECT_EQ(lock.l_len, 5);
  EXPECT_EQ(lock.l_pid, holder);
  close(done[1]);
  EXPECT_EXIT(holder, 0);
}

CASE(a_circle_of_three_waiters_is_a_deadlock) {
  int fd = new_file("f", "text"), tokens[2];
  OK(pipe(tokens));
  pid_t children[3];
  for (int c = 0; c < 3; c++)
    children[c] = IN_CHILD({
      struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = c, .l_len = 1};
      OK(fcntl(fd, F_SETLK, &lock));
      EXPECT_EQ(write(tokens[1], "x", 1), 1);
      int waiting;
      do OK(ioctl(tokens[0], FIONREAD, &waiting));
      while (waiting < 3);
      lock.l_start = (c + 1) % 3;
      int refused = fcntl(fd, F_SETLKW, &lock) != 0;
      if (refused && errno != EDEADLK) _exit(9);
      _exit(refused ? 35 : 0);
    });
  int refused = 0;
  for (int c = 0; c < 3; c++) {
    int how = wait_status(children[c]);
    EXPECT(WIFEXITED(how) && (WEXITSTATUS(how) == 0 || WEXITSTATUS(how) == 35));
    refused += WEXITSTATUS(how) == 35;
  }
  EXPECT_EQ(refused, 1);
}

CASE(flock_is_of_the_open_file_and_shared_with_children) {
  int fd = new_file("f", ""), other = (int)OK(open("f", O_RDONLY));
  OK(flock(fd, LOCK_EX));
  EXPECT_EXIT(IN_CHILD({ OK(flock(fd, LOCK_EX | LOCK_NB)); }), 0);
  EXPECT_ERRNO(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  EXPECT_EXIT(IN_CHILD({ OK(flock(fd, LOCK_UN)); }), 0);
  OK(flock(other, LOCK_EX | LOCK_NB));
}

CASE(flock_checks_its_operation) {
  int fd = new_file("f", "");
  EXPECT_ERRNO(flock(fd, 0), EINVAL);
  EXPECT_ERRNO(flock(fd, LOCK_SH | LOCK_EX), EINVAL);
  EXPECT_ERRNO(flock(-1, LOCK_SH), EBADF);
  OK(flock((int)OK(open(".", O_RDONLY)), LOCK_EX | LOCK_NB));
}

CASE(record_locks_are_not_inherited_by_children) {
  int fd = new_file("f", "text");
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  OK(fcntl(fd, F_SETLK, &lock));
  EXPECT_EXIT(IN_CHILD({
                struct flock mine = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
                EXPECT(fcntl(fd, F_SETLK, &mine) == -1 && (errno == EAGAIN || errno == EACCES));
              }),
              0);
}

// ---- names and paths

CASE(a_trailing_slash_asks_for_a_directory_everywhere) {
  new_file("f", "");
  struct stat st;
  EXPECT_ERRNO(stat("f/", &st), ENOTDIR);
  EXPECT_ERRNO(open("f/", O_RDONLY), ENOTDIR);
  EXPECT_ERRNO(unlink("f/"), ENOTDIR);
  EXPECT_ERRNO(rename("f/", "g"), ENOTDIR);
  EXPECT_ERRNO(rename("f", "g/"), ENOTDIR);
  EXPECT_ERRNO(link("f/", "g"), ENOTDIR);
  EXPECT_ERRNO(chmod("f/", 0600), ENOTDIR);
  EXPECT_ERRNO(truncate("f/", 0), ENOTDIR);
  EXPECT_ERRNO(symlink("x", "g/"), ENOENT);
}

CASE(names_of_255_bytes_fit_and_of_256_do_not) {
  char name[300];
  memset(name, 'n', sizeof name);
  name[255] = 0;
  close((int)OK(creat(name, 0644)));
  OK(unlink(name));
  name[255] = 'n';
  name[256] = 0;
  EXPECT_ERRNO(creat(name, 0644), ENAMETOOLONG);
  EXPECT_ERRNO(mkdir(name, 0755), ENAMETOOLONG);
  EXPECT_ERRNO(symlink("x", name), ENAMETOOLONG);
  struct stat st;
  EXPECT_ERRNO(stat(name, &st), ENAMETOOLONG);
  EXPECT_ERRNO(unlink(name), ENAMETOOLONG);
}

CASE(a_symlink_holds_4095_bytes) {
  static char text[5000];
  memset(text, 'x', sizeof text);
  text[4095] = 0;
  OK(symlink(text, "l"));
  char back[5000];
  EXPECT_EQ(readlink("l", back, sizeof back), 4095);
  text[4095] = 'x';
  text[4096] = 0;
  EXPECT_ERRNO(symlink(text, "m"), ENAMETOOLONG);
  EXPECT_ERRNO(symlink("", "m"), ENOENT);
}

CASE(dot_and_dot_dot_cannot_be_made_or_removed) {
  EXPECT_ERRNO(mkdir(".", 0755), EEXIST);
  EXPECT_ERRNO(mkdir("..", 0755), EEXIST);
  EXPECT_ERRNO(rmdir("."), EINVAL);
  EXPECT_ERRNO(rmdir(".."), ENOTEMPTY);
  EXPECT_ERRNO(unlink("."), EISDIR);
  EXPECT_ERRNO(symlink("x", "."), EEXIST);
  EXPECT_ERRNO(link(".", "x"), EPERM);
  EXPECT_ERRNO(mknod("..", S_IFREG, 0), EEXIST);
}

CASE(the_cwd_of_a_removed_directory_serves_nothing) {
  OK(mkdir("d", 0755));
  OK(chdir("d"));
  OK(rmdir("../d"));
  struct stat st;
  EXPECT_ERRNO(creat("f", 0644), ENOENT);
  EXPECT_ERRNO(mkdir("x", 0755), ENOENT);
  OK(stat(".", &st));
  EXPECT_EQ(st.st_nlink, 0);
  OK(chdir(".."));
}

CASE(open_of_a_link_with_creation_and_exclusion) {
  OK(symlink("target", "l"));
  EXPECT_ERRNO(open("l", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
  EXPECT_ERRNO(open("l", O_CREAT | O_NOFOLLOW | O_WRONLY, 0644), ELOOP);
  close((int)OK(open("l", O_CREAT | O_WRONLY, 0644)));
  EXPECT(S_ISREG(status("target").st_mode));
  EXPECT_ERRNO(open("l", O_DIRECTORY), ENOTDIR);
  EXPECT_ERRNO(open(".", O_CREAT | O_DIRECTORY | O_RDONLY, 0644), EINVAL);
}

CASE(truncation_needs_writing) {
  new_file("f", "text");
  OK(chmod("f", 0444));
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                EXPECT_ERRNO(open("f", O_RDONLY | O_TRUNC), EACCES);
                EXPECT_ERRNO(truncate("f", 0), EACCES);
                int fd = (int)OK(open("f", O_RDONLY));
                EXPECT_ERRNO(ftruncate(fd, 0), EINVAL);
              }),
              0);
  EXPECT_EQ(status("f").st_size, 4);
}

CASE(o_direct_and_o_sync_are_kept_where_they_are_taken) {
  new_file("f", "text");
  int fd = (int)OK(open("f", O_RDWR | O_SYNC));
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_SYNC, O_SYNC);
  EXPECT_EQ(fcntl(fd, F_SETFL, 0), 0);
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_SYNC, O_SYNC);  // not one that F_SETFL changes
  EXPECT_EQ(write(fd, "x", 1), 1);
}

CASE(the_largest_offsets_are_efbig_or_einval) {
  int fd = new_file("f", "");
  EXPECT_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
  EXPECT_ERRNO(lseek(fd, 0, 99), EINVAL);
  EXPECT_ERRNO(ftruncate(fd, -1), EINVAL);
  EXPECT_ERRNO(pwrite(fd, "x", 1, -1), EINVAL);
  EXPECT_ERRNO(pwrite(fd, "x", 1, INT64_MAX), EINVAL);
  EXPECT_ERRNO(pwrite(fd, "x", 1, INT64_MAX - 1), EFBIG);
}

CASE(a_hole_written_around_reads_as_zeros) {
  int fd = new_file("f", "ab");
  EXPECT_EQ(pwrite(fd, "z", 1, 10000), 1);
  char text[10001];
  EXPECT_EQ(pread(fd, text, sizeof text, 0), 10001);
  for (int i = 2; i < 10000; i++) EXPECT_EQ(text[i], 0);
  EXPECT_EQ(text[10000], 'z');
}

CASE(shrinking_and_growing_leaves_no_old_bytes) {
  int fd = new_file("f", "0123456789");
  OK(ftruncate(fd, 3));
  OK(ftruncate(fd, 10));
  char text[11] = "";
  EXPECT_EQ(pread(fd, text, 10, 0), 10);
  EXPECT(memcmp(text, "012\0\0\0\0\0\0\0", 10) == 0);
}

CASE(a_mapping_beyond_the_end_raises_sigbus) {
  int fd = new_file("f", "text");
  char* map = MAP(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_EQ(map[PAGE - 1], 0);
  EXPECT_KILLED(IN_CHILD({ _exit(((volatile char*)map)[PAGE]); }), SIGBUS);
}

CASE(a_mapping_sees_what_is_written_after_the_file_grew) {
  int fd = new_file("f", "text");
  char* map = MAP(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
  OK(ftruncate(fd, 2 * PAGE));
  EXPECT_EQ(pwrite(fd, "new", 3, PAGE), 3);
  EXPECT(memcmp(map + PAGE, "new", 3) == 0);
}

CASE(ioctls_of_regular_files) {
  int fd = new_file("f", "text");
  int left;
  OK(ioctl(fd, FIONREAD, &left));
  EXPECT_EQ(left, 4);
  EXPECT_ERRNO(ioctl(fd, 0x5401 /* TCGETS */, &left), ENOTTY);
  OK(ioctl(fd, FIOCLEX));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  OK(ioctl(fd, FIONCLEX));
  EXPECT_EQ(fcntl(fd, F_GETFD), 0);
}
