#include "syscalls/table.h"

#include <array>
#include <atomic>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "syscalls/arguments.h"
#include "syscalls/handlers.h"

namespace cofferdam::syscalls {
namespace {

using Words = std::array<uint64_t, 6>;

template <class A>
[[gnu::cold]] std::string show_argument(Task& task, uint64_t word) {
  auto value = SyscallArgument<A>::from(word);
  return value ? SyscallArgument<A>::show(task, *value) : fmt::format("{:#x}", word);
}

template <auto Handler>
struct Glue;

template <class R, class... A, Result<R> (*Handler)(Task&, A...)>
struct Glue<Handler> {
  template <size_t... I>
  static Result<uint64_t> call(Task& task, [[maybe_unused]] Words const& w, std::index_sequence<I...>) {
    auto arguments = std::tuple<Result<A>...>(SyscallArgument<A>::from(w[I])...);
    Error const* bad = nullptr;
    ((bad == nullptr && !std::get<I>(arguments) ? void(bad = &std::get<I>(arguments).error()) : void()), ...);
    if (bad) return std::unexpected(*bad);
    auto result = Handler(task, *std::get<I>(arguments)...);
    if (!result) return std::unexpected(result.error());
    if constexpr (std::is_void_v<R>)
      return uint64_t{0};
    else
      return static_cast<uint64_t>(static_cast<int64_t>(*result));
  }
  static Result<uint64_t> invoke(Task& task, Words const& w) { return call(task, w, std::index_sequence_for<A...>{}); }

  static constexpr std::array<ShowArgument, sizeof...(A)> shown = {&show_argument<A>...};
};

constexpr auto entries = [] {
  std::array<Entry, table_size> t{};
#define SYSCALL(x86, arm, name, support, note) \
  t[x86] = {#name, Support::support, note, &Glue<&sys_##name>::invoke, Glue<&sys_##name>::shown};
#define SYSCALL_NONE(x86, arm, name, note) t[x86] = {#name, Support::none, note, nullptr, {}};
#include "syscalls/syscalls.def"
#undef SYSCALL
#undef SYSCALL_NONE
  return t;
}();

void log_unimplemented_once(uint64_t number) {
  static std::array<std::atomic<bool>, table_size> told{};  // about the log, not the guest
  if (number >= table_size || told[number].exchange(true)) return;
  log::warning("system call {} ({}) is not implemented: ENOSYS", number, entries[number].name);
}

Result<uint64_t> invoke(Task& task, platform::Syscall const& call) {
  if (call.number >= table_size || entries[call.number].invoke == nullptr) {
    log_unimplemented_once(call.number);
    return fail(Errno::NoSys);
  }
  return entries[call.number].invoke(task, call.args);
}

std::string describe(Task& task, platform::Syscall const& call) {
  if (call.number >= table_size || entries[call.number].name.empty()) return fmt::format("syscall_{}()", call.number);
  Entry const& e = entries[call.number];
  if (e.invoke == nullptr)
    return fmt::format("{}({:#x}, {:#x}, {:#x}, …)", e.name, call.args[0], call.args[1], call.args[2]);
  std::string text(e.name);
  for (size_t i = 0; i < e.shown.size(); ++i) text.append(i == 0 ? "(" : ", ").append(e.shown[i](task, call.args[i]));
  return text.append(e.shown.empty() ? "()" : ")");
}

}  // namespace

std::span<Entry const, table_size> table() { return entries; }

kernel::SyscallDispatcher dispatcher() { return {&invoke, &describe}; }

}  // namespace cofferdam::syscalls
