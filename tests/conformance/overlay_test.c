// Overlays mounted by the program itself (mount(2) with "overlay"): layers on a tmpfs, or below the working directory
// where that can hold an upper layer.
#define CONFORMANCE_FILES
#include "conformance.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <linux/fs.h>
#include <sys/syscall.h>

static void layers(void) {
  if (geteuid() != 0) SKIP("needs root");
  if (unshare(CLONE_NEWNS) == 0) OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  OK(mkdir("base", 0755));
  OK(mount("none", "base", "tmpfs", 0, "mode=755"));
  OK(chdir("base"));
  const char* names[] = {"lower", "lower2", "upper", "work", "merged"};
  for (int i = 0; i < 5; i++) OK(mkdir(names[i], 0755));
  write_file("lower/f", "lower");
  OK(mkdir("lower/d", 0755));
  write_file("lower/d/inner", "inner");
}

static int try_mount(const char* options) { return mount("overlay", "merged", "overlay", 0, options); }

static void merge(void) { OK(try_mount("lowerdir=lower,upperdir=upper,workdir=work")); }

static struct stat status(const char* path) {
  struct stat st;
  OK(lstat(path, &st));
  return st;
}

static bool exists(const char* path) {
  struct stat st;
  return lstat(path, &st) == 0;
}

static bool is_whiteout(const char* path) {
  struct stat st = status(path);
  return S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

static void expect_text(const char* path, const char* text) {
  char buffer[256];
  EXPECT(read_file(path, buffer, sizeof buffer) >= 0);
  EXPECT_STR(buffer, text);
}

static int entries(const char* path) {
  DIR* directory = opendir(path);
  EXPECT(directory != NULL);
  int count = 0;
  struct dirent* entry;
  while ((entry = readdir(directory)) != NULL) count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

CASE(a_lower_file_is_seen_and_read) {
  layers();
  merge();
  expect_text("merged/f", "lower");
  expect_text("merged/d/inner", "inner");
  EXPECT_EQ(entries("merged"), 2);
}

CASE(a_new_file_stands_in_the_upper_layer) {
  layers();
  EXPECT(!exists("upper/new"));
  merge();
  write_file("merged/new", "text");
  expect_text("upper/new", "text");
  EXPECT(!exists("lower/new"));
}

CASE(writing_copies_up_and_leaves_the_lower_file) {
  layers();
  OK(chmod("lower/f", 0640));
  OK(chown("lower/f", 12, 34));
  merge();
  EXPECT(!exists("upper/f"));
  int fd = (int)OK(open("merged/f", O_WRONLY | O_APPEND));
  EXPECT_EQ(write(fd, "!", 1), 1);
  expect_text("merged/f", "lower!");
  expect_text("upper/f", "lower!");
  expect_text("lower/f", "lower");
  EXPECT_EQ(status("upper/f").st_mode, S_IFREG | 0640);
  EXPECT_EQ(status("upper/f").st_uid, 12);
}

CASE(changing_attributes_copies_up) {
  layers();
  merge();
  OK(chmod("merged/f", 0600));
  EXPECT_EQ(status("upper/f").st_mode, S_IFREG | 0600);
  expect_text("upper/f", "lower");
  OK(chown("merged/d", 7, 7));
  EXPECT_EQ(status("upper/d").st_uid, 7);
  EXPECT_EQ(status("lower/d").st_uid, 0);
}

CASE(copying_up_keeps_times_and_xattrs) {
  layers();
  OK(setxattr("lower/f", "user.name", "value", 5, 0));
  struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000, .tv_nsec = 5}};
  OK(utimensat(AT_FDCWD, "lower/f", times, 0));
  merge();
  OK(chmod("merged/f", 0600));
  EXPECT_EQ(status("upper/f").st_mtim.tv_sec, 2000);
  EXPECT_EQ(status("upper/f").st_mtim.tv_nsec, 5);
  char value[16];
  EXPECT_EQ(getxattr("upper/f", "user.name", value, sizeof value), 5);
}

CASE(removing_a_lower_file_makes_a_whiteout) {
  layers();
  merge();
  OK(unlink("merged/f"));
  EXPECT(!exists("merged/f"));
  EXPECT(is_whiteout("upper/f"));
  expect_text("lower/f", "lower");
  EXPECT_EQ(entries("merged"), 1);
  EXPECT_ERRNO(unlink("merged/f"), ENOENT);
}

CASE(removing_an_upper_file_leaves_nothing) {
  layers();
  merge();
  write_file("merged/new", "");
  OK(unlink("merged/new"));
  EXPECT(!exists("upper/new"));
}

CASE(a_name_is_used_again_over_its_whiteout) {
  layers();
  merge();
  OK(unlink("merged/f"));
  OK(mkdir("merged/f", 0755));
  EXPECT(S_ISDIR(status("upper/f").st_mode));
  OK(rmdir("merged/f"));
  write_file("merged/f", "again");
  expect_text("merged/f", "again");
}

CASE(a_whiteout_that_is_there_already_hides) {
  layers();
  OK(mknod("upper/f", S_IFCHR, makedev(0, 0)));
  merge();
  EXPECT(!exists("merged/f"));
  EXPECT_EQ(entries("merged"), 1);
}

CASE(an_opaque_directory_hides_what_is_below) {
  layers();
  OK(mkdir("upper/d", 0755));
  OK(setxattr("upper/d", "trusted.overlay.opaque", "y", 1, 0));
  merge();
  EXPECT(exists("merged/d"));
  EXPECT(!exists("merged/d/inner"));
  EXPECT_EQ(entries("merged/d"), 0);
}

CASE(a_directory_made_over_a_removed_one_is_empty) {
  layers();
  merge();
  OK(unlink("merged/d/inner"));
  OK(rmdir("merged/d"));
  OK(mkdir("merged/d", 0755));
  EXPECT_EQ(entries("merged/d"), 0);
  char value[8];
  EXPECT_EQ(getxattr("upper/d", "trusted.overlay.opaque", value, sizeof value), 1);
  EXPECT_EQ(value[0], 'y');
}

CASE(the_overlays_own_xattrs_are_hidden) {
  layers();
  merge();
  OK(unlink("merged/d/inner"));
  OK(rmdir("merged/d"));
  OK(mkdir("merged/d", 0755));
  char value[64];
  EXPECT_ERRNO(getxattr("merged/d", "trusted.overlay.opaque", value, sizeof value), ENODATA);
  EXPECT_EQ(listxattr("merged/d", value, sizeof value), 0);
}

CASE(directories_of_both_layers_are_merged) {
  layers();
  OK(mkdir("upper/d", 0755));
  write_file("upper/d/outer", "outer");
  merge();
  EXPECT_EQ(entries("merged/d"), 2);
  expect_text("merged/d/inner", "inner");
  expect_text("merged/d/outer", "outer");
}

CASE(an_upper_file_covers_a_lower_directory) {
  layers();
  write_file("upper/d", "file");
  merge();
  expect_text("merged/d", "file");
}

CASE(several_lower_layers_are_looked_through_in_order) {
  layers();
  write_file("lower2/f", "second");
  write_file("lower2/only", "here");
  OK(try_mount("lowerdir=lower:lower2,upperdir=upper,workdir=work"));
  expect_text("merged/f", "lower");
  expect_text("merged/only", "here");
  OK(unlink("merged/only"));
  EXPECT(is_whiteout("upper/only"));
}

CASE(a_whiteout_of_a_middle_layer_hides_those_below) {
  layers();
  OK(unlink("lower/f"));
  OK(mknod("lower/f", S_IFCHR, makedev(0, 0)));
  write_file("lower2/f", "second");
  OK(try_mount("lowerdir=lower:lower2,upperdir=upper,workdir=work"));
  EXPECT(!exists("merged/f"));
}

CASE(without_an_upper_layer_it_is_read_only) {
  layers();
  write_file("lower2/only", "here");
  OK(try_mount("lowerdir=lower:lower2"));
  expect_text("merged/only", "here");
  EXPECT_ERRNO(open("merged/new", O_CREAT | O_WRONLY, 0644), EROFS);
  EXPECT_ERRNO(unlink("merged/f"), EROFS);
  EXPECT_ERRNO(open("merged/f", O_WRONLY), EROFS);
  EXPECT_ERRNO(chmod("merged/f", 0600), EROFS);
}

CASE(options_are_checked) {
  layers();
  EXPECT_ERRNO(try_mount(""), EINVAL);
  EXPECT_ERRNO(try_mount("lowerdir=lower"), EINVAL);
  EXPECT_ERRNO(try_mount("lowerdir=lower,upperdir=upper"), EINVAL);
  EXPECT_ERRNO(try_mount("lowerdir=missing,upperdir=upper,workdir=work"), ENOENT);
  EXPECT_ERRNO(try_mount("lowerdir=lower,upperdir=upper,workdir=upper"), EINVAL);
  EXPECT_ERRNO(try_mount("lowerdir=lower,upperdir=upper,workdir=work,nonsense=1"), EINVAL);
  OK(mkdir("upper/inside", 0755));
  EXPECT_ERRNO(try_mount("lowerdir=lower,upperdir=upper,workdir=upper/inside"), EINVAL);
}

CASE(names_of_layers_may_hold_colons_and_commas) {
  layers();
  OK(mkdir("a:b,c", 0755));
  write_file("a:b,c/odd", "odd");
  OK(try_mount("lowerdir=a\\:b\\,c:lower,upperdir=upper,workdir=work"));
  expect_text("merged/odd", "odd");
  expect_text("merged/f", "lower");
}

CASE(proc_mounts_tells_of_an_overlay) {
  layers();
  merge();
  static char text[65536];
  EXPECT(read_file("/proc/self/mounts", text, sizeof text) > 0);
  char* line = strstr(text, "/merged overlay ");
  EXPECT(line != NULL);
  EXPECT(strstr(line, "lowerdir=lower,upperdir=upper,workdir=work") != NULL);
}

CASE(statfs_says_overlay) {
  layers();
  merge();
  struct statfs s;
  OK(statfs("merged", &s));
  EXPECT_EQ(s.f_type, 0x794c7630);
}

CASE(renaming_a_file_of_the_lower_layer) {
  layers();
  merge();
  OK(rename("merged/f", "merged/g"));
  expect_text("merged/g", "lower");
  EXPECT(!exists("merged/f"));
  EXPECT(is_whiteout("upper/f"));
  expect_text("upper/g", "lower");
}

CASE(renaming_a_lower_directory_is_exdev_or_done) {
  layers();
  merge();
  if (rename("merged/d", "merged/e") != 0) {
    EXPECT(errno == EXDEV);  // as Linux does without redirect_dir
    return;
  }
  expect_text("merged/e/inner", "inner");
  EXPECT(!exists("merged/d"));
}

CASE(renaming_an_upper_directory_moves_its_content) {
  layers();
  merge();
  OK(mkdir("merged/new", 0755));
  write_file("merged/new/file", "text");
  OK(rename("merged/new", "merged/other"));
  expect_text("merged/other/file", "text");
  expect_text("upper/other/file", "text");
  EXPECT(!exists("upper/new"));
}

CASE(rename_over_a_lower_file) {
  layers();
  merge();
  write_file("merged/new", "new");
  OK(rename("merged/new", "merged/f"));
  expect_text("merged/f", "new");
  expect_text("lower/f", "lower");
  EXPECT(!exists("upper/new"));
}

CASE(rename_exchange_of_upper_and_lower) {
  layers();
  merge();
  write_file("merged/new", "new");
  OK(syscall(SYS_renameat2, AT_FDCWD, "merged/new", AT_FDCWD, "merged/f", RENAME_EXCHANGE));
  expect_text("merged/f", "new");
  expect_text("merged/new", "lower");
}

CASE(links_of_a_lower_file_are_one_file_afterwards) {
  layers();
  merge();
  OK(link("merged/f", "merged/g"));
  EXPECT_EQ(status("merged/f").st_ino, status("merged/g").st_ino);
  write_file("merged/g", "changed");
  expect_text("merged/f", "changed");
  expect_text("lower/f", "lower");
}

CASE(removing_a_directory_that_is_not_empty_below) {
  layers();
  merge();
  EXPECT_ERRNO(rmdir("merged/d"), ENOTEMPTY);
  OK(unlink("merged/d/inner"));
  OK(rmdir("merged/d"));
  EXPECT(is_whiteout("upper/d"));
  EXPECT(!exists("merged/d"));
}

CASE(symlinks_fifos_and_sockets_pass_through) {
  layers();
  OK(symlink("f", "lower/l"));
  OK(mkfifo("lower/p", 0644));
  merge();
  expect_text("merged/l", "lower");
  EXPECT(S_ISFIFO(status("merged/p").st_mode));
  OK(symlink("x", "merged/n"));
  EXPECT(S_ISLNK(status("upper/n").st_mode));
  OK(lchown("merged/l", 5, 5));
  EXPECT(S_ISLNK(status("upper/l").st_mode));
}

CASE(an_open_of_the_lower_file_reads_the_copy_once_there_is_one) {
  layers();
  merge();
  int fd = (int)OK(open("merged/f", O_RDONLY));
  char text[16] = "";
  EXPECT_EQ(read(fd, text, 2), 2);
  write_file("merged/f", "changed");
  EXPECT_EQ(read(fd, text, sizeof text), 5);
  EXPECT(memcmp(text, "anged", 5) == 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 7);
}

CASE(a_mapping_of_a_copied_file_is_shared) {
  layers();
  merge();
  int fd = (int)OK(open("merged/f", O_RDWR));
  char* map = MAP(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  map[0] = 'L';
  expect_text("merged/f", "Lower");
  expect_text("lower/f", "lower");
}

CASE(inode_numbers_stay_over_copying_up) {
  layers();
  merge();
  ino_t before = status("merged/f").st_ino;
  dev_t device = status("merged/f").st_dev;
  OK(chmod("merged/f", 0600));
  EXPECT_EQ(status("merged/f").st_ino, before);
  EXPECT_EQ(status("merged/f").st_dev, device);
}

CASE(the_layers_are_busy_until_umount) {
  layers();
  merge();
  OK(chdir(".."));
  EXPECT_ERRNO(umount("base"), EBUSY);
  OK(umount("base/merged"));
  OK(umount("base"));
}

CASE(after_umount_the_upper_layer_has_the_changes) {
  layers();
  merge();
  write_file("merged/new", "text");
  OK(unlink("merged/f"));
  OK(umount("merged"));
  expect_text("upper/new", "text");
  merge();
  expect_text("merged/new", "text");
  EXPECT(!exists("merged/f"));
}

CASE(an_overlay_of_an_overlay) {
  layers();
  merge();
  OK(mkdir("upper2", 0755));
  OK(mkdir("work2", 0755));
  OK(mkdir("merged2", 0755));
  OK(mount("overlay", "merged2", "overlay", 0, "lowerdir=merged,upperdir=upper2,workdir=work2"));
  expect_text("merged2/f", "lower");
  int fd = (int)OK(open("merged2/f", O_WRONLY | O_APPEND));
  EXPECT_EQ(write(fd, "!", 1), 1);
  expect_text("merged2/f", "lower!");
  write_file("merged2/f", "top");
  expect_text("merged/f", "lower");
  OK(mkdir("merged3", 0755));
  OK(mkdir("upper3", 0755));
  OK(mkdir("work3", 0755));
  EXPECT_ERRNO(mount("overlay", "merged3", "overlay", 0, "lowerdir=merged2,upperdir=upper3,workdir=work3"), EINVAL);
}

CASE(an_overlay_cannot_be_an_upper_layer) {
  layers();
  merge();
  OK(mkdir("merged/u", 0755));
  OK(mkdir("merged/w", 0755));
  OK(mkdir("other", 0755));
  EXPECT_ERRNO(mount("overlay", "other", "overlay", 0, "lowerdir=lower,upperdir=merged/u,workdir=merged/w"), EINVAL);
}

CASE(a_mount_of_an_overlay_needs_the_capability) {
  layers();
  EXPECT_EXIT(IN_CHILD({
                OK(setresuid(65534, 65534, 65534));
                EXPECT_ERRNO(try_mount("lowerdir=lower,upperdir=upper,workdir=work"), EPERM);
              }),
              0);
}

CASE(permissions_of_the_merged_file_are_checked) {
  layers();
  OK(chmod("lower/f", 0600));
  merge();
  EXPECT_EXIT(IN_CHILD({
                OK(setresuid(65534, 65534, 65534));
                EXPECT_ERRNO(open("merged/f", O_RDONLY), EACCES);
                EXPECT_ERRNO(open("merged/new", O_CREAT | O_WRONLY, 0644), EACCES);
              }),
              0);
}
