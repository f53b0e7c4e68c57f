// ELF headers, script lines and the initial stack.
#include <elf.h>
#include <gtest/gtest.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <cstring>

#include "kernel/mm/elf_image.h"
#include "kernel/mm/initial_stack.h"

namespace cofferdam::kernel {
namespace {

constexpr uint64_t limit = 0x7ffe00000000;

std::span<std::byte const> bytes(std::string_view s) { return std::as_bytes(std::span(s.data(), s.size())); }

ScriptLine script(std::string_view s) {
  auto line = parse_script_line(bytes(s));
  EXPECT_TRUE(line) << s;
  return line.value_or(ScriptLine{});
}

TEST(ScriptLine, interpreter_and_one_argument) {
  EXPECT_EQ(script("#!/bin/sh\n").interpreter, "/bin/sh");
  EXPECT_FALSE(script("#!/bin/sh\n").has_argument);
  auto line = script("#!  /usr/bin/env   python3 -u  \nrest");
  EXPECT_EQ(line.interpreter, "/usr/bin/env");
  EXPECT_EQ(line.argument, "python3 -u");
  EXPECT_EQ(script("#!/bin/sh").interpreter, "/bin/sh");
  EXPECT_EQ(script("#!\t/bin/sh\t-e\n").argument, "-e");
}

TEST(ScriptLine, no_interpreter_is_enoexec) {
  EXPECT_EQ(parse_script_line(bytes("#!\n")).error(), Errno::NoExec);
  EXPECT_EQ(parse_script_line(bytes("#!  \t \n")).error(), Errno::NoExec);
  EXPECT_EQ(parse_script_line(bytes("#!")).error(), Errno::NoExec);
}

TEST(ScriptLine, long_lines_are_cut_but_never_the_name) {
  std::string long_name = "#!/" + std::string(300, 'a') + "\n";
  EXPECT_EQ(parse_script_line(bytes(long_name)).error(), Errno::NoExec);
  std::string long_argument = "#!/bin/sh " + std::string(300, 'b') + "\n";
  auto line = script(std::string_view(long_argument).substr(0, 256));
  EXPECT_EQ(line.interpreter, "/bin/sh");
  EXPECT_EQ(line.argument.size(), 255u - 10);
}

struct Image {
  Elf64_Ehdr header{};
  std::vector<Elf64_Phdr> table;
  Image() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_DYN;
    header.e_machine = EM_X86_64;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phoff = sizeof header;
    header.e_entry = 0x1000;
  }
  void load(uint64_t address, uint64_t file_size, uint64_t memory_size, uint64_t offset, uint32_t flags = PF_R) {
    table.push_back({PT_LOAD, flags, offset, address, address, file_size, memory_size, 4096});
  }
  Result<ElfImage> parse() {
    header.e_phnum = static_cast<uint16_t>(table.size());
    auto parsed = TRY(parse_elf_header(std::as_bytes(std::span(&header, 1))));
    return parse_elf_segments(parsed, std::as_bytes(std::span(table)), limit);
  }
};

TEST(ElfImage, segments_and_hull) {
  Image i;
  i.load(0, 0x500, 0x500, 0);
  i.load(0x3f80, 0x100, 0x3000, 0x2f80, PF_R | PF_W);
  auto image = i.parse();
  ASSERT_TRUE(image);
  EXPECT_EQ(image->low, 0u);
  EXPECT_EQ(image->high, 0x7000u);
  EXPECT_EQ(image->program_headers_address, sizeof(Elf64_Ehdr));
  EXPECT_EQ(image->segments[1].protection, PROT_READ | PROT_WRITE);
}

TEST(ElfImage, nonsense_is_refused) {
  Image none;
  EXPECT_EQ(none.parse().error(), Errno::NoExec);
  Image bigger_in_file;
  bigger_in_file.load(0, 0x2000, 0x1000, 0);
  EXPECT_EQ(bigger_in_file.parse().error(), Errno::Inval);
  Image beyond;
  beyond.load(limit - 0x1000, 0x1000, 0x2000, 0);
  EXPECT_EQ(beyond.parse().error(), Errno::Inval);
  Image wraps;
  wraps.load(~uint64_t{0} - 0xfff, 0x1000, 0x1000, 0);
  EXPECT_EQ(wraps.parse().error(), Errno::Inval);
  Image incongruent;
  incongruent.load(0x1234, 0x10, 0x10, 0x4321);
  EXPECT_EQ(incongruent.parse().error(), Errno::Inval);
  Image wrong_machine;
  wrong_machine.load(0, 1, 1, 0);
  wrong_machine.header.e_machine = EM_AARCH64;
  EXPECT_EQ(wrong_machine.parse().error(), Errno::NoExec);
  EXPECT_EQ(parse_elf_header(bytes("\177ELF")).error(), Errno::NoExec);
}

TEST(InitialStack, arguments_environment_and_vector) {
  Credentials c;
  ProgramFacts facts{.program_headers = 0x1040,
                     .program_header_count = 3,
                     .entry = 0x2000,
                     .path = "/bin/x",
                     .credentials = &c,
                     .stack_shift = 123};
  constexpr uint64_t top = 0x7fff0000;
  auto s = build_initial_stack(top, {"x", "", "long argument"}, {"A=1"}, facts);
  EXPECT_EQ(s.pointer % 16, 0u);
  EXPECT_EQ(s.pointer + s.bytes.size(), top);
  auto word = [&](size_t i) {
    uint64_t value;
    std::memcpy(&value, s.bytes.data() + i * 8, 8);
    return value;
  };
  auto text = [&](uint64_t at) {
    std::string t;
    for (size_t i = at - s.pointer; s.bytes[i] != std::byte{0}; ++i) t += static_cast<char>(s.bytes[i]);
    return t;
  };
  EXPECT_EQ(word(0), 3u);
  EXPECT_EQ(text(word(1)), "x");
  EXPECT_EQ(text(word(2)), "");
  EXPECT_EQ(text(word(3)), "long argument");
  EXPECT_EQ(word(1), s.arguments_start);
  EXPECT_EQ(word(4), 0u);
  EXPECT_EQ(text(word(5)), "A=1");
  EXPECT_EQ(word(5), s.environment_start);
  EXPECT_EQ(word(6), 0u);
  std::map<uint64_t, uint64_t> aux;
  for (size_t i = 7; word(i) != AT_NULL; i += 2) aux[word(i)] = word(i + 1);
  EXPECT_EQ(aux[AT_PHDR], 0x1040u);
  EXPECT_EQ(aux[AT_PHNUM], 3u);
  EXPECT_EQ(text(aux[AT_EXECFN]), "/bin/x");
  EXPECT_EQ(text(aux[AT_PLATFORM]), "x86_64");
  EXPECT_EQ(aux[AT_RANDOM] % 16 == 0 || aux[AT_RANDOM] > s.pointer, true);
  EXPECT_EQ(std::memcmp(s.auxv.data(), s.bytes.data() + 7 * 8, s.auxv.size()), 0);
}

TEST(InitialStack, too_much_is_e2big) {
  std::vector<std::string> none;
  EXPECT_EQ(check_argument_space({std::string(131072, 'a')}, none, 8u << 20).error(), Errno::TooBig);
  EXPECT_TRUE(check_argument_space({std::string(131071, 'a')}, none, 8u << 20));
  std::vector<std::string> many(20, std::string(120000, 'a'));
  EXPECT_EQ(check_argument_space(many, none, 8u << 20).error(), Errno::TooBig);
  EXPECT_TRUE(check_argument_space(many, none, 64u << 20));
}

}  // namespace
}  // namespace cofferdam::kernel
