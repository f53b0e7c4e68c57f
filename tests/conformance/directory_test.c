// Directories and names: mkdir, rmdir, rename, link, symlink, unlink, getdents, getcwd, chdir, chroot, mknod, xattr,
// inotify.
#define CONFORMANCE_FILES
#include "conformance.h"

#include <linux/fs.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static struct stat status_of(const char* name) {
  struct stat st;
  OK(lstat(name, &st));
  return st;
}
static bool exists(const char* name) {
  struct stat st;
  return lstat(name, &st) == 0;
}
static void expect_content(const char* name, const char* wanted) {
  char text[256];
  OK(read_file(name, text, sizeof text));
  EXPECT_STR(text, wanted);
}
static int count_entries(const char* name) {
  DIR* directory = opendir(name);
  EXPECT(directory);
  int n = 0;
  while (readdir(directory)) n++;
  closedir(directory);
  return n;
}

CASE(mkdir_makes_a_directory_with_mode_less_umask) {
  umask(022);
  OK(mkdir("d", 0777));
  EXPECT_EQ(status_of("d").st_mode, S_IFDIR | 0755);
}
CASE(mkdir_of_an_existing_name_is_eexist) {
  OK(mkdir("d", 0755));
  EXPECT_ERRNO(mkdir("d", 0755), EEXIST);
  EXPECT_ERRNO(mkdir("/", 0755), EEXIST);
  EXPECT_ERRNO(mkdir(".", 0755), EEXIST);
}
CASE(mkdir_in_a_missing_directory_is_enoent) { EXPECT_ERRNO(mkdir("no/d", 0755), ENOENT); }
CASE(mkdir_with_a_trailing_slash) {
  OK(mkdir("d/", 0755));
  EXPECT(exists("d"));
}
CASE(rmdir_removes_an_empty_directory) {
  OK(mkdir("d", 0755));
  OK(rmdir("d"));
  EXPECT(!exists("d"));
}
CASE(rmdir_of_a_full_directory_is_enotempty) {
  OK(mkdir("d", 0755));
  write_file("d/f", "");
  EXPECT_ERRNO(rmdir("d"), ENOTEMPTY);
}
CASE(rmdir_errors) {
  write_file("f", "");
  EXPECT_ERRNO(rmdir("f"), ENOTDIR);
  EXPECT_ERRNO(rmdir("."), EINVAL);
  EXPECT_ERRNO(rmdir("missing"), ENOENT);
  OK(mkdir("d", 0755));
  EXPECT_ERRNO(rmdir("d/.."), ENOTEMPTY);
}
CASE(unlink_of_a_directory_is_eisdir) {
  OK(mkdir("d", 0755));
  EXPECT_ERRNO(unlink("d"), EISDIR);
}
CASE(unlink_of_a_missing_name_is_enoent) { EXPECT_ERRNO(unlink("missing"), ENOENT); }
CASE(unlink_removes_the_link_not_its_target) {
  write_file("f", "");
  OK(symlink("f", "link"));
  OK(unlink("link"));
  EXPECT(exists("f"));
}
CASE(unlinkat_removedir) {
  OK(mkdir("d", 0755));
  EXPECT_ERRNO(unlinkat(AT_FDCWD, "d", 0), EISDIR);
  OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
  EXPECT_ERRNO(unlinkat(AT_FDCWD, "d", 0x1), EINVAL);
}
CASE(directory_link_counts) {
  OK(mkdir("d", 0755));
  nlink_t before = status_of("d").st_nlink;
  OK(mkdir("d/e", 0755));
  // Some file systems do not count sub-directories: then it is always 1.
  EXPECT(status_of("d").st_nlink == before + 1 || before == 1);
}

CASE(rename_moves_a_file) {
  write_file("a", "text");
  OK(rename("a", "b"));
  EXPECT(!exists("a"));
  expect_content("b", "text");
}
CASE(rename_replaces_a_file) {
  write_file("a", "new");
  write_file("b", "old");
  OK(rename("a", "b"));
  expect_content("b", "new");
}
CASE(rename_keeps_the_inode) {
  write_file("a", "");
  ino_t inode = status_of("a").st_ino;
  OK(rename("a", "b"));
  EXPECT_EQ(status_of("b").st_ino, inode);
}
CASE(rename_of_a_directory_moves_its_content) {
  OK(mkdir("d", 0755));
  write_file("d/f", "in");
  OK(rename("d", "e"));
  expect_content("e/f", "in");
}
CASE(rename_onto_an_empty_directory_replaces_it) {
  OK(mkdir("d", 0755));
  OK(mkdir("e", 0755));
  write_file("d/f", "");
  OK(rename("d", "e"));
  EXPECT(exists("e/f"));
}
CASE(rename_onto_a_full_directory_is_enotempty) {
  OK(mkdir("d", 0755));
  OK(mkdir("e", 0755));
  write_file("e/f", "");
  EXPECT_ERRNO(rename("d", "e"), ENOTEMPTY);
}
CASE(rename_file_onto_directory_and_back) {
  write_file("f", "");
  OK(mkdir("d", 0755));
  EXPECT_ERRNO(rename("f", "d"), EISDIR);
  EXPECT_ERRNO(rename("d", "f"), ENOTDIR);
}
CASE(rename_of_a_directory_into_itself_is_einval) {
  OK(mkdir("d", 0755));
  EXPECT_ERRNO(rename("d", "d/e"), EINVAL);
}
CASE(rename_of_a_missing_name_is_enoent) { EXPECT_ERRNO(rename("a", "b"), ENOENT); }
CASE(rename_to_the_same_inode_does_nothing) {
  write_file("a", "x");
  OK(link("a", "b"));
  OK(rename("a", "b"));
  EXPECT(exists("a") && exists("b"));
}
CASE(rename_noreplace_is_eexist) {
  write_file("a", "");
  write_file("b", "");
  EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
  OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
}
CASE(rename_exchange_swaps) {
  write_file("a", "A");
  write_file("b", "B");
  if (renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE) != 0 && errno == EINVAL) SKIP("not here");
  expect_content("a", "B");
  expect_content("b", "A");
}
CASE(rename_does_not_follow_links) {
  OK(symlink("nowhere", "link"));
  OK(rename("link", "other"));
  EXPECT(S_ISLNK(status_of("other").st_mode));
}
CASE(open_file_follows_its_rename) {
  char path[64], name[4096] = {0};
  write_file("a", "");
  int fd = (int)OK(open("a", O_RDONLY));
  OK(rename("a", "b"));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  OK(readlink(path, name, sizeof name - 1));
  EXPECT_STR(strrchr(name, '/'), "/b");
}

CASE(link_gives_a_second_name) {
  write_file("a", "text");
  OK(link("a", "b"));
  EXPECT_EQ(status_of("a").st_ino, status_of("b").st_ino);
  EXPECT_EQ(status_of("a").st_nlink, 2);
  OK(unlink("a"));
  EXPECT_EQ(status_of("b").st_nlink, 1);
  expect_content("b", "text");
}
CASE(link_errors) {
  write_file("a", "");
  write_file("b", "");
  OK(mkdir("d", 0755));
  EXPECT_ERRNO(link("a", "b"), EEXIST);
  EXPECT_ERRNO(link("missing", "c"), ENOENT);
  EXPECT_ERRNO(link("d", "c"), EPERM);
}
CASE(link_of_a_link_links_the_link) {
  OK(symlink("nowhere", "link"));
  OK(link("link", "other"));
  EXPECT(S_ISLNK(status_of("other").st_mode));
}

CASE(symlink_is_read_back) {
  char target[32] = {0};
  OK(symlink("where/it/points", "link"));
  EXPECT_EQ(readlink("link", target, sizeof target), 15);
  EXPECT_STR(target, "where/it/points");
  EXPECT_EQ(readlink("link", target, 5), 5);
}
CASE(symlink_errors) {
  char target[8];
  write_file("f", "");
  EXPECT_ERRNO(symlink("x", "f"), EEXIST);
  EXPECT_ERRNO(symlink("", "link"), ENOENT);
  EXPECT_ERRNO(readlink("f", target, 8), EINVAL);
  EXPECT_ERRNO(readlink("missing", target, 8), ENOENT);
}
CASE(symlink_loop_is_eloop) {
  struct stat st;
  OK(symlink("b", "a"));
  OK(symlink("a", "b"));
  EXPECT_ERRNO(stat("a", &st), ELOOP);
}
CASE(chain_of_forty_links_is_followed_and_of_forty_one_not) {
  char name[16], target[16];
  struct stat st;
  write_file("0", "");
  for (int i = 1; i <= 41; i++) {
    snprintf(name, sizeof name, "%d", i);
    snprintf(target, sizeof target, "%d", i - 1);
    OK(symlink(target, name));
  }
  EXPECT_EQ(stat("40", &st), 0);
  EXPECT_ERRNO(stat("41", &st), ELOOP);
}
CASE(trailing_slash_follows_a_link_to_a_directory) {
  struct stat st;
  OK(mkdir("d", 0755));
  OK(symlink("d", "link"));
  OK(lstat("link/", &st));
  EXPECT(S_ISDIR(st.st_mode));
}
CASE(trailing_slash_on_a_file_is_enotdir) {
  struct stat st;
  write_file("f", "");
  EXPECT_ERRNO(stat("f/", &st), ENOTDIR);
}
CASE(dot_dot_of_the_root_is_the_root) { EXPECT_EQ(status_of("/").st_ino, status_of("/../..").st_ino); }
CASE(dot_dot_after_a_link_is_physical) {
  OK(mkdir("d", 0755));
  OK(mkdir("d/e", 0755));
  write_file("d/f", "d's");
  OK(symlink("d/e", "link"));
  expect_content("link/../f", "d's");
}

CASE(readdir_lists_all_entries_once) {
  char name[32];
  bool seen[300] = {false};
  OK(mkdir("d", 0755));
  for (int i = 0; i < 300; i++) {
    snprintf(name, sizeof name, "d/entry-%d", i);
    write_file(name, "");
  }
  DIR* directory = opendir("d");
  struct dirent* entry;
  int dots = 0;
  while ((entry = readdir(directory))) {
    int i;
    if (entry->d_name[0] == '.') {
      dots++;
    } else {
      EXPECT_EQ(sscanf(entry->d_name, "entry-%d", &i), 1);
      EXPECT(!seen[i]);
      seen[i] = true;
      EXPECT(entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN);
    }
  }
  EXPECT_EQ(dots, 2);
  for (int i = 0; i < 300; i++) EXPECT(seen[i]);
}
CASE(readdir_tells_types_and_inodes) {
  OK(mkdir("d", 0755));
  OK(mkdir("d/sub", 0755));
  OK(symlink("x", "d/link"));
  DIR* directory = opendir("d");
  struct dirent* entry;
  while ((entry = readdir(directory))) {
    if (strcmp(entry->d_name, "sub") == 0) {
      EXPECT_EQ(entry->d_type, DT_DIR);
      EXPECT_EQ(entry->d_ino, status_of("d/sub").st_ino);
    }
    if (strcmp(entry->d_name, "link") == 0) EXPECT_EQ(entry->d_type, DT_LNK);
  }
}
CASE(rewinddir_sees_new_entries) {
  OK(mkdir("d", 0755));
  DIR* directory = opendir("d");
  while (readdir(directory)) {
  }
  write_file("d/new", "");
  rewinddir(directory);
  int n = 0;
  while (readdir(directory)) n++;
  EXPECT_EQ(n, 3);
}
CASE(seekdir_goes_back_to_a_place) {
  OK(mkdir("d", 0755));
  write_file("d/a", "");
  write_file("d/b", "");
  DIR* directory = opendir("d");
  char name[256];
  EXPECT(readdir(directory));
  long place = telldir(directory);
  strcpy(name, readdir(directory)->d_name);
  EXPECT(readdir(directory));
  seekdir(directory, place);
  EXPECT_STR(readdir(directory)->d_name, name);
}
CASE(getdents_with_a_tiny_buffer_is_einval) {
  char small[8];
  int fd = (int)OK(open(".", O_RDONLY));
  EXPECT_ERRNO(syscall(SYS_getdents64, fd, small, sizeof small), EINVAL);
}
CASE(getdents_of_a_file_is_enotdir) {
  char buffer[256];
  write_file("f", "");
  int fd = (int)OK(open("f", O_RDONLY));
  EXPECT_ERRNO(syscall(SYS_getdents64, fd, buffer, sizeof buffer), ENOTDIR);
}
CASE(getdents_of_a_removed_directory_is_enoent) {
  char buffer[256];
  OK(mkdir("d", 0755));
  int fd = (int)OK(open("d", O_RDONLY));
  OK(rmdir("d"));
  EXPECT_ERRNO(syscall(SYS_getdents64, fd, buffer, sizeof buffer), ENOENT);
}
CASE(removal_while_reading_is_survived) {
  char name[32];
  OK(mkdir("d", 0755));
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof name, "d/%d", i);
    write_file(name, "");
  }
  DIR* directory = opendir("d");
  struct dirent* entry;
  while ((entry = readdir(directory))) {
    if (entry->d_name[0] == '.') continue;
    OK(unlinkat(dirfd(directory), entry->d_name, 0));
  }
  EXPECT_EQ(count_entries("d"), 2);
}

CASE(getcwd_follows_chdir) {
  char here[4096], there[4096];
  EXPECT(getcwd(here, sizeof here));
  OK(mkdir("d", 0755));
  OK(chdir("d"));
  EXPECT(getcwd(there, sizeof there));
  strcat(here, "/d");
  EXPECT_STR(there, here);
  OK(chdir(".."));
}
CASE(getcwd_with_a_small_buffer_is_erange) {
  char small[2];
  EXPECT_ERRNO(syscall(SYS_getcwd, small, 2), ERANGE);
}
CASE(getcwd_of_a_removed_directory_is_enoent) {
  char here[4096];
  OK(mkdir("d", 0755));
  OK(chdir("d"));
  OK(rmdir("../d"));
  EXPECT_ERRNO(syscall(SYS_getcwd, here, sizeof here), ENOENT);
  EXPECT_ERRNO(open("new", O_CREAT | O_WRONLY, 0600), ENOENT);
}
CASE(chdir_errors) {
  write_file("f", "");
  EXPECT_ERRNO(chdir("missing"), ENOENT);
  EXPECT_ERRNO(chdir("f"), ENOTDIR);
}
CASE(fchdir_goes_to_a_descriptor) {
  struct stat here, dot;
  OK(mkdir("d", 0755));
  int fd = (int)OK(open("d", O_RDONLY));
  OK(fchdir(fd));
  OK(fstat(fd, &here));
  OK(stat(".", &dot));
  EXPECT_EQ(here.st_ino, dot.st_ino);
  int file = (int)OK(open("f", O_RDWR | O_CREAT, 0600));
  EXPECT_ERRNO(fchdir(file), ENOTDIR);
}
CASE(chroot_changes_what_slash_is) {
  if (geteuid() != 0) SKIP("needs root");
  OK(mkdir("d", 0755));
  write_file("d/inside", "");
  pid_t child = IN_CHILD({
    OK(chroot("d"));
    OK(chdir("/"));
    EXPECT(exists("/inside"));
    EXPECT(exists("/../../inside"));
  });
  EXPECT_EXIT(child, 0);
}
CASE(mknod_makes_files_and_fifos) {
  OK(mknod("f", S_IFREG | 0600, 0));
  EXPECT(S_ISREG(status_of("f").st_mode));
  OK(mknod("p", S_IFIFO | 0600, 0));
  EXPECT(S_ISFIFO(status_of("p").st_mode));
  EXPECT_ERRNO(mknod("f", S_IFREG | 0600, 0), EEXIST);
  EXPECT_ERRNO(mknod("d", S_IFDIR | 0700, 0), EPERM);
}
CASE(user_xattr_is_kept) {
  char value[16] = {0}, list[64];
  write_file("f", "");
  if (setxattr("f", "user.note", "hello", 5, 0) != 0 && errno == ENOTSUP) SKIP("no user xattr here");
  EXPECT_EQ(getxattr("f", "user.note", value, sizeof value), 5);
  EXPECT_STR(value, "hello");
  EXPECT_EQ(getxattr("f", "user.note", NULL, 0), 5);
  EXPECT_ERRNO(getxattr("f", "user.note", value, 2), ERANGE);
  EXPECT_ERRNO(getxattr("f", "user.none", value, 2), ENODATA);
  EXPECT(listxattr("f", list, sizeof list) >= 10);
  EXPECT_ERRNO(setxattr("f", "user.note", "x", 1, XATTR_CREATE), EEXIST);
  OK(removexattr("f", "user.note"));
  EXPECT_ERRNO(removexattr("f", "user.note"), ENODATA);
}
CASE(inotify_reports_creation) {
  union {
    struct inotify_event event;
    char bytes[512];
  } buffer;
  int fd = (int)OK(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  int watch = (int)OK(inotify_add_watch(fd, ".", IN_CREATE));
  OK(mkdir("new", 0755));
  EXPECT(read(fd, &buffer, sizeof buffer) > 0);
  EXPECT_EQ(buffer.event.wd, watch);
  EXPECT_EQ(buffer.event.mask, IN_CREATE | IN_ISDIR);
  EXPECT_STR(buffer.event.name, "new");
}
CASE(deep_paths_work) {
  for (int i = 0; i < 100; i++) {
    OK(mkdir("a-directory-name", 0755));
    OK(chdir("a-directory-name"));
  }
  write_file("bottom", "deep");
  expect_content("bottom", "deep");
  for (int i = 0; i < 100; i++) OK(chdir(".."));
  EXPECT(exists("a-directory-name"));
  // (removed level by level: the harness looks eight levels deep only)
  for (int i = 0; i < 100; i++) OK(chdir("a-directory-name"));
  OK(unlink("bottom"));
  for (int i = 0; i < 100; i++) {
    OK(chdir(".."));
    OK(rmdir("a-directory-name"));
  }
}
CASE(mount_by_an_unprivileged_user_is_eperm) {
  if (geteuid() == 0) OK(setresuid(65534, 65534, 65534));
  EXPECT_ERRNO(mount("none", "/tmp", "tmpfs", 0, NULL), EPERM);
}
