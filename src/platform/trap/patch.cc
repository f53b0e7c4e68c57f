#include "platform/trap/patch.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

namespace cofferdam::platform::trap {
namespace {

constexpr uint32_t max_segments = 1024;
constexpr uint32_t slots = stub::jump_table_size / 8;
static_assert(slots * stub::thunk_size == stub::thunks_size);
// Slots whose address has a REX prefix (0x40..0x4f) as its second byte.
constexpr uint32_t rex_begin = 0x4000 / 8, rex_end = 0x5000 / 8;
constexpr uint32_t worth_patching = 8, worth_first_patch = 64;  // calls from one site

uint8_t at(std::span<std::byte const> code, uint64_t offset) {
  return offset < code.size() ? std::to_integer<uint8_t>(code[offset]) : 0;
}

uint32_t word_at(std::span<std::byte const> code, uint64_t offset) {
  uint32_t value = 0;
  if (offset < code.size() && code.size() - offset >= 4) std::memcpy(&value, code.data() + offset, 4);
  return value;
}

// Not a short jump but the last three bytes of a move between a register and the stack, `mov %rsi,8(%rsp)` say: what
// the C library's cancellable calls are full of.
bool is_stack_move(std::span<std::byte const> code, size_t i) {
  constexpr uint8_t modrm_mask = 0xc7, sib_and_displacement = 0x44, stack_sib = 0x24;
  uint8_t const opcode = i == 0 ? uint8_t{0} : at(code, i - 1);
  return (opcode == 0x89 || opcode == 0x8b) && (at(code, i) & modrm_mask) == sib_and_displacement &&
         at(code, i + 1) == stack_sib;
}

// Does any byte sequence in `code` look like a direct jump or call to an address in (low, high)?
bool is_jumped_into(std::span<std::byte const> code, uint64_t base, uint64_t low, uint64_t high) {
  auto const inside = [&](uint64_t target) { return target > low && target < high; };
  for (size_t i = 0; i + 2 <= code.size(); ++i) {
    uint8_t const b = at(code, i);
    if ((b == 0xeb || (b >= 0x70 && b <= 0x7f) || (b >= 0xe0 && b <= 0xe3)) && !is_stack_move(code, i)) {
      if (inside(base + i + 2 + static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(at(code, i + 1))))))
        return true;
    }
    bool const near = b == 0xe8 || b == 0xe9;
    bool const conditional = b == 0x0f && (at(code, i + 1) & 0xf0) == 0x80;
    if (near || conditional) {
      size_t const displacement = i + (near ? 1 : 2);
      if (displacement + 4 > code.size()) continue;
      if (inside(base + displacement + 4 +
                 static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(word_at(code, displacement))))))
        return true;
    }
  }
  return false;
}

}  // namespace

// Three idioms:
//   mov $nr,%eax; syscall            (also mov $nr,%rax) the number in the code is the number of the call, so this is
//                                    the mov; nothing jumps into the middle of one, and what looks like it is chance
//   xor %eax,%eax; syscall; cmp $imm,%rax   the cmp starts at offset 4, where the slot address's second byte falls
//   syscall; cmp $imm,%rax           nothing inside can be mended after a jump to the cmp, hence the others are held
std::optional<PatchWindow> match_idiom(std::span<std::byte const> code, uint64_t base, uint64_t call, uint64_t number) {
  if (call < base || call + 2 > base + code.size()) return std::nullopt;
  uint64_t const o = call - base;
  if (at(code, o) != 0x0f || at(code, o + 1) != 0x05) return std::nullopt;
  bool const compares = at(code, o + 2) == 0x48 && at(code, o + 3) == 0x3d && o + 8 <= code.size();
  if (at(code, o - 7) == 0x48 && at(code, o - 6) == 0xc7 && at(code, o - 5) == 0xc0 && word_at(code, o - 4) == number)
    return PatchWindow{7, 0};
  bool const rex_before = (at(code, o - 6) & 0xf0) == 0x40;
  if (at(code, o - 5) == 0xb8 && word_at(code, o - 4) == number && !rex_before) return PatchWindow{5, 0};
  if (!compares) return std::nullopt;
  if (at(code, o - 2) == 0x31 && at(code, o - 1) == 0xc0 && number == 0 && (at(code, o - 3) & 0xf0) != 0x40 &&
      !is_jumped_into(code, base, call - 2, call + 8))
    return PatchWindow{2, 6, true};
  if (is_jumped_into(code, base, call, call + 8)) return std::nullopt;
  return PatchWindow{0, 6, false, true};
}

Result<std::shared_ptr<PatchFile>> PatchFile::create(uint64_t trampoline_address) {
  unsigned const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  host::OwnedFd fd(::memfd_create("cofferdam-thunks", flags | MFD_EXEC));
  if (!fd && errno == EINVAL) fd = host::OwnedFd(::memfd_create("cofferdam-thunks", flags));
  size_t const size = max_segments * segment_size;
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return fail_host(errno);
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (p == MAP_FAILED) return fail_host(errno);
  auto file = std::shared_ptr<PatchFile>(new PatchFile(std::move(fd), static_cast<std::byte*>(p), trampoline_address));
  if (::fcntl(file->fd(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    return fail_host(errno);
  return file;
}

PatchFile::~PatchFile() { ::munmap(base_, max_segments * segment_size); }

std::optional<uint32_t> PatchFile::allocate_segment() {
  MutexLock lock(mutex_);
  if (!free_.empty()) {
    uint32_t const index = free_.back();
    free_.pop_back();
    return index;
  }
  if (next_ == max_segments) return std::nullopt;
  return next_++;
}

void PatchFile::release_segment(uint32_t segment) {
  MutexLock lock(mutex_);
  free_.push_back(segment);
}

PatchSpace::~PatchSpace() {
  for (auto const& site : sites()) {
    uint64_t const slot = (site.thunk - stub::thunks_address) / stub::thunk_size;
    std::memset(file_->segment(segment_) + slot * 8, 0, 8);
    std::memset(file_->segment(segment_) + stub::jump_table_size + slot * stub::thunk_size, 0, stub::thunk_size);
  }
  file_->release_segment(segment_);
}

std::optional<uint32_t> PatchSpace::free_slot(bool rex) {
  if (rex) return rex_begin + next_rex_slot_ < rex_end ? std::optional(rex_begin + next_rex_slot_++) : std::nullopt;
  if (next_slot_ == rex_begin) next_slot_ = rex_end;
  return next_slot_ < slots ? std::optional(next_slot_++) : std::nullopt;
}

std::optional<PatchSite> PatchSpace::add(uint64_t start, PatchWindow window, std::span<std::byte const> original) {
  MutexLock lock(mutex_);
  if (auto it = by_byte_.find(start); it != by_byte_.end()) {
    auto const& known = by_slot_.at(it->second);
    if (known.start == start && known.window.before == window.before && known.window.after == window.after &&
        std::equal(original.begin(), original.end(), known.original.begin()))
      return known;
  }
  auto const slot = free_slot(window.rex_slot);
  if (!slot) return std::nullopt;
  PatchSite site = {start, window, stub::thunks_address + *slot * stub::thunk_size, {}, {}};
  std::copy(original.begin(), original.end(), site.original.begin());
  site.patched.fill(std::byte{0x06});
  uint32_t const target = static_cast<uint32_t>(stub::jump_table_address + *slot * 8);
  constexpr std::byte jump[3] = {std::byte{0xff}, std::byte{0x24}, std::byte{0x25}};
  std::memcpy(site.patched.data(), jump, 3);
  std::memcpy(site.patched.data() + 3, &target, 4);
  write_thunk(site);
  std::memcpy(file_->segment(segment_) + *slot * 8, &site.thunk, 8);
  for (uint64_t byte = site.start; byte < site.end(); ++byte) by_byte_[byte] = *slot;
  by_slot_[*slot] = site;
  return site;
}

// before; movabs $behind,%rcx; jmp trampoline; syscall; after; jmp end
void PatchSpace::write_thunk(PatchSite const& site) {
  std::array<std::byte, stub::thunk_size> code;
  code.fill(std::byte{0xcc});
  size_t n = 0;
  auto const put = [&](void const* bytes, size_t size) {
    std::memcpy(code.data() + n, bytes, size);
    n += size;
  };
  uint64_t const behind = site.behind(), end = site.end();
  put(site.original.data(), site.window.before);
  put("\x48\xb9", 2);
  put(&behind, 8);
  put("\xe9", 1);
  auto const trampoline = static_cast<uint32_t>(file_->trampoline() - (site.thunk + n + 4));
  put(&trampoline, 4);
  put("\x0f\x05", 2);
  put(site.original.data() + site.window.before + 2, site.window.after);
  constexpr char jump_to_what_follows[] = {'\xff', '\x25', 0, 0, 0, 0};
  put(jump_to_what_follows, sizeof jump_to_what_follows);
  put(&end, 8);
  uint64_t const offset = site.thunk - stub::thunks_address;
  std::memcpy(file_->segment(segment_) + stub::jump_table_size + offset, code.data(), code.size());
}

std::optional<PatchSite> PatchSpace::containing(uint64_t address) {
  MutexLock lock(mutex_);
  auto it = by_byte_.find(address);
  if (it == by_byte_.end()) return std::nullopt;
  PatchSite const& site = by_slot_.at(it->second);
  return site.start == address ? std::nullopt : std::optional(site);
}

std::optional<PatchSite> PatchSpace::of_thunk(uint64_t address) {
  if (address < stub::thunks_address || address >= stub::thunks_address + stub::thunks_size) return std::nullopt;
  MutexLock lock(mutex_);
  auto it = by_slot_.find(static_cast<uint32_t>((address - stub::thunks_address) / stub::thunk_size));
  return it == by_slot_.end() ? std::nullopt : std::optional(it->second);
}

std::vector<PatchSite> PatchSpace::sites() {
  MutexLock lock(mutex_);
  std::vector<PatchSite> all;
  all.reserve(by_slot_.size());
  for (auto const& [slot, site] : by_slot_) all.push_back(site);
  return all;
}

void CodeMap::add(uint64_t address, uint64_t length) {
  MutexLock lock(mutex_);
  if (ranges_.size() < 4096) ranges_.push_back({address, address + length});
}

void CodeMap::forget(uint64_t address, uint64_t length) {
  uint64_t const end = address + length;
  MutexLock lock(mutex_);
  for (size_t i = 0; i < ranges_.size();) {
    Range const r = ranges_[i];
    if (r.end <= address || r.begin >= end) {
      ++i;
      continue;
    }
    ranges_[i] = ranges_.back();
    ranges_.pop_back();
    if (r.begin < address) ranges_.push_back({r.begin, address});
    if (r.end > end) ranges_.push_back({end, r.end});
  }
}

std::optional<CodeMap::Range> CodeMap::find(uint64_t address) {
  MutexLock lock(mutex_);
  for (Range const& r : ranges_)
    if (address >= r.begin && address < r.end) return r;
  return std::nullopt;
}

void CodeMap::copy_from(CodeMap& other) {
  std::vector<Range> ranges;
  std::shared_ptr<PatchSpace> space;
  {
    MutexLock lock(other.mutex_);
    ranges = other.ranges_;
    space = other.space_;
  }
  set_space(std::move(space));
  disabled_.store(other.disabled(), std::memory_order_relaxed);
  generation_.store(other.generation(), std::memory_order_relaxed);
  MutexLock lock(mutex_);
  ranges_ = std::move(ranges);
}

bool CodeMap::count_call(uint64_t address) {
  constexpr size_t table = 256;
  MutexLock lock(mutex_);
  if (hits_.empty()) hits_.resize(table);
  Hit& hit = hits_[(address ^ address >> 8) % table];
  if (hit.address != address) hit = {address, 0};
  ++hit.count;
  // The first patch of a process has to map table and thunks: not for a program that ends at once.
  return hit.count >= (has_space() ? worth_patching : worth_first_patch) &&
         std::has_single_bit(hit.count);  // again, ever more seldom, if it failed
}

}  // namespace cofferdam::platform::trap
