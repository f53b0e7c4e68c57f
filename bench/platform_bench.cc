// What the trap platform costs: microseconds for each of its operations, driven by small guests in machine code.
// platform_bench [--no-patch] [--spin N] [filter]
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

#include "platform/trap/trap.h"

#define GUEST_CODE(name, text)                                                                        \
  asm(".pushsection .rodata\nguest_" #name "_begin:\n" text "\nguest_" #name "_end:\n.popsection\n"); \
  extern "C" std::byte const guest_##name##_begin[], guest_##name##_end[];                            \
  static std::span<std::byte const> name() {                                                          \
    return {guest_##name##_begin, static_cast<size_t>(guest_##name##_end - guest_##name##_begin)};    \
  }

using namespace cofferdam;
using namespace cofferdam::platform;
using Clock = std::chrono::steady_clock;

GUEST_CODE(getpid_loop, "1: mov $39, %eax\n syscall\n jmp 1b")
GUEST_CODE(write_loop, "1: mov $1, %eax\n syscall\n jmp 1b")
GUEST_CODE(mmap_loop, R"(
1:mov $9, %eax
  syscall
  movl $1, 0x700000
  mov $11, %eax
  syscall
  jmp 1b
)")
GUEST_CODE(work_loop, R"(
1:mov $2000, %ecx
2:dec %ecx
  jnz 2b
  mov $39, %eax
  syscall
  jmp 1b
)")

namespace {

constexpr uint64_t code_address = 0x400000, data_address = 0x500000, stack_top = 0x610000, data_size = 0x20000;

NewProcess start(Platform& platform, std::span<std::byte const> code) {
  auto p = platform.new_process();
  if (!p) std::exit((std::fprintf(stderr, "new_process: %d\n", static_cast<int>(p.error().code)), 1));
  auto& c = *p->context;
  static int const fd = [] {
    int const f = ::memfd_create("code", 0);
    if (::ftruncate(f, 0x10000) != 0) std::abort();
    return f;
  }();
  (void)!::pwrite(fd, code.data(), code.size(), 0);
  // A private mapping of a file, as a program's text is.
  if (!c.map_file(code_address, 0x10000, PROT_READ | PROT_EXEC, {fd, 0, false})) std::abort();
  if (!c.map_anonymous(data_address, data_size, PROT_READ | PROT_WRITE)) std::abort();
  if (!c.map_anonymous(stack_top - 0x10000, 0x10000, PROT_READ | PROT_WRITE)) std::abort();
  Registers r = c.registers();
  r.rip = code_address;
  r.rsp = stack_top;
  c.set_registers(r);
  return std::move(*p);
}

void report(char const* name, int n, std::function<void(int)> const& body) {
  std::vector<double> rounds;
  for (int round = 0; round < 5; ++round) {
    auto const begin = Clock::now();
    body(n);
    rounds.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / n);
  }
  std::sort(rounds.begin(), rounds.end());
  std::printf("%-44s %9.3f us (best %.3f)\n", name, rounds[rounds.size() / 2], rounds[0]);
  std::fflush(stdout);
}

void bench_write(Platform& platform, size_t size) {
  auto p = start(platform, write_loop());
  Registers r = p.context->registers();
  r.rdi = 1, r.rsi = data_address, r.rdx = size;
  p.context->set_registers(r);
  std::vector<std::byte> buffer(size);
  char name[64];
  std::snprintf(name, sizeof name, "write, copy_in of %zu bytes", size);
  report(name, 5000, [&](int n) {
    for (int i = 0; i < n; ++i) {
      (void)p.context->run();
      if (!p.context->copy_in(data_address, buffer)) std::abort();
      p.context->set_syscall_result(size);
    }
  });
  std::snprintf(name, sizeof name, "read, copy_out of %zu bytes", size);
  r = p.context->registers();
  r.rip = code_address;
  r.rax = 0;
  report(name, 5000, [&](int n) {
    for (int i = 0; i < n; ++i) {
      (void)p.context->run();
      p.context->set_syscall_result(size);
      if (!p.context->copy_out(data_address, buffer)) std::abort();
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  trap::Options options;
  std::string_view filter;
  for (int i = 1; i < argc; ++i) {
    std::string_view const a = argv[i];
    if (a == "--no-patch")
      options.patch_call_sites = false;
    else if (a == "--spin" && i + 1 < argc)
      options.spin = static_cast<uint32_t>(std::atoi(argv[++i]));
    else
      filter = a;
  }
  auto platform = trap::create(options);
  if (!platform) return std::fprintf(stderr, "no trap platform here\n"), 1;
  auto const wanted = [&](std::string_view name) {
    return filter.empty() || name.find(filter) != std::string_view::npos;
  };
  if (wanted("getpid")) {
    auto p = start(**platform, getpid_loop());
    report("getpid, answered by the sentry", 20000, [&](int n) {
      for (int i = 0; i < n; ++i) (void)p.context->run(), p.context->set_syscall_result(1);
    });
    auto w = start(**platform, work_loop());
    report("2000 loops + getpid", 5000, [&](int n) {
      for (int i = 0; i < n; ++i) (void)w.context->run(), w.context->set_syscall_result(1);
    });
  }
  if (wanted("write"))
    for (size_t size : {8ul, 256ul, 4096ul, 65536ul}) bench_write(**platform, size);
  if (wanted("mmap")) {
    auto p = start(**platform, mmap_loop());
    report("mmap + touch + munmap", 5000, [&](int n) {
      for (int i = 0; i < n; ++i) {
        (void)p.context->run();
        if (!p.context->map_anonymous(0x700000, 4096, 3)) std::abort();
        (void)p.context->run();
        if (!p.context->unmap(0x700000, 4096)) std::abort();
      }
    });
  }
  if (wanted("fork")) {
    auto p = start(**platform, getpid_loop());
    (void)p.context->run();
    report("fork + first call + exit", 500, [&](int n) {
      for (int i = 0; i < n; ++i) {
        auto child = p.context->fork();
        if (!child) std::abort();
        child->context->set_syscall_result(0);
        (void)child->context->run();
      }
    });
    report("thread + first call + exit", 500, [&](int n) {
      for (int i = 0; i < n; ++i) {
        auto t = p.context->clone_thread();
        if (!t) std::abort();
        (*t)->set_syscall_result(0);
        (void)(*t)->run();
      }
    });
    report("new process + 3 maps + first call + exit", 500, [&](int n) {
      for (int i = 0; i < n; ++i) {
        auto e = start(**platform, getpid_loop());
        (void)e.context->run();
      }
    });
  }
  return 0;
}
