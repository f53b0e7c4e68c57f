// The whole kernel under a guest whose calls, arguments and memory are the fuzzer's: every structure that a system call
// takes from guest memory (cmsg, sockaddr, iovec, sembuf, msgbuf, epoll_event, signal frames, ELF files, paths ...).
#include <elf.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <deque>

#include <fuzzer/FuzzedDataProvider.h>

#include "base/log.h"
#include "scripted_guest.h"
#include "sentry/guest.h"

using namespace cofferdam;

namespace {

constexpr int max_calls = 24;
constexpr int limit_ms = 20;  // a script that blocks is killed then

// Strings and words that the script's own first calls use.
constexpr char strings[] = "/tmp\0/tmp/f\0/proc/self/status\0/dev/ptmx\0/tmp/s\0/program\0";
constexpr uint64_t at_tmp = fuzz::constants, at_file = at_tmp + 5, at_status = at_file + 7, at_ptmx = at_status + 18,
                   at_fds = fuzz::constants + 0x1000;

// Descriptors 3 and up, so that the fuzzer's small numbers mean something.
std::vector<platform::Syscall> opening_calls() {
  constexpr uint64_t cwd = static_cast<uint64_t>(AT_FDCWD);
  return {
      {SYS_mkdirat, {cwd, at_tmp, 0755}},
      {SYS_socketpair, {AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, at_fds}},
      {SYS_pipe2, {at_fds, O_NONBLOCK}},
      {SYS_epoll_create1, {}},
      {SYS_eventfd2, {1, O_NONBLOCK}},
      {SYS_memfd_create, {at_file, 2}},
      {SYS_timerfd_create, {1, O_NONBLOCK}},
      {SYS_openat, {cwd, at_file, O_RDWR | O_CREAT, 0644}},
      {SYS_openat, {cwd, at_tmp, O_RDONLY | O_DIRECTORY}},
      {SYS_openat, {cwd, at_status, O_RDONLY}},
      {SYS_openat, {cwd, at_ptmx, O_RDWR | O_NONBLOCK}},
      {SYS_socketpair, {AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, at_fds}},
      {SYS_socket, {AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0}},
  };
}

uint64_t argument(FuzzedDataProvider& data) {
  switch (data.ConsumeIntegralInRange<int>(0, 10)) {
    case 0:
      return 0;
    case 1:
      return data.ConsumeIntegralInRange<uint64_t>(0, 24);  // a descriptor, a small count
    case 2:
      return fuzz::window + data.ConsumeIntegral<uint16_t>();
    case 3:
      return fuzz::window + fuzz::window_size - data.ConsumeIntegral<uint8_t>();  // runs into the hole
    case 4:
      return data.ConsumeIntegral<uint8_t>();
    case 5:
      return data.ConsumeIntegral<uint16_t>();
    case 6:
      return data.ConsumeIntegral<uint32_t>();
    case 7:
      return data.ConsumeIntegral<uint64_t>();
    case 8:
      return static_cast<uint64_t>(-static_cast<int64_t>(data.ConsumeIntegralInRange<int>(0, 4)));
    case 9:
      return static_cast<uint64_t>(AT_FDCWD);
    default:
      return uint64_t{1} << data.ConsumeIntegralInRange<int>(0, 63);
  }
}

std::shared_ptr<fuzz::Script> read_script(FuzzedDataProvider& data) {
  auto script = std::make_shared<fuzz::Script>();
  script->calls = opening_calls();
  int const count = data.ConsumeIntegralInRange(1, max_calls);
  for (int i = 0; i < count; ++i) {
    platform::Syscall call{data.ConsumeIntegralInRange<uint64_t>(0, 470), {}};
    for (auto& a : call.args) a = argument(data);
    script->calls.push_back(call);
  }
  auto const rest = data.ConsumeRemainingBytes<uint8_t>();
  auto const bytes = std::as_bytes(std::span(rest));
  script->bytes.assign(bytes.begin(), bytes.end());
  auto const text = std::as_bytes(std::span(strings));
  script->strings.assign(text.begin(), text.end());
  return script;
}

// The container's root on the host: a directory with one program, made once, with memory above it.
struct Root {
  char path[32] = "/tmp/cofferdam-fuzz-XXXXXX";
  host::OwnedFd fd;
  Root() {
    if (!::mkdtemp(path)) ::abort();
    struct {
      Elf64_Ehdr header;
      Elf64_Phdr segment;
    } image{};
    std::memcpy(image.header.e_ident,
                "\x7f"
                "ELF\2\1\1",
                7);
    image.header.e_type = ET_EXEC, image.header.e_machine = EM_X86_64, image.header.e_version = 1;
    image.header.e_entry = 0x400000, image.header.e_phoff = sizeof image.header;
    image.header.e_ehsize = sizeof image.header, image.header.e_phentsize = sizeof image.segment;
    image.header.e_phnum = 1;
    image.segment.p_type = PT_LOAD, image.segment.p_flags = PF_R | PF_X, image.segment.p_vaddr = 0x400000;
    image.segment.p_filesz = image.segment.p_memsz = sizeof image, image.segment.p_align = 4096;
    fd = host::OwnedFd(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    host::OwnedFd file(::openat(fd.get(), "program", O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
    if (::write(file.get(), &image, sizeof image) != sizeof image) ::abort();
  }
  ~Root() {
    ::unlinkat(fd.get(), "program", 0);
    ::rmdir(path);
  }
};

sentry::Config make_config() {
  sentry::Config config;
  config.settings.overlay = sentry::Overlay::Memory;
  auto& process = config.spec.process;
  process.args = {"/program"};
  process.env = {"PATH=/", "HOME=/"};
  process.capabilities = oci::Capabilities{~0ull, ~0ull, 0, ~0ull, 0};
  for (auto [type, place] : {std::pair("proc", "/proc"), {"sysfs", "/sys"}, {"tmpfs", "/dev"}, {"devpts", "/dev/pts"}})
    config.spec.mounts.push_back({place, type, type, {}});
  return config;
}

// A sandbox ends with its process, so nothing waits for the threads of a kernel that is over: it is put away until they
// have left it for sure.
void put_away(std::unique_ptr<sentry::Guest> guest) {
  constexpr size_t most = 64;
  static std::deque<std::unique_ptr<sentry::Guest>> over;
  over.push_back(std::move(guest));
  auto const ended = [](sentry::Guest& g) {
    return std::ranges::all_of(g.processes(), [](auto const& p) { return p.threads == 0; });
  };
  if (over.size() > most && ended(*over.front())) over.pop_front();
  if (over.size() > 20 * most) ::abort();  // killed guests that stay
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  log::sink().level = log::Level::Error;
  rlimit const no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* bytes, size_t size) {
  static Root const root;
  static sentry::Config const config = make_config();
  FuzzedDataProvider data(bytes, size);
  auto script = read_script(data);
  sentry::Descriptors descriptors;
  descriptors.root = host::OwnedFd(::fcntl(root.fd.get(), F_DUPFD_CLOEXEC, 3));
  for (auto& fd : descriptors.standard) fd = host::OwnedFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  auto guest =
      sentry::Guest::create(config, descriptors, std::make_unique<fuzz::ScriptedPlatform>(script), kernel::HostFacts{});
  if (!guest) {
    ::fprintf(stderr, "no kernel: %s\n", guest.error().c_str());
    ::abort();
  }
  if (auto started = (*guest)->start_init(); !started) {
    ::fprintf(stderr, "no init: %s\n", started.error().c_str());
    ::abort();
  }
  int wait_ms = limit_ms;
  for (int round = 0;; ++round) {
    pollfd event{.fd = (*guest)->exit_event(), .events = POLLIN};
    int const n = ::poll(&event, 1, wait_ms);
    if (n > 0) (*guest)->clear_exit_event();
    auto const status = (*guest)->exit_status(container::init_pid);
    if (status && *status) break;
    if (n == 0) {  // it blocks, or does not die
      (void)(*guest)->signal({.signal = SIGKILL, .all = true});
      wait_ms = 1000;
      if (round > 60) ::abort();  // a killed guest that stays
    }
  }
  put_away(std::move(*guest));
  return 0;
}
