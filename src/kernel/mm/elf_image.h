// ELF64 headers of x86-64 programs, checked. Every byte is hostile; nothing here touches files or guests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace cofferdam::kernel {

// Where to find the program headers.
struct ElfHeader {
  bool position_independent = false;  // ET_DYN
  uint64_t entry = 0, program_headers_offset = 0;
  uint16_t program_header_count = 0;
  size_t program_headers_size() const { return program_header_count * size_t{56}; }
};

struct ElfSegment {  // PT_LOAD
  uint64_t address = 0, file_offset = 0, file_size = 0, memory_size = 0;
  int protection = 0;  // PROT_*
  uint64_t page_start() const { return address & ~uint64_t{4095}; }
  uint64_t page_offset() const { return address & 4095; }
  uint64_t end() const { return address + memory_size; }
};

struct ElfImage {
  ElfHeader header;
  std::vector<ElfSegment> segments;      // in the file's order; at least one; addresses below `limit`
  uint64_t low = 0, high = 0;            // page-aligned hull of the segments
  uint64_t alignment = 4096;             // the largest p_align, a power of two
  uint64_t program_headers_address = 0;  // AT_PHDR without the load bias; 0 when no segment holds them
  bool has_interpreter = false;
  uint64_t interpreter_offset = 0, interpreter_size = 0;  // its path in the file, with the NUL
  bool executable_stack = false;
};

inline constexpr size_t elf_header_size = 64;

// The first bytes of the file. ENOEXEC.
Result<ElfHeader> parse_elf_header(std::span<std::byte const> start);
// The program header table, header.program_headers_size() bytes. limit: first address that programs cannot use.
// ENOEXEC for a table that makes no sense, EINVAL for segments that do not fit.
Result<ElfImage> parse_elf_segments(ElfHeader const&, std::span<std::byte const> table, uint64_t limit);

// The first line of a script: "#! interpreter [argument]".
struct ScriptLine {
  std::string interpreter, argument;
  bool has_argument = false;
};
inline constexpr size_t script_buffer_size = 256;  // BINPRM_BUF_SIZE
bool is_script(std::span<std::byte const> start);
// `start`: the first 256 bytes of the file, or all of it. ENOEXEC: no interpreter named, or its name does not fit.
Result<ScriptLine> parse_script_line(std::span<std::byte const> start);

}  // namespace cofferdam::kernel
