#include "platform/trap/zygote.h"

#include <cpuid.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "platform/trap/filter.h"

extern "C" {
extern std::byte const cofferdam_stub_image[], cofferdam_stub_image_end[];
}

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace cofferdam::platform::trap {
namespace {

constexpr size_t child_stack_size = 0x10000;

// A mapping of the sentry's that ends with its scope.
class Mapping {
 public:
  static Result<Mapping> map(size_t size, int protection, int flags, int fd) {
    void* p = ::mmap(reinterpret_cast<void*>(0x200000000000), size, protection, flags, fd, 0);
    if (p == MAP_FAILED) return fail_host(errno);
    return Mapping(p, size);
  }
  Mapping(Mapping&& o) noexcept : p_(std::exchange(o.p_, nullptr)), size_(o.size_) {}
  ~Mapping() {
    if (p_ != nullptr) ::munmap(p_, size_);
  }
  std::byte* data() const { return static_cast<std::byte*>(p_); }

 private:
  Mapping(void* p, size_t size) : p_(p), size_(size) {}
  void* p_;
  size_t size_;
};

Result<host::OwnedFd> make_memfd(char const* name, size_t size, bool executable) {
  unsigned const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  host::OwnedFd fd(::memfd_create(name, flags | (executable ? MFD_EXEC : 0)));
  if (!fd && errno == EINVAL) fd = host::OwnedFd(::memfd_create(name, flags));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return fail_host(errno);
  return fd;
}

Result<host::OwnedFd> make_text() {
  auto fd = TRY(make_memfd("cofferdam-stub", stub::text_size, true));
  auto const size = static_cast<size_t>(cofferdam_stub_image_end - cofferdam_stub_image);
  if (::pwrite(fd.get(), cofferdam_stub_image, size, 0) != static_cast<ssize_t>(size)) return fail(Errno::Io);
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    return fail_host(errno);
  return fd;
}

// vvar pages and vDSO as this process has them mapped, in address order.
Result<void> find_vdso(Shared& shared, stub::BootParameters& boot) {
  host::OwnedFd fd(::openat(shared.proc_fd, "self/maps", O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_host(errno);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(fd.get(), buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
  uint64_t offset = 0;
  for (size_t at = 0; at < text.size();) {
    size_t const end = std::min(text.find('\n', at), text.size());
    std::string const line = text.substr(at, end - at);
    at = end + 1;
    bool const code = line.find("[vdso]") != std::string::npos;
    if (!code && line.find("[vvar") == std::string::npos) continue;
    unsigned long from = 0, to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &from, &to) != 2 || boot.vdso_pieces == std::size(boot.vdso))
      return fail(Errno::NoSys);
    boot.vdso[boot.vdso_pieces++] = {from, to - from};
    if (code) {
      shared.vdso_address = stub::vdso_address + offset;
      shared.vdso_length = to - from;
    }
    offset += to - from;
  }
  return {};
}

Result<void> check_cpu() {
  constexpr unsigned long hwcap2_fsgsbase = 2;
  if (!(::getauxval(AT_HWCAP2) & hwcap2_fsgsbase)) {
    log::error(
        "trap platform: this CPU or kernel has no FSGSBASE instructions (Linux 5.9 and Intel Ivy Bridge or AMD "
        "Steamroller at least)");
    return fail(Errno::NoSys);
  }
  return {};
}

struct ChildStart {
  uint64_t entry;
  stub::BootParameters* parameters;
};

// fork() onto another stack and straight into the stub's code: the child never returns here.
long fork_into(uint64_t stack, uint64_t entry, stub::BootParameters* parameters) {
  long result;
  register uint64_t r10 asm("r10") = 0;
  register uint64_t r8 asm("r8") = 0;
  register uint64_t r12 asm("r12") = entry;
  register stub::BootParameters* r13 asm("r13") = parameters;
  asm volatile(
      "syscall\n"
      "test %%rax, %%rax\n"
      "jnz 1f\n"
      "xor %%ebp, %%ebp\n"
      "mov %%r13, %%rdi\n"
      "call *%%r12\n"
      "ud2\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone), "D"(CLONE_FILES), "S"(stack), "d"(0), "r"(r10), "r"(r8), "r"(r12), "r"(r13)
      : "rcx", "r11", "memory");
  return result;
}

// The first frame of the zygote shows the format of XSAVE images on this machine.
Result<void> learn_xstate(Shared& shared, Area const& area, uint32_t frame_offset) {
  stub::SignalContext context;
  std::memcpy(&context, area.at(frame_offset), sizeof context);
  uint64_t const offset = context.fpstate - area.stub_address();
  if (offset >= stub::altstack_end - 576) return fail(Errno::NoSys);
  uint32_t software[5];
  std::memcpy(software, area.at(offset + 464), sizeof software);
  uint32_t const size = software[4];
  if (software[0] != 0x46505853 || size < 576 || offset + size + 4 > stub::altstack_end ||
      size + 4 > stub::prepared_end - stub::prepared_xstate)
    return fail(Errno::NoSys);
  shared.xstate_size = size;
  shared.xstate_frame_size = size + 4;
  shared.xstate_features = software[2] | uint64_t{software[3]} << 32;
  uint32_t mask;
  std::memcpy(&mask, area.at(offset + 28), sizeof mask);
  if (mask != 0) shared.mxcsr_mask = mask;
  for (unsigned i = 2; i < 63; ++i) {
    unsigned a, b, c, d;
    if ((shared.xstate_features >> i & 1) && __get_cpuid_count(0xd, i, &a, &b, &c, &d)) shared.xstate_parts[i] = {b, a};
  }
  shared.fresh_xstate.assign(size + 4, std::byte{});
  uint16_t const control_word = 0x37f;
  uint32_t const mxcsr = 0x1f80;
  std::memcpy(shared.fresh_xstate.data(), &control_word, sizeof control_word);
  std::memcpy(shared.fresh_xstate.data() + 24, &mxcsr, sizeof mxcsr);
  std::memcpy(shared.fresh_xstate.data() + 28, &shared.mxcsr_mask, sizeof shared.mxcsr_mask);
  return {};
}

void fill_boot_parameters(stub::BootParameters& boot, Shared& shared, Options const& options) {
  if (__rseq_size != 0) {
    boot.rseq_address = reinterpret_cast<uint64_t>(__builtin_thread_pointer()) + static_cast<uint64_t>(__rseq_offset);
    boot.rseq_length = std::max(32u, __rseq_size);
  }
  auto const filter = compile_filter(filter_rules(shared.image, options.approve_all_memory_calls));
  boot.filter_length = static_cast<uint32_t>(filter.size());
  boot.seccomp_flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  std::memcpy(boot.filter, filter.data(), filter.size() * sizeof(sock_filter));
}

// Inherited by every stub. Where the host does not let it be raised it stays.
void raise_oom_score(int proc_fd, long pid, int raise) {
  auto const open_at = [&](char const* name, int flags) {
    return host::OwnedFd(::openat(proc_fd, name, flags | O_CLOEXEC));
  };
  char text[16] = {};
  char path[40];
  snprintf(path, sizeof path, "%ld/oom_score_adj", pid);
  auto const from = open_at("self/oom_score_adj", O_RDONLY), to = open_at(path, O_WRONLY);
  if (!from || !to || ::read(from.get(), text, sizeof text - 1) <= 0) return;
  constexpr int highest = 1000;
  int const length = snprintf(text, sizeof text, "%d", std::min(highest, ::atoi(text) + raise));
  if (::write(to.get(), text, static_cast<size_t>(length)) != length)
    log::info("trap platform: the stubs' oom_score_adj cannot be raised: errno {}", errno);
}

}  // namespace

Result<Zygote> start_zygote(Options const& options) {
  TRY(check_cpu());
  auto shared = std::make_shared<Shared>(options, TRY(AreaFile::create_memfd()));
  shared->proc_fd = options.proc_fd;
  if (options.proc_fd < 0) {
    shared->own_proc_fd = host::OwnedFd(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!shared->own_proc_fd) return fail_host(errno);
    shared->proc_fd = shared->own_proc_fd.get();
  }
  std::memcpy(&shared->image, cofferdam_stub_image, sizeof shared->image);
  auto& pace = shared->pace;
  CPU_ZERO(&pace.allowed);
  if (::sched_getaffinity(0, sizeof pace.allowed, &pace.allowed) == 0) pace.cpus = CPU_COUNT(&pace.allowed);
  pace.may_spin = options.spin != 0 && pace.cpus > 1;
  if (pace.may_spin) pace.calibrate();

  auto const text = TRY(make_text());
  if (options.patch_call_sites && !options.approve_all_memory_calls)
    shared->patch_file = TRY(PatchFile::create(shared->image.trampoline));

  auto process = std::make_shared<StubProcess>(shared, TRY(shared->areas.allocate_window()));
  Area* area = TRY(process->allocate_area(0));
  auto& boot = *reinterpret_cast<stub::BootParameters*>(area->bounce().data());
  boot.text_fd = text.get();
  boot.areas_fd = shared->areas.fd();
  TRY(find_vdso(*shared, boot));
  fill_boot_parameters(boot, *shared, options);

  auto const code = TRY(Mapping::map(stub::text_size, PROT_READ | PROT_EXEC, MAP_SHARED, text.get()));
  auto const stack = TRY(Mapping::map(child_stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1));
  auto const parking = TRY(Mapping::map(0x100000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1));
  boot.parking = reinterpret_cast<uint64_t>(parking.data());
  sigset_t all, old;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &old);
  long const pid =
      fork_into(reinterpret_cast<uint64_t>(stack.data()) + child_stack_size - 64,
                reinterpret_cast<uint64_t>(code.data()) + (shared->image.bootstrap - stub::text_address), &boot);
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (pid < 0) return fail_host(static_cast<int>(-pid));
  process->set_pid(static_cast<pid_t>(pid));

  auto address_space = make_ref<TrapAddressSpace>(process);
  auto context = std::make_unique<TrapContext>(address_space, area, static_cast<pid_t>(pid));
  // Before the reaper exists: the zygote's own death must be looked for.
  while ((area->turn().load(std::memory_order_acquire) & stub::turn_owner) == stub::turn_guest) {
    siginfo_t info = {};
    if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | __WCLONE) == 0 && info.si_pid == pid) {
      log::error("trap platform: the zygote failed at step {}: errno {}, status {}", static_cast<int>(boot.failed_step),
                 static_cast<uint64_t>(boot.host_error), info.si_status);
      process->mark_dead(info.si_status);
      return fail(Errno::NoSys);
    }
    ::usleep(200);
  }
  raise_oom_score(shared->proc_fd, pid, options.oom_score_raise);
  TRY(learn_xstate(*shared, *area, area->control().frame));
  shared->approver = std::make_unique<Approver>(host::OwnedFd(boot.listener_fd));
  {
    MutexLock lock(shared->table_mutex);
    shared->table.emplace(static_cast<pid_t>(pid), process);
  }
  Zygote zygote{shared, std::move(context), {}};
  zygote.fresh_context.eflags = 0x202;
  return zygote;
}

}  // namespace cofferdam::platform::trap
