// File leases (F_SETLEASE, F_GETLEASE) and F_NOTIFY of fcntl(2).
#define CONFORMANCE_FILES
#include "conformance.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

static volatile sig_atomic_t signals_seen, last_signal, last_code, last_fd;
static volatile long last_band;

static void note_signal(int number, siginfo_t* info, void* context) {
  (void)context;
  last_signal = number;
  last_code = info->si_code;
  last_fd = info->si_fd;
  last_band = info->si_band;
  signals_seen++;
}

static void watch_signal(int number, int flags) {
  struct sigaction action = {.sa_sigaction = note_signal, .sa_flags = SA_SIGINFO | flags};
  OK(sigaction(number, &action, NULL));
}

static int make(const char* name, int flags) {
  write_file(name, "text");
  return (int)OK(open(name, flags));
}

static void become_nobody(void) {
  OK(setresgid(65534, 65534, 65534));
  OK(setresuid(65534, 65534, 65534));
}

CASE(a_file_has_no_lease_at_first) { EXPECT_EQ(fcntl(make("f", O_RDONLY), F_GETLEASE), F_UNLCK); }

CASE(a_read_lease_is_taken_told_and_given_back) {
  int fd = make("f", O_RDONLY);
  OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
  OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
}

CASE(a_write_lease_is_taken_told_and_given_back) {
  int fd = make("f", O_RDWR);
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_WRLCK);
  OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
}

CASE(giving_back_no_lease_is_eagain) { EXPECT_ERRNO(fcntl(make("f", O_RDONLY), F_SETLEASE, F_UNLCK), EAGAIN); }

CASE(an_unknown_lease_is_einval) { EXPECT_ERRNO(fcntl(make("f", O_RDONLY), F_SETLEASE, 77), EINVAL); }

CASE(a_read_lease_needs_a_read_only_descriptor) { EXPECT_ERRNO(fcntl(make("f", O_RDWR), F_SETLEASE, F_RDLCK), EAGAIN); }

CASE(a_read_lease_is_refused_while_somebody_writes) {
  int fd = make("f", O_RDONLY);
  int writer = (int)OK(open("f", O_WRONLY));
  EXPECT_ERRNO(fcntl(fd, F_SETLEASE, F_RDLCK), EAGAIN);
  close(writer);
  OK(fcntl(fd, F_SETLEASE, F_RDLCK));
}

CASE(a_write_lease_is_refused_while_somebody_reads) {
  int fd = make("f", O_RDWR);
  int reader = (int)OK(open("f", O_RDONLY));
  EXPECT_ERRNO(fcntl(fd, F_SETLEASE, F_WRLCK), EAGAIN);
  close(reader);
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
}

CASE(an_o_path_descriptor_is_no_other_open) {
  int fd = make("f", O_RDWR);
  int place = (int)OK(open("f", O_PATH));
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  EXPECT_ERRNO(fcntl(place, F_SETLEASE, F_RDLCK), EBADF);
}

CASE(a_duplicate_is_the_same_open) {
  int fd = make("f", O_RDWR), copy = (int)OK(dup(fd));
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  EXPECT_EQ(fcntl(copy, F_GETLEASE), F_WRLCK);
  close(fd);
  EXPECT_EQ(fcntl(copy, F_GETLEASE), F_WRLCK);
}

CASE(several_files_have_read_leases) {
  int first = make("f", O_RDONLY), second = (int)OK(open("f", O_RDONLY));
  OK(fcntl(first, F_SETLEASE, F_RDLCK));
  OK(fcntl(second, F_SETLEASE, F_RDLCK));
}

CASE(directories_pipes_and_devices_take_no_lease) {
  int ends[2];
  OK(pipe(ends));
  EXPECT_ERRNO(fcntl((int)OK(open(".", O_RDONLY)), F_SETLEASE, F_RDLCK), EINVAL);
  EXPECT_ERRNO(fcntl(ends[0], F_SETLEASE, F_RDLCK), EINVAL);
}

CASE(a_lease_on_a_file_of_another_needs_the_capability) {
  int fd = make("f", O_RDONLY);
  OK(chmod("f", 0666));
  EXPECT_EXIT(IN_CHILD({
                become_nobody();
                EXPECT_ERRNO(fcntl(fd, F_SETLEASE, F_RDLCK), EACCES);
              }),
              0);
}

CASE(a_lease_goes_with_the_last_descriptor) {
  int fd = make("f", O_RDWR);
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  close(fd);
  OK(open("f", O_RDWR | O_NONBLOCK));
}

CASE(taking_a_lease_makes_its_taker_the_owner_of_a_file_without_one) {
  int fd = make("f", O_RDONLY);
  OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  EXPECT_EQ(fcntl(fd, F_GETOWN), getpid());
}

CASE(a_nonblocking_open_against_a_lease_is_eagain_and_tells_the_holder) {
  watch_signal(SIGIO, 0);
  int fd = make("f", O_RDWR);
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  EXPECT_ERRNO(open("f", O_RDONLY | O_NONBLOCK), EAGAIN);
  EXPECT_EQ(signals_seen, 1);
  EXPECT_EQ(last_signal, SIGIO);
  EXPECT_EQ(last_code, SI_KERNEL);
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);  // what it is to become
}

CASE(a_break_is_told_once_a_kind) {
  watch_signal(SIGIO, 0);
  int fd = make("f", O_RDWR);
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  EXPECT_ERRNO(open("f", O_RDONLY | O_NONBLOCK), EAGAIN);
  EXPECT_ERRNO(open("f", O_RDONLY | O_NONBLOCK), EAGAIN);
  EXPECT_EQ(signals_seen, 1);
  EXPECT_ERRNO(open("f", O_WRONLY | O_NONBLOCK), EAGAIN);
  EXPECT_EQ(signals_seen, 2);
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
}

CASE(f_setsig_chooses_the_signal_and_tells_the_descriptor) {
  watch_signal(SIGRTMIN + 1, 0);
  int fd = make("f", O_RDWR);
  OK(fcntl(fd, F_SETSIG, SIGRTMIN + 1));
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  EXPECT_ERRNO(open("f", O_WRONLY | O_NONBLOCK), EAGAIN);
  EXPECT_EQ(signals_seen, 1);
  EXPECT_EQ(last_signal, SIGRTMIN + 1);
  EXPECT_EQ(last_code, POLL_MSG);
  EXPECT_EQ(last_fd, fd);
  EXPECT_EQ(last_band, POLLMSG | POLLIN | POLLRDNORM);
}

CASE(a_reader_does_not_break_a_read_lease) {
  watch_signal(SIGIO, 0);
  int fd = make("f", O_RDONLY);
  OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  OK(open("f", O_RDONLY | O_NONBLOCK));
  EXPECT_EQ(signals_seen, 0);
  EXPECT_ERRNO(open("f", O_RDWR | O_NONBLOCK), EAGAIN);
  EXPECT_EQ(signals_seen, 1);
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
}

CASE(an_open_waits_until_the_lease_is_given_back) {
  watch_signal(SIGIO, SA_RESTART);
  int fd = make("f", O_RDWR);
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  pid_t opener = IN_CHILD({
    close(fd);
    OK(open("f", O_WRONLY));
  });
  EVENTUALLY(signals_seen == 1);
  EVENTUALLY(process_state(opener) == 'S');
  OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  EXPECT_EXIT(opener, 0);
}

CASE(an_open_for_reading_waits_until_the_lease_is_downgraded) {
  watch_signal(SIGIO, SA_RESTART);
  int fd = make("f", O_RDONLY);
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  pid_t opener = IN_CHILD({
    close(fd);
    OK(open("f", O_RDONLY));
  });
  EVENTUALLY(signals_seen == 1);
  OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  EXPECT_EXIT(opener, 0);
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
}

CASE(truncate_breaks_a_lease_and_ftruncate_of_the_holder_does_not) {
  watch_signal(SIGIO, SA_RESTART);
  int fd = make("f", O_RDWR);
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  OK(ftruncate(fd, 2));
  EXPECT_EQ(signals_seen, 0);
  pid_t other = IN_CHILD({
    close(fd);
    OK(truncate("f", 0));
  });
  EVENTUALLY(signals_seen == 1);
  OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  EXPECT_EXIT(other, 0);
}

CASE(renames_links_and_modes_break_no_lease) {
  watch_signal(SIGIO, 0);
  int fd = make("f", O_RDWR);
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  OK(chmod("f", 0600));
  OK(link("f", "g"));
  OK(rename("f", "h"));
  OK(unlink("g"));
  OK(unlink("h"));
  EXPECT_EQ(signals_seen, 0);
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_WRLCK);
}

CASE(a_signal_interrupts_an_open_that_waits_for_a_lease) {
  int fd = make("f", O_RDWR);
  signal(SIGIO, SIG_IGN);
  OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  pid_t opener = IN_CHILD({
    close(fd);
    watch_signal(SIGUSR1, 0);
    EXPECT_ERRNO(open("f", O_RDONLY), EINTR);
  });
  EVENTUALLY(process_state(opener) == 'S' && fcntl(fd, F_GETLEASE) == F_RDLCK);
  siginfo_t info = {0};
  for (int i = 0; i < 500 && info.si_pid == 0; i++) {  // the first may come before it sleeps
    kill(opener, SIGUSR1);
    sleep_ms(10);
    OK(waitid(P_PID, (id_t)opener, &info, WEXITED | WNOHANG | WNOWAIT));
  }
  EXPECT_EQ(info.si_pid, opener);
  EXPECT_EXIT(opener, 0);
}

CASE(settings_of_leases_stand_in_proc_sys) {
  char text[64];
  EXPECT(read_file("/proc/sys/fs/leases-enable", text, sizeof text) > 0);
  EXPECT_STR(text, "1\n");
  EXPECT(read_file("/proc/sys/fs/lease-break-time", text, sizeof text) > 0);
  EXPECT(atoi(text) > 0);
  EXPECT(read_file("/proc/sys/fs/dir-notify-enable", text, sizeof text) > 0);
  EXPECT_STR(text, "1\n");
}

static int notify_of(const char* directory, unsigned mask) {
  int fd = (int)OK(open(directory, O_RDONLY | O_DIRECTORY));
  watch_signal(SIGRTMIN + 2, 0);
  OK(fcntl(fd, F_SETSIG, SIGRTMIN + 2));
  OK(fcntl(fd, F_NOTIFY, mask));
  return fd;
}

static int seen(void) {
  int n = signals_seen;
  signals_seen = 0;
  return n;
}

CASE(f_notify_tells_of_a_created_file) {
  OK(mkdir("d", 0755));
  int fd = notify_of("d", DN_CREATE);
  write_file("d/a", "");
  EXPECT_EQ(seen(), 1);
  EXPECT_EQ(last_code, POLL_MSG);
  EXPECT_EQ(last_fd, fd);
  EXPECT_EQ(last_band, POLLMSG | POLLIN | POLLRDNORM);
}

CASE(f_notify_tells_once_without_multishot) {
  OK(mkdir("d", 0755));
  notify_of("d", DN_CREATE);
  OK(mkdir("d/a", 0755));
  OK(mkdir("d/b", 0755));
  EXPECT_EQ(seen(), 1);
}

CASE(f_notify_multishot_goes_on) {
  OK(mkdir("d", 0755));
  int fd = notify_of("d", DN_CREATE | DN_DELETE | DN_MULTISHOT);
  OK(mkdir("d/a", 0755));
  EXPECT_EQ(seen(), 1);
  OK(rmdir("d/a"));
  EXPECT_EQ(seen(), 1);
  OK(fcntl(fd, F_NOTIFY, 0));
  OK(mkdir("d/a", 0755));
  EXPECT_EQ(seen(), 0);
}

CASE(f_notify_adds_to_what_was_asked_for) {
  OK(mkdir("d", 0755));
  int fd = notify_of("d", DN_CREATE | DN_MULTISHOT);
  OK(fcntl(fd, F_NOTIFY, DN_DELETE | DN_MULTISHOT));
  OK(mkdir("d/a", 0755));
  EXPECT_EQ(seen(), 1);
  OK(rmdir("d/a"));
  EXPECT_EQ(seen(), 1);
}

CASE(f_notify_tells_of_reading_writing_and_attributes) {
  OK(mkdir("d", 0755));
  write_file("d/f", "text");
  int file = (int)OK(open("d/f", O_RDWR));
  notify_of("d", DN_ACCESS | DN_MODIFY | DN_ATTRIB | DN_MULTISHOT);
  char byte;
  EXPECT_EQ(pread(file, &byte, 1, 0), 1);
  EXPECT_EQ(seen(), 1);
  EXPECT_EQ(pwrite(file, "x", 1, 0), 1);
  EXPECT_EQ(seen(), 1);
  OK(ftruncate(file, 0));
  EXPECT_EQ(seen(), 1);
  OK(fchmod(file, 0600));
  EXPECT_EQ(seen(), 1);
}

CASE(f_notify_rename_is_of_moves_within_the_directory) {
  OK(mkdir("d", 0755));
  write_file("d/a", "");
  notify_of("d", DN_RENAME | DN_MULTISHOT);
  OK(rename("d/a", "d/b"));
  EXPECT_EQ(seen(), 1);
  OK(rename("d/b", "b"));
  EXPECT_EQ(seen(), 0);
}

CASE(f_notify_calls_moves_in_and_out_creation_and_deletion) {
  OK(mkdir("d", 0755));
  write_file("a", "");
  int fd = notify_of("d", DN_CREATE);
  OK(rename("a", "d/a"));
  EXPECT_EQ(seen(), 1);
  OK(fcntl(fd, F_NOTIFY, DN_DELETE));
  OK(rename("d/a", "a"));
  EXPECT_EQ(seen(), 1);
}

CASE(f_notify_ends_with_any_close_of_the_process) {
  OK(mkdir("d", 0755));
  int fd = notify_of("d", DN_CREATE | DN_MULTISHOT);
  close((int)OK(dup(fd)));
  OK(mkdir("d/a", 0755));
  EXPECT_EQ(seen(), 0);
}

CASE(f_notify_survives_the_close_of_a_child) {
  OK(mkdir("d", 0755));
  int fd = notify_of("d", DN_CREATE | DN_MULTISHOT);
  EXPECT_EXIT(IN_CHILD({ close(fd); }), 0);
  seen();
  OK(mkdir("d/a", 0755));
  EXPECT_EQ(seen(), 1);
}

CASE(f_notify_is_of_directories) {
  EXPECT_ERRNO(fcntl(make("f", O_RDONLY), F_NOTIFY, DN_CREATE), ENOTDIR);
  OK(fcntl(make("g", O_RDONLY), F_NOTIFY, 0));
  EXPECT_ERRNO(fcntl((int)OK(open(".", O_PATH)), F_NOTIFY, DN_CREATE), EBADF);
}

CASE(f_notify_makes_its_caller_the_owner) {
  int fd = (int)OK(open(".", O_RDONLY));
  OK(fcntl(fd, F_NOTIFY, DN_CREATE));
  EXPECT_EQ(fcntl(fd, F_GETOWN), getpid());
}
