#include <algorithm>

#include "fs/proc/process/process_text.h"
#include "fs/proc/process/target.h"
#include "kernel/kernel.h"
#include "kernel/mm/maps_text.h"
#include "kernel/vfs/pseudo_fs.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

constexpr uint64_t text_limit = 1 << 20;  // what one read of cmdline or environ makes, at most; guests set the bounds

std::string read_memory(MemoryManager& mm, uint64_t start, uint64_t end) {
  if (start >= end) return {};
  std::string text(std::min(end - start, text_limit), '\0');
  Result<size_t> got = mm.address_space().read(start, std::as_writable_bytes(std::span(text.data(), text.size())));
  text.resize(got ? *got : 0);
  return text;
}

FileNamer namer_for(Task& reader) {
  Ref<FsContext> fs = reader.fs();
  Path root = fs ? fs->root() : Path();
  return [&kernel = reader.kernel(), root](File const& file) {
    return file.path() ? kernel.vfs().path_text(file.path(), root) : file.anonymous_name();
  };
}

}  // namespace

// A process may write its title over its arguments and on into its environment (setproctitle): when the last byte of
// the arguments is no NUL any more, the string goes on to the first NUL (get_mm_cmdline of Linux).
Result<std::string> cmdline_text(View const&, Task& target) {
  Ref<MemoryManager> mm = target.mm();
  if (!mm) return std::string();
  MemoryManager::Layout const l = mm->layout();
  std::string text = read_memory(*mm, l.arguments_start, l.arguments_end);
  if (text.empty() || text.back() == '\0' || text.size() == text_limit) return text;
  if (l.environment_start == l.arguments_end) text += read_memory(*mm, l.environment_start, l.environment_end);
  if (size_t const end = text.find('\0'); end != text.npos) text.resize(end);
  return text;
}

Result<std::string> environ_text(View const&, Task& target) {
  Ref<MemoryManager> mm = target.mm();
  if (!mm) return std::string();
  MemoryManager::Layout const l = mm->layout();
  return read_memory(*mm, l.environment_start, l.environment_end);
}

Result<std::string> auxv_text(View const&, Task& target) {
  Ref<MemoryManager> mm = target.mm();
  if (!mm) return std::string();
  std::string text;
  for (std::byte b : mm->auxv()) text.push_back(static_cast<char>(b));
  return text;
}

Result<std::string> maps_of(View const& view, Task& target) {
  Ref<MemoryManager> mm = target.mm();
  return mm ? maps_text(*mm, namer_for(view.reader)) : std::string();
}

Result<std::string> smaps_of(View const& view, Task& target) {
  Ref<MemoryManager> mm = target.mm();
  return mm ? smaps_text(*mm, namer_for(view.reader)) : std::string();
}

Result<std::string> smaps_rollup_of(View const&, Task& target) {
  Ref<MemoryManager> mm = target.mm();
  if (!mm) return fail(Errno::Srch);
  return smaps_rollup_text(*mm);
}

Result<std::string> numa_maps_of(View const& view, Task& target) {
  Ref<MemoryManager> mm = target.mm();
  return mm ? numa_maps_text(*mm, namer_for(view.reader)) : std::string();
}

// The referenced bits are the host's and not ours to clear; the numbers alone are checked.
Result<void> clear_refs_write(Task&, Task&, std::string_view text) {
  int64_t const what = TRY(parse_number(text));
  if (what < 1 || what > 5) return fail(Errno::Inval);
  return fail(Errno::OpNotSupp);
}

}  // namespace cofferdam::fs::proc
