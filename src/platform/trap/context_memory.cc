// Guest memory: copies, words, and changes of the address space.
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "platform/trap/context.h"
#include "platform/trap/filter.h"

namespace cofferdam::platform::trap {
namespace {

// The second half of the bounce buffer holds queued copy_outs, the first is the stage.
constexpr size_t queue_offset = TrapContext::stage_size, queue_size = stub::bounce_size - queue_offset;
static_assert(stub::bounce + queue_offset == stub::queued_bytes);

bool is_copy_out(uint32_t kind) {
  return kind == stub::op_copy_out || kind == stub::op_copy_along || kind == stub::op_zero;
}

uint64_t to_page_end(uint64_t address) { return page - address % page; }

// A host call's result as the stub reports it (forgeable, so only what the guest may believe hangs on it).
Result<void> to_result(std::optional<uint64_t> value) {
  if (!value) return fail(Errno::Srch);
  auto const signed_value = static_cast<int64_t>(*value);
  if (signed_value < 0 && signed_value >= -4095) return fail_host(static_cast<int>(-signed_value));
  return {};
}

}  // namespace

size_t TrapContext::read_guest(uint64_t address, std::byte* to, size_t n) {
  auto r = address_space_->read(address, {to, n});
  if (r) return *r;
  if (r.error() != Errno::Perm) return 0;
  // Where process_vm_readv is forbidden the stub thread copies.
  size_t done = 0;
  while (done < n) {
    size_t const chunk = std::min(n - done, stage_size);
    auto const left = perform(stub::op_copy_in, 0, {address + done, chunk, 0});
    if (!left || *left > chunk) return done;
    std::memcpy(to + done, area_->bounce().data(), chunk - *left);
    done += chunk - *left;
    if (*left != 0) break;
  }
  return done;
}

size_t TrapContext::write_guest(uint64_t address, std::byte const* from, size_t n) {
  auto r = address_space_->write(address, {from, n}, false);
  if (r) return *r;
  if (r.error() != Errno::Perm) return 0;
  size_t done = 0;
  while (done < n) {
    size_t const chunk = std::min(n - done, stage_size);
    std::memmove(area_->bounce().data(), from + done, chunk);
    auto const left = perform(stub::op_copy_out, 0, {address + done, chunk, 0});
    if (!left || *left > chunk) return done;
    done += chunk - *left;
    if (*left != 0) break;
  }
  return done;
}

Result<void> TrapContext::flush() {
  if (op_count_ == 0) return dead_ ? Result<void>(fail(Errno::Srch)) : Result<void>();
  auto const is_copy = [](QueuedOp const& q) { return is_copy_out(q.op.kind) && q.op.kind != stub::op_zero; };
  if (!std::all_of(queued_.begin(), queued_.begin() + op_count_, is_copy)) return run_queue();
  bool fault = false;
  uint32_t const count = std::exchange(op_count_, 0);
  queue_bytes_ = 0;
  for (uint32_t i = 0; i < count; ++i) {
    auto const& copy = queued_[i].op;
    auto const bytes = copy.kind == stub::op_copy_along
                           ? std::as_bytes(std::span(copy.a).subspan(2))
                           : std::span<std::byte const>(area_->bounce().subspan(copy.a[2]));
    size_t const done = fault ? 0 : write_guest(copy.a[0], bytes.data(), copy.a[1]);
    fault |= done != copy.a[1];
    if (queued_[i].is_data) data_missing_ += copy.a[1] - done;
  }
  if (dead_) return fail(Errno::Srch);
  if (fault) return fail(Errno::Fault);
  return {};
}

// Has the stub do what is queued. A memory call that fails here had been reported as done: the process ends, unless it
// has not begun yet (execve).
Result<void> TrapContext::run_queue() {
  if (!hand_over(stub::resume_no) || !await_queued() || !wait()) return fail(Errno::Srch);
  for (size_t i = 0; i < queued_count_; ++i) {
    uint64_t const result = result_of(i);
    auto const& op = queued_[i].op;
    bool const is_call = op.kind == stub::op_call_self || op.kind == stub::op_call_notify;
    if (is_call && result >= -4095ull) {
      log::info("trap: a queued memory call at {:#x} failed: {}", op.a[0], static_cast<int64_t>(result));
      if (in_syscall_) break_off();
      return fail_host(static_cast<int>(-static_cast<int64_t>(result)));
    }
    if (!is_call && result != 0) return fail(Errno::Fault);
  }
  return {};
}

// Queued calls are fused with the resume. With other threads about each is made at once, for they see its effects.
bool TrapContext::can_queue() {
  if (process().live_contexts.load(std::memory_order_relaxed) != 1 || shared().options.approve_all_memory_calls)
    return false;
  // In a call, copies come last: one that fails only changes the result.
  bool const copies_wait = in_syscall_ && op_count_ != 0 && is_copy_out(queued_[op_count_ - 1].op.kind);
  if (op_count_ == stub::max_ops || copies_wait) return settle_queue();
  return !dead_;
}

void TrapContext::queue_memory_call(uint32_t kind, uint32_t number, std::array<uint64_t, 6> const& arguments,
                                    bool is_mapping) {
  add_op(kind, number, arguments).is_mapping = is_mapping;
}

// Before anything that must come after queued copy_outs. A fault among them is remembered for run().
bool TrapContext::settle_queue() {
  if (op_count_ != 0 && !flush()) queue_fault_ = true;
  return !dead_;
}

// The bytes from this address on that the call brought along. The record is the guest's word for them, and so only the
// guest is fooled by a false one; its bounds are checked here.
std::span<std::byte const> TrapContext::hinted(uint64_t address) {
  if (!hints_valid_) return {};
  auto& hint = area_->hint();
  uint64_t const start = hint.address;
  uint64_t const length = std::min<uint64_t>(uint64_t{hint.length}, stub::hint_bytes_size);
  if (address < start || address - start >= length) return {};
  return {area_->at(stub::hint_bytes + (address - start)), length - (address - start)};
}

size_t TrapContext::copy_in_partial(uint64_t address, std::span<std::byte> to) {
  if (to.empty() || address >= stub::user_limit) return 0;
  if (auto const along = hinted(address); along.size() >= to.size()) {
    std::memcpy(to.data(), along.data(), to.size());
    return to.size();
  }
  if (!settle_queue()) return 0;
  return read_guest(address, to.data(), std::min(to.size(), stub::user_limit - address));
}

size_t TrapContext::copy_out_partial(uint64_t address, std::span<std::byte const> from) {
  if (from.empty() || address >= stub::user_limit) return 0;
  hints_valid_ = false;
  if (!settle_queue()) return 0;
  return write_guest(address, from.data(), std::min(from.size(), stub::user_limit - address));
}

Result<void> TrapContext::copy_in(uint64_t address, std::span<std::byte> to) {
  if (!is_guest_range(address, to.size())) return fail(Errno::Fault);
  if (copy_in_partial(address, to) != to.size()) return fail(Errno::Fault);
  return {};
}

Result<void> TrapContext::copy_out(uint64_t address, std::span<std::byte const> from) {
  return queue_copy_out(address, from, false);
}

Result<void> TrapContext::copy_out_data(uint64_t address, std::span<std::byte const> from) {
  return queue_copy_out(address, from, true);
}

Result<void> TrapContext::queue_copy_out(uint64_t address, std::span<std::byte const> from, bool is_data) {
  if (from.empty()) return {};
  if (!is_guest_range(address, from.size())) return fail(Errno::Fault);
  hints_valid_ = false;
  if ((!in_syscall_ && !fresh_) || from.size() > queue_size) {
    if (copy_out_partial(address, from) != from.size()) return fail(Errno::Fault);
    return {};
  }
  if (op_count_ == stub::max_ops || queue_bytes_ + from.size() > queue_size) {
    if (!settle_queue()) return fail(Errno::Srch);
  }
  if (from.size() <= stub::max_along) {
    auto& queued = add_op(stub::op_copy_along, 0, {address, from.size()});
    std::memcpy(&queued.op.a[2], from.data(), from.size());
    queued.is_data = is_data;
    return {};
  }
  size_t const offset = queue_offset + queue_bytes_;
  std::memcpy(area_->bounce().data() + offset, from.data(), from.size());
  queue_bytes_ += (from.size() + 63) / 64 * 64;
  add_op(stub::op_copy_out, 0, {address, from.size(), offset}).is_data = is_data;
  return {};
}

Result<std::string> TrapContext::copy_in_string(uint64_t address, size_t max) {
  if (auto const along = hinted(address); !along.empty()) {
    std::string text(reinterpret_cast<char const*>(along.data()), std::min(along.size(), max));
    if (auto const nul = text.find('\0'); nul != std::string::npos) {
      text.resize(nul);
      return text;
    }
  }
  std::string text;
  while (text.size() < max) {
    size_t const old = text.size();
    size_t const chunk = std::min({max - old, to_page_end(address + old), size_t{256}});
    text.resize(old + chunk);
    size_t const got = copy_in_partial(address + old, std::as_writable_bytes(std::span(text)).subspan(old));
    auto const nul = text.find('\0', old);
    if (nul != std::string::npos && nul < old + got) {
      text.resize(nul);
      return text;
    }
    if (got < chunk) return fail(Errno::Fault);
  }
  return fail(Errno::NameTooLong);
}

Result<void> TrapContext::zero_out(uint64_t address, uint64_t length) {
  if (length == 0) return {};
  if (!is_guest_range(address, length)) return fail(Errno::Fault);
  hints_valid_ = false;
  if (fresh_ ? can_queue() : in_syscall_ && length <= page && op_count_ < stub::max_ops) {
    bool const along = in_syscall_ && length <= stub::max_along;
    add_op(along ? stub::op_copy_along : stub::op_zero, 0, {address, length}).is_data = in_syscall_;
    return {};
  }
  auto const left = perform(stub::op_zero, 0, {address, length});
  if (!left) return fail(Errno::Srch);
  if (*left != 0) return fail(Errno::Fault);
  return {};
}

Result<void> TrapContext::stage_out(uint64_t address, size_t n) {
  if (n == 0) return {};
  if (n > stage_size || !is_guest_range(address, n)) return fail(Errno::Fault);
  hints_valid_ = false;
  if (!in_syscall_ || op_count_ == stub::max_ops) {
    if (copy_out_partial(address, stage().first(n)) != n) return fail(Errno::Fault);
    return {};
  }
  auto& queued = n <= stub::max_along ? add_op(stub::op_copy_along, 0, {address, n})
                                      : add_op(stub::op_copy_out, 0, {address, n, 0});
  queued.is_data = true;
  if (n <= stub::max_along) std::memcpy(&queued.op.a[2], stage().data(), n);
  return {};
}

Result<std::span<std::byte const>> TrapContext::stage_in(uint64_t address, size_t n) {
  n = std::min(n, stage_size);
  if (!is_guest_range(address, n) || copy_in_partial(address, stage().first(n)) != n) return fail(Errno::Fault);
  return stage().first(n);
}

Result<size_t> TrapContext::host_read(int host_fd, uint64_t address, size_t n, int64_t offset) {
  if (!settle_queue()) return fail(Errno::Srch);
  size_t done = 0;
  while (done < n) {
    size_t const chunk = std::min(n - done, stage_size);
    ssize_t const got = offset >= 0 ? ::pread(host_fd, stage().data(), chunk, offset + static_cast<off_t>(done))
                                    : ::read(host_fd, stage().data(), chunk);
    if (got < 0 && done == 0) return fail_host(errno);
    if (got <= 0) break;
    if (done == 0 && in_syscall_ && (static_cast<size_t>(got) < chunk || chunk == n) &&
        is_guest_range(address, static_cast<size_t>(got))) {
      // All there is: it lands with the resume. If memory ends early, so does the result.
      TRY(stage_out(address, static_cast<size_t>(got)));
      return static_cast<size_t>(got);
    }
    size_t const put = copy_out_partial(address + done, stage().first(static_cast<size_t>(got)));
    done += put;
    if (put != static_cast<size_t>(got)) {
      if (done == 0) return fail(Errno::Fault);
      break;
    }
    if (static_cast<size_t>(got) < chunk) break;
  }
  return done;
}

Result<size_t> TrapContext::host_write(int host_fd, uint64_t address, size_t n, int64_t offset) {
  size_t done = 0;
  while (done < n) {
    size_t const chunk = copy_in_partial(address + done, stage().first(std::min(n - done, stage_size)));
    if (chunk == 0) {
      if (done == 0) return fail(Errno::Fault);
      break;
    }
    ssize_t const put = offset >= 0 ? ::pwrite(host_fd, stage().data(), chunk, offset + static_cast<off_t>(done))
                                    : ::write(host_fd, stage().data(), chunk);
    if (put < 0 && done == 0) return fail_host(errno);
    if (put <= 0) break;
    done += static_cast<size_t>(put);
    if (static_cast<size_t>(put) < chunk) break;
  }
  return done;
}

Result<uint32_t> TrapContext::load32(uint64_t address) {
  if (address % 4 != 0 || !is_guest_range(address, 4)) return fail(Errno::Fault);
  auto const value = perform(stub::op_load32, 0, {address});
  TRY(to_result(value));
  return static_cast<uint32_t>(*value);
}

Result<void> TrapContext::store32(uint64_t address, uint32_t value) {
  if (address % 4 != 0 || !is_guest_range(address, 4)) return fail(Errno::Fault);
  hints_valid_ = false;
  return to_result(perform(stub::op_exchange32, 0, {address, value}));
}

Result<uint32_t> TrapContext::compare_exchange32(uint64_t address, uint32_t expected, uint32_t desired) {
  if (address % 4 != 0 || !is_guest_range(address, 4)) return fail(Errno::Fault);
  auto const found = perform(stub::op_compare_exchange32, 0, {address, expected, desired});
  TRY(to_result(found));
  return static_cast<uint32_t>(*found);
}

Result<uint64_t> TrapContext::futex_wake(uint64_t address, uint32_t count, bool shared) {
  if (!is_guest_range(address, 4)) return fail(Errno::Fault);
  uint64_t const operation = shared ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE;
  auto const woken = perform(stub::op_call_futex, 0, {address, operation, count});
  TRY(to_result(woken));
  return *woken;
}

std::optional<uint64_t> TrapContext::approved_call(uint32_t number, std::array<uint64_t, 6> const& arguments) {
  if (!settle_queue()) return std::nullopt;
  Approver::Request request(thread_, number, arguments);
  Approver& approver = *shared().approver;
  approver.announce(request);
  add_op(stub::op_call_notify, number, arguments);
  bool approved = hand_over(stub::resume_no) && approver.await(request, [this] { return has_turn_back(); });
  approver.withdraw(request);
  if (!approved) {
    // The stub came back without making the call, or is gone: nothing it says about it is of use.
    break_off();
    return std::nullopt;
  }
  if (!wait()) return std::nullopt;
  return area_->control().ops[0].result;
}

Result<void> TrapContext::memory_call(uint32_t number, std::array<uint64_t, 6> const& arguments, bool self_checked,
                                      When when) {
  if (self_checked && !shared().options.approve_all_memory_calls) {
    if (when == When::AtOnce || !can_queue()) return to_result(perform(stub::op_call_self, number, arguments));
    queue_memory_call(stub::op_call_self, number, arguments, number == SYS_mmap);
    return {};
  }
  return to_result(approved_call(number, arguments));
}

void TrapContext::forget_code(uint64_t address, uint64_t length) {
  hints_valid_ = false;
  if (shared().patch_file) process().code.forget(address, length);
}

Result<void> TrapContext::map_anonymous(uint64_t address, uint64_t length, int protection) {
  if (!is_guest_range(address, length) || (protection & ~7)) return fail(Errno::Inval);
  uint64_t const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  forget_code(address, length);
  return memory_call(SYS_mmap, {address, length, static_cast<uint64_t>(protection), flags, ~0ull, 0}, length >> 32 == 0,
                     When::MayQueue);
}

Result<void> TrapContext::map_file(uint64_t address, uint64_t length, int protection, FileMapping const& file) {
  if (!is_guest_range(address, length) || (protection & ~7)) return fail(Errno::Inval);
  // A number of its own: it is not used again before this thread was seen to do something that it cannot forge, for an
  // approval proves only that the call began.
  host::OwnedFd fd(::fcntl(file.host_fd, F_DUPFD_CLOEXEC, 0));
  if (!fd) return fail_host(errno);
  forget_code(address, length);
  uint64_t const flags = MAP_FIXED | (file.shared ? MAP_SHARED : MAP_PRIVATE);
  std::array<uint64_t, 6> const arguments = {
      address, length, static_cast<uint64_t>(protection), flags, static_cast<uint64_t>(fd.get()), file.offset};
  Result<void> r;
  if (can_queue()) {
    queue_memory_call(stub::op_call_notify, SYS_mmap, arguments, true);
    queued_requests_.push_back(std::make_unique<Approver::Request>(thread_, SYS_mmap, arguments));
    queued_fds_.push_back(std::move(fd));
  } else {
    auto const result = approved_call(SYS_mmap, arguments);
    if (result) mapped_fds_.clear();
    r = to_result(result);
    mapped_fds_.push_back(std::move(fd));
  }
  if (r && !file.shared && protection == (PROT_READ | PROT_EXEC) && shared().patch_file)
    process().code.add(address, length);
  return r;
}

Result<void> TrapContext::unmap(uint64_t address, uint64_t length) {
  if (!is_guest_range(address, length)) return fail(Errno::Inval);
  forget_code(address, length);
  return memory_call(SYS_munmap, {address, length}, length >> 32 == 0, When::MayQueue);
}

Result<void> TrapContext::protect(uint64_t address, uint64_t length, int protection) {
  if (!is_guest_range(address, length) || (protection & ~7)) return fail(Errno::Inval);
  forget_code(address, length);
  return memory_call(SYS_mprotect, {address, length, static_cast<uint64_t>(protection)}, length >> 32 == 0,
                     When::MayQueue);
}

Result<void> TrapContext::remap(uint64_t address, uint64_t old_length, uint64_t new_address, uint64_t new_length) {
  if (!is_guest_range(address, old_length) || !is_guest_range(new_address, new_length) || !is_guest_range(address, 0))
    return fail(Errno::Inval);
  bool const move = new_address != address;
  bool const small = (old_length | new_length) >> 32 == 0;
  uint64_t const flags = move ? MREMAP_MAYMOVE | MREMAP_FIXED : 0;
  if (!move && !is_guest_range(address, new_length)) return fail(Errno::NoMem);
  forget_code(address, old_length);
  forget_code(new_address, new_length);
  return memory_call(SYS_mremap, {address, old_length, new_length, flags, move ? new_address : 0}, small, When::AtOnce);
}

Result<void> TrapContext::advise(uint64_t address, uint64_t length, int advice) {
  if (!is_guest_range(address, length) || advice < 0 || advice > 31 || !(harmless_advice >> advice & 1))
    return fail(Errno::Inval);
  return memory_call(SYS_madvise, {address, length, static_cast<uint64_t>(advice)}, length >> 32 == 0, When::AtOnce);
}

}  // namespace cofferdam::platform::trap
