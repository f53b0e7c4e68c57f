// A platform whose guest is a script: its memory is a few pages of the fuzzer's bytes, its calls come from a list.
#pragma once

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>

#include "platform/platform.h"

namespace cofferdam::fuzz {

using platform::AddressSpace;
using platform::Context;

// Guest addresses: a window that shows the fuzzer's bytes again and again, a hole behind it; constants of the script.
inline constexpr uint64_t window = 0x20000000, window_size = 0x10000, hole_end = window + 2 * window_size;
inline constexpr uint64_t constants = 0x30000000, least = 0x10000, limit = 0x7ffe00000000;
inline constexpr size_t page_size = 4096, max_pages = 1024;

struct Script {
  std::vector<platform::Syscall> calls;
  std::atomic<size_t> next{0};
  std::vector<std::byte> bytes, strings;
};

class ScriptedSpace final : public AddressSpace {
 public:
  explicit ScriptedSpace(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  ScriptedSpace(ScriptedSpace const& other) : script_(other.script_), pages_(other.pages_) {}

  // Stops at the first byte that cannot be had.
  size_t load(uint64_t address, std::span<std::byte> to) {
    std::lock_guard lock(mutex_);
    size_t done = 0;
    while (done < to.size() && accessible(address + done)) {
      uint64_t const at = address + done, page = at / page_size, offset = at % page_size;
      size_t const n = std::min<size_t>(to.size() - done, page_size - offset);
      auto found = pages_.find(page);
      if (found != pages_.end())
        std::memcpy(to.data() + done, found->second.data() + offset, n);
      else
        for (size_t i = 0; i < n; ++i) to[done + i] = original(at + i);
      done += n;
    }
    return done;
  }
  size_t store(uint64_t address, std::span<std::byte const> from) {
    std::lock_guard lock(mutex_);
    size_t done = 0;
    while (done < from.size() && accessible(address + done)) {
      uint64_t const at = address + done, page = at / page_size, offset = at % page_size;
      size_t const n = std::min<size_t>(from.size() - done, page_size - offset);
      auto found = pages_.find(page);
      if (found == pages_.end()) {
        if (pages_.size() == max_pages) break;
        found = pages_.try_emplace(page).first;
        for (size_t i = 0; i < page_size; ++i) found->second[i] = original(page * page_size + i);
      }
      std::memcpy(found->second.data() + offset, from.data() + done, n);
      done += n;
    }
    return done;
  }

  Result<size_t> read(uint64_t address, std::span<std::byte> to) override { return some(load(address, to), to.size()); }
  Result<size_t> write(uint64_t address, std::span<std::byte const> from, bool) override {
    return some(store(address, from), from.size());
  }
  void kill() override { killed_ = true; }
  bool killed() const { return killed_; }
  uint64_t resident_bytes() override { return page_size; }
  Result<void> mincore(uint64_t, uint64_t, std::span<unsigned char> pages) override {
    std::ranges::fill(pages, 1);
    return {};
  }
  Usage usage() override { return {}; }

 private:
  static Result<size_t> some(size_t n, size_t wanted) {
    if (n == 0 && wanted != 0) return fail(Errno::Fault);
    return n;
  }
  static bool accessible(uint64_t at) {
    return at >= least && at < limit && (at < window + window_size || at >= hole_end);
  }
  std::byte original(uint64_t at) const {
    if (at >= window && at < window + window_size && !script_->bytes.empty())
      return script_->bytes[(at - window) % script_->bytes.size()];
    if (at >= constants && at < constants + script_->strings.size()) return script_->strings[at - constants];
    return std::byte{0};
  }

  std::shared_ptr<Script> script_;
  std::mutex mutex_;
  std::map<uint64_t, std::array<std::byte, page_size>> pages_;
  std::atomic<bool> killed_{false};
};

class ScriptedContext final : public Context {
 public:
  // Without a script: a thread or child that exits at once.
  ScriptedContext(Ref<ScriptedSpace> space, std::shared_ptr<Script> script)
      : space_(std::move(space)), script_(std::move(script)), stage_(1 << 17) {}

  AddressSpace& address_space() override { return *space_; }
  platform::Stop run() override {
    if (space_->killed()) return platform::Died{SIGKILL};
    if (interrupted_.exchange(false)) return platform::Interrupted{};
    platform::Syscall call{script_ ? uint64_t{SYS_exit_group} : uint64_t{SYS_exit}, {}};
    if (script_) {
      size_t const n = script_->next++;
      if (n < script_->calls.size()) call = script_->calls[n];
    }
    registers_.rax = call.number;
    registers_.rdi = call.args[0], registers_.rsi = call.args[1], registers_.rdx = call.args[2];
    registers_.r10 = call.args[3], registers_.r8 = call.args[4], registers_.r9 = call.args[5];
    return call;
  }
  void interrupt() override { interrupted_ = true; }
  void set_syscall_result(uint64_t rax) override { registers_.rax = rax; }
  platform::Registers registers() override { return registers_; }
  void set_registers(platform::Registers const& r) override { registers_ = r; }
  Result<void> get_xstate(std::span<std::byte> to) override {
    std::ranges::fill(to, std::byte{0});
    return {};
  }
  Result<void> set_xstate(std::span<std::byte const>) override { return {}; }
  void reset_xstate() override {}
  void set_fs_base(uint64_t base) override { registers_.fs_base = base; }

  Result<void> copy_in(uint64_t address, std::span<std::byte> to) override {
    if (space_->load(address, to) != to.size()) return fail(Errno::Fault);
    return {};
  }
  Result<void> copy_out(uint64_t address, std::span<std::byte const> from) override {
    if (space_->store(address, from) != from.size()) return fail(Errno::Fault);
    return {};
  }
  Result<std::string> copy_in_string(uint64_t address, size_t max) override {
    std::string text;
    std::byte byte;
    while (text.size() < max) {
      if (space_->load(address + text.size(), std::span(&byte, 1)) != 1) return fail(Errno::Fault);
      if (byte == std::byte{0}) return text;
      text += static_cast<char>(byte);
    }
    return fail(Errno::NameTooLong);
  }
  Result<void> zero_out(uint64_t address, uint64_t length) override {
    if (length > max_pages * page_size) return fail(Errno::Fault);
    return copy_out(address, std::vector<std::byte>(length));
  }
  size_t copy_in_partial(uint64_t address, std::span<std::byte> to) override { return space_->load(address, to); }
  size_t copy_out_partial(uint64_t address, std::span<std::byte const> from) override {
    return space_->store(address, from);
  }
  Result<void> flush() override { return {}; }
  std::span<std::byte> stage() override { return stage_; }
  Result<void> stage_out(uint64_t address, size_t n) override {
    return copy_out(address, std::span<std::byte const>(stage_).first(n));
  }
  Result<std::span<std::byte const>> stage_in(uint64_t address, size_t n) override {
    TRY(copy_in(address, std::span(stage_).first(n)));
    return std::span<std::byte const>(stage_).first(n);
  }
  Result<size_t> host_read(int fd, uint64_t address, size_t n, int64_t offset) override {
    n = std::min(n, stage_.size());
    ssize_t const got = offset < 0 ? ::read(fd, stage_.data(), n) : ::pread(fd, stage_.data(), n, offset);
    if (got < 0) return fail_host(errno);
    TRY(stage_out(address, static_cast<size_t>(got)));
    return static_cast<size_t>(got);
  }
  Result<size_t> host_write(int fd, uint64_t address, size_t n, int64_t offset) override {
    n = std::min(n, stage_.size());
    TRY(stage_in(address, n));
    ssize_t const put = offset < 0 ? ::write(fd, stage_.data(), n) : ::pwrite(fd, stage_.data(), n, offset);
    if (put < 0) return fail_host(errno);
    return static_cast<size_t>(put);
  }
  Result<uint32_t> load32(uint64_t address) override {
    uint32_t value = 0;
    TRY(copy_in(address, std::as_writable_bytes(std::span(&value, 1))));
    return value;
  }
  Result<void> store32(uint64_t address, uint32_t value) override {
    return copy_out(address, std::as_bytes(std::span(&value, 1)));
  }
  Result<uint32_t> compare_exchange32(uint64_t address, uint32_t expected, uint32_t desired) override {
    uint32_t const found = TRY(load32(address));
    if (found == expected) TRY(store32(address, desired));
    return found;
  }
  Result<uint64_t> futex_wake(uint64_t, uint32_t, bool) override { return 0; }

  Result<void> map_anonymous(uint64_t, uint64_t, int) override { return {}; }
  Result<void> map_file(uint64_t, uint64_t, int, platform::FileMapping const&) override { return {}; }
  Result<void> unmap(uint64_t, uint64_t) override { return {}; }
  Result<void> protect(uint64_t, uint64_t, int) override { return {}; }
  Result<void> remap(uint64_t, uint64_t, uint64_t, uint64_t) override { return {}; }
  Result<void> advise(uint64_t, uint64_t, int) override { return {}; }

  Result<std::unique_ptr<Context>> clone_thread(bool) override {
    return std::unique_ptr<Context>(new ScriptedContext(space_, nullptr));
  }
  void clear_at_end(uint64_t address) override { (void)store32(address, 0); }
  Result<platform::NewProcess> fork() override {
    auto space = make_ref<ScriptedSpace>(*space_);
    return platform::NewProcess{space, std::make_unique<ScriptedContext>(space, nullptr)};
  }
  Result<void> set_affinity(std::span<uint64_t const>) override { return {}; }
  int current_cpu() override { return 0; }
  AddressSpace::Usage usage() override { return {}; }
  void set_facts(Facts const&) override {}

 private:
  Ref<ScriptedSpace> space_;
  std::shared_ptr<Script> script_;
  std::vector<std::byte> stage_;
  std::atomic<bool> interrupted_{false};
  platform::Registers registers_{.rip = 0x400000, .rsp = window + 0x8000, .eflags = 0x202};
};

class ScriptedPlatform final : public platform::Platform {
 public:
  explicit ScriptedPlatform(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  std::string_view name() const override { return "script"; }
  Result<platform::NewProcess> new_process() override {
    auto space = make_ref<ScriptedSpace>(script_);
    return platform::NewProcess{space, std::make_unique<ScriptedContext>(space, script_)};
  }
  Result<Ref<platform::ProcessSource>> new_source() override { return fail(Errno::NoSys); }
  uint64_t user_limit() const override { return limit; }
  uint64_t min_address() const override { return least; }
  uint64_t vdso_address() const override { return 0; }
  uint64_t vdso_length() const override { return 0; }
  size_t xstate_size() const override { return 832; }  // x87, SSE, AVX
  int cpu_count() const override { return 2; }

 private:
  std::shared_ptr<Script> script_;
};

}  // namespace cofferdam::fuzz
