// Locks on files of shared mounts, which processes of the host see and respect.
#include "fs/host/host_inode.h"
#include "host/files.h"
#include "kernel/vfs/locks.h"

namespace cofferdam::fs::host {
namespace {

using kernel::LockRange;
using kernel::LockType;
using kernel::OutsideLocks;

// All locks of the sandbox on one inode, as open-file-description locks and one flock of one host description.
class HostLocks final : public OutsideLocks {
 public:
  explicit HostLocks(HostInode& inode) : inode_(inode) {}

  Result<void> set(LockType type, LockRange range) override {
    if (type == LockType::Unlock && !fd_) return {};
    TRY(open());
    auto done = cofferdam::host::set_record_lock(fd_->get(), kind(type), range.first, range.last);
    // A lock that the host's permissions do not allow stays a matter of the sandbox.
    return !done && done.error() == Errno::BadF ? Result<void>() : done;
  }
  Result<void> set_whole(LockType type) override {
    if (type == LockType::Unlock && !fd_) return {};
    TRY(open());
    return cofferdam::host::set_whole_lock(fd_->get(), kind(type));
  }
  std::optional<Held> test(LockType type, LockRange range) override {
    bool const had = static_cast<bool>(fd_);
    if (!open()) return std::nullopt;
    auto found = cofferdam::host::test_record_lock(fd_->get(), kind(type), range.first, range.last);
    if (!had) fd_ = {};
    if (!found || !*found) return std::nullopt;
    return Held{(*found)->exclusive ? LockType::Exclusive : LockType::Shared, {(*found)->first, (*found)->last}};
  }
  void idle() override { fd_ = {}; }

 private:
  static cofferdam::host::LockKind kind(LockType type) {
    switch (type) {
      case LockType::Shared:
        return cofferdam::host::LockKind::Shared;
      case LockType::Exclusive:
        return cofferdam::host::LockKind::Exclusive;
      case LockType::Unlock:
        break;
    }
    return cofferdam::host::LockKind::None;
  }
  Result<void> open() {
    if (!fd_) fd_ = TRY(inode_.lock_fd());
    return {};
  }

  HostInode& inode_;  // whose slot holds this
  Ref<SharedFd> fd_;
};

}  // namespace

Ref<OutsideLocks> HostInode::outside_locks() {
  if (host_fs().exclusive() || (type() != S_IFREG && type() != S_IFDIR)) return {};
  return make_ref<HostLocks>(*this);
}

}  // namespace cofferdam::fs::host
