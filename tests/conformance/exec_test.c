// execve, execveat, interpreters, the auxiliary vector, what exec keeps and what it drops.
#define CONFORMANCE_FILES
#define CONFORMANCE_REEXEC
#include "conformance.h"

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

extern char** environ;
static char self_path[512];

// This program again, in the part that its first argument names; see reexec_main.
static void reexec(const char* part, const char* argument) {
  char* const arguments[] = {"name-of-program", (char*)part, (char*)argument, NULL};
  char* const environment[] = {"ONE=1", "TWO=zwei", NULL};
  execve("/proc/self/exe", arguments, environment);
  _exit(120);
}

static int reexec_main(int argc, char** argv) {
  const char* part = argv[1] + strlen("reexec-");
  if (strcmp(part, "exit") == 0) return atoi(argv[2]);
  if (strcmp(part, "arguments") == 0)
    return !(argc == 3 && strcmp(argv[0], "name-of-program") == 0 && strcmp(argv[2], "a b") == 0 && argv[3] == NULL);
  if (strcmp(part, "environment") == 0)
    return !(strcmp(environ[0], "ONE=1") == 0 && strcmp(environ[1], "TWO=zwei") == 0 && environ[2] == NULL);
  if (strcmp(part, "pid") == 0) return getpid() != atoi(argv[2]);
  if (strcmp(part, "fd-open") == 0) return fcntl(atoi(argv[2]), F_GETFD) < 0;
  if (strcmp(part, "fd-closed") == 0) return fcntl(atoi(argv[2]), F_GETFD) >= 0;
  if (strcmp(part, "signals") == 0) {
    struct sigaction usr1, usr2;
    sigset_t mask;
    sigaction(SIGUSR1, NULL, &usr1);
    sigaction(SIGUSR2, NULL, &usr2);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    if (usr1.sa_handler != SIG_DFL) return 1;
    if (usr2.sa_handler != SIG_IGN) return 2;
    return !sigismember(&mask, SIGTERM);
  }
  if (strcmp(part, "pending") == 0) {
    sigset_t set;
    sigpending(&set);
    return !sigismember(&set, SIGUSR1);
  }
  if (strcmp(part, "altstack") == 0) {
    stack_t stack;
    sigaltstack(NULL, &stack);
    return stack.ss_flags != SS_DISABLE;
  }
  if (strcmp(part, "comm") == 0) {
    char name[32] = {0};
    prctl(PR_GET_NAME, name);
    return strcmp(name, argv[2]) != 0;
  }
  if (strcmp(part, "itimer") == 0) {
    struct itimerval left;
    getitimer(ITIMER_REAL, &left);
    return left.it_value.tv_sec < 90;
  }
  if (strcmp(part, "alone") == 0) {
    DIR* tasks = opendir("/proc/self/task");
    int threads = 0;
    while (readdir(tasks)) threads++;
    return threads != 3;  // ".", ".." and one thread
  }
  if (strcmp(part, "count") == 0) return argc != atoi(argv[2]);
  if (strcmp(part, "dumpable") == 0) return prctl(PR_GET_DUMPABLE) != 1;
  if (strcmp(part, "nnp") == 0) return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
  if (strcmp(part, "limit") == 0) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur != 77;
  }
  if (strcmp(part, "umask") == 0) return umask(0) != 027;
  if (strcmp(part, "pdeathsig") == 0) {
    int signal = -1;
    prctl(PR_GET_PDEATHSIG, &signal);
    return signal != SIGUSR1;
  }
  return 99;
}

static void expect_reexec(const char* part, const char* argument) {
  pid_t child = IN_CHILD({ reexec(part, argument); });
  EXPECT_EXIT(child, 0);
}

static void make_script(const char* name, const char* text) {
  write_file(name, text);
  OK(chmod(name, 0755));
}

static int run_status(const char* path, char* const arguments[]) {
  pid_t child = IN_CHILD({
    execve(path, arguments, environ);
    _exit(errno);
  });
  int status = wait_status(child);
  EXPECT(WIFEXITED(status));
  return WEXITSTATUS(status);
}
#define RUN(path) run_status(path, (char* const[]){(char*)(path), NULL})

CASE(program_runs_and_gives_its_exit_code) {
  pid_t child = IN_CHILD({ reexec("reexec-exit", "41"); });
  EXPECT_EXIT(child, 41);
}

CASE(arguments_arrive) { expect_reexec("reexec-arguments", "a b"); }
CASE(environment_arrives) { expect_reexec("reexec-environment", ""); }

CASE(pid_stays) {
  pid_t child = IN_CHILD({
    char pid[16];
    snprintf(pid, sizeof pid, "%d", getpid());
    reexec("reexec-pid", pid);
  });
  EXPECT_EXIT(child, 0);
}

CASE(descriptors_stay_open) {
  OK(dup2(0, 60));
  expect_reexec("reexec-fd-open", "60");
}

CASE(close_on_exec_descriptors_are_closed) {
  OK(dup3(0, 60, O_CLOEXEC));
  expect_reexec("reexec-fd-closed", "60");
}

static void ignore(int signal) {}

CASE(handlers_are_reset_but_ignored_signals_and_the_mask_stay) {
  sigset_t set;
  signal(SIGUSR1, ignore);
  signal(SIGUSR2, SIG_IGN);
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  expect_reexec("reexec-signals", "");
}

CASE(pending_signals_stay) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  pid_t child = IN_CHILD({
    raise(SIGUSR1);
    reexec("reexec-pending", "");
  });
  EXPECT_EXIT(child, 0);
}

CASE(alternate_stack_is_dropped) {
  static char area[65536];
  stack_t stack = {.ss_sp = area, .ss_size = sizeof area};
  OK(sigaltstack(&stack, NULL));
  expect_reexec("reexec-altstack", "");
}

CASE(command_name_is_the_file_name) {
  OK(readlink("/proc/self/exe", self_path, sizeof self_path - 1));
  OK(symlink(self_path, "a-rather-long-name-of-a-link"));
  pid_t child = IN_CHILD({
    execl("a-rather-long-name-of-a-link", "x", "reexec-comm", "a-rather-long-n", (char*)NULL);
    _exit(120);
  });
  EXPECT_EXIT(child, 0);
}

CASE(interval_timer_stays) {
  pid_t child = IN_CHILD({
    struct itimerval timer = {.it_value = {100, 0}};
    OK(setitimer(ITIMER_REAL, &timer, NULL));
    reexec("reexec-itimer", "");
  });
  EXPECT_EXIT(child, 0);
}

static void* sleep_long(void* unused) {
  sleep_ms(5000);
  return NULL;
}
static void* exec_from_thread(void* pid) {
  reexec("reexec-pid", pid);
  return NULL;
}

CASE(other_threads_end) {
  pid_t child = IN_CHILD({
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) EXPECT_ZERO(pthread_create(&threads[i], NULL, sleep_long, NULL));
    reexec("reexec-alone", "");
  });
  EXPECT_EXIT(child, 0);
}

CASE(exec_from_another_thread_takes_the_pid_of_the_group) {
  pid_t child = IN_CHILD({
    char pid[16];
    pthread_t thread;
    snprintf(pid, sizeof pid, "%d", getpid());
    EXPECT_ZERO(pthread_create(&thread, NULL, exec_from_thread, pid));
    sleep_ms(5000);
  });
  EXPECT_EXIT(child, 0);
}

CASE(no_new_privs_limits_umask_stay) {
  expect_reexec("reexec-dumpable", "");
  umask(027);
  expect_reexec("reexec-umask", "");
  struct rlimit limit = {77, 77};
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  expect_reexec("reexec-limit", "");
  OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  expect_reexec("reexec-nnp", "");
}

CASE(parent_death_signal_stays) {
  pid_t child = IN_CHILD({
    OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    reexec("reexec-pdeathsig", "");
  });
  EXPECT_EXIT(child, 0);
}

CASE(missing_file_is_enoent) { EXPECT_ERRNO(execl("./missing", "x", (char*)NULL), ENOENT); }

CASE(empty_path_is_enoent) { EXPECT_ERRNO(execl("", "x", (char*)NULL), ENOENT); }

CASE(directory_is_eacces) { EXPECT_ERRNO(execl(".", "x", (char*)NULL), EACCES); }

CASE(file_without_execute_permission_is_eacces_even_for_root) {
  write_file("plain", "#!/bin/sh\nexit 0\n");
  EXPECT_ERRNO(execl("./plain", "x", (char*)NULL), EACCES);
}

CASE(path_through_a_file_is_enotdir) {
  write_file("plain", "");
  EXPECT_ERRNO(execl("./plain/x", "x", (char*)NULL), ENOTDIR);
}

CASE(text_without_interpreter_is_enoexec) {
  make_script("script", "exit 0\n");
  EXPECT_ERRNO(execl("./script", "x", (char*)NULL), ENOEXEC);
}

CASE(empty_file_is_enoexec) {
  make_script("empty", "");
  EXPECT_ERRNO(execl("./empty", "x", (char*)NULL), ENOEXEC);
}

CASE(bad_path_address_is_efault) { EXPECT_ERRNO(syscall(SYS_execve, 8, NULL, NULL), EFAULT); }

CASE(bad_argument_vector_is_efault) { EXPECT_ERRNO(syscall(SYS_execve, "/bin/true", 8, NULL), EFAULT); }

CASE(argument_of_more_than_128_kib_is_e2big) {
  static char big[140000];
  memset(big, 'a', sizeof big - 1);
  EXPECT_ERRNO(execl("/bin/true", "x", big, (char*)NULL), E2BIG);
}

CASE(thousand_arguments_arrive) {
  char* arguments[1003] = {"x", "reexec-count", "1002"};
  for (int i = 3; i < 1002; i++) arguments[i] = "argument";
  EXPECT_EQ(run_status("/proc/self/exe", arguments), 0);
}

CASE(script_runs_by_its_interpreter) {
  make_script("script", "#!/bin/sh\nexit 23\n");
  EXPECT_EQ(RUN("./script"), 23);
}

CASE(script_gets_its_name_and_the_interpreters_one_argument) {
  make_script("script", "#!/bin/sh -e -u\ntest \"$0\" = ./script && test \"$1\" = first || exit 1\n");
  // "-e -u" is one argument: the shell refuses it, which tells us that it was not split.
  char* const arguments[] = {"ignored", "first", NULL};
  EXPECT(run_status("./script", arguments) != 0);
  make_script("script", "#!/bin/sh -e\ntest \"$0\" = ./script && test \"$1\" = first || exit 1\n");
  EXPECT_EQ(run_status("./script", arguments), 0);
}

CASE(script_with_spaces_after_the_marks) {
  make_script("script", "#!   /bin/sh\nexit 5\n");
  EXPECT_EQ(RUN("./script"), 5);
}

CASE(script_of_a_script_runs) {
  make_script("inner", "#!/bin/sh\ntest \"$1\" = ./outer && exit 9\n");
  make_script("outer", "#!./inner\n");
  EXPECT_EQ(RUN("./outer"), 9);
}

CASE(scripts_that_name_each_other_are_eloop) {
  make_script("a", "#!./b\n");
  make_script("b", "#!./a\n");
  EXPECT_ERRNO(execl("./a", "a", (char*)NULL), ELOOP);
}

CASE(script_with_a_missing_interpreter_is_enoent) {
  make_script("script", "#!/no/such/thing\n");
  EXPECT_ERRNO(execl("./script", "x", (char*)NULL), ENOENT);
}

CASE(execveat_runs_a_descriptor) {
  int fd = (int)OK(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  pid_t child = IN_CHILD({
    char* const arguments[] = {"x", "reexec-exit", "17", NULL};
    syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
    _exit(120);
  });
  EXPECT_EXIT(child, 17);
}

CASE(execveat_relative_to_a_directory) {
  make_script("script", "#!/bin/sh\nexit 31\n");
  int fd = (int)OK(open(".", O_PATH));
  OK(chdir("/"));
  pid_t child = IN_CHILD({
    char* const arguments[] = {"x", NULL};
    syscall(SYS_execveat, fd, "script", arguments, environ, 0);
    _exit(120);
  });
  EXPECT_EXIT(child, 31);
}

CASE(execveat_nofollow_of_a_link_is_eloop) {
  OK(symlink("/bin/true", "link"));
  EXPECT_ERRNO(syscall(SYS_execveat, AT_FDCWD, "link", NULL, NULL, AT_SYMLINK_NOFOLLOW), ELOOP);
}

CASE(execveat_unknown_flag_is_einval) {
  EXPECT_ERRNO(syscall(SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 1), EINVAL);
}

CASE(running_program_cannot_be_written) {
  OK(readlink("/proc/self/exe", self_path, sizeof self_path - 1));
  int in = (int)OK(open(self_path, O_RDONLY)), out = (int)OK(open("copy", O_WRONLY | O_CREAT, 0755));
  static char block[65536];
  ssize_t got;
  while ((got = read(in, block, sizeof block)) > 0) EXPECT_EQ(write(out, block, (size_t)got), got);
  close(out);
  int gate[2], ready[2];
  OK(pipe2(gate, 0));
  OK(pipe2(ready, O_CLOEXEC));
  pid_t child = IN_CHILD({
    execl("./copy", "x", "--list", (char*)NULL);
    _exit(120);
  });
  EXPECT_EXIT(child, 0);
  int writer = (int)OK(open("copy", O_WRONLY));
  EXPECT_ERRNO(execl("./copy", "x", (char*)NULL), ETXTBSY);
  close(writer);
}

// The auxiliary vector.

CASE(auxv_page_size) { EXPECT_EQ(getauxval(AT_PAGESZ), PAGE); }
CASE(auxv_ids) {
  EXPECT_EQ(getauxval(AT_UID), getuid());
  EXPECT_EQ(getauxval(AT_EUID), geteuid());
  EXPECT_EQ(getauxval(AT_GID), getgid());
  EXPECT_EQ(getauxval(AT_EGID), getegid());
  EXPECT_EQ(getauxval(AT_SECURE), 0);
}
CASE(auxv_clock_ticks) { EXPECT_EQ(getauxval(AT_CLKTCK), 100); }
CASE(auxv_platform) { EXPECT_STR((char*)getauxval(AT_PLATFORM), "x86_64"); }
CASE(auxv_vdso_is_an_elf_image) {
  const Elf64_Ehdr* image = (const Elf64_Ehdr*)getauxval(AT_SYSINFO_EHDR);
  if (!image) SKIP("no vDSO");
  EXPECT(memcmp(image->e_ident, ELFMAG, SELFMAG) == 0);
}
CASE(auxv_program_headers) {
  const Elf64_Phdr* headers = (const Elf64_Phdr*)getauxval(AT_PHDR);
  EXPECT_EQ(getauxval(AT_PHENT), sizeof *headers);
  bool load = false;
  for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) load |= headers[i].p_type == PT_LOAD;
  EXPECT(load);
}
CASE(auxv_random_bytes_differ_between_processes) {
  unsigned char* bytes = (unsigned char*)getauxval(AT_RANDOM);
  bool all_zero = true;
  for (int i = 0; i < 16; i++) all_zero &= bytes[i] == 0;
  EXPECT(bytes && !all_zero);
}
CASE(auxv_execfn_is_the_path_of_exec) { EXPECT(strstr((char*)getauxval(AT_EXECFN), "exec.")); }
CASE(auxv_minsigstksz_is_sane) {
  unsigned long size = getauxval(51 /* AT_MINSIGSTKSZ */);
  EXPECT(size >= 1024 && size <= 65536);
}
CASE(auxv_in_proc_is_the_same) {
  static unsigned long words[128];
  int fd = (int)OK(open("/proc/self/auxv", O_RDONLY));
  ssize_t got = read(fd, words, sizeof words);
  EXPECT(got > 0 && got % 16 == 0);
  bool found = false;
  for (int i = 0; i < got / 8; i += 2) {
    if (words[i] == AT_PHDR) found = words[i + 1] == getauxval(AT_PHDR);
  }
  EXPECT(found);
}

CASE(stack_is_aligned_and_holds_the_arguments) {
  EXPECT_EQ(getauxval(AT_RANDOM) != 0, 1);
  EXPECT((uintptr_t)environ % 8 == 0);
}

CASE(proc_self_cmdline_has_the_arguments) {
  char text[512] = {0};
  ssize_t length = read_file("/proc/self/cmdline", text, sizeof text);
  EXPECT(length > 0);
  EXPECT_EQ(text[length - 1], 0);
  EXPECT(strstr(text, "exec."));
}

CASE(proc_self_environ_has_the_first_environment) {
  pid_t child = IN_CHILD({
    char* const arguments[] = {"sh", "-c", "grep -qxz MARK=here /proc/$$/environ", NULL};
    char* const environment[] = {"MARK=here", "PATH=/bin:/usr/bin", NULL};
    execve("/bin/sh", arguments, environment);
    _exit(120);
  });
  EXPECT_EXIT(child, 0);
}

CASE(dynamic_program_of_the_system_runs) { EXPECT_EQ(RUN("/bin/true"), 0); }

CASE(dynamic_loader_runs_as_a_program) {
  char* const arguments[] = {"ld.so", "/bin/true", NULL};
  EXPECT_EQ(run_status("/lib64/ld-linux-x86-64.so.2", arguments), 0);
}

CASE(file_with_elf_magic_and_nothing_else_is_enoexec) {
  make_script("bad", "\177ELF");
  EXPECT_ERRNO(execl("./bad", "x", (char*)NULL), ENOEXEC);
}

// A valid program header table is the least that exec looks at; these break one field each.
static void write_elf(const char* name, Elf64_Ehdr header, Elf64_Phdr program) {
  static const unsigned char code[] = {0xb8, 60, 0, 0, 0, 0xbf, 13, 0, 0, 0, 0x0f, 0x05};  // exit(13)
  int fd = (int)OK(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755));
  OK(pwrite(fd, &header, sizeof header, 0));
  OK(pwrite(fd, &program, sizeof program, sizeof header));
  OK(pwrite(fd, code, sizeof code, 0x100));
  close(fd);
}
static const Elf64_Ehdr good_header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                                       .e_type = ET_EXEC,
                                       .e_machine = EM_X86_64,
                                       .e_version = EV_CURRENT,
                                       .e_entry = 0x400100,
                                       .e_phoff = sizeof(Elf64_Ehdr),
                                       .e_ehsize = sizeof(Elf64_Ehdr),
                                       .e_phentsize = sizeof(Elf64_Phdr),
                                       .e_phnum = 1};
static const Elf64_Phdr good_program = {.p_type = PT_LOAD,
                                        .p_flags = PF_R | PF_X,
                                        .p_vaddr = 0x400000,
                                        .p_paddr = 0x400000,
                                        .p_filesz = 0x10c,
                                        .p_memsz = 0x10c,
                                        .p_align = PAGE};

CASE(hand_made_elf_runs) {
  write_elf("good", good_header, good_program);
  EXPECT_EQ(RUN("./good"), 13);
}

CASE(elf_of_another_machine_is_enoexec) {
  Elf64_Ehdr header = good_header;
  header.e_machine = EM_AARCH64;
  write_elf("bad", header, good_program);
  EXPECT_ERRNO(execl("./bad", "x", (char*)NULL), ENOEXEC);
}

CASE(elf_relocatable_is_enoexec) {
  Elf64_Ehdr header = good_header;
  header.e_type = ET_REL;
  write_elf("bad", header, good_program);
  EXPECT_ERRNO(execl("./bad", "x", (char*)NULL), ENOEXEC);
}

CASE(elf_without_program_headers_is_enoexec) {
  Elf64_Ehdr header = good_header;
  header.e_phnum = 0;
  write_elf("bad", header, good_program);
  EXPECT_ERRNO(execl("./bad", "x", (char*)NULL), ENOEXEC);
}

CASE(elf_with_program_headers_beyond_the_file_does_not_run) {
  Elf64_Ehdr header = good_header;
  header.e_phoff = 1 << 20;
  write_elf("bad", header, good_program);
  EXPECT(execl("./bad", "x", (char*)NULL) == -1);
}

CASE(elf_with_an_entry_outside_its_segments_dies_of_sigsegv) {
  Elf64_Ehdr header = good_header;
  header.e_entry = 0x900000;
  write_elf("bad", header, good_program);
  pid_t child = IN_CHILD({
    execl("./bad", "x", (char*)NULL);
    _exit(120);
  });
  EXPECT_KILLED(child, SIGSEGV);
}

CASE(elf_with_a_missing_loader_is_enoent) {
  Elf64_Ehdr header = good_header;
  header.e_phnum = 2;
  Elf64_Phdr programs[2] = {{.p_type = PT_INTERP, .p_offset = 0x200, .p_filesz = 13, .p_memsz = 13, .p_align = 1},
                            good_program};
  int fd = (int)OK(open("bad", O_WRONLY | O_CREAT | O_TRUNC, 0755));
  OK(pwrite(fd, &header, sizeof header, 0));
  OK(pwrite(fd, programs, sizeof programs, sizeof header));
  OK(pwrite(fd, "/no/such/ldso", 13, 0x200));
  OK(ftruncate(fd, 0x300));
  close(fd);
  int result = RUN("./bad");
  EXPECT(result == ENOENT || result == ENOEXEC || result == EINVAL);
}

CASE(bss_is_zero_and_writable) {
  // The segment's memory goes on beyond its file part; the code of write_elf does not care, exec must.
  Elf64_Phdr program = good_program;
  program.p_flags = PF_R | PF_W | PF_X;
  program.p_memsz = 0x10c + 3 * PAGE;
  write_elf("good", good_header, program);
  EXPECT_EQ(RUN("./good"), 13);
}

CASE(set_user_id_bit_changes_the_effective_user) {
  if (geteuid() != 0) SKIP("needs root");
  OK(readlink("/proc/self/exe", self_path, sizeof self_path - 1));
  int in = (int)OK(open("/usr/bin/id", O_RDONLY)), out = (int)OK(open("id", O_WRONLY | O_CREAT, 0755));
  static char block[65536];
  ssize_t got;
  while ((got = read(in, block, sizeof block)) > 0) EXPECT_EQ(write(out, block, (size_t)got), got);
  close(out);
  OK(chown("id", 4242, 0));
  OK(chmod("id", 04755));
  int p[2];
  OK(pipe(p));
  pid_t child = IN_CHILD({
    OK(dup2(p[1], 1));
    execl("./id", "id", "-u", (char*)NULL);
    _exit(120);
  });
  EXPECT_EXIT(child, 0);
  char text[16] = {0};
  OK(read(p[0], text, 15));
  EXPECT_STR(text, "4242\n");
}

CASE(exec_in_a_hundred_children) {
  for (int i = 0; i < 100; i++) {
    pid_t child = IN_CHILD({ reexec("reexec-exit", "1"); });
    EXPECT_EXIT(child, 1);
  }
}
