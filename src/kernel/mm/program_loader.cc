#include "kernel/mm/program_loader.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>

#include "host/random.h"
#include "kernel/kernel.h"
#include "kernel/mm/elf_image.h"
#include "kernel/mm/initial_stack.h"
#include "kernel/mm/vma_tree.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

constexpr int most_interpreters = 5;  // scripts whose interpreters are scripts (exec_binprm of Linux)
constexpr size_t first_bytes = 4096;

// pread of up to to.size() bytes; fewer at the end of the file.
Result<size_t> read_at(Task& task, File& file, uint64_t offset, std::span<std::byte> to) {
  size_t done = 0;
  while (done < to.size()) {
    KernelSink sink(to.subspan(done));
    size_t n = TRY(file.read(task, sink, offset + done, {}));
    if (n == 0) break;
    done += n;
  }
  return done;
}

Result<Ref<File>> open_interpreter(Kernel& kernel, Task& opener, std::string const& path) {
  Path start = TRY(kernel.vfs().start_of(opener, AT_FDCWD, path));
  return kernel.vfs().open_executable(opener, start, path, true);
}

// A program file with its headers read: once, into our memory.
struct Program {
  Ref<File> file;
  ElfImage image;
};

Result<Program> read_program(Task& task, Ref<File> file, std::span<std::byte const> start, uint64_t limit) {
  ElfHeader header = TRY(parse_elf_header(start));
  uint64_t at = header.program_headers_offset;
  size_t size = header.program_headers_size();
  if (at <= start.size() && size <= start.size() - at)
    return Program{std::move(file), TRY(parse_elf_segments(header, start.subspan(at, size), limit))};
  std::vector<std::byte> table(size);
  if (TRY(read_at(task, *file, at, table)) != size) return fail(Errno::NoExec);
  return Program{std::move(file), TRY(parse_elf_segments(header, table, limit))};
}

Result<std::string> interpreter_path(Task& task, Program const& program) {
  std::string path(program.image.interpreter_size, '\0');
  size_t n =
      TRY(read_at(task, *program.file, program.image.interpreter_offset, std::as_writable_bytes(std::span(path))));
  if (n != path.size()) return fail(Errno::Io);
  if (path.back() != '\0') return fail(Errno::NoExec);
  path.resize(path.find('\0'));
  return path;
}

// PT_INTERP: opened and parsed before anything is mapped.
Result<Program> read_interpreter(Kernel& kernel, Task& task, Program const& program, uint64_t limit) {
  std::string path = TRY(interpreter_path(task, program));
  Ref<File> file = TRY(open_interpreter(kernel, task, path));
  std::vector<std::byte> start(first_bytes);
  size_t n = TRY(read_at(task, *file, 0, start));
  if (n < elf_header_size) return fail(Errno::Io);
  auto parsed = read_program(task, file, std::span(start).first(n), limit);
  if (!parsed && parsed.error() == Errno::NoExec) return fail(static_cast<Errno>(ELIBBAD));
  return parsed;
}

// Maps programs into one fresh address space.
class Mapper {
 public:
  Mapper(MemoryManager& mm, platform::Context& context, Task& opener) : mm_(mm), context_(context), opener_(opener) {}

  // Maps all segments at their addresses plus bias.
  Result<void> map_image(Program const& program, uint64_t bias) {
    for (ElfSegment const& s : program.image.segments) TRY(map_segment(program, s, bias));
    return {};
  }

  // Where a position-independent image goes: top-down among mappings.
  Result<uint64_t> bias_by_room(ElfImage const& image) const {
    return TRY(mm_.find_room(image.high - image.low, image.alignment)) - image.low;
  }

 private:
  Result<void> map(uint64_t address, uint64_t length, int protection, Ref<File> file, uint64_t offset, int placement) {
    int flags = MAP_PRIVATE | placement | (file ? 0 : MAP_ANONYMOUS);
    (void)TRY(mm_.map_for_loader(context_, opener_, {address, length, protection, flags, std::move(file), offset},
                                 Vma::Kind::Normal));
    return {};
  }

  // elf_load of Linux: the file's part, the zeroes behind it in its last page, and anonymous pages.
  Result<void> map_segment(Program const& program, ElfSegment const& s, uint64_t bias) {
    int placement = program.image.header.position_independent ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    uint64_t start = s.page_start() + bias, file_end = s.address + s.file_size + bias, end = s.end() + bias;
    uint64_t anonymous_from = start;
    if (s.file_size != 0) {
      TRY(map(start, page_up(s.page_offset() + s.file_size), s.protection, program.file,
              s.file_offset - s.page_offset(), placement));
      anonymous_from = page_up(file_end);
      // The rest of the last page holds what follows in the file. A mapping that cannot be written keeps it, as on
      // Linux.
      if (s.memory_size > s.file_size && (s.protection & PROT_WRITE) && file_end < anonymous_from)
        TRY(context_.zero_out(file_end, anonymous_from - file_end));
    }
    if (page_up(end) <= anonymous_from) return {};
    int protection = PROT_READ | PROT_WRITE | (s.protection & PROT_EXEC);
    return map(anonymous_from, page_up(end) - anonymous_from, protection, {}, 0, placement);
  }

  MemoryManager& mm_;
  platform::Context& context_;
  Task& opener_;
};

// Address space layout randomisation, in pages of Linux's default widths.
struct Randomness {
  uint64_t stack = 0, mmap = 0, program = 0, heap = 0, stack_pointer = 0;
  static Randomness draw(bool randomize) {
    if (!randomize) return {};
    std::array<uint64_t, 5> words{};
    host::fill_random(std::as_writable_bytes(std::span(words)));
    constexpr uint64_t mmap_mask = (uint64_t{1} << 28) - 1;
    return {.stack = (words[0] & 0x3fffff) * page_size,
            .mmap = (words[1] & mmap_mask) * page_size,
            .program = (words[2] & mmap_mask) * page_size,
            .heap = page_down(words[3] % 0x02000000),
            .stack_pointer = words[4] % 8192};
  }
};

// mmap_base of Linux: below the room that the stack may need.
uint64_t mmap_base(uint64_t limit, uint64_t stack_limit, bool randomize, uint64_t random) {
  constexpr uint64_t smallest_gap = uint64_t{128} << 20, stack_randomness = uint64_t{16} << 30;
  uint64_t pad = stack_guard_gap + (randomize ? stack_randomness : 0);
  uint64_t gap = std::min(stack_limit, limit) + pad;
  gap = std::clamp(gap, smallest_gap, limit / 6 * 5);
  return page_down(limit - gap - random);
}

class Loader {
 public:
  Loader(Kernel& kernel, Task& opener, ProgramArguments& arguments)
      : kernel_(kernel), opener_(opener), arguments_(arguments), limit_(kernel.platform().user_limit()) {}

  Result<LoadedProgram> load() {
    if (arguments_.arguments.empty()) arguments_.arguments.emplace_back();
    TRY(check_argument_space(arguments_.arguments, arguments_.environment, arguments_.stack_limit));
    Program program = TRY(find_program());
    Program interpreter;
    if (program.image.has_interpreter) interpreter = TRY(read_interpreter(kernel_, opener_, program, limit_));

    platform::ProcessSource* const source = opener_.thread_group().control_group().processes();
    auto fresh = TRY(source != nullptr ? source->new_process() : kernel_.platform().new_process());
    auto mm = make_ref<MemoryManager>(kernel_, fresh.address_space);
    random_ = Randomness::draw(arguments_.randomize);
    TRY(map_programs(*mm, *fresh.context, program, interpreter));
    mm->set_executable(program.file);
    mm->set_layout(layout_);
    TRY(make_stack(*mm, *fresh.context, program));

    platform::Registers registers{};
    registers.rip = start_;
    registers.rsp = layout_.stack_start;
    registers.eflags = 0x200;
    fresh.context->set_registers(registers);
    TRY(fresh.context->flush());
    return LoadedProgram{std::move(mm), std::move(fresh.context), std::move(program.file), name_};
  }

 private:
  // Follows "#!" lines to an ELF file.
  Result<Program> find_program() {
    name_ = arguments_.path.substr(arguments_.path.rfind('/') + 1).substr(0, 15);
    std::string script = arguments_.path;
    Ref<File> file = arguments_.executable;
    std::vector<std::byte> buffer(first_bytes);
    for (int depth = 0;; ++depth) {
      if (depth > most_interpreters) return fail(Errno::Loop);
      auto start = std::span(buffer).first(TRY(read_at(opener_, *file, 0, buffer)));
      if (!is_script(start)) return read_program(opener_, std::move(file), start, limit_);
      ScriptLine line = TRY(parse_script_line(start));
      auto& argv = arguments_.arguments;
      argv[0] = std::move(script);
      if (line.has_argument) argv.insert(argv.begin(), std::move(line.argument));
      argv.insert(argv.begin(), line.interpreter);
      TRY(check_argument_space(argv, arguments_.environment, arguments_.stack_limit));
      file = TRY(open_interpreter(kernel_, opener_, line.interpreter));
      script = std::move(line.interpreter);
    }
  }

  Result<void> map_programs(MemoryManager& mm, platform::Context& context, Program const& program,
                            Program const& interpreter) {
    constexpr uint64_t program_base = 0x555555554000;  // ELF_ET_DYN_BASE
    layout_.mmap_base = mmap_base(limit_, arguments_.stack_limit, arguments_.randomize, random_.mmap);
    mm.set_layout(layout_);
    Mapper mapper(mm, context, opener_);
    ElfImage const& image = program.image;
    uint64_t bias = 0;
    if (image.header.position_independent) {
      if (interpreter.file)
        bias = ((program_base + random_.program) & ~(image.alignment - 1)) - image.low;
      else
        bias = TRY(mapper.bias_by_room(image));
    }
    if (image.high + bias > limit_ || image.high + bias < bias) return fail(Errno::NoMem);
    TRY(mapper.map_image(program, bias));
    describe(image, bias);
    start_ = layout_.entry;
    uint64_t heap = image.high + bias;
    // A static PIE lies among the mappings: its heap goes where programs usually are.
    if (arguments_.randomize && image.header.position_independent && !interpreter.file) heap = program_base;
    layout_.break_start = layout_.break_end = heap + random_.heap;
    if (!interpreter.file) return {};
    uint64_t interpreter_bias = 0;
    if (interpreter.image.header.position_independent) interpreter_bias = TRY(mapper.bias_by_room(interpreter.image));
    TRY(mapper.map_image(interpreter, interpreter_bias));
    interpreter_base_ = interpreter_bias;
    start_ = interpreter.image.header.entry + interpreter_bias;
    return {};
  }

  void describe(ElfImage const& image, uint64_t bias) {
    layout_.code_start = UINT64_MAX;
    for (ElfSegment const& s : image.segments) {
      uint64_t at = s.address + bias, file_end = at + s.file_size;
      if (s.protection & PROT_EXEC) {
        layout_.code_start = std::min(layout_.code_start, at);
        layout_.code_end = std::max(layout_.code_end, file_end);
      }
      layout_.data_start = std::max(layout_.data_start, at);
      layout_.data_end = std::max(layout_.data_end, file_end);
    }
    if (layout_.code_start == UINT64_MAX) layout_.code_start = layout_.code_end = image.low + bias;
    layout_.entry = image.header.entry + bias;
    headers_address_ = image.program_headers_address ? image.program_headers_address + bias : 0;
  }

  Result<void> make_stack(MemoryManager& mm, platform::Context& context, Program const& program) {
    uint64_t top = limit_ - random_.stack;
    ProgramFacts facts{.program_headers = headers_address_,
                       .program_header_count = program.image.header.program_header_count,
                       .interpreter_base = interpreter_base_,
                       .entry = layout_.entry,
                       .vdso = kernel_.platform().vdso_address(),
                       .secure = arguments_.secure,
                       .path = arguments_.path,
                       .credentials = arguments_.credentials.get(),
                       .stack_shift = random_.stack_pointer};
    InitialStack stack = build_initial_stack(top, arguments_.arguments, arguments_.environment, facts);
    constexpr uint64_t largest_reserve = uint64_t{8} << 20, room_below = 128u << 10;
    uint64_t used = top - page_down(stack.pointer);
    uint64_t size = std::max(page_down(std::min(arguments_.stack_limit, largest_reserve)), used + page_size);
    uint64_t visible = top - std::max(used, std::min({used + room_below, page_down(arguments_.stack_limit), size}));
    int protection = PROT_READ | PROT_WRITE | (program.image.executable_stack ? PROT_EXEC : 0);
    TRY(mm.map_stack_for_loader(context, top, size, visible, protection));
    TRY(context.copy_out(stack.pointer, stack.bytes));
    layout_.stack_start = stack.pointer;
    layout_.arguments_start = stack.arguments_start;
    layout_.arguments_end = layout_.environment_start = stack.environment_start;
    layout_.environment_end = stack.environment_end;
    mm.set_layout(layout_);
    mm.set_auxv(std::move(stack.auxv));
    return {};
  }

  Kernel& kernel_;
  Task& opener_;
  ProgramArguments& arguments_;
  uint64_t const limit_;
  Randomness random_;
  MemoryManager::Layout layout_;
  uint64_t start_ = 0, interpreter_base_ = 0, headers_address_ = 0;
  std::string name_;
};

}  // namespace

Result<LoadedProgram> load_program(Kernel& kernel, Task& opener, ProgramArguments arguments) {
  return Loader(kernel, opener, arguments).load();
}

}  // namespace cofferdam::kernel
