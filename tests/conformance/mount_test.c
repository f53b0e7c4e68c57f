// mount(2), umount2(2), pivot_root(2): tmpfs and its limits, bind mounts, flags, moves, what stays busy.
#define CONFORMANCE_FILES
#include "conformance.h"

#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>

// Natively in a mount namespace of its own. A sandbox has one, and may refuse to make another.
static bool isolated;
static void isolate(void) {
  if (geteuid() != 0) SKIP("needs root");
  isolated = unshare(CLONE_NEWNS) == 0;
  if (isolated) OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}
static void tmpfs(const char* at, const char* options) {
  OK(mkdir(at, 0755));
  OK(mount("none", at, "tmpfs", 0, options));
}
static bool exists(const char* path) { return access(path, F_OK) == 0; }
static void touch(const char* path) { write_file(path, ""); }
// The line of the mount at a path below the working directory.
static char* mountinfo_line(const char* below) {
  static char text[65536], line[1024];
  char here[256], wanted[512];
  EXPECT(getcwd(here, sizeof here));
  snprintf(wanted, sizeof wanted, "%s%s", here, below);
  OK(read_file("/proc/self/mountinfo", text, sizeof text));
  for (char* at = strtok(text, "\n"); at; at = strtok(NULL, "\n")) {
    char id[32], parent[32], device[32], root[256], place[512];
    if (sscanf(at, "%31s %31s %31s %255s %511s", id, parent, device, root, place) != 5) continue;
    if (strcmp(place, wanted) != 0) continue;
    snprintf(line, sizeof line, "%s", at);
    return line;
  }
  return NULL;
}

CASE(a_tmpfs_covers_and_umount_uncovers) {
  isolate();
  OK(mkdir("m", 0755));
  touch("m/below");
  OK(mount("none", "m", "tmpfs", 0, ""));
  EXPECT(!exists("m/below"));
  touch("m/above");
  OK(umount("m"));
  EXPECT(exists("m/below"));
  EXPECT(!exists("m/above"));
}
CASE(mounts_stack_on_one_place) {
  isolate();
  tmpfs("m", "");
  touch("m/first");
  OK(mount("none", "m", "tmpfs", 0, ""));
  EXPECT(!exists("m/first"));
  OK(umount("m"));
  EXPECT(exists("m/first"));
  OK(umount("m"));
}
CASE(a_mount_has_a_device_of_its_own) {
  isolate();
  tmpfs("m", "");
  struct stat here, there;
  OK(stat(".", &here));
  OK(stat("m", &there));
  EXPECT(here.st_dev != there.st_dev);
  EXPECT_ERRNO(rename("m", "n"), EBUSY);
  EXPECT_ERRNO(rmdir("m"), EBUSY);
  touch("f");
  EXPECT_ERRNO(link("f", "m/f"), EXDEV);
  EXPECT_ERRNO(rename("f", "m/f"), EXDEV);
  OK(umount("m"));
  OK(rmdir("m"));
}
CASE(dot_dot_of_a_mounts_root_is_its_place) {
  isolate();
  tmpfs("m", "");
  touch("beside");
  OK(chdir("m"));
  EXPECT(exists("../beside"));
  OK(chdir(".."));
  EXPECT(exists("m"));
}
CASE(umount_of_what_is_in_use_is_ebusy) {
  isolate();
  tmpfs("m", "");
  int fd = (int)OK(open("m/f", O_CREAT | O_RDWR, 0644));
  EXPECT_ERRNO(umount("m"), EBUSY);
  OK(close(fd));
  OK(chdir("m"));
  EXPECT_ERRNO(umount2("../m", 0), EBUSY);
  OK(chdir(".."));
  OK(umount("m"));
}
CASE(a_lazy_umount_takes_it_out_of_the_tree_and_keeps_open_files) {
  isolate();
  tmpfs("m", "");
  int fd = (int)OK(open("m/f", O_CREAT | O_RDWR, 0644));
  OK(umount2("m", MNT_DETACH));
  EXPECT(!exists("m/f"));
  EXPECT_EQ(write(fd, "abc", 3), 3);
  char text[4] = {0};
  EXPECT_EQ(pread(fd, text, 3, 0), 3);
  EXPECT_STR(text, "abc");
}
CASE(umount_with_a_mount_inside_is_ebusy) {
  isolate();
  tmpfs("m", "");
  tmpfs("m/inner", "");
  EXPECT_ERRNO(umount("m"), EBUSY);
  OK(umount2("m", MNT_DETACH));
  EXPECT(mountinfo_line("/m/inner") == NULL);
}
CASE(umount_of_no_mount_is_einval) {
  isolate();
  OK(mkdir("m", 0755));
  EXPECT_ERRNO(umount("m"), EINVAL);
  EXPECT_ERRNO(umount("missing"), ENOENT);
  EXPECT_ERRNO(umount2("m", 0x100), EINVAL);
}
CASE(umount_nofollow_does_not_follow) {
  isolate();
  tmpfs("m", "");
  OK(symlink("m", "l"));
  EXPECT_ERRNO(umount2("l", UMOUNT_NOFOLLOW), EINVAL);
  OK(umount("l"));
  EXPECT(mountinfo_line("/m") == NULL);
}
CASE(expire_needs_two_calls) {
  isolate();
  tmpfs("m", "");
  EXPECT_ERRNO(umount2("m", MNT_EXPIRE), EAGAIN);
  OK(umount2("m", MNT_EXPIRE));
  EXPECT_ERRNO(umount2("m", MNT_EXPIRE | MNT_FORCE), EINVAL);
}
CASE(mount_checks_its_arguments) {
  isolate();
  OK(mkdir("m", 0755));
  touch("f");
  EXPECT_ERRNO(mount("none", "m", "no-such-type", 0, ""), ENODEV);
  EXPECT_ERRNO(mount("none", "missing", "tmpfs", 0, ""), ENOENT);
  EXPECT_ERRNO(mount("none", "f", "tmpfs", 0, ""), ENOTDIR);
  EXPECT_ERRNO(mount("missing", "m", NULL, MS_BIND, NULL), ENOENT);
  EXPECT_ERRNO(mount("none", "m", NULL, MS_REMOUNT, NULL), EINVAL);
  EXPECT_ERRNO(mount("none", "m", (char*)64, 0, NULL), EFAULT);
}
CASE(a_bind_mount_shows_the_same_files) {
  isolate();
  OK(mkdir("a", 0755));
  OK(mkdir("b", 0755));
  write_file("a/f", "text");
  OK(mount("a", "b", NULL, MS_BIND, NULL));
  char text[8];
  OK(read_file("b/f", text, sizeof text));
  EXPECT_STR(text, "text");
  struct stat one, two;
  OK(stat("a/f", &one));
  OK(stat("b/f", &two));
  EXPECT_EQ(one.st_ino, two.st_ino);
  EXPECT_EQ(one.st_dev, two.st_dev);
  touch("b/new");
  EXPECT(exists("a/new"));
  EXPECT_ERRNO(link("a/f", "b/g"), EXDEV);
  EXPECT_ERRNO(rename("a/f", "b/g"), EXDEV);
  OK(umount("b"));
  EXPECT(!exists("b/f"));
}
CASE(a_file_can_be_mounted_on_a_file) {
  isolate();
  write_file("a", "one");
  write_file("b", "two");
  OK(mkdir("d", 0755));
  EXPECT_ERRNO(mount("a", "d", NULL, MS_BIND, NULL), ENOTDIR);
  OK(mount("a", "b", NULL, MS_BIND, NULL));
  char text[8];
  OK(read_file("b", text, sizeof text));
  EXPECT_STR(text, "one");
  EXPECT_ERRNO(unlink("b"), EBUSY);
  OK(umount("b"));
  OK(read_file("b", text, sizeof text));
  EXPECT_STR(text, "two");
}
CASE(a_plain_bind_leaves_inner_mounts_out_and_rbind_takes_them_along) {
  isolate();
  OK(mkdir("a", 0755));
  tmpfs("a/inner", "");
  touch("a/inner/f");
  OK(mkdir("b", 0755));
  OK(mount("a", "b", NULL, MS_BIND, NULL));
  EXPECT(!exists("b/inner/f"));
  OK(umount("b"));
  OK(mount("a", "b", NULL, MS_BIND | MS_REC, NULL));
  EXPECT(exists("b/inner/f"));
  OK(umount("b/inner"));
  EXPECT(exists("a/inner/f"));
}
CASE(a_bind_mount_can_be_read_only_by_a_remount) {
  isolate();
  OK(mkdir("a", 0755));
  OK(mkdir("b", 0755));
  touch("a/f");
  OK(mount("a", "b", NULL, MS_BIND, NULL));
  OK(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
  EXPECT_ERRNO(open("b/f", O_RDWR), EROFS);
  EXPECT_ERRNO(open("b/new", O_CREAT | O_WRONLY, 0644), EROFS);
  EXPECT_ERRNO(mkdir("b/d", 0755), EROFS);
  EXPECT_ERRNO(unlink("b/f"), EROFS);
  EXPECT_ERRNO(rename("b/f", "b/g"), EROFS);
  EXPECT_ERRNO(chmod("b/f", 0600), EROFS);
  EXPECT_ERRNO(utimensat(AT_FDCWD, "b/f", NULL, 0), EROFS);
  EXPECT_ERRNO(truncate("b/f", 0), EROFS);
  EXPECT_ERRNO(access("b/f", W_OK), EROFS);
  EXPECT_ERRNO(setxattr("b/f", "user.a", "x", 1, 0), EROFS);
  OK(close((int)OK(open("b/f", O_RDONLY))));
  OK(close((int)OK(open("a/f", O_RDWR))));
  struct statvfs s;
  OK(statvfs("b", &s));
  EXPECT(s.f_flag & ST_RDONLY);
  OK(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND, NULL));
  OK(close((int)OK(open("b/f", O_RDWR))));
}
CASE(noexec_and_nosuid_and_nodev_have_effect) {
  isolate();
  OK(mkdir("m", 0755));
  OK(mount("none", "m", "tmpfs", MS_NOEXEC | MS_NODEV, ""));
  write_file("m/script", "#!/bin/sh\n");
  OK(chmod("m/script", 0755));
  EXPECT_ERRNO(execl("m/script", "script", NULL), EACCES);
  EXPECT_ERRNO(access("m/script", X_OK), EACCES);
  if (mknod("m/null", S_IFCHR | 0666, makedev(1, 3)) == 0) EXPECT_ERRNO(open("m/null", O_RDWR), EACCES);
  int fd = (int)OK(open("m/script", O_RDONLY));
  EXPECT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EPERM);
}
CASE(mountinfo_and_mounts_tell_of_a_mount) {
  isolate();
  OK(mkdir("place", 0755));
  OK(mount("the-source", "place", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m"));
  char* line = mountinfo_line("/place");
  EXPECT(line);
  EXPECT(strstr(line, "nosuid,nodev"));
  EXPECT(strstr(line, " - tmpfs the-source "));
  EXPECT(strstr(line, "size=1024k"));
  char text[65536];
  OK(read_file("/proc/mounts", text, sizeof text));
  EXPECT(strstr(text, "the-source "));
}
CASE(mountinfo_escapes_spaces) {
  isolate();
  tmpfs("a place", "");
  EXPECT(mountinfo_line("/a\\040place"));
}
CASE(a_mount_can_be_moved) {
  isolate();
  tmpfs("base", "");
  OK(mount(NULL, "base", NULL, MS_PRIVATE, NULL));
  tmpfs("base/a", "");
  touch("base/a/f");
  OK(mkdir("base/b", 0755));
  int fd = (int)OK(open("base/a/f", O_RDONLY));
  OK(mount("base/a", "base/b", NULL, MS_MOVE, NULL));
  EXPECT(!exists("base/a/f"));
  EXPECT(exists("base/b/f"));
  char path[64], link[512] = {0};
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  OK(readlink(path, link, sizeof link - 1));
  EXPECT(strstr(link, "/base/b/f"));
  EXPECT_ERRNO(mount("base", "base/b", NULL, MS_MOVE, NULL), ELOOP);
}
CASE(propagation_types_are_checked) {
  isolate();
  OK(mkdir("m", 0755));
  EXPECT_ERRNO(mount(NULL, "m", NULL, MS_PRIVATE, NULL), EINVAL);
  OK(mount("none", "m", "tmpfs", 0, ""));
  OK(mount(NULL, "m", NULL, MS_PRIVATE, NULL));
  EXPECT_ERRNO(mount(NULL, "m", NULL, MS_PRIVATE | MS_SHARED, NULL), EINVAL);
  OK(mount(NULL, "m", NULL, MS_UNBINDABLE, NULL));
  OK(mkdir("b", 0755));
  EXPECT_ERRNO(mount("m", "b", NULL, MS_BIND, NULL), EINVAL);
}
CASE(a_shared_mount_passes_mounts_to_its_peer) {
  isolate();
  tmpfs("a", "");
  OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
  OK(mkdir("b", 0755));
  OK(mount("a", "b", NULL, MS_BIND, NULL));
  tmpfs("a/inner", "");
  touch("a/inner/f");
  EXPECT(exists("b/inner/f"));
  EXPECT(strstr(mountinfo_line("/a"), " shared:"));
  OK(umount("b/inner"));
  EXPECT(!exists("a/inner/f"));
}
CASE(a_slave_receives_and_does_not_send) {
  isolate();
  tmpfs("a", "");
  OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
  OK(mkdir("b", 0755));
  OK(mount("a", "b", NULL, MS_BIND, NULL));
  OK(mount(NULL, "b", NULL, MS_SLAVE, NULL));
  OK(mkdir("a/one", 0755));
  OK(mkdir("a/two", 0755));
  OK(mount("none", "a/one", "tmpfs", 0, ""));
  touch("a/one/f");
  EXPECT(exists("b/one/f"));
  OK(mount("none", "b/two", "tmpfs", 0, ""));
  touch("b/two/f");
  EXPECT(!exists("a/two/f"));
  EXPECT(strstr(mountinfo_line("/b"), " master:"));
}
CASE(pivot_root_exchanges_the_root) {
  isolate();
  if (!isolated) SKIP("the one mount namespace is everybody's");
  pid_t child = IN_CHILD({
    tmpfs("new", "");
    OK(mount(NULL, "new", NULL, MS_PRIVATE, NULL));
    touch("new/marker");
    OK(mkdir("new/old", 0755));
    OK(chdir("new"));
    if (syscall(SYS_pivot_root, ".", "old") != 0) _exit(errno == EINVAL ? 77 : 1);
    EXPECT(exists("/marker"));
    EXPECT(exists("/old/proc"));
    EXPECT_EQ(chdir("/"), 0);
    OK(umount2("/old", MNT_DETACH));
    EXPECT(!exists("/old/proc"));
    OK(syscall(SYS_pivot_root, "/", "/") == -1 ? 0 : -1);
  });
  int status = wait_status(child);
  if (WEXITSTATUS(status) == 77) SKIP("the root cannot be exchanged here");
  EXPECT_EQ(status, 0);
}
CASE(tmpfs_size_is_a_limit) {
  isolate();
  tmpfs("m", "size=64k");
  int fd = (int)OK(open("m/f", O_CREAT | O_RDWR, 0644));
  static char block[65536];
  EXPECT_EQ(write(fd, block, sizeof block), sizeof block);
  EXPECT_ERRNO(write(fd, block, 1), ENOSPC);
  struct statfs s;
  OK(statfs("m", &s));
  EXPECT_EQ(s.f_type, 0x01021994);
  EXPECT_EQ(s.f_blocks, 16);
  EXPECT_EQ(s.f_bfree, 0);
  OK(ftruncate(fd, 4096));
  OK(statfs("m", &s));
  EXPECT_EQ(s.f_bfree, 15);
  OK(close(fd));
  OK(unlink("m/f"));
  OK(statfs("m", &s));
  EXPECT_EQ(s.f_bfree, 16);
}
CASE(tmpfs_write_is_short_where_room_ends) {
  isolate();
  tmpfs("m", "size=8k");
  int fd = (int)OK(open("m/f", O_CREAT | O_RDWR, 0644));
  static char block[12288];
  EXPECT_EQ(write(fd, block, sizeof block), 8192);
  EXPECT_ERRNO(write(fd, block, sizeof block), ENOSPC);
  EXPECT_EQ(pwrite(fd, "x", 1, 100), 1);
}
CASE(tmpfs_holes_cost_nothing) {
  isolate();
  tmpfs("m", "size=64k");
  int fd = (int)OK(open("m/f", O_CREAT | O_RDWR, 0644));
  OK(ftruncate(fd, 1 << 30));
  EXPECT_EQ(pwrite(fd, "x", 1, 1 << 29), 1);
  struct stat st;
  OK(fstat(fd, &st));
  EXPECT_EQ(st.st_size, 1 << 30);
  EXPECT_EQ(st.st_blocks, 8);
  EXPECT_ERRNO(fallocate(fd, 0, 0, 1 << 20), ENOSPC);
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 29, 4096));
  OK(fstat(fd, &st));
  EXPECT_EQ(st.st_blocks, 0);
}
CASE(tmpfs_inodes_are_limited) {
  isolate();
  tmpfs("m", "nr_inodes=4");
  struct statfs s;
  OK(statfs("m", &s));
  EXPECT_EQ(s.f_files, 4);
  touch("m/1");
  touch("m/2");
  OK(mkdir("m/3", 0755));
  EXPECT_ERRNO(open("m/4", O_CREAT | O_WRONLY, 0644), ENOSPC);
  EXPECT_ERRNO(mkdir("m/4", 0755), ENOSPC);
  EXPECT_ERRNO(symlink("x", "m/4"), ENOSPC);
  OK(unlink("m/1"));
  touch("m/4");
}
CASE(tmpfs_mode_uid_gid_options) {
  isolate();
  tmpfs("m", "mode=0751,uid=12,gid=34");
  struct stat st;
  OK(stat("m", &st));
  EXPECT_EQ(st.st_mode, S_IFDIR | 0751);
  EXPECT_EQ(st.st_uid, 12);
  EXPECT_EQ(st.st_gid, 34);
}
CASE(tmpfs_unknown_option_is_einval) {
  isolate();
  OK(mkdir("m", 0755));
  EXPECT_ERRNO(mount("none", "m", "tmpfs", 0, "no-such-option=1"), EINVAL);
  EXPECT_ERRNO(mount("none", "m", "tmpfs", 0, "size=nonsense"), EINVAL);
}
CASE(tmpfs_remount_changes_the_size) {
  isolate();
  tmpfs("m", "size=64k");
  OK(mount("none", "m", NULL, MS_REMOUNT, "size=128k"));
  struct statfs s;
  OK(statfs("m", &s));
  EXPECT_EQ(s.f_blocks, 32);
}
CASE(tmpfs_keeps_xattrs) {
  isolate();
  tmpfs("m", "");
  touch("m/f");
  if (setxattr("m/f", "trusted.note", "value", 5, 0) != 0) SKIP("no trusted xattrs here");
  char value[16] = {0};
  EXPECT_EQ(getxattr("m/f", "trusted.note", value, sizeof value), 5);
  EXPECT_STR(value, "value");
  EXPECT_EQ(listxattr("m/f", value, sizeof value), 13);
}
CASE(proc_and_sysfs_can_be_mounted_again) {
  isolate();
  OK(mkdir("p", 0755));
  OK(mount("proc", "p", "proc", 0, NULL));
  char text[64];
  OK(read_file("p/self/comm", text, sizeof text));
  EXPECT(text[0]);
  OK(umount("p"));
}
CASE(openat2_no_xdev_stays_on_a_mount) {
  isolate();
  struct {
    uint64_t flags, mode, resolve;
  } how = {O_RDONLY, 0, 1};
  tmpfs("m", "");
  touch("m/f");
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, "m/f", &how, sizeof how), EXDEV);
  OK(chdir("m"));
  OK(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, "..", &how, sizeof how), EXDEV);
}
CASE(statx_tells_the_mount_and_its_root) {
  isolate();
  tmpfs("m", "");
  touch("m/f");
  struct statx root, file;
  OK(statx(AT_FDCWD, "m", 0, STATX_BASIC_STATS | 0x1000, &root));
  OK(statx(AT_FDCWD, "m/f", 0, STATX_BASIC_STATS | 0x1000, &file));
  EXPECT(root.stx_attributes & STATX_ATTR_MOUNT_ROOT);
  EXPECT(!(file.stx_attributes & STATX_ATTR_MOUNT_ROOT));
  EXPECT(file.stx_mask & 0x1000);
  int id = 0;
  EXPECT(sscanf(mountinfo_line("/m"), "%d", &id) == 1);
  EXPECT_EQ(*(uint64_t*)((char*)&file + 0x90), id);
}
CASE(the_cwd_in_a_detached_mount_is_unreachable) {
  isolate();
  tmpfs("m", "");
  OK(chdir("m"));
  OK(umount2("../m", MNT_DETACH));
  touch("f");
  EXPECT(exists("f"));
  char text[256];
  long n = syscall(SYS_getcwd, text, sizeof text);
  EXPECT(n > 0);
  EXPECT(strncmp(text, "(unreachable)", 13) == 0);
}
CASE(mounting_needs_the_capability) {
  OK(mkdir("m", 0755));
  pid_t child = IN_CHILD({
    if (setresuid(1000, 1000, 1000) != 0) _exit(77);
    EXPECT_ERRNO(mount("none", "m", "tmpfs", 0, ""), EPERM);
    EXPECT_ERRNO(umount("m"), EPERM);
    EXPECT_ERRNO(syscall(SYS_pivot_root, "m", "m"), EPERM);
  });
  int status = wait_status(child);
  if (WEXITSTATUS(status) == 77) SKIP("not root");
  EXPECT_EQ(status, 0);
}
