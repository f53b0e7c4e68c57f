// execve(2), execveat(2).
#include <fcntl.h>
#include <limits.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/clone.h"
#include "syscalls/handlers_process.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

constexpr size_t max_string = 32 * 4096;  // MAX_ARG_STRLEN
constexpr size_t max_total = 6u << 20;    // three quarters of _STK_LIM

// Reads many small strings, which lie next to each other as a rule, in whole pages. The copy is private: parsed once.
class StringReader {
 public:
  explicit StringReader(Task& task) : task_(task), window_(4096) {}

  // E2BIG beyond max_string; EFAULT.
  Result<std::string> read(uint64_t address) {
    std::string text;
    for (;;) {
      auto bytes = TRY(at(address));
      auto end = std::find(bytes.begin(), bytes.end(), std::byte{0});
      text.append(reinterpret_cast<char const*>(bytes.data()), static_cast<size_t>(end - bytes.begin()));
      if (text.size() >= max_string) return fail(Errno::TooBig);
      if (end != bytes.end()) return text;
      address += bytes.size();
    }
  }

 private:
  // What is known from `address` to the end of its page.
  Result<std::span<std::byte const>> at(uint64_t address) {
    if (address < start_ || address >= start_ + valid_) {
      size_t n = 4096 - (address & 4095);
      valid_ = task_.context().copy_in_partial(address, std::span(window_).first(n));
      start_ = address;
      if (valid_ == 0) return fail(Errno::Fault);
    }
    return std::span<std::byte const>(window_).subspan(address - start_, valid_ - (address - start_));
  }

  Task& task_;
  std::vector<std::byte> window_;
  uint64_t start_ = 0;
  size_t valid_ = 0;
};

Result<std::vector<std::string>> read_vector(Task& task, StringReader& reader, UserPtr<uint64_t> array, size_t& total) {
  std::vector<std::string> out;
  if (!array) return out;  // Linux takes NULL as an empty list
  constexpr size_t batch = 64;
  for (size_t i = 0;;) {
    uint64_t pointers[batch];
    uint64_t address = TRY(array.at(i)).address().value;
    size_t got =
        task.context().copy_in_partial(address, std::as_writable_bytes(std::span(pointers))) / sizeof(uint64_t);
    if (got == 0) return fail(Errno::Fault);
    for (size_t k = 0; k < got; ++k, ++i) {
      if (pointers[k] == 0) return out;
      out.push_back(TRY(reader.read(pointers[k])));
      total += out.back().size() + 1 + sizeof(uint64_t);
      if (total > max_total) return fail(Errno::TooBig);
    }
  }
}

Result<uint64_t> execute_at(Task& task, Path const& start, std::string const& path, bool follow, std::string shown,
                            UserPtr<uint64_t> arguments, UserPtr<uint64_t> environment, Ref<File> opened = {}) {
  StringReader reader(task);
  size_t total = 0;
  auto argv = TRY(read_vector(task, reader, arguments, total));
  auto envp = TRY(read_vector(task, reader, environment, total));
  if (argv.empty()) argv.emplace_back();  // Linux 5.18 and later give the program an empty argv[0]
  if (!opened) opened = TRY(task.kernel().vfs().open_executable(task, start, path, follow));
  TRY(execute(task, opened, std::move(shown), std::move(argv), std::move(envp)));
  return 0;
}

}  // namespace

Result<uint64_t> sys_execve(Task& task, UserCString path, UserPtr<uint64_t> arguments, UserPtr<uint64_t> environment) {
  auto name = TRY(task.read_path(path));
  if (name.empty()) return fail(Errno::NoEnt);
  return execute_at(task, task.fs()->cwd(), name, true, name, arguments, environment);
}

Result<uint64_t> sys_execveat(Task& task, Fd directory, UserCString path, UserPtr<uint64_t> arguments,
                              UserPtr<uint64_t> environment, int32_t flags) {
  if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) return fail(Errno::Inval);
  auto name = TRY(task.read_path(path));
  if (name.empty()) {
    if (!(flags & AT_EMPTY_PATH)) return fail(Errno::NoEnt);
    auto file = TRY(task.file(directory.value, true));
    if (!file->path()) return fail(Errno::Acces);  // a stream of the host's
    TRY(task.kernel().vfs().access(task, file->path(), 1, true));
    auto program = TRY(task.kernel().vfs().open_path(task, file->path(), O_RDONLY));
    return execute_at(task, {}, name, true, fmt::format("/dev/fd/{}", directory.value), arguments, environment,
                      program);
  }
  auto start = TRY(task.kernel().vfs().start_of(task, directory.value, name));
  std::string shown =
      name[0] == '/' || directory.value == AT_FDCWD ? name : fmt::format("/dev/fd/{}/{}", directory.value, name);
  return execute_at(task, start, name, !(flags & AT_SYMLINK_NOFOLLOW), shown, arguments, environment);
}

}  // namespace cofferdam::syscalls
