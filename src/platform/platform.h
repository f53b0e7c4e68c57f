// The seam between the kernel and what runs guest code: three classes and one closed variant.
//
// A Context is one guest thread: its registers and the means to run it. An AddressSpace is what one or more
// Contexts run in. Everything that a Context hands back (registers, syscall numbers, fault addresses, copied bytes)
// is hostile input. All methods of a Context are called by the one sentry thread that owns it, except interrupt(),
// usage(), asleep() and kill().
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/ref.h"
#include "base/result.h"

namespace cofferdam::platform {

// The general registers of an x86-64 thread as user_regs_struct names them, bases of FS and GS included.
struct Registers {
  uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
  uint64_t rip, rsp, eflags;
  uint64_t fs_base, gs_base;
};

// Why a guest thread stopped.
struct Syscall {
  uint64_t number;
  std::array<uint64_t, 6> args;  // rdi rsi rdx r10 r8 r9
};
struct Fault {  // a synchronous exception in guest code
  int signal;   // SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP
  int code;     // si_code
  uint64_t address;
  uint64_t trap_number, error_code;  // as in sigcontext
};
struct Interrupted {  // by interrupt(); also when a native futex wait was cut short
  // A native futex wait was cut short. The registers stand at its syscall instruction with its number in rax: run()
  // makes the call again; for EINTR set rip += 2 and rax = -EINTR.
  bool futex_wait_cut = false;
};
struct Died {  // the host thread or process behind the context is gone (out of memory, a forged exit, kill())
  int signal;  // the host's signal, 0 if it is not known
};
// A change of memory that had been reported as made was refused by the host after all. The guest stands behind its
// call.
struct MemoryCallFailed {
  uint64_t address, length;
  Errno error;
  bool is_mapping;  // a new mapping, which is not there; else something that cannot fail but for want of host memory
};
// Bytes of copy_out_data did not land, for guest memory ended before them: the call's result is already less by them,
// or -EFAULT. The guest stands behind its call.
struct DataMissing {
  uint64_t bytes;
};
using Stop = std::variant<Syscall, Fault, Interrupted, Died, MemoryCallFailed, DataMissing>;

// Protection bits are PROT_READ|PROT_WRITE|PROT_EXEC of <sys/mman.h>.
struct FileMapping {
  int host_fd;      // stays open in the sentry as long as the mapping lives
  uint64_t offset;  // page aligned
  bool shared;      // MAP_SHARED, else MAP_PRIVATE
};

// What the platform may answer by itself, without a stop, of read(2), write(2), lseek(2), pread64(2) on a descriptor.
struct DescriptorService {
  bool reads_zeros = false, reads_nothing = false, writes_vanish = false;
  // pread64 within the first `size` bytes of this file.
  std::optional<FileMapping> file;
  uint64_t size = 0;
  Ref<RefCounted> backing;  // held as long as anybody may read by it
  // read and lseek of it, too, from this position on: nobody else uses the open file description.
  std::optional<uint64_t> position;
};

// What Context::prepare_service has made ready.
struct PreparedService {
  DescriptorService service;
  uint64_t address = 0, length = 0;  // the platform's own
};

// The descriptors of one address space that are so served. Outlives the address space without effect. Callable from any
// sentry thread.
class DescriptorServices : public RefCounted {
 public:
  // From now on. False: there is no room, and it was discarded.
  virtual bool start(int fd, PreparedService const&) = 0;
  virtual void discard(PreparedService const&) = 0;  // instead
  // After their return the platform answers no more; a call that it is just answering may still end.
  virtual void stop(int fd) = 0;
  virtual void stop_all() = 0;
  // Of a descriptor that is served with a position. Only while its thread is stopped, or for people to see.
  virtual std::optional<uint64_t> position(int fd) = 0;
  virtual void set_position(int fd, uint64_t position) = 0;
  // Descriptors whose file was read, or whose position has changed, since the last call, and those with a position that
  // stop_all() has stopped.
  virtual std::vector<int> used() = 0;
  virtual bool serves(int fd) = 0;
  struct Counts {
    uint64_t reads, read_bytes, writes, written_bytes;
  };
  virtual Counts counts() = 0;
};

class Context;

// One guest address space. Reference counted: every Context in it holds it.
class AddressSpace : public RefCounted {
 public:
  // Copies from or to guest memory without any of its threads: for other tasks' memory (process_vm_readv,
  // /proc/PID/mem, ptrace). Returns the count of bytes copied before the first unreadable one; 0 bytes is EFAULT.
  // `force` also writes where the guest's own protection forbids it (as /proc/PID/mem does, breaking copy-on-write).
  virtual Result<size_t> read(uint64_t address, std::span<std::byte> to) = 0;
  virtual Result<size_t> write(uint64_t address, std::span<std::byte const> from, bool force = false) = 0;
  // Ends every thread in it at once (SIGKILL). Contexts then report Died.
  virtual void kill() = 0;
  // Bytes resident, for RSS in /proc and rusage; 0 when unknown. From the host's /proc/PID/statm or as the platform
  // knows.
  virtual uint64_t resident_bytes() = 0;
  // The host's page-level truth about [address, address+length): one byte a page as mincore(2) gives.
  virtual Result<void> mincore(uint64_t address, uint64_t length, std::span<unsigned char> pages) = 0;
  // From now on madvise(MADV_DONTNEED) has rules that the host does not know (locked or sealed memory): the platform
  // must not answer it by itself.
  virtual void restrict_discarding() {}
  // User and system time that all threads of it have used on the host.
  struct Usage {
    std::chrono::nanoseconds user, system;
    uint64_t minor_faults, major_faults, voluntary_switches, involuntary_switches, max_resident_bytes;
  };
  virtual Usage usage() = 0;
  // Null where nothing was ever served.
  virtual Ref<DescriptorServices> descriptor_services() { return {}; }
  // Contexts in it.
  virtual uint32_t thread_count() const { return 1; }
};

struct NewProcess {
  Ref<AddressSpace> address_space;
  std::unique_ptr<Context> context;
};

class Context {
 public:
  virtual ~Context() = default;  // ends the host thread behind it; the last one of an address space ends the process
  virtual AddressSpace& address_space() = 0;

  // Runs the guest from its registers until it stops. Queued copy_out bytes land before the guest runs on.
  virtual Stop run() = 0;
  // Makes run() return Interrupted soon: also if it is called just before run(), and at any instruction of the guest
  // or of the platform's own code. From any sentry thread. Not lost, may be seen once more than asked.
  virtual void interrupt() = 0;

  // After a Syscall stop: what the call returns, and go on behind it. Only rax (and rcx, r11 as the ABI allows) change.
  virtual void set_syscall_result(uint64_t rax) = 0;
  // The whole state. Valid after any stop. After a Syscall stop rip is behind the syscall instruction (2 bytes) and
  // rax holds the number of the call.
  virtual Registers registers() = 0;
  virtual void set_registers(Registers const&) = 0;
  // The XSAVE image in the standard (non-compacted) format that a Linux signal frame carries, with its magic words
  // absent. Size: xstate_size() of the platform.
  virtual Result<void> get_xstate(std::span<std::byte> to) = 0;
  virtual Result<void> set_xstate(
      std::span<std::byte const> from) = 0;  // hostile bytes: EINVAL when the CPU would refuse them
  virtual void reset_xstate() = 0;           // the state of a fresh process (execve)

  // FS base alone, without touching the rest (arch_prctl ARCH_SET_FS is on every thread's start path).
  virtual void set_fs_base(uint64_t) = 0;

  // Guest memory, as the stopped thread itself sees it (its protections apply). EFAULT if any byte is not accessible;
  // for copy_in nothing is promised about `to` then. copy_in of arguments that the platform brought along with the call
  // (hints) costs no hand-off. copy_out may be queued until run() or flush(): a fault then turns the pending call's
  // result into EFAULT unless flush() was called.
  virtual Result<void> copy_in(uint64_t address, std::span<std::byte> to) = 0;
  virtual Result<void> copy_out(uint64_t address, std::span<std::byte const> from) = 0;
  // The same for what a call counts in its result, as read(2) does: run() gives DataMissing when not all of it lands.
  virtual Result<void> copy_out_data(uint64_t address, std::span<std::byte const> from) {
    return copy_out(address, from);
  }
  // A NUL-terminated string of at most `max` bytes with its NUL. ENAMETOOLONG when no NUL is within max; EFAULT.
  virtual Result<std::string> copy_in_string(uint64_t address, size_t max) = 0;
  // Zeroes [address, address+length).
  virtual Result<void> zero_out(uint64_t address, uint64_t length) = 0;
  // How many of the bytes can be copied: for the partial results of read(2), write(2) and process_vm_readv(2).
  virtual size_t copy_in_partial(uint64_t address, std::span<std::byte> to) = 0;
  virtual size_t copy_out_partial(uint64_t address, std::span<std::byte const> from) = 0;
  // Does queued copy_outs now and reports EFAULT.
  virtual Result<void> flush() = 0;

  // Staging of I/O: a buffer of at least 64 KiB that the guest can scribble on (copy once, never parse in place).
  // stage() gives the buffer; stage_out queues its first n bytes for guest `address` (as copy_out_data, no second
  // copy). stage_in fills it from the guest and returns a view. All are valid until the next call of any method here.
  virtual std::span<std::byte> stage() = 0;
  virtual Result<void> stage_out(uint64_t address, size_t n) = 0;
  virtual Result<std::span<std::byte const>> stage_in(uint64_t address, size_t n) = 0;

  // Reads or writes a host file straight from or to guest memory: pread64/pwrite64 (offset >= 0) or read/write (-1).
  // The platform chooses the cheapest way for the size. Returns bytes moved; host errnos; EFAULT.
  virtual Result<size_t> host_read(int host_fd, uint64_t address, size_t n, int64_t offset) = 0;
  virtual Result<size_t> host_write(int host_fd, uint64_t address, size_t n, int64_t offset) = 0;

  // Atomics on an aligned 32-bit word. compare_exchange returns the value found. EFAULT.
  virtual Result<uint32_t> load32(uint64_t address) = 0;
  virtual Result<void> store32(uint64_t address, uint32_t value) = 0;
  virtual Result<uint32_t> compare_exchange32(uint64_t address, uint32_t expected, uint32_t desired) = 0;
  // FUTEX_WAKE on the guest's futex at `address` (the guest's futexes are the host's): how many were woken.
  virtual Result<uint64_t> futex_wake(uint64_t address, uint32_t count, bool shared) = 0;

  // Changes of the address space, made with the page-aligned address fixed by the caller (MAP_FIXED semantics). They
  // may be queued until run() or flush() while this is the only thread; run() then gives MemoryCallFailed for one that
  // fails. [address, address+length) lies below the platform's user_limit(). ENOMEM, EACCES, EPERM, EINVAL as the host
  // says.
  virtual Result<void> map_anonymous(uint64_t address, uint64_t length, int protection) = 0;
  virtual Result<void> map_file(uint64_t address, uint64_t length, int protection, FileMapping const&) = 0;
  virtual Result<void> unmap(uint64_t address, uint64_t length) = 0;
  virtual Result<void> protect(uint64_t address, uint64_t length, int protection) = 0;
  // mremap with MREMAP_MAYMOVE|MREMAP_FIXED when new_address differs, in place otherwise.
  virtual Result<void> remap(uint64_t address, uint64_t old_length, uint64_t new_address, uint64_t new_length) = 0;
  virtual Result<void> advise(uint64_t address, uint64_t length, int advice) = 0;

  // A new thread in the same address space; its registers and XSAVE state are this one's. It does not run yet.
  // `this_one_waits`: the two will not run side by side (vfork).
  virtual Result<std::unique_ptr<Context>> clone_thread(bool this_one_waits = false) = 0;
  // A copy-on-write copy of the address space with one thread, a copy of this one.
  virtual Result<NewProcess> fork() = 0;

  // Which CPUs the guest thread may use (sched_setaffinity); a word per 64 CPUs.
  virtual Result<void> set_affinity(std::span<uint64_t const> mask) = 0;
  virtual int current_cpu() = 0;
  // User and system time of this thread on the host.
  virtual AddressSpace::Usage usage() = 0;
  // Whether a guest that runs sleeps in a call that is served natively (a futex wait). From any sentry thread.
  virtual bool asleep() { return false; }
  // Facts that trivial calls are answered from without a hand-off. Called when they change; the platform may ignore it.
  struct Facts {
    int32_t pid, tid, ppid;
    uint32_t uid, euid, gid, egid;
    bool answer_natively;        // false while the call must be seen (strace, ptrace, guest seccomp)
    bool services = true;        // false while calls on descriptors that are served must be seen
    bool futex_natively = true;  // false while a filter of the guest's has to see futex calls
  };
  virtual void set_facts(Facts const&) = 0;
  // What the guest may change without a stop where the platform answers rt_sigprocmask and set_robust_list itself.
  struct NativeState {
    uint64_t blocked_signals, robust_list;
    bool operator==(NativeState const&) const = default;
  };
  // Before run(). `may_change`: false while a change must be seen (a signal is pending).
  virtual void set_native_state(NativeState const&, bool /*may_change*/) {}
  // After a stop: the state, if the guest has changed it since it was set.
  virtual std::optional<NativeState> changed_native_state() { return {}; }
  // From any sentry thread, while the guest runs.
  virtual std::optional<NativeState> current_native_state() { return {}; }
  // What its address space serves; null where the platform answers nothing by itself.
  virtual Ref<DescriptorServices> make_descriptor_services() { return {}; }
  // After a Syscall stop: makes ready to serve a descriptor. nullopt: it cannot be served.
  virtual std::optional<PreparedService> prepare_service(DescriptorService const&) { return std::nullopt; }
  // The last that this thread does in guest memory, when its Context is destroyed: 0 is stored at the address and one
  // waiter of the (shared) futex there is woken (CLONE_CHILD_CLEARTID). Errors are nobody's.
  virtual void clear_at_end(uint64_t address) = 0;
  // After a Syscall stop by futex(2), when Facts::futex_natively is false: the host serves this one call, whose result
  // the guest gets without another stop. The operation is one of the host's and its addresses are below user_limit().
  virtual void serve_futex_natively_once() {}
};

// Where fresh address spaces come from. What comes from one source descends from one host process: the control groups
// of that one on the host are those of all that is made from then on. Callable from any sentry thread.
class ProcessSource : public RefCounted {
 public:
  // As Platform::new_process. ESRCH after close().
  virtual Result<NewProcess> new_process() = 0;
  // That host process, as the sentry knows it.
  virtual int32_t host_process() const = 0;
  // Ends that host process. What came from it lives on.
  virtual void close() = 0;
};

class Platform {
 public:
  virtual ~Platform() = default;
  virtual std::string_view name() const = 0;
  // An empty address space with one thread, all registers zero. Guest mappings start empty but for the vDSO.
  virtual Result<NewProcess> new_process() = 0;
  // Another source than the one that new_process takes from.
  virtual Result<Ref<ProcessSource>> new_source() = 0;
  // First address that guests cannot use (TASK_SIZE as the guest sees it), page aligned.
  virtual uint64_t user_limit() const = 0;
  virtual uint64_t min_address() const = 0;  // mmap_min_addr as the guest meets it
  // Where the vDSO lies in every address space (AT_SYSINFO_EHDR), 0 if there is none, and its length.
  virtual uint64_t vdso_address() const = 0;
  virtual uint64_t vdso_length() const = 0;
  virtual size_t xstate_size() const = 0;
  virtual int cpu_count() const = 0;
};

}  // namespace cofferdam::platform
