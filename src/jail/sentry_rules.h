// The host calls that the sentry itself makes: one rule each, with the reason why it is needed. What the platform needs
// besides is listed by the platform (platform/trap/host_calls.h); what a sanitizer's run time needs stands at the end.
// Whoever adds a host call to src/host adds its rule here; the tools/check-jail-rules fails on a rule that nothing
// uses.
#pragma once

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "host/call_rule.h"

namespace cofferdam::jail {

using host::CallRule;
using host::is;
using host::with;
using host::without;

// Threads of the C library: what pthread_create passes.
inline constexpr uint32_t thread_clone_flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                                               CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
                                               CLONE_CHILD_CLEARTID;

// A group of fanotify(7) as a process without privileges may have it.
inline constexpr uint32_t change_group_flags =
    FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME | FAN_REPORT_FID;

inline constexpr CallRule sentry_rules[] = {
    // Its own memory: never executable.
    {SYS_mmap, {without(2, PROT_EXEC)}, "heap, thread stacks, views of the memory file"},
    {SYS_munmap, "heap and thread stacks"},
    {SYS_mprotect, {without(2, PROT_EXEC)}, "guard pages of thread stacks, growth of malloc's arenas"},
    {SYS_mremap, "realloc of large blocks"},
    {SYS_madvise, "malloc and ended threads give memory back"},
    {SYS_brk, "malloc's first arena"},

    // Its own threads: one for each guest thread.
    {SYS_clone, {is(0, thread_clone_flags)}, "pthread_create; no other kind of process or namespace"},
    {SYS_set_robust_list, "every new thread of the C library"},
    {SYS_rseq, "every new thread of the C library"},
    {SYS_exit, "the end of a thread"},
    {SYS_exit_group, "the end of the sandbox, with the container's status"},
    {SYS_futex, "locks, waiting tasks, the hand-off to stubs"},
    {SYS_sched_getaffinity, "how many CPUs there are to spin on"},
    {SYS_sched_yield, "the guest's, where the stub does not answer it"},
    {SYS_sched_setaffinity, "a task's thread follows its guest thread's affinity"},
    {SYS_gettid, "abort"},
    {SYS_getpid, "abort"},
    {SYS_umask, "directfs creates files with the mode that the guest's umask left"},
    {SYS_prctl, {is(0, PR_SET_NAME)}, "threads carry names for people who look at the host"},
    {SYS_prctl, {is(0, PR_SET_TIMERSLACK), is(1, 1)}, "the timer thread wakes on time"},
    {SYS_prctl, {is(0, PR_SET_PDEATHSIG), is(1, 0)}, "a detached sandbox outlives the command that made it"},

    // Signals of its own.
    {SYS_rt_sigaction, "abort"},
    {SYS_rt_sigprocmask, "threads block what is not for them"},
    {SYS_rt_sigreturn, "return from the handler of --debug"},
    {SYS_tgkill, {is(0, 1)}, "abort; it is process 1 of its namespace"},
    {SYS_restart_syscall, "the kernel's own: a sleep that was interrupted"},

    // Time.
    {SYS_clock_gettime, "where the vDSO cannot answer"},
    {SYS_clock_getres, "where the vDSO cannot answer"},

    // Waiting for descriptors.
    {SYS_epoll_create1, "the notifier of host descriptors"},
    {SYS_epoll_ctl, "the notifier of host descriptors"},
    {SYS_epoll_wait, "the notifier of host descriptors"},
    {SYS_eventfd2, "the notifier and the control loop are woken by it"},
    {SYS_poll, "the control loop; readiness of standard input and output"},

    // Bytes of files, pipes and terminals that were donated.
    {SYS_read, "standard input, donated files"},
    {SYS_write, "standard output, donated files, the log"},
    {SYS_pread64, "donated files, the memory file"},
    {SYS_pwrite64, "donated files, the memory file"},
    {SYS_lseek, "SEEK_DATA and SEEK_HOLE, directory positions"},
    {SYS_copy_file_range, "copy_file_range(2) between donated files"},
    {SYS_fallocate, "fallocate(2); punching freed pages out of the memory file"},
    {SYS_ftruncate, "truncate(2), growth of the memory file"},
    {SYS_fsync, "fsync(2)"},
    {SYS_fdatasync, "fdatasync(2)"},
    {SYS_syncfs, "sync(2) and syncfs(2)"},
    {SYS_close, "everything that was opened"},
    {SYS_fcntl, {is(1, F_DUPFD_CLOEXEC)}, "a mapping keeps its own descriptor"},
    {SYS_fcntl, {is(1, F_GETFL)}, "access mode of the donated standard input and output"},
    {SYS_fcntl, {is(1, F_ADD_SEALS)}, "the memory file cannot shrink under a mapping"},
    {SYS_fcntl, {is(1, F_OFD_SETLK)}, "locks on files of shared mounts, which the host's processes see"},
    {SYS_fcntl, {is(1, F_OFD_GETLK)}, "F_GETLK of such files"},
    {SYS_flock, "flock(2) of such files"},
    {SYS_memfd_create, "the memory file, memfd_create(2) of guests"},

    // directfs: always relative to a donated descriptor. The root is empty, so a path that starts at / finds nothing.
    {SYS_openat, "files and directories below donated mounts"},
    {SYS_openat2, "the same with RESOLVE_BENEATH"},
    {SYS_newfstatat, "attributes"},
    {SYS_statx, "attributes with birth time and mount"},
    {SYS_fstatfs, "statfs(2)"},
    {SYS_readlinkat, "symbolic links"},
    {SYS_getdents64, "directory listings"},
    {SYS_mkdirat, "mkdir(2)"},
    {SYS_mknodat, {is(3, 0)}, "FIFOs and sockets as directory entries; no device has number 0"},
    {SYS_symlinkat, "symlink(2)"},
    {SYS_linkat, "link(2), O_TMPFILE"},
    {SYS_unlinkat, "unlink(2) and rmdir(2)"},
    {SYS_renameat2, "rename(2)"},
    {SYS_fchmod, "chmod(2)"},
    {452 /* fchmodat2 */, "chmod(2) of the object itself, links not followed"},
    {SYS_fchownat, "chown(2), owners of new files"},
    {SYS_utimensat, "utimensat(2)"},
    {SYS_fgetxattr, "extended attributes"},
    {SYS_flistxattr, "extended attributes"},
    {SYS_fsetxattr, "extended attributes"},
    {SYS_fremovexattr, "extended attributes"},

    // What the host's processes do in directories that are shared with them. Marks go on descriptors, never on paths
    // (a pointer that is null), and the group is one that a process without privileges may have.
    {SYS_fanotify_init, {is(0, change_group_flags), is(1, O_RDONLY)}, "inotify(7) of shared mounts"},
    {SYS_fanotify_mark, {is(1, FAN_MARK_ADD), without(4, UINT64_MAX)}, "a watch of a file on a shared mount"},
    {SYS_fanotify_mark, {is(1, FAN_MARK_FLUSH), without(4, UINT64_MAX)}, "the last watch has gone"},
    {SYS_name_to_handle_at, "which watched file an event is about; nothing can be opened by what it gives"},

    // Terminals, and files that can say how much there is.
    {SYS_ioctl, {is(1, FIONREAD)}, "bytes to read on standard input"},
    {SYS_ioctl, {is(1, TCGETS)}, "is standard input a terminal? isatty(3) of guests"},
    {SYS_ioctl, {is(1, TCSETS)}, "modes of a terminal that the guest inherited"},
    {SYS_ioctl, {is(1, TCSETSW)}, "modes of a terminal that the guest inherited"},
    {SYS_ioctl, {is(1, TCSETSF)}, "modes of a terminal that the guest inherited"},
    {SYS_ioctl, {is(1, TCFLSH)}, "unread input of a terminal that the guest inherited"},
    {SYS_ioctl, {is(1, TIOCGWINSZ)}, "the size of the window behind a terminal"},

    // The control socket: it was bound and is listening before the jail closes.
    {SYS_accept4, "commands that connect to the control socket"},
    {SYS_setsockopt, {is(1, SOL_SOCKET), is(2, SO_RCVTIMEO)}, "a command that stops in mid-request holds nobody up"},
    {SYS_setsockopt, {is(1, SOL_SOCKET), is(2, SO_SNDTIMEO)}, "a command that does not listen holds nobody up"},
    {SYS_recvmsg, "requests, with the descriptors of exec"},
    {SYS_sendmsg, "replies"},
    {SYS_recvfrom, "the startup channel"},
    {SYS_sendto, "replies, the startup channel"},

    // Facts.
    {SYS_getrandom, "address space layout, getrandom(2), AT_RANDOM"},
    {SYS_sysinfo, "memory and load as the guest may see them"},
    {SYS_membarrier, {is(0, 0)}, "membarrier(2): what the host has"},
    {SYS_membarrier, {is(0, 1)}, "membarrier(2): MEMBARRIER_CMD_GLOBAL, which concerns no one's memory but orders it"},
};

// With --host-uds=open alone.
inline constexpr CallRule host_socket_rules[] = {
    {SYS_socket, {is(0, AF_UNIX), is(2, 0)}, "connections to sockets of the host on shared mounts"},
    {SYS_connect, "the same; paths lead to its own descriptors, for beside its own procfs it sees no files"},
    {SYS_shutdown, "shutdown(2) of such connections"},
};

// Answered with ENOSYS, so that the C library falls back to a call whose arguments the filter can see.
inline constexpr CallRule absent_calls[] = {
    {SYS_clone3, "its flags are in memory; pthread_create falls back to clone"},
};

// What address, undefined-behaviour and thread sanitizer need at run time. Not in release builds.
inline constexpr CallRule sanitizer_rules[] = {
    {SYS_mmap, "shadow memory"},
    {SYS_mprotect, "shadow memory"},
    {SYS_clone, "the leak checker's tracer"},
    {SYS_open, "reports read /proc/self/maps"},
    {SYS_readlink, "reports name the program"},
    {SYS_stat, "reports look for the symbolizer"},
    {SYS_getppid, "reports"},
    {SYS_getrlimit, "stack bounds of new threads"},
    {SYS_prctl, "names, dumpable state for the leak checker"},
    {SYS_arch_prctl, "stack bounds of new threads"},
    {SYS_getcwd, "reports"},
    {SYS_pipe2, "checks that memory is readable"},
    {SYS_pipe, "checks that memory is readable"},
    {SYS_socketpair, "the symbolizer's channel"},
    {SYS_set_tid_address, "run time start"},
    {SYS_getdents64, "threads of the process"},
    {SYS_ptrace, "the leak checker's tracer"},
    {SYS_wait4, "the leak checker's tracer"},
    {SYS_kill, "the leak checker's tracer"},
    {SYS_sched_yield, "locks of the run time"},
    {SYS_sigaltstack, "stacks for reports of overflows"},
    {SYS_prlimit64, "stack bounds of new threads"},
    {SYS_nanosleep, "locks of the run time"},
    {SYS_clock_nanosleep, "locks of the run time"},
    {SYS_getuid, "reports"},
    {SYS_uname, "address space layout"},
    {SYS_fstat, "reports"},
    {SYS_dup, "reports"},
    {SYS_gettimeofday, "the clock of the thread sanitizer"},
    {SYS_clock_gettime, "the clock of the thread sanitizer"},
};

}  // namespace cofferdam::jail
