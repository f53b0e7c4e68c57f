// inotify: inotify_init1, inotify_add_watch, inotify_rm_watch, and every event of inotify(7).
#define CONFORMANCE_FILES
#include "conformance.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

static int watcher;

static int watch(const char* path, uint32_t mask) {
  if (watcher == 0) watcher = (int)OK(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  return (int)OK(inotify_add_watch(watcher, path, mask));
}

// "1 CREATE f|2 OPEN DIR|…": watch descriptor, mask, name of all that is queued.
static const char* queued(void) {
  static const char* const names[] = {"ACCESS",      "MODIFY",     "ATTRIB",   "CLOSE_WRITE", "CLOSE_NOWRITE",
                                      "OPEN",        "MOVED_FROM", "MOVED_TO", "CREATE",      "DELETE",
                                      "DELETE_SELF", "MOVE_SELF",  "",         "UNMOUNT",     "Q_OVERFLOW",
                                      "IGNORED"};
  static char text[8192];
  static _Alignas(struct inotify_event) char buffer[65536];
  size_t at = 0;
  text[0] = 0;
  ssize_t n = read(watcher, buffer, sizeof buffer);
  if (n < 0 && errno != EAGAIN) FAIL("read: %s", strerror(errno));
  for (ssize_t i = 0; i < n;) {
    const struct inotify_event* e = (const void*)(buffer + i);
    i += (ssize_t)sizeof *e + e->len;
    at += (size_t)snprintf(text + at, sizeof text - at, "%s%d", at ? "|" : "", e->wd);
    for (int bit = 0; bit < 16; bit++)
      if (e->mask & (1u << bit)) at += (size_t)snprintf(text + at, sizeof text - at, " %s", names[bit]);
    if (e->mask & IN_ISDIR) at += (size_t)snprintf(text + at, sizeof text - at, " DIR");
    if (e->len) at += (size_t)snprintf(text + at, sizeof text - at, " %s", e->name);
    EXPECT_EQ(e->len % sizeof *e, 0);
    EXPECT_EQ(e->cookie != 0, (e->mask & IN_MOVE) != 0);
  }
  return text;
}
static void touch(const char* path) { write_file(path, ""); }

CASE(creating_a_file_tells_create_open_close_write) {
  watch(".", IN_ALL_EVENTS);
  int fd = (int)OK(open("f", O_CREAT | O_RDWR | O_TRUNC, 0644));
  EXPECT_STR(queued(), "1 CREATE f|1 OPEN f");
  OK(close(fd));
  EXPECT_STR(queued(), "1 CLOSE_WRITE f");
}
CASE(reading_and_writing_tell_access_and_modify_to_directory_and_file) {
  touch("f");
  watch(".", IN_ALL_EVENTS);
  watch("f", IN_ALL_EVENTS);
  int fd = (int)OK(open("f", O_RDWR));
  EXPECT_STR(queued(), "1 OPEN f|2 OPEN");
  char byte;
  EXPECT_EQ(write(fd, "abc", 3), 3);
  EXPECT_STR(queued(), "1 MODIFY f|2 MODIFY");
  EXPECT_EQ(pread(fd, &byte, 1, 0), 1);
  EXPECT_STR(queued(), "1 ACCESS f|2 ACCESS");
  EXPECT_EQ(pread(fd, &byte, 1, 100), 0);
  EXPECT_STR(queued(), "");
  OK(close(fd));
  EXPECT_STR(queued(), "1 CLOSE_WRITE f|2 CLOSE_WRITE");
  OK(close((int)OK(open("f", O_RDONLY))));
  EXPECT_STR(queued(), "1 OPEN f|2 OPEN|1 CLOSE_NOWRITE f|2 CLOSE_NOWRITE");
}
CASE(close_is_told_at_the_last_descriptor_of_a_description) {
  touch("f");
  watch("f", IN_CLOSE);
  int fd = (int)OK(open("f", O_RDONLY)), second = (int)OK(dup(fd));
  OK(close(fd));
  EXPECT_STR(queued(), "");
  OK(close(second));
  EXPECT_STR(queued(), "1 CLOSE_NOWRITE");
}
CASE(open_with_o_trunc_tells_modify) {
  write_file("f", "abc");
  watch("f", IN_ALL_EVENTS);
  OK(close((int)OK(open("f", O_WRONLY | O_TRUNC))));
  EXPECT_STR(queued(), "1 OPEN|1 MODIFY|1 CLOSE_WRITE");
}
CASE(truncate_tells_modify_alone) {
  write_file("f", "abc");
  watch("f", IN_ALL_EVENTS);
  OK(truncate("f", 1));
  EXPECT_STR(queued(), "1 MODIFY");
  int fd = (int)OK(open("f", O_RDWR));
  queued();
  OK(ftruncate(fd, 0));
  EXPECT_STR(queued(), "1 MODIFY");
}
CASE(fallocate_tells_modify) {
  int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));
  watch("f", IN_ALL_EVENTS);
  if (fallocate(fd, 0, 0, 4096) != 0) SKIP("no fallocate here");
  EXPECT_STR(queued(), "1 MODIFY");
}
CASE(sendfile_tells_both_files) {
  write_file("in", "abc");
  int in = (int)OK(open("in", O_RDONLY)), out = (int)OK(open("out", O_CREAT | O_WRONLY, 0644));
  watch("in", IN_ALL_EVENTS);
  watch("out", IN_ALL_EVENTS);
  EXPECT_EQ(sendfile(out, in, NULL, 3), 3);
  EXPECT_STR(queued(), "1 ACCESS|2 MODIFY");
}
CASE(o_path_tells_nothing) {
  touch("f");
  watch("f", IN_ALL_EVENTS);
  OK(close((int)OK(open("f", O_PATH))));
  EXPECT_STR(queued(), "");
}
CASE(stat_and_readlink_tell_nothing) {
  struct stat st;
  char text[8];
  OK(symlink("x", "l"));
  watch(".", IN_ALL_EVENTS);
  OK(lstat("l", &st));
  OK(readlink("l", text, sizeof text));
  EXPECT_STR(queued(), "");
}
CASE(chmod_chown_xattr_and_utimes_tell_attrib) {
  touch("f");
  watch("f", IN_ALL_EVENTS);
  OK(chmod("f", 0600));
  EXPECT_STR(queued(), "1 ATTRIB");
  OK(chown("f", getuid(), getgid()));
  EXPECT_STR(queued(), "1 ATTRIB");
  OK(utimensat(AT_FDCWD, "f", NULL, 0));
  EXPECT_STR(queued(), "1 ATTRIB");
  if (setxattr("f", "user.a", "x", 1, 0) == 0) {
    EXPECT_STR(queued(), "1 ATTRIB");
    OK(removexattr("f", "user.a"));
    EXPECT_STR(queued(), "1 ATTRIB");
  }
}
CASE(one_time_alone_tells_access_or_modify) {
  touch("f");
  watch("f", IN_ALL_EVENTS);
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
  OK(utimensat(AT_FDCWD, "f", times, 0));
  EXPECT_STR(queued(), "1 MODIFY");
  times[0].tv_nsec = UTIME_NOW;
  times[1].tv_nsec = UTIME_OMIT;
  OK(utimensat(AT_FDCWD, "f", times, 0));
  EXPECT_STR(queued(), "1 ACCESS");
}
CASE(mkdir_symlink_mkfifo_and_a_bound_socket_tell_create) {
  watch(".", IN_CREATE);
  OK(mkdir("d", 0755));
  OK(symlink("x", "l"));
  OK(mkfifo("p", 0644));
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "s"};
  int s = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(s, (struct sockaddr*)&address, sizeof address));
  EXPECT_STR(queued(), "1 CREATE DIR d|1 CREATE l|1 CREATE p|1 CREATE s");
}
CASE(link_tells_attrib_to_the_file_and_create_to_the_directory) {
  touch("f");
  watch(".", IN_ALL_EVENTS);
  watch("f", IN_ALL_EVENTS);
  OK(link("f", "g"));
  EXPECT_STR(queued(), "2 ATTRIB|1 CREATE g");
  OK(unlink("g"));
  EXPECT_STR(queued(), "2 ATTRIB|1 DELETE g");
}
CASE(a_watch_is_of_the_file_and_not_of_its_name) {
  touch("f");
  OK(link("f", "g"));
  watch("f", IN_OPEN);
  OK(close((int)OK(open("g", O_RDONLY))));
  EXPECT_STR(queued(), "1 OPEN");
  EXPECT_EQ(inotify_add_watch(watcher, "g", IN_OPEN), 1);
}
CASE(unlink_of_the_last_name_ends_the_watch) {
  touch("f");
  watch("f", IN_ALL_EVENTS);
  OK(unlink("f"));
  EXPECT_STR(queued(), "1 ATTRIB|1 DELETE_SELF|1 IGNORED");
  EXPECT_ERRNO(inotify_rm_watch(watcher, 1), EINVAL);
}
CASE(unlink_of_an_open_file_ends_the_watch_at_close) {
  touch("f");
  int fd = (int)OK(open("f", O_WRONLY));
  watch(".", IN_ALL_EVENTS);
  watch("f", IN_ALL_EVENTS);
  OK(unlink("f"));
  EXPECT_STR(queued(), "2 ATTRIB|1 DELETE f");
  OK(close(fd));
  EXPECT_STR(queued(), "1 CLOSE_WRITE f|2 CLOSE_WRITE|2 DELETE_SELF|2 IGNORED");
}
CASE(rmdir_ends_the_watch_before_the_parent_hears) {
  OK(mkdir("d", 0755));
  watch(".", IN_ALL_EVENTS);
  watch("d", IN_ALL_EVENTS);
  OK(rmdir("d"));
  EXPECT_STR(queued(), "2 DELETE_SELF|2 IGNORED|1 DELETE DIR d");
}
CASE(rename_tells_both_names_with_one_cookie_and_move_self) {
  OK(mkdir("a", 0755));
  OK(mkdir("b", 0755));
  touch("a/f");
  watch("a", IN_ALL_EVENTS);
  watch("b", IN_ALL_EVENTS);
  watch("a/f", IN_ALL_EVENTS);
  OK(rename("a/f", "b/g"));
  _Alignas(struct inotify_event) char buffer[512];
  ssize_t n = OK(read(watcher, buffer, sizeof buffer));
  EXPECT_EQ(n, 3 * sizeof(struct inotify_event) + 2 * 16);
  const struct inotify_event* from = (const void*)buffer;
  const struct inotify_event* to = (const void*)(buffer + sizeof *from + 16);
  const struct inotify_event* self = (const void*)(buffer + 2 * sizeof *from + 32);
  EXPECT_EQ(from->wd, 1);
  EXPECT_EQ(from->mask, IN_MOVED_FROM);
  EXPECT_STR(from->name, "f");
  EXPECT_EQ(to->wd, 2);
  EXPECT_EQ(to->mask, IN_MOVED_TO);
  EXPECT_STR(to->name, "g");
  EXPECT(from->cookie != 0);
  EXPECT_EQ(from->cookie, to->cookie);
  EXPECT_EQ(self->wd, 3);
  EXPECT_EQ(self->mask, IN_MOVE_SELF);
  OK(rename("b/g", "b/h"));
  EXPECT_STR(queued(), "2 MOVED_FROM g|2 MOVED_TO h|3 MOVE_SELF");
}
CASE(rename_of_a_directory_says_isdir_and_the_watch_goes_along) {
  OK(mkdir("d", 0755));
  watch(".", IN_ALL_EVENTS);
  watch("d", IN_ALL_EVENTS);
  OK(rename("d", "e"));
  EXPECT_STR(queued(), "1 MOVED_FROM DIR d|1 MOVED_TO DIR e|2 MOVE_SELF");
  OK(mkdir("e/s", 0755));
  EXPECT_STR(queued(), "2 CREATE DIR s");
}
CASE(rename_over_a_file_ends_its_watch) {
  touch("a");
  touch("b");
  watch(".", IN_ALL_EVENTS);
  watch("a", IN_ALL_EVENTS);
  watch("b", IN_ALL_EVENTS);
  OK(rename("a", "b"));
  EXPECT_STR(queued(), "1 MOVED_FROM a|1 MOVED_TO b|3 ATTRIB|2 MOVE_SELF|3 DELETE_SELF|3 IGNORED");
}
CASE(rename_exchange_tells_two_moves) {
  touch("a");
  touch("b");
  watch(".", IN_ALL_EVENTS);
  watch("a", IN_ALL_EVENTS);
  if (renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE) != 0) SKIP("no RENAME_EXCHANGE here");
  EXPECT_STR(queued(), "1 MOVED_FROM a|1 MOVED_TO b|2 MOVE_SELF|1 MOVED_FROM b|1 MOVED_TO a");
}
CASE(reading_a_directory_tells_open_access_close) {
  OK(mkdir("d", 0755));
  watch("d", IN_ALL_EVENTS);
  int fd = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
  char entries[1024];
  OK(syscall(SYS_getdents64, fd, entries, sizeof entries));
  OK(close(fd));
  EXPECT_STR(queued(), "1 OPEN DIR|1 ACCESS DIR|1 CLOSE_NOWRITE DIR");
}
CASE(equal_events_in_a_row_are_one) {
  int fd = (int)OK(open("f", O_CREAT | O_WRONLY, 0644));
  watch("f", IN_MODIFY);
  for (int i = 0; i < 5; i++) EXPECT_EQ(write(fd, "x", 1), 1);
  EXPECT_STR(queued(), "1 MODIFY");
}
CASE(a_mask_selects) {
  watch(".", IN_DELETE);
  touch("f");
  EXPECT_STR(queued(), "");
  OK(unlink("f"));
  EXPECT_STR(queued(), "1 DELETE f");
}
CASE(a_second_add_replaces_the_mask_and_mask_add_extends_it) {
  touch("f");
  watch("f", IN_OPEN);
  EXPECT_EQ(inotify_add_watch(watcher, "f", IN_ATTRIB), 1);
  OK(chmod("f", 0600));
  OK(close((int)OK(open("f", O_RDONLY))));
  EXPECT_STR(queued(), "1 ATTRIB");
  EXPECT_EQ(inotify_add_watch(watcher, "f", IN_OPEN | IN_MASK_ADD), 1);
  OK(chmod("f", 0644));
  OK(close((int)OK(open("f", O_RDONLY))));
  EXPECT_STR(queued(), "1 ATTRIB|1 OPEN");
}
CASE(mask_create_refuses_a_watch_that_exists) {
  touch("f");
  watch("f", IN_OPEN | IN_MASK_CREATE);
  EXPECT_ERRNO(inotify_add_watch(watcher, "f", IN_OPEN | IN_MASK_CREATE), EEXIST);
  EXPECT_ERRNO(inotify_add_watch(watcher, "f", IN_OPEN | IN_MASK_CREATE | IN_MASK_ADD), EINVAL);
}
CASE(oneshot_ends_after_one_event) {
  touch("f");
  watch("f", IN_OPEN | IN_ONESHOT);
  OK(close((int)OK(open("f", O_RDONLY))));
  OK(close((int)OK(open("f", O_RDONLY))));
  EXPECT_STR(queued(), "1 OPEN|1 IGNORED");
  EXPECT_EQ(watch("f", IN_OPEN), 2);
}
CASE(excl_unlink_is_silent_about_unlinked_children) {
  OK(mkdir("d", 0755));
  watch("d", IN_ALL_EVENTS | IN_EXCL_UNLINK);
  int fd = (int)OK(open("d/f", O_CREAT | O_WRONLY, 0644));
  OK(unlink("d/f"));
  EXPECT_STR(queued(), "1 CREATE f|1 OPEN f|1 DELETE f");
  EXPECT_EQ(write(fd, "x", 1), 1);
  OK(close(fd));
  EXPECT_STR(queued(), "");
}
CASE(without_excl_unlink_unlinked_children_go_on_telling) {
  watch(".", IN_ALL_EVENTS);
  int fd = (int)OK(open("f", O_CREAT | O_WRONLY, 0644));
  OK(unlink("f"));
  queued();
  EXPECT_EQ(write(fd, "x", 1), 1);
  EXPECT_STR(queued(), "1 MODIFY f");
}
CASE(onlydir_and_dont_follow) {
  touch("f");
  OK(symlink("f", "l"));
  watch(".", IN_OPEN | IN_ONLYDIR);
  EXPECT_ERRNO(inotify_add_watch(watcher, "f", IN_OPEN | IN_ONLYDIR), ENOTDIR);
  int link = watch("l", IN_OPEN | IN_DONT_FOLLOW), file = watch("l", IN_OPEN);
  EXPECT(link != file);
  EXPECT_EQ(watch("f", IN_OPEN), file);
}
CASE(rm_watch_queues_ignored) {
  watch(".", IN_ALL_EVENTS);
  OK(inotify_rm_watch(watcher, 1));
  touch("f");
  EXPECT_STR(queued(), "1 IGNORED");
  EXPECT_ERRNO(inotify_rm_watch(watcher, 1), EINVAL);
  EXPECT_EQ(watch(".", IN_OPEN), 2);
}
CASE(umount_tells_unmount) {
  OK(mkdir("m", 0755));
  if (mount("t", "m", "tmpfs", 0, "") != 0) SKIP("may not mount");
  touch("m/f");
  watch("m", IN_ALL_EVENTS);
  watch("m/f", IN_ALL_EVENTS);
  OK(umount("m"));
  char* text = strdup(queued());
  EXPECT(strstr(text, "1 UNMOUNT DIR|1 IGNORED"));
  EXPECT(strstr(text, "2 UNMOUNT|2 IGNORED"));
  EXPECT_ERRNO(inotify_rm_watch(watcher, 1), EINVAL);
}
CASE(init_checks_flags) {
  EXPECT_ERRNO(inotify_init1(1), EINVAL);
  int fd = (int)OK(inotify_init1(IN_CLOEXEC));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_ERRNO(write(fd, "x", 1), EBADF);
}
CASE(add_watch_checks_its_arguments) {
  int fd = (int)OK(inotify_init1(0)), other = (int)OK(open(".", O_RDONLY));
  EXPECT_ERRNO(inotify_add_watch(fd, ".", 0), EINVAL);
  EXPECT_ERRNO(inotify_add_watch(other, ".", IN_OPEN), EINVAL);
  EXPECT_ERRNO(inotify_add_watch(-1, ".", IN_OPEN), EBADF);
  EXPECT_ERRNO(inotify_add_watch(fd, "missing", IN_OPEN), ENOENT);
  EXPECT_ERRNO(inotify_add_watch(fd, "", IN_OPEN), ENOENT);
  EXPECT_ERRNO(inotify_add_watch(fd, NULL, IN_OPEN), EFAULT);
  EXPECT_ERRNO(inotify_rm_watch(other, 1), EINVAL);
}
CASE(add_watch_needs_read_permission) {
  touch("f");
  OK(chmod("f", 0200));
  pid_t child = IN_CHILD({
    if (setresuid(1234, 1234, 1234) != 0) _exit(77);
    int fd = (int)OK(inotify_init1(0));
    EXPECT_ERRNO(inotify_add_watch(fd, "f", IN_OPEN), EACCES);
  });
  int status = wait_status(child);
  if (WEXITSTATUS(status) == 77) SKIP("not root");
  EXPECT_EQ(status, 0);
}
CASE(a_small_buffer_is_einval_and_takes_what_fits) {
  watch(".", IN_CREATE);
  OK(mkdir("a", 0755));
  OK(mkdir("b", 0755));
  char buffer[64];
  EXPECT_ERRNO(read(watcher, buffer, 16), EINVAL);
  EXPECT_EQ(read(watcher, buffer, 63), 32);
  EXPECT_EQ(read(watcher, buffer, 64), 32);
  EXPECT_ERRNO(read(watcher, buffer, 64), EAGAIN);
}
CASE(fionread_tells_the_bytes_queued) {
  watch(".", IN_CREATE);
  int n = -1;
  OK(ioctl(watcher, FIONREAD, &n));
  EXPECT_EQ(n, 0);
  OK(mkdir("a", 0755));
  OK(mkdir("a-name-of-seventeen", 0755));
  OK(ioctl(watcher, FIONREAD, &n));
  EXPECT_EQ(n, 32 + 48);
}
CASE(poll_and_epoll_see_events) {
  watch(".", IN_CREATE);
  struct pollfd p = {.fd = watcher, .events = POLLIN | POLLOUT};
  EXPECT_EQ(poll(&p, 1, 0), 0);
  int ep = (int)OK(epoll_create1(0));
  struct epoll_event e = {.events = EPOLLIN | EPOLLET};
  OK(epoll_ctl(ep, EPOLL_CTL_ADD, watcher, &e));
  EXPECT_EQ(epoll_wait(ep, &e, 1, 0), 0);
  OK(mkdir("a", 0755));
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLIN);
  EXPECT_EQ(epoll_wait(ep, &e, 1, 0), 1);
  EXPECT_EQ(epoll_wait(ep, &e, 1, 0), 0);
  OK(mkdir("b", 0755));
  EXPECT_EQ(epoll_wait(ep, &e, 1, 0), 1);
}
CASE(a_blocking_read_waits_for_an_event) {
  int fd = (int)OK(inotify_init1(0));
  OK(inotify_add_watch(fd, ".", IN_CREATE));
  pid_t child = IN_CHILD({
    sleep_ms(20);
    OK(mkdir("late", 0755));
  });
  char buffer[64];
  EXPECT_EQ(read(fd, buffer, sizeof buffer), 32);
  EXPECT_EXIT(child, 0);
}
CASE(events_of_another_process_are_seen) {
  watch(".", IN_ALL_EVENTS);
  pid_t child = IN_CHILD({ OK(mkdir("d", 0755)); });
  EXPECT_EXIT(child, 0);
  EXPECT_STR(queued(), "1 CREATE DIR d");
}
CASE(two_instances_hear_the_same) {
  watch(".", IN_CREATE);
  int second = (int)OK(inotify_init1(IN_NONBLOCK));
  OK(inotify_add_watch(second, ".", IN_CREATE));
  OK(mkdir("d", 0755));
  EXPECT_STR(queued(), "1 CREATE DIR d");
  char buffer[64];
  EXPECT_EQ(read(second, buffer, sizeof buffer), 32);
  OK(close(second));
  OK(mkdir("e", 0755));
  EXPECT_STR(queued(), "1 CREATE DIR e");
}
CASE(the_queue_overflows_with_one_event) {
  char text[32];
  OK(read_file("/proc/sys/fs/inotify/max_queued_events", text, sizeof text));
  long most = atol(text);
  if (most > 100000) SKIP("a queue too long for a test");
  touch("a");
  touch("b");
  int first = watch("a", IN_ATTRIB), second = watch("b", IN_ATTRIB);
  for (long i = 0; i < most + 10; i++) OK(chmod(i % 2 ? "b" : "a", 0600));
  int n = 0;
  OK(ioctl(watcher, FIONREAD, &n));
  EXPECT_EQ(n, (most + 1) * 16);
  struct inotify_event* all = malloc((size_t)n);
  EXPECT_EQ(read(watcher, all, (size_t)n), n);
  EXPECT_EQ(all[0].wd, first);
  EXPECT_EQ(all[1].wd, second);
  EXPECT_EQ(all[most].wd, -1);
  EXPECT_EQ(all[most].mask, IN_Q_OVERFLOW);
}
CASE(fdinfo_lists_the_watches) {
  int wd = watch(".", IN_CREATE | IN_DELETE);
  struct stat st;
  OK(stat(".", &st));
  char path[64], text[2048], wanted[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", watcher);
  OK(read_file(path, text, sizeof text));
  snprintf(wanted, sizeof wanted, "inotify wd:%x ino:%lx sdev:", wd, (unsigned long)st.st_ino);
  EXPECT(strstr(text, wanted));
  EXPECT(strstr(text, " mask:300 "));
  char link[64] = {0};
  snprintf(path, sizeof path, "/proc/self/fd/%d", watcher);
  OK(readlink(path, link, sizeof link - 1));
  EXPECT_STR(link, "anon_inode:inotify");
}
CASE(limits_stand_in_proc_sys) {
  char text[32];
  static const char* const names[] = {"max_queued_events", "max_user_instances", "max_user_watches"};
  for (int i = 0; i < 3; i++) {
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/fs/inotify/%s", names[i]);
    OK(read_file(path, text, sizeof text));
    EXPECT(atol(text) > 0);
  }
}
CASE(instances_are_limited_per_user) {
  char text[32];
  OK(read_file("/proc/sys/fs/inotify/max_user_instances", text, sizeof text));
  long most = atol(text);
  if (most > 1000) SKIP("a limit too high for a test");
  pid_t child = IN_CHILD({  // a user of its own: others of this one may hold instances
    if (setresuid(4321, 4321, 4321) != 0) _exit(77);
    for (long i = 0; i < most; i++) OK(inotify_init1(0));
    EXPECT_ERRNO(inotify_init1(0), EMFILE);
    OK(close(STDERR_FILENO + 1) == 0 || errno == EBADF ? 0 : -1);
  });
  int status = wait_status(child);
  if (WEXITSTATUS(status) == 77) SKIP("not root");
  EXPECT_EQ(status, 0);
}
CASE(a_watch_of_a_file_survives_the_close_of_others) {
  touch("f");
  watch("f", IN_ATTRIB);
  for (int i = 0; i < 100; i++) {
    char name[16];
    snprintf(name, sizeof name, "n%d", i);
    touch(name);
    OK(unlink(name));
  }
  OK(chmod("f", 0600));
  EXPECT_STR(queued(), "1 ATTRIB");
}
CASE(executing_a_file_tells_open) {
  int in = (int)OK(open("/proc/self/exe", O_RDONLY)), out = (int)OK(open("program", O_CREAT | O_WRONLY, 0755));
  while (sendfile(out, in, NULL, 1 << 20) > 0) {
  }
  OK(close(out));
  watch("program", IN_OPEN | IN_CLOSE_NOWRITE);
  pid_t child = IN_CHILD({
    execl("program", "program", "--list", NULL);
    _exit(errno == EACCES ? 77 : 1);
  });
  if (WEXITSTATUS(wait_status(child)) == 77) SKIP("nothing can be executed here");
  EXPECT(strstr(queued(), "1 OPEN"));
}
