// Patched call sites: a system call instruction of guest code, with its neighbours, is replaced by a jump through a
// table into a thunk, which enters the stub's trampoline without a signal.
//
// The seven bytes are `jmp *[0x0006xxxx]` (ff 24 25 and the address of a table slot). The table lies at 0x60000, so
// that the byte 0x06, which is no instruction in 64-bit mode, stands at offset 5: where `mov $nr,%eax; syscall` had its
// syscall. Code that still goes to an old instruction inside the window raises SIGILL there, and the sentry mends it.
//
// Table and thunks of a program belong to the processes that share its memory's ancestry (fork). They lie in a segment
// of one memfd that only the sentry can write.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "host/fd.h"
#include "stub/layout.h"

namespace cofferdam::platform::trap {

class PatchFile {
 public:
  static Result<std::shared_ptr<PatchFile>> create(uint64_t trampoline);
  ~PatchFile();

  static constexpr uint64_t segment_size = stub::jump_table_size + stub::thunks_size;
  int fd() const { return fd_.get(); }
  std::optional<uint32_t> allocate_segment();
  void release_segment(uint32_t segment);
  uint64_t trampoline() const { return trampoline_; }
  std::byte* segment(uint32_t index) const { return base_ + uint64_t{index} * segment_size; }

 private:
  PatchFile(host::OwnedFd fd, std::byte* base, uint64_t trampoline)
      : fd_(std::move(fd)), base_(base), trampoline_(trampoline) {}
  host::OwnedFd fd_;
  std::byte* base_;
  uint64_t const trampoline_;
  Mutex mutex_;
  std::vector<uint32_t> free_ GUARDED_BY(mutex_);
  uint32_t next_ GUARDED_BY(mutex_) = 0;
};

// What can be replaced at a system call instruction: `before` bytes in front of it and `after` behind it.
struct PatchWindow {
  uint8_t before = 0, after = 0;
  bool rex_slot = false;     // the table slot's second byte must be a prefix (see match_idiom)
  bool single_only = false;  // only while no other thread of the process runs
  uint64_t size() const { return before + 2u + after; }
};

// `code` holds guest code from `base` on; `call` is the address of the syscall instruction, `number` what rax held.
std::optional<PatchWindow> match_idiom(std::span<std::byte const> code, uint64_t base, uint64_t call, uint64_t number);

struct PatchSite {
  uint64_t start;  // first byte of the window
  PatchWindow window;
  uint64_t thunk;
  std::array<std::byte, 16> original, patched;

  uint64_t call() const { return start + window.before; }
  uint64_t end() const { return start + window.size(); }
  // Where the thunk makes the call again (an ordinary syscall instruction), and where it goes on behind the call.
  uint64_t thunk_call() const { return thunk + window.before + 15; }
  uint64_t thunk_behind() const { return thunk_call() + 2; }
  uint64_t behind() const { return window.after == 0 ? end() : thunk_behind(); }
};

class PatchSpace {
 public:
  PatchSpace(std::shared_ptr<PatchFile> file, uint32_t segment) : file_(std::move(file)), segment_(segment) {}
  ~PatchSpace();

  int fd() const { return file_->fd(); }
  uint64_t file_offset() const { return uint64_t{segment_} * PatchFile::segment_size; }

  // The site with this window, made if there is none yet. Nothing if the table is full.
  std::optional<PatchSite> add(uint64_t start, PatchWindow window, std::span<std::byte const> original);
  // The site whose window contains the address (not at its first byte); whose thunk does.
  std::optional<PatchSite> containing(uint64_t address);
  std::optional<PatchSite> of_thunk(uint64_t address);
  std::vector<PatchSite> sites();

 private:
  std::optional<uint32_t> free_slot(bool rex) REQUIRES(mutex_);
  void write_thunk(PatchSite const& site);

  std::shared_ptr<PatchFile> file_;
  uint32_t const segment_;
  Mutex mutex_;
  std::unordered_map<uint32_t, PatchSite> by_slot_ GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, uint32_t> by_byte_ GUARDED_BY(mutex_);  // every byte of a window
  uint32_t next_slot_ GUARDED_BY(mutex_) = 0, next_rex_slot_ GUARDED_BY(mutex_) = 0;
};

// What a process knows about its code: where unchanged file code is mapped, which sites call often.
class CodeMap {
 public:
  struct Range {
    uint64_t begin, end;
  };
  // [address, address+length) is a private mapping of a file, readable and executable.
  void add(uint64_t address, uint64_t length);
  void forget(uint64_t address, uint64_t length);
  std::optional<Range> find(uint64_t address);
  void copy_from(CodeMap& other);
  // Counts a call from this site; true when it has become worth a patch, once.
  bool count_call(uint64_t address);

  std::shared_ptr<PatchSpace> space() {
    MutexLock lock(mutex_);
    return space_;
  }
  void set_space(std::shared_ptr<PatchSpace> space) {
    MutexLock lock(mutex_);
    space_ = std::move(space);
    has_space_.store(space_ != nullptr, std::memory_order_release);
  }
  bool has_space() const { return has_space_.load(std::memory_order_acquire); }
  // For good: a guest that uses gs itself.
  void disable() { disabled_.store(true, std::memory_order_relaxed); }
  bool disabled() const { return disabled_.load(std::memory_order_relaxed); }

  // Counts the patches after which a stopped thread has to look whether it stands inside one.
  uint32_t generation() const { return generation_.load(std::memory_order_acquire); }
  void next_generation() { generation_.fetch_add(1, std::memory_order_release); }

  Mutex patching;  // held while text is rewritten

 private:
  struct Hit {
    uint64_t address;
    uint32_t count;
  };
  Mutex mutex_;
  std::vector<Range> ranges_ GUARDED_BY(mutex_);
  std::vector<Hit> hits_ GUARDED_BY(mutex_);
  std::shared_ptr<PatchSpace> space_ GUARDED_BY(mutex_);
  std::atomic<bool> has_space_{false}, disabled_{false};
  std::atomic<uint32_t> generation_{0};
};

}  // namespace cofferdam::platform::trap
