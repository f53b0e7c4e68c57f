#include "kernel/mm/initial_stack.h"

#include <elf.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "host/random.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

namespace cofferdam::kernel {
namespace {

constexpr std::string_view machine = "x86_64";
constexpr size_t random_size = 16;

size_t bytes_of(std::vector<std::string> const& strings) {
  size_t sum = 0;
  for (auto const& s : strings) sum += s.size() + 1;
  return sum;
}

// Writes from the top of the image downwards; addresses and bytes go together.
class Writer {
 public:
  Writer(uint64_t bottom, std::vector<std::byte>& image) : bottom_(bottom), image_(image) {}
  void bytes(uint64_t at, void const* from, size_t n) {
    if (n != 0) std::memcpy(image_.data() + (at - bottom_), from, n);
  }
  void word(uint64_t at, uint64_t value) { bytes(at, &value, sizeof value); }

 private:
  uint64_t bottom_;
  std::vector<std::byte>& image_;
};

std::vector<uint64_t> auxiliary_vector(ProgramFacts const& f, uint64_t path, uint64_t platform, uint64_t random) {
  Credentials const& c = *f.credentials;
  std::vector<uint64_t> v;
  v.reserve(48);
  auto add = [&](uint64_t type, uint64_t value) {
    v.push_back(type);
    v.push_back(value);
  };
  if (f.vdso != 0) add(AT_SYSINFO_EHDR, f.vdso);
  add(AT_MINSIGSTKSZ, getauxval(AT_MINSIGSTKSZ));
  add(AT_HWCAP, getauxval(AT_HWCAP));
  add(AT_PAGESZ, 4096);
  add(AT_CLKTCK, 100);
  add(AT_PHDR, f.program_headers);
  add(AT_PHENT, sizeof(Elf64_Phdr));
  add(AT_PHNUM, f.program_header_count);
  add(AT_BASE, f.interpreter_base);
  add(AT_FLAGS, 0);
  add(AT_ENTRY, f.entry);
  add(AT_UID, c.uid);
  add(AT_EUID, c.euid);
  add(AT_GID, c.gid);
  add(AT_EGID, c.egid);
  add(AT_SECURE, f.secure);
  add(AT_RANDOM, random);
  // Without HWCAP2_FSGSBASE: a program that writes GS by itself would take the base from under the platform's
  // trampoline; arch_prctl(2) serves it.
  constexpr uint64_t fsgsbase = 1u << 1;
  add(AT_HWCAP2, getauxval(AT_HWCAP2) & ~fsgsbase);
  add(AT_EXECFN, path);
  add(AT_PLATFORM, platform);
  add(AT_NULL, 0);
  return v;
}

}  // namespace

Result<void> check_argument_space(std::vector<std::string> const& arguments,
                                  std::vector<std::string> const& environment, uint64_t stack_limit) {
  constexpr uint64_t largest = 6u << 20, smallest = 128u << 10, longest_string = 128u << 10;
  uint64_t limit = std::max(std::min(stack_limit / 4, largest), smallest);
  uint64_t used = (arguments.size() + environment.size()) * sizeof(uint64_t);
  if (used >= limit) return fail(Errno::TooBig);
  for (auto const* list : {&arguments, &environment})
    for (auto const& s : *list) {
      if (s.size() + 1 > longest_string) return fail(Errno::TooBig);
      used += s.size() + 1;
      if (used > limit) return fail(Errno::TooBig);
    }
  return {};
}

InitialStack build_initial_stack(uint64_t top, std::vector<std::string> const& arguments,
                                 std::vector<std::string> const& environment, ProgramFacts const& facts) {
  InitialStack stack;
  // From the top: a null word, the path, the environment's strings, the arguments' strings (create_elf_tables of
  // Linux).
  uint64_t path = top - sizeof(uint64_t) - (facts.path.size() + 1);
  stack.environment_end = path;
  stack.environment_start = path - bytes_of(environment);
  stack.arguments_start = stack.environment_start - bytes_of(arguments);
  uint64_t p = (stack.arguments_start - facts.stack_shift) & ~uint64_t{15};
  uint64_t platform = p -= machine.size() + 1;
  uint64_t random = p -= random_size;
  auto auxv = auxiliary_vector(facts, path, platform, random);
  size_t words = 1 + arguments.size() + 1 + environment.size() + 1 + auxv.size();
  p = ((p & ~uint64_t{15}) - words * sizeof(uint64_t)) & ~uint64_t{15};

  stack.pointer = p;
  stack.bytes.resize(top - p);
  Writer out(p, stack.bytes);
  out.bytes(path, facts.path.c_str(), facts.path.size() + 1);
  out.bytes(platform, machine.data(), machine.size());
  host::fill_random(std::span(stack.bytes).subspan(random - p, random_size));
  uint64_t word_at = p, string_at = stack.arguments_start;
  auto put_word = [&](uint64_t value) {
    out.word(word_at, value);
    word_at += sizeof value;
  };
  put_word(arguments.size());
  for (auto const* list : {&arguments, &environment}) {
    for (auto const& s : *list) {
      put_word(string_at);
      out.bytes(string_at, s.c_str(), s.size() + 1);
      string_at += s.size() + 1;
    }
    put_word(0);
  }
  for (uint64_t value : auxv) put_word(value);
  stack.auxv.resize(auxv.size() * sizeof(uint64_t));
  std::memcpy(stack.auxv.data(), auxv.data(), stack.auxv.size());
  return stack;
}

}  // namespace cofferdam::kernel
