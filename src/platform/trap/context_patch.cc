// Rewriting of call sites in the running guest.
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "platform/trap/context.h"

namespace cofferdam::platform::trap {
namespace {

constexpr uint64_t look_around = 4096;

}  // namespace

uint64_t TrapContext::to_guest_rip(uint64_t rip) {
  if (rip < stub::thunks_address || rip >= stub::thunks_address + stub::thunks_size) return rip;
  auto const space = process().code.space();
  auto const site = space ? space->of_thunk(rip) : std::nullopt;
  if (!site) return rip;
  if (rip < site->thunk_call()) return site->start;  // nothing of it has happened that cannot happen again
  if (rip == site->thunk_call()) return site->call();
  if (rip == site->thunk_behind()) return site->call() + 2;
  return rip;
}

uint64_t TrapContext::to_thunk_rip(uint64_t rip) {
  if (!process().code.has_space()) return rip;
  auto const site = process().code.space()->containing(rip);
  if (!site || !is_patched(*site)) return rip;
  if (rip == site->call()) return site->thunk_call();
  if (rip == site->call() + 2) return site->behind();
  return rip;
}

bool TrapContext::holds(PatchSite const& site, std::span<std::byte const> text) {
  std::array<std::byte, 16> now;
  auto const bytes = std::span(now).first(site.window.size());
  return address_space_->read(site.start, bytes).value_or(0) == bytes.size() &&
         std::equal(bytes.begin(), bytes.end(), text.begin());
}

bool TrapContext::is_patched(PatchSite const& site) { return holds(site, site.patched); }

// Table and thunks of this process, mapped at its first patch.
bool TrapContext::prepare_patch_space() {
  auto& code = process().code;
  if (code.has_space()) return true;
  auto const segment = shared().patch_file->allocate_segment();
  if (!segment) return false;
  auto space = std::make_shared<PatchSpace>(shared().patch_file, *segment);
  auto const fd = static_cast<uint64_t>(space->fd());
  auto const mapped = [&](uint64_t address, uint64_t size, uint64_t protection, uint64_t offset) {
    return approved_call(SYS_mmap, {address, size, protection, MAP_SHARED | MAP_FIXED, fd, offset}) == address;
  };
  if (!mapped(stub::jump_table_address, stub::jump_table_size, PROT_READ, space->file_offset()) ||
      !mapped(stub::thunks_address, stub::thunks_size, PROT_READ | PROT_EXEC,
              space->file_offset() + stub::jump_table_size))
    return false;
  code.set_space(std::move(space));
  return true;
}

// Writes into a read-only executable mapping: the guest's own thread opens it for a moment, still executable for the
// others.
bool TrapContext::write_text(uint64_t address, std::span<std::byte const> bytes) {
  uint64_t const begin = address / page * page;
  uint64_t const length = (address + bytes.size() - begin + page - 1) / page * page;
  uint64_t const offset = stage_size;
  std::memcpy(area_->bounce().data() + offset, bytes.data(), bytes.size());
  add_op(stub::op_call_self, SYS_mprotect, {begin, length, PROT_READ | PROT_WRITE | PROT_EXEC});
  add_op(stub::op_copy_out, 0, {address, bytes.size(), offset});
  if (!hand_over(stub::resume_no) || !wait()) return false;
  bool const written = area_->control().ops[1].result == 0;
  return perform(stub::op_call_self, SYS_mprotect, {begin, length, PROT_READ | PROT_EXEC}) == 0 && written;
}

// With other threads about, in the order that lets none of them see half of it: a breakpoint first, then the tail, then
// the head. Each end of write access interrupts the CPUs that run this process, so each step is seen before the next.
bool TrapContext::install(PatchSite const& site) {
  auto const bytes = std::span(site.patched).first(site.window.size());
  if (process().live_contexts.load() == 1) return write_text(site.start, bytes);
  std::byte const breakpoint[] = {std::byte{0xcc}};
  return write_text(site.start, breakpoint) && write_text(site.start + 1, bytes.subspan(1)) &&
         write_text(site.start, bytes.first(1));
}

// Where a thread that stands inside the window could not be mended: no other thread runs meanwhile, and each looks
// where it stands before it goes on.
bool TrapContext::install_alone(PatchSite const& site) {
  if (process().live_contexts.load() == 1) return install(site);
  if (!process().hold_others(this)) return false;
  process().code.next_generation();
  bool const installed = install(site);
  process().let_go();
  return installed;
}

// Calls whose handling wants the whole state, which a trampoline stop does not have.
static bool wants_frame(uint64_t number) {
  switch (number) {
    case SYS_rt_sigreturn:
    case SYS_clone:
    case SYS_fork:
    case SYS_vfork:
    case SYS_execve:
    case SYS_execveat:
    case SYS_clone3:
      return true;
    default:
      return false;
  }
}

void TrapContext::consider_patch(uint64_t number, bool at_once) {
  if (wants_frame(number)) return;
  auto& code = process().code;
  uint64_t const call = frame().rip - 2;
  if (code.disabled() || gs_base_ != 0 || call >= stub::user_limit) return;
  if (!at_once && !code.count_call(call)) return;
  MutexLock lock(code.patching);
  auto const range = code.find(call);
  if (!range) return;
  uint64_t const begin = std::max(range->begin, call - std::min(call, look_around));
  uint64_t const end = std::min(range->end, call + look_around);
  std::vector<std::byte> text(end - begin);
  if (address_space_->read(begin, text).value_or(0) != text.size()) return;
  auto const window = match_idiom(text, begin, call, number);
  if (!window || !prepare_patch_space()) return;
  uint64_t const start = call - window->before;
  auto const site = code.space()->add(start, *window, std::span(text).subspan(start - begin, window->size()));
  if (!site || !(window->single_only ? install_alone(*site) : install(*site))) return;
  frame().rip = to_thunk_rip(frame().rip);
}

void TrapContext::unpatch_all() {
  auto& code = process().code;
  code.disable();
  if (!code.has_space()) return;
  MutexLock lock(code.patching);
  for (auto const& site : code.space()->sites())
    if (is_patched(site)) (void)write_text(site.start, std::span(site.original).first(site.window.size()));
}

// A fault inside a patched window, by a thread that was there when it was patched or that jumped there. The number of
// the call is in rax by then: the thunk's own syscall instruction makes it. Whoever is just writing the window, or
// takes the patch back, is waited for.
bool TrapContext::mend_fault(int signal) {
  auto& f = frame();
  uint64_t const rip = f.rip;
  auto const site = process().code.space()->containing(rip);
  if (!site) return false;
  MutexLock lock(process().code.patching);
  // A breakpoint at the first byte of a window that was just being written.
  bool const at_breakpoint = signal == SIGTRAP && rip == site->start + 1;
  if (signal == SIGTRAP && !at_breakpoint) return false;
  if (!is_patched(*site)) {
    if (!holds(*site, site->original) || (!at_breakpoint && rip != site->call())) return false;
    if (at_breakpoint) f.rip = site->start;
    return true;
  }
  if (at_breakpoint) {
    f.rip = site->start;
    return true;
  }
  bool const went_past_call =
      site->window.before == 2 && rip == site->call() + 5;  // over the `and` that the syscall became
  if (rip == site->call() || went_past_call) {
    f.rip = site->thunk_call();
    return true;
  }
  if (rip != site->call() + 2) return false;
  f.rip = site->behind();
  return true;
}

}  // namespace cofferdam::platform::trap
