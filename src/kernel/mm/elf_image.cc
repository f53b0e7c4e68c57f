#include "kernel/mm/elf_image.h"

#include <elf.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

namespace cofferdam::kernel {
namespace {

constexpr uint64_t page = 4096;
constexpr uint64_t page_floor(uint64_t a) { return a & ~(page - 1); }
constexpr uint64_t page_ceiling(uint64_t a) { return (a + page - 1) & ~(page - 1); }

template <class T>
T load(std::span<std::byte const> from, size_t offset) {
  T value;
  std::memcpy(&value, from.data() + offset, sizeof value);
  return value;
}

int protection_of(uint32_t flags) {
  return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

Result<void> add_segment(ElfImage& image, Elf64_Phdr const& p, uint64_t limit) {
  if (p.p_filesz > p.p_memsz || p.p_memsz > limit || p.p_vaddr > limit - p.p_memsz) return fail(Errno::Inval);
  if (p.p_memsz == 0) return {};
  if (p.p_filesz != 0) {
    uint64_t end;
    if ((p.p_offset ^ p.p_vaddr) & (page - 1)) return fail(Errno::Inval);
    if (__builtin_add_overflow(p.p_offset, p.p_filesz, &end) || end > INT64_MAX - page) return fail(Errno::Inval);
  }
  image.segments.push_back({p.p_vaddr, p.p_offset, p.p_filesz, p.p_memsz, protection_of(p.p_flags)});
  uint64_t low = page_floor(p.p_vaddr), high = page_ceiling(p.p_vaddr + p.p_memsz);
  if (high > limit) return fail(Errno::Inval);
  bool first = image.segments.size() == 1;
  image.low = first ? low : std::min(image.low, low);
  image.high = first ? high : std::max(image.high, high);
  if (std::has_single_bit(p.p_align)) image.alignment = std::max(image.alignment, uint64_t{p.p_align});
  uint64_t table = image.header.program_headers_offset;
  if (image.program_headers_address == 0 && p.p_offset <= table && table - p.p_offset < p.p_filesz)
    image.program_headers_address = p.p_vaddr + (table - p.p_offset);
  return {};
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

Result<ElfHeader> parse_elf_header(std::span<std::byte const> start) {
  if (start.size() < sizeof(Elf64_Ehdr)) return fail(Errno::NoExec);
  auto h = load<Elf64_Ehdr>(start, 0);
  if (std::memcmp(h.e_ident, ELFMAG, SELFMAG) != 0) return fail(Errno::NoExec);
  if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB) return fail(Errno::NoExec);
  if (h.e_type != ET_EXEC && h.e_type != ET_DYN) return fail(Errno::NoExec);
  if (h.e_machine != EM_X86_64) return fail(Errno::NoExec);
  if (h.e_phentsize != sizeof(Elf64_Phdr)) return fail(Errno::NoExec);
  ElfHeader header{h.e_type == ET_DYN, h.e_entry, h.e_phoff, h.e_phnum};
  // One page of headers at most, as Linux.
  if (header.program_header_count == 0 || header.program_headers_size() > page) return fail(Errno::NoExec);
  if (h.e_phoff > INT64_MAX - page) return fail(Errno::NoExec);
  return header;
}

Result<ElfImage> parse_elf_segments(ElfHeader const& header, std::span<std::byte const> table, uint64_t limit) {
  if (table.size() < header.program_headers_size()) return fail(Errno::NoExec);
  ElfImage image{.header = header};
  // Without PT_GNU_STACK a 64-bit program's stack is not executable (Linux 5.8 and later).
  for (size_t i = 0; i < header.program_header_count; ++i) {
    auto p = load<Elf64_Phdr>(table, i * sizeof(Elf64_Phdr));
    switch (p.p_type) {
      case PT_LOAD:
        TRY(add_segment(image, p, limit));
        break;
      case PT_INTERP:
        if (image.has_interpreter) break;  // the first one counts
        if (p.p_filesz < 2 || p.p_filesz > 4096 || p.p_offset > INT64_MAX - page) return fail(Errno::NoExec);
        image.has_interpreter = true;
        image.interpreter_offset = p.p_offset;
        image.interpreter_size = p.p_filesz;
        break;
      case PT_GNU_STACK:
        image.executable_stack = p.p_flags & PF_X;
        break;
      default:
        break;
    }
  }
  if (image.segments.empty()) return fail(Errno::NoExec);
  image.alignment = std::min(image.alignment, uint64_t{1} << 40);
  return image;
}

bool is_script(std::span<std::byte const> start) {
  return start.size() >= 2 && start[0] == std::byte{'#'} && start[1] == std::byte{'!'};
}

// load_script of Linux: the buffer counts as padded with NULs.
Result<ScriptLine> parse_script_line(std::span<std::byte const> start) {
  if (!is_script(start)) return fail(Errno::NoExec);
  std::string text(script_buffer_size, '\0');
  for (size_t i = 0; i < std::min(start.size(), script_buffer_size); ++i) text[i] = static_cast<char>(start[i]);
  std::string_view line = std::string_view(text).substr(2);
  constexpr std::string_view ends("\0\n", 2), blanks_and_nul(" \t\0", 3);
  size_t end = line.find_first_of(ends);
  bool has_newline = end != line.npos && line[end] == '\n';
  if (!has_newline) {
    // No end of line in the buffer: the name must at least be whole.
    std::string_view whole = line.substr(0, line.size() - 1);
    size_t name = whole.find_first_not_of(" \t");
    if (name == whole.npos) return fail(Errno::NoExec);
    if (whole.find_first_of(blanks_and_nul, name) == whole.npos) return fail(Errno::NoExec);
    end = std::min(end, whole.size());
  }
  line = line.substr(0, end);
  while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
  while (!line.empty() && is_blank(line.front())) line.remove_prefix(1);
  if (line.empty()) return fail(Errno::NoExec);
  ScriptLine script;
  size_t name_end = line.find_first_of(" \t");
  script.interpreter = line.substr(0, name_end);
  if (name_end != line.npos) {
    line.remove_prefix(name_end);
    while (is_blank(line.front())) line.remove_prefix(1);
    script.argument = line;
    script.has_argument = true;
  }
  return script;
}

}  // namespace cofferdam::kernel
