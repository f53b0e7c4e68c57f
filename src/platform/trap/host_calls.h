// Which host calls the trap platform makes in the sentry after create(), as data for the jail's allowlist.
#pragma once

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace cofferdam::platform::trap {

struct HostCall {
  long number;
  // If argument >= 0: that argument must equal value after masking with mask.
  int argument;
  uint64_t mask, value;
  std::string_view reason;
};

inline constexpr std::array host_calls = {
    HostCall{SYS_futex, -1, 0, 0, "hand-off with guest threads; locks"},
    HostCall{SYS_process_vm_readv, -1, 0, 0, "guest memory"},
    HostCall{SYS_process_vm_writev, -1, 0, 0, "guest memory"},
    HostCall{SYS_tgkill, -1, 0, 0, "interrupts a guest thread (SIGUSR1), asks whether it lives (0)"},
    HostCall{SYS_kill, -1, 0, 0, "ends a stub (SIGKILL)"},
    HostCall{SYS_waitid, -1, 0, 0, "reaps stubs; is a pid a child of ours"},
    HostCall{SYS_ioctl, 1, 0xffffffff, SECCOMP_IOCTL_NOTIF_RECV, "approval of calls that a stub was told to make"},
    HostCall{SYS_ioctl, 1, 0xffffffff, SECCOMP_IOCTL_NOTIF_SEND, "approval of calls that a stub was told to make"},
    HostCall{SYS_poll, -1, 0, 0, "waits for the notification of such a call"},
    HostCall{SYS_mmap, -1, 0, 0, "a new thread's area, shared with the stub"},
    HostCall{SYS_munmap, -1, 0, 0, "the area of a thread that is gone"},
    HostCall{SYS_fallocate, 1, 0xffffffff, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "frees a dead process's areas"},
    HostCall{SYS_fcntl, 1, 0xffffffff, F_DUPFD_CLOEXEC, "the descriptor that an approved file mapping names"},
    HostCall{SYS_close, -1, 0, 0, "the same"},
    HostCall{SYS_pread64, -1, 0, 0, "file data on its way to guest memory; /proc/PID files"},
    HostCall{SYS_pwrite64, -1, 0, 0, "file data on its way from guest memory; /proc/PID/mem"},
    HostCall{SYS_read, -1, 0, 0, "the same without an offset"},
    HostCall{SYS_write, -1, 0, 0, "the same without an offset"},
    HostCall{SYS_openat, -1, 0, 0, "/proc/PID/{mem,stat,status,statm,pagemap} below the donated proc descriptor"},
    HostCall{SYS_sched_setaffinity, -1, 0, 0,
             "the guest's own affinity; placement of the sentry's thread next to its guest thread"},
    HostCall{SYS_clock_getres, -1, 0, 0, "the same: the C library asks whether a process has such a clock"},
    HostCall{SYS_clock_gettime, -1, 0, 0, "CPU time of a stub that does not obey an interrupt"},
};

}  // namespace cofferdam::platform::trap
