#include "kernel/vfs/inode.h"

#include <linux/capability.h>

#include <algorithm>

#include "kernel/vfs/file.h"
#include "kernel/vfs/locks.h"
#include "kernel/vfs/path.h"

namespace cofferdam::kernel {
namespace {

// Makes *slot at first use; of two threads that race one wins.
template <class T>
T& made_once(std::atomic<T*>& slot) {
  T* found = slot.load(std::memory_order_acquire);
  if (found != nullptr) return *found;
  auto* fresh = new T;
  if (slot.compare_exchange_strong(found, fresh, std::memory_order_acq_rel)) return *fresh;
  delete fresh;
  return *found;
}

}  // namespace

Guarded<Ref<RefCounted>>& Inode::attachment(Attachment which) {
  auto& all = made_once(attachments_);
  attachments_made_.fetch_or(static_cast<uint8_t>(1u << static_cast<unsigned>(which)), std::memory_order_release);
  return all[static_cast<size_t>(which)];
}

Inode::Inode(FileSystem& fs) : file_system_(&fs) {}
Inode::~Inode() {
  delete directory_lock_.load(std::memory_order_relaxed);
  delete attachments_.load(std::memory_order_relaxed);
}

SharedMutex& Inode::directory_lock() { return made_once(directory_lock_); }

void Inode::note_service(Ref<platform::DescriptorServices> const& services) {
  file_system().note_service(services);
  served_.store(true, std::memory_order_seq_cst);
}

// All that is served of the file system: it happens seldom, and what is read much is soon served again.
void Inode::stop_serving() {
  if (served_.load(std::memory_order_relaxed) && served_.exchange(false)) file_system().stop_serving();
}

void FileSystem::note_service(Ref<platform::DescriptorServices> const& services) {
  services_.with([&](auto& all) {
    std::erase_if(all, [](auto const& s) { return s->ref_count() == 1; });  // its process is gone
    if (std::ranges::find(all, services) == all.end()) all.push_back(services);
  });
}

void FileSystem::stop_serving() {
  services_.with([](auto& all) {
    for (auto const& services : all) services->stop_all();
    all.clear();
  });
}

Ref<OutsideLocks> Inode::outside_locks() { return {}; }

Result<Path> Inode::follow_magic_link(Task&) { return fail(Errno::NoEnt); }

bool Inode::acquire_write() {
  int32_t n = write_count_.load(std::memory_order_relaxed);
  while (n >= 0)
    if (write_count_.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel)) return true;
  return false;
}

bool Inode::deny_write() {
  int32_t n = write_count_.load(std::memory_order_relaxed);
  while (n <= 0)
    if (write_count_.compare_exchange_weak(n, n - 1, std::memory_order_acq_rel)) return true;
  return false;
}

// generic_permission of Linux (path_resolution(7), capabilities(7)).
Result<void> Inode::permission(Credentials const& who, int mask) {
  Attributes a = TRY(attributes());
  auto wanted = static_cast<mode_t>(mask & 7);
  mode_t granted = a.mode;
  if (who.fsuid == a.uid)
    granted >>= 6;
  else if (who.in_group(a.gid))
    granted >>= 3;
  if ((wanted & ~granted & 7) == 0) return {};
  if (a.is_directory()) {
    if (!(wanted & 2) && who.capable(CAP_DAC_READ_SEARCH)) return {};
    if (who.capable(CAP_DAC_OVERRIDE)) return {};
    return fail(Errno::Acces);
  }
  if (wanted == 4 && who.capable(CAP_DAC_READ_SEARCH)) return {};
  if ((!(wanted & 1) || (a.mode & 0111)) && who.capable(CAP_DAC_OVERRIDE)) return {};
  return fail(Errno::Acces);
}

}  // namespace cofferdam::kernel
