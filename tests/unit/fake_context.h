// A platform::Context without a guest: it keeps what it was told to map, page by page, and counts its calls.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <map>
#include <set>

#include "platform/platform.h"

namespace cofferdam::platform {

class FakeAddressSpace final : public AddressSpace {
 public:
  Result<size_t> read(uint64_t, std::span<std::byte>) override { return fail(Errno::Fault); }
  Result<size_t> write(uint64_t, std::span<std::byte const>, bool) override { return fail(Errno::Fault); }
  void kill() override {}
  uint64_t resident_bytes() override { return 0; }
  Result<void> mincore(uint64_t address, uint64_t length, std::span<unsigned char> pages) override {
    for (uint64_t i = 0; i < length / 4096; ++i) pages[i] = resident.contains(address + i * 4096);
    return {};
  }
  Usage usage() override { return {}; }
  std::set<uint64_t> resident;
};

class FakeContext final : public Context {
 public:
  struct Page {
    int protection = 0;
    int fd = -1;
    uint64_t offset = 0;
    bool shared = false;
    bool operator==(Page const&) const = default;
  };
  std::map<uint64_t, Page> pages;
  int calls = 0;
  int fail_after = -1;  // the call of this number from now fails

  AddressSpace& address_space() override { return *space; }
  Ref<FakeAddressSpace> space = make_ref<FakeAddressSpace>();

  Result<void> map_anonymous(uint64_t address, uint64_t length, int protection) override {
    TRY(count());
    for (uint64_t a = address; a < address + length; a += 4096) pages[a] = {protection};
    return {};
  }
  Result<void> map_file(uint64_t address, uint64_t length, int protection, FileMapping const& f) override {
    TRY(count());
    for (uint64_t a = address; a < address + length; a += 4096)
      pages[a] = {protection, f.host_fd, f.offset + (a - address), f.shared};
    return {};
  }
  Result<void> unmap(uint64_t address, uint64_t length) override {
    TRY(count());
    pages.erase(pages.lower_bound(address), pages.lower_bound(address + length));
    return {};
  }
  Result<void> protect(uint64_t address, uint64_t length, int protection) override {
    TRY(count());
    for (auto it = pages.lower_bound(address); it != pages.end() && it->first < address + length; ++it)
      it->second.protection = protection;
    return {};
  }
  Result<void> remap(uint64_t from, uint64_t old_length, uint64_t to, uint64_t new_length) override {
    TRY(count());
    std::map<uint64_t, Page> moved;
    for (uint64_t i = 0; i < old_length; i += 4096) moved[to + i] = pages.at(from + i);
    for (uint64_t i = old_length; i < new_length; i += 4096) {
      Page p = pages.at(from);
      if (p.fd >= 0) p.offset += i;
      moved[to + i] = p;
    }
    if (from != to) pages.erase(pages.lower_bound(from), pages.lower_bound(from + old_length));
    for (auto& [a, p] : moved) pages[a] = p;
    return {};
  }
  Result<void> advise(uint64_t, uint64_t, int) override { return count(); }

  Stop run() override { return Interrupted{}; }
  void interrupt() override {}
  void set_syscall_result(uint64_t) override {}
  Registers registers() override { return {}; }
  void set_registers(Registers const&) override {}
  Result<void> get_xstate(std::span<std::byte>) override { return {}; }
  Result<void> set_xstate(std::span<std::byte const>) override { return {}; }
  void reset_xstate() override {}
  void set_fs_base(uint64_t) override {}
  Result<void> copy_in(uint64_t, std::span<std::byte>) override { return fail(Errno::Fault); }
  Result<void> copy_out(uint64_t, std::span<std::byte const>) override { return fail(Errno::Fault); }
  Result<std::string> copy_in_string(uint64_t, size_t) override { return fail(Errno::Fault); }
  Result<void> zero_out(uint64_t, uint64_t) override { return fail(Errno::Fault); }
  size_t copy_in_partial(uint64_t, std::span<std::byte>) override { return 0; }
  size_t copy_out_partial(uint64_t, std::span<std::byte const>) override { return 0; }
  Result<void> flush() override { return {}; }
  std::span<std::byte> stage() override { return {}; }
  Result<void> stage_out(uint64_t, size_t) override { return fail(Errno::Fault); }
  Result<std::span<std::byte const>> stage_in(uint64_t, size_t) override { return fail(Errno::Fault); }
  Result<size_t> host_read(int, uint64_t, size_t, int64_t) override { return fail(Errno::Fault); }
  Result<size_t> host_write(int, uint64_t, size_t, int64_t) override { return fail(Errno::Fault); }
  Result<uint32_t> load32(uint64_t) override { return fail(Errno::Fault); }
  Result<void> store32(uint64_t, uint32_t) override { return fail(Errno::Fault); }
  Result<uint32_t> compare_exchange32(uint64_t, uint32_t, uint32_t) override { return fail(Errno::Fault); }
  Result<uint64_t> futex_wake(uint64_t, uint32_t, bool) override { return 0; }
  Result<std::unique_ptr<Context>> clone_thread(bool) override { return fail(Errno::NoSys); }
  Result<NewProcess> fork() override { return fail(Errno::NoSys); }
  Result<void> set_affinity(std::span<uint64_t const>) override { return {}; }
  int current_cpu() override { return 0; }
  AddressSpace::Usage usage() override { return {}; }
  void set_facts(Facts const&) override {}
  void clear_at_end(uint64_t) override {}

 private:
  Result<void> count() {
    ++calls;
    if (fail_after >= 0 && fail_after-- == 0) return fail(Errno::NoMem);
    return {};
  }
};

}  // namespace cofferdam::platform
