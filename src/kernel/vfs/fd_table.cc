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
  Ref<File> old = std::exchange(slots_[at], Slot{std::move(file), close_on_exec}).file;
  if (fd == lowest_free_) ++lowest_free_;
  return old;
}

Result<Ref<File>> FdTable::remove(int fd) {
  WriteLock lock(mutex_);
  if (fd < 0 || static_cast<size_t>(fd) >= slots_.size() || !slots_[static_cast<size_t>(fd)].file)
    return fail(Errno::BadF);
  lowest_free_ = std::min(lowest_free_, fd);
  return std::exchange(slots_[static_cast<size_t>(fd)], Slot{}).file;
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
  copy->slots_.assign(slots_.begin(), slots_.begin() + static_cast<ptrdiff_t>(used));
  copy->lowest_free_ = lowest_free_;
  return copy;
}

std::vector<Ref<File>> FdTable::remove_range(unsigned first, unsigned last) {
  std::vector<Ref<File>> taken;
  WriteLock lock(mutex_);
  for (size_t i = first; i <= last && i < slots_.size(); ++i) {
    if (!slots_[i].file) continue;
    taken.push_back(std::exchange(slots_[i], Slot{}).file);
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
    taken.push_back(std::exchange(slots_[i], Slot{}).file);
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

}  // namespace cofferdam::kernel
