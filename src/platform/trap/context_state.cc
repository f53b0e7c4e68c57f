// Registers and the XSAVE image: both stand in the signal frame that the guest thread resumes from.
#include <linux/audit.h>

#include <cstring>

#include "platform/trap/context.h"

namespace cofferdam::platform::trap {
namespace {

constexpr uint64_t canonical_end = 0x800000000000;
constexpr size_t header_size = 64;
constexpr size_t mxcsr_offset = 24, software_offset = 464, features_offset = 512;
constexpr uint32_t magic1 = 0x46505853, magic2 = 0x46505845;

struct SoftwareBytes {  // struct _fpx_sw_bytes
  uint32_t magic1, extended_size;
  uint64_t features;
  uint32_t size, padding[7];
};
static_assert(sizeof(SoftwareBytes) == 48);

template <class T>
T load(std::span<std::byte const> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}
template <class T>
void store(std::span<std::byte> bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

}  // namespace

// The stub says where the kernel put the frame; it must lie in the signal stack with all of its parts.
bool TrapContext::accept_frame(uint32_t offset) {
  if (offset % 8 != 0 || offset < stub::altstack ||
      offset > stub::altstack_end - sizeof(stub::SignalContext) - sizeof(stub::SignalInfo))
    return false;
  frame_ = offset;
  return true;
}

void TrapContext::set_result(uint64_t rax) {
  if (trampoline_) {
    answer_ = rax;
  } else {
    frame().rax = rax;
  }
}

void TrapContext::set_syscall_result(uint64_t rax) {
  last_result_ = rax;
  set_result(rax);
}

bool TrapContext::materialise() {
  if (!trampoline_) return !dead_;
  if (!settle_queue() || !hand_over(stub::resume_materialise) || !wait()) return false;
  auto& c = area_->control();
  if (c.event != stub::event_materialised || !accept_frame(c.frame)) return break_off();
  trampoline_ = false;
  return true;
}

Registers TrapContext::registers() {
  if (trampoline_) {
    auto& s = area_->control().saved;
    uint64_t const rax = answer_ ? *answer_ : area_->control().call[STUB_REG_RAX];
    uint64_t const behind = s[STUB_SAVED_RIP], flags = s[STUB_SAVED_FLAGS];
    return {s[STUB_SAVED_R15],
            s[STUB_SAVED_R14],
            s[STUB_SAVED_R13],
            s[STUB_SAVED_R12],
            s[STUB_SAVED_RBP],
            s[STUB_SAVED_RBX],
            flags,
            s[STUB_SAVED_R10],
            s[STUB_SAVED_R9],
            s[STUB_SAVED_R8],
            rax,
            behind,
            s[STUB_SAVED_RDX],
            s[STUB_SAVED_RSI],
            s[STUB_SAVED_RDI],
            to_guest_rip(behind),
            s[STUB_SAVED_RSP],
            flags,
            fs_base_,
            gs_base_};
  }
  auto& f = frame();
  return {f.r15, f.r14,    f.r13,    f.r12,   f.rbp, f.rbx, f.r11, f.r10,
          f.r9,  f.r8,     f.rax,    f.rcx,   f.rdx, f.rsi, f.rdi, to_guest_rip(f.rip),
          f.rsp, f.eflags, fs_base_, gs_base_};
}

void TrapContext::set_registers(Registers const& r) {
  if (!materialise()) return;
  auto& f = frame();
  f.r15 = r.r15;
  f.r14 = r.r14;
  f.r13 = r.r13;
  f.r12 = r.r12;
  f.r11 = r.r11;
  f.r10 = r.r10;
  f.r9 = r.r9;
  f.r8 = r.r8;
  f.rbp = r.rbp;
  f.rbx = r.rbx;
  f.rax = r.rax;
  f.rcx = r.rcx;
  f.rdx = r.rdx;
  f.rsi = r.rsi;
  f.rdi = r.rdi;
  f.rsp = r.rsp;
  f.eflags = r.eflags;
  f.rip = to_thunk_rip(r.rip);
  if (r.fs_base != fs_base_) set_fs_base(r.fs_base);
  if (r.gs_base != gs_base_) {
    gs_base_ = r.gs_base < canonical_end ? r.gs_base : 0;
    set_bases_ |= 2;
    if (gs_base_ != 0 && !process().code.disabled()) unpatch_all();
  }
}

void TrapContext::set_fs_base(uint64_t base) {
  fs_base_ = base < canonical_end ? base : 0;  // another value would fault in the stub
  set_bases_ |= 1;
}

std::byte* TrapContext::xstate_in_frame() {
  uint64_t const offset = frame().fpstate - area_->stub_address();
  if (offset >= stub::altstack_end || stub::altstack_end - offset < shared().xstate_frame_size || offset % 64 != 0)
    return nullptr;
  return area_->at(offset);
}

Result<void> TrapContext::get_xstate(std::span<std::byte> to) {
  size_t const size = shared().xstate_size;
  if (to.size() < size) return fail(Errno::Inval);
  if (!materialise()) return fail(Errno::Srch);
  to = to.first(size);
  std::byte const* from = xstate_in_frame();
  if (from == nullptr) return fail(Errno::Srch);
  std::memcpy(to.data(), from, size);
  std::memset(to.data() + software_offset, 0, sizeof(SoftwareBytes));
  // The frame holds leftovers where a component is in its initial state.
  uint64_t const features = load<uint64_t>(to, features_offset) & shared().xstate_features;
  std::span<std::byte const> fresh = shared().fresh_xstate;
  store(to, features_offset, features);
  std::memset(to.data() + features_offset + 8, 0, header_size - 8);
  if (!(features & 1)) {
    std::memcpy(to.data(), fresh.data(), mxcsr_offset);
    std::memcpy(to.data() + 32, fresh.data() + 32, 128);
  }
  if (!(features & 6)) std::memcpy(to.data() + mxcsr_offset, fresh.data() + mxcsr_offset, 8);
  if (!(features & 2)) std::memset(to.data() + 160, 0, 256);
  for (unsigned i = 2; i < 63; ++i) {
    auto const& part = shared().xstate_parts[i];
    if ((shared().xstate_features >> i & 1) && !(features >> i & 1) && part.offset + part.size <= size)
      std::memset(to.data() + part.offset, 0, part.size);
  }
  return {};
}

void TrapContext::write_xstate(std::byte* at, std::span<std::byte const> image) {
  size_t const size = shared().xstate_size;
  std::memcpy(at, image.data(), size);
  SoftwareBytes const software = {
      magic1, static_cast<uint32_t>(size + 4), shared().xstate_features, static_cast<uint32_t>(size), {}};
  std::memcpy(at + software_offset, &software, sizeof software);
  std::memcpy(at + size, &magic2, sizeof magic2);
}

Result<void> TrapContext::set_xstate(std::span<std::byte const> from) {
  size_t const size = shared().xstate_size;
  if (from.size() < size) return fail(Errno::Inval);
  from = from.first(size);
  if (load<uint32_t>(from, mxcsr_offset) & ~shared().mxcsr_mask) return fail(Errno::Inval);
  if (load<uint64_t>(from, features_offset) & ~shared().xstate_features) return fail(Errno::Inval);
  for (size_t at = features_offset + 8; at < features_offset + header_size; at += 8)
    if (load<uint64_t>(from, at) != 0) return fail(Errno::Inval);
  if (!materialise()) return fail(Errno::Srch);
  std::byte* to = xstate_in_frame();
  if (to == nullptr) return fail(Errno::Srch);
  write_xstate(to, from);
  return {};
}

void TrapContext::reset_xstate() {
  if (!materialise()) return;
  if (std::byte* to = xstate_in_frame()) write_xstate(to, shared().fresh_xstate);
}

void TrapContext::start_from(stub::SignalContext const& context, std::span<std::byte const> xstate) {
  frame_ = stub::prepared_frame;
  stub::SignalContext c = context;
  uint64_t const self = area_->stub_address();
  c.flags = 7;  // the frame has XSTATE; ss is to be restored, strictly
  c.link = 0;
  c.stack = {self + stub::altstack, 0, 0, stub::altstack_end - stub::altstack};
  c.cs = 0x33;
  c.ss = 0x2b;
  c.gs = c.fs = 0;
  c.fpstate = self + stub::prepared_xstate;
  c.mask = 0;
  std::memcpy(area_->at(stub::prepared_frame), &c, sizeof c);
  write_xstate(area_->at(stub::prepared_xstate), xstate);
}

}  // namespace cofferdam::platform::trap
