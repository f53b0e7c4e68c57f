// The program loader's parsers on any bytes: ELF headers and tables, script lines.
#include <algorithm>
#include <cstdlib>

#include "kernel/mm/elf_image.h"

using namespace cofferdam;
using namespace cofferdam::kernel;

namespace {

constexpr uint64_t limit = 0x7ffe00000000;

void check(bool holds) {
  if (!holds) std::abort();
}

void parse_program(std::span<std::byte const> file) {
  auto header = parse_elf_header(file);
  if (!header) return;
  check(header->program_headers_size() <= 4096);
  // As the loader finds the table: at its offset if that lies in the file, else whatever bytes there are.
  uint64_t at = header->program_headers_offset;
  auto table = file.subspan(at <= file.size() ? at : std::min<size_t>(file.size(), elf_header_size));
  auto image = parse_elf_segments(*header, table, limit);
  if (!image) return;
  check(!image->segments.empty());
  check(image->low < image->high && image->high <= limit);
  check((image->alignment & (image->alignment - 1)) == 0 && image->alignment >= 4096);
  for (auto const& s : image->segments) {
    check(s.file_size <= s.memory_size && s.memory_size != 0);
    check(s.page_start() >= image->low && s.end() <= image->high);
    check(s.file_size == 0 || s.file_offset >= s.page_offset());
  }
  if (image->has_interpreter) check(image->interpreter_size >= 2 && image->interpreter_size <= 4096);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  std::span<std::byte const> file = std::as_bytes(std::span(data, size));
  parse_program(file.first(std::min<size_t>(size, 8192)));
  if (auto line = parse_script_line(file.first(std::min(size, script_buffer_size)))) {
    check(!line->interpreter.empty() && line->interpreter.size() < script_buffer_size);
    check(line->interpreter.find_first_of(" \t\n") == std::string::npos);
  }
  return 0;
}
