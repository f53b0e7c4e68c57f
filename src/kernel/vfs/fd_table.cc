#include "kernel/vfs/fd_table.h"

#include <algorithm>
#include <utility>

#include "kernel/vfs/mount.h"

namespace cofferdam::kernel {

Result<Ref<File>> FdTable::get(int fd, bool allow_path) const {
  ReadLock lock(mutex_);
  if (fd < 0 || static_cast<size_t>(fd) >= slots_.size()) return fail(Errno::BadF);
  Ref<File> const& file = slots_[static_cast<size_t>(fd)].file;
  if (!file || (!allow_path && (file->flags() & O_PATH))) return fail(Errno::BadF);
  return file;
}

Result<int> FdTable::install(Ref<File> file, bool close_on_exec, uint64_t limit, int minimum) {
  WriteLock lock(mutex_);
  auto at = static_cast<size_t>(std::max(minimum, lowest_free_));
  while (at < slots_.size() && slots_[at].file) ++at;
  if (at >= limit || at > INT32_MAX - 1) return fail(Errno::MFile);
  if (at >= slots_.size()) slots_.resize(std::max<size_t>(at + 1, std::min<size_t>(slots_.size() * 2, at + 4096)));
  slots_[at] = {std::move(file), close_on_exec};
  if (minimum <= lowest_free_) lowest_free_ = static_cast<int>(at) + 1;
  return static_cast<int>(at);
}

Result<Ref<File>> FdTable::install_at(int fd, Ref<File> file, bool close_on_exec, uint64_t limit) {
  if (fd < 0 || static_cast<uint64_t>(fd) >= limit) return fail(Errno::BadF);
  WriteLock lock(mutex_);
  auto at = static_cast<size_t>(fd);
  if (at >= slots_.size()) slots_.resize(at + 1);
  Ref<File> old = replace(at, Slot{std::move(file), close_on_exec});
  if (fd == lowest_free_) ++lowest_free_;
  return old;
}

Result<Ref<File>> FdTable::remove(int fd) {
  WriteLock lock(mutex_);
  if (fd < 0 || static_cast<size_t>(fd) >= slots_.size() || !slots_[static_cast<size_t>(fd)].file)
    return fail(Errno::BadF);
  lowest_free_ = std::min(lowest_free_, fd);
  return replace(static_cast<size_t>(fd), Slot{});
}

Result<bool> FdTable::close_on_exec(int fd) const {
  ReadLock lock(mutex_);
  if (fd < 0 || static_cast<size_t>(fd) >= slots_.size() || !slots_[static_cast<size_t>(fd)].file)
    return fail(Errno::BadF);
  return slots_[static_cast<size_t>(fd)].close_on_exec;
}

Result<void> FdTable::set_close_on_exec(int fd, bool on) {
  WriteLock lock(mutex_);
  if (fd < 0 || static_cast<size_t>(fd) >= slots_.size() || !slots_[static_cast<size_t>(fd)].file)
    return fail(Errno::BadF);
  slots_[static_cast<size_t>(fd)].close_on_exec = on;
  return {};
}

Ref<FdTable> FdTable::clone() const {
  auto copy = make_ref<FdTable>();
  ReadLock lock(mutex_);
  WriteLock other(copy->mutex_);
  size_t used = slots_.size();
  while (used > 0 && !slots_[used - 1].file) --used;
  copy->slots_.reserve(used);
  for (size_t i = 0; i < used; ++i) copy->slots_.emplace_back(slots_[i].file, slots_[i].close_on_exec);
  copy->lowest_free_ = lowest_free_;
  return copy;
}

std::vector<Ref<File>> FdTable::remove_range(unsigned first, unsigned last) {
  std::vector<Ref<File>> taken;
  WriteLock lock(mutex_);
  for (size_t i = first; i <= last && i < slots_.size(); ++i) {
    if (!slots_[i].file) continue;
    taken.push_back(replace(i, Slot{}));
    lowest_free_ = std::min(lowest_free_, static_cast<int>(i));
  }
  return taken;
}

void FdTable::set_close_on_exec_range(unsigned first, unsigned last) {
  WriteLock lock(mutex_);
  for (size_t i = first; i <= last && i < slots_.size(); ++i)
    if (slots_[i].file) slots_[i].close_on_exec = true;
}

std::vector<Ref<File>> FdTable::take_close_on_exec() {
  std::vector<Ref<File>> taken;
  WriteLock lock(mutex_);
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].file || !slots_[i].close_on_exec) continue;
    taken.push_back(replace(i, Slot{}));
    lowest_free_ = std::min(lowest_free_, static_cast<int>(i));
  }
  return taken;
}

std::vector<Ref<File>> FdTable::take_all() { return remove_range(0, UINT32_MAX); }

std::vector<int> FdTable::descriptors() const {
  std::vector<int> open;
  ReadLock lock(mutex_);
  for (size_t i = 0; i < slots_.size(); ++i)
    if (slots_[i].file) open.push_back(static_cast<int>(i));
  return open;
}

size_t FdTable::capacity() const {
  ReadLock lock(mutex_);
  size_t n = 64;
  while (n < slots_.size()) n *= 2;
  return n;
}

Ref<File> FdTable::replace(size_t at, Slot with) {
  stop_slot(at);
  return std::exchange(slots_[at], std::move(with)).file;
}

void FdTable::stop_slot(size_t at) {
  Slot& slot = slots_[at];
  if (!slot.served) return;
  auto const fd = static_cast<int>(at);
  if (slot.positioned) {
    // Of a thread that runs on meanwhile this is where it stood a moment ago.
    // Where the lock is held that thread is in a call, and what the platform knew was taken before.
    if (auto const now = services_->position(fd); now && *now != slot.known_position) {
      if (slot.file->position_lock.try_lock()) {
        slot.file->position = *now;
        slot.file->position_lock.unlock();
      }
    }
    std::erase(positioned_, fd);
  }
  services_->stop(fd);
  slot.served = slot.positioned = false;
}

bool FdTable::start_serving(int fd, File const& file, Ref<platform::DescriptorServices> const& services,
                            platform::PreparedService const& prepared) {
  WriteLock lock(mutex_);
  auto const at = static_cast<size_t>(fd);
  bool const is_it = fd >= 0 && at < slots_.size() && slots_[at].file.get() == &file;
  bool const others = services_ != services && std::ranges::any_of(slots_, [](Slot const& s) { return s.served; });
  if (!is_it || others) {
    services->discard(prepared);
    return false;
  }
  services_ = services;
  stop_slot(at);
  if (!services_->start(fd, prepared)) return false;
  slots_[at].served = true;
  if (prepared.service.position) {
    slots_[at].positioned = true;
    slots_[at].known_position = *prepared.service.position;
    positioned_.push_back(fd);
  }
  return true;
}

void FdTable::stop_serving() {
  WriteLock lock(mutex_);
  if (!services_) return;
  for (size_t i = 0; i < slots_.size(); ++i) stop_slot(i);
  services_ = {};
}

void FdTable::stop_serving(int fd) {
  WriteLock lock(mutex_);
  if (fd >= 0 && static_cast<size_t>(fd) < slots_.size()) stop_slot(static_cast<size_t>(fd));
}

void FdTable::stop_serving_positions() {
  WriteLock lock(mutex_);
  while (!positioned_.empty()) stop_slot(static_cast<size_t>(positioned_.back()));
}

void FdTable::take_served() {
  WriteLock lock(mutex_);
  if (!services_) return;
  for (int const fd : services_->used()) {
    auto const at = static_cast<size_t>(fd);
    if (at >= slots_.size() || !slots_[at].served) continue;
    Slot& slot = slots_[at];
    slot.file->note_served_reads();
    if (auto const now = slot.positioned ? services_->position(fd) : std::nullopt) {
      slot.known_position = *now;
      MutexLock position_lock(slot.file->position_lock);
      slot.file->position = *now;
    }
    if (!services_->serves(fd)) stop_slot(at);
  }
}

void FdTable::give_positions() {
  WriteLock lock(mutex_);
  for (int const fd : positioned_) {
    Slot& slot = slots_[static_cast<size_t>(fd)];
    MutexLock position_lock(slot.file->position_lock);
    if (slot.file->position == slot.known_position) continue;
    slot.known_position = slot.file->position;
    services_->set_position(fd, slot.known_position);
  }
}

}  // namespace cofferdam::kernel
