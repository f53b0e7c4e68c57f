// Host file calls relative to a directory descriptor. Names are single components (never "", ".", "..", no '/'), so
// that a call can never leave the directory: symlinks are not followed by any of these.
#pragma once

#include <linux/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/fd.h"

namespace cofferdam::host {

// Adds O_NOFOLLOW, O_CLOEXEC, O_NOCTTY and O_NONBLOCK (so that a FIFO that stands there by surprise does not block).
Result<OwnedFd> open_at(int directory, std::string_view name, int flags, mode_t mode = 0);
// The directory itself, for reading its entries.
Result<OwnedFd> open_self(int directory);
// The object at (directory, name), or of the descriptor itself when name is empty.
Result<struct ::statx> stat_at(int directory, std::string_view name);
Result<std::string> read_link_at(int directory, std::string_view name);
Result<void> make_directory_at(int directory, std::string_view name, mode_t mode);
Result<void> make_node_at(int directory, std::string_view name, mode_t mode, uint64_t device);
Result<void> make_symlink_at(std::string_view target, int directory, std::string_view name);
// A second name for (old_directory, old_name), or for the descriptor itself when old_name is empty.
Result<void> link_at(int old_directory, std::string_view old_name, int directory, std::string_view name);
Result<void> unlink_at(int directory, std::string_view name, bool is_directory);
// flags: RENAME_* of renameat2(2).
Result<void> rename_at(int old_directory, std::string_view old_name, int directory, std::string_view name,
                       unsigned flags);
// On (directory, name), or on the descriptor itself when name is empty.
Result<void> change_owner_at(int directory, std::string_view name, uid_t uid, gid_t gid);
Result<void> change_mode_at(int directory, std::string_view name, mode_t mode);
Result<void> change_times_at(int directory, std::string_view name, timespec const (&times)[2]);

Result<void> truncate_file(int fd, uint64_t size);
Result<void> allocate_file(int fd, int mode, uint64_t offset, uint64_t length);
Result<void> sync_file(int fd, bool data_only);
Result<void> sync_file_system(int fd);
Result<struct ::statfs> stat_file_system(int fd);
Result<uint64_t> seek_file(int fd, int64_t offset, int whence);
Result<size_t> read_entries(int fd, std::span<std::byte> to);  // getdents64
Result<size_t> read_at(int fd, std::span<std::byte> to, uint64_t offset);
Result<size_t> write_at(int fd, std::span<std::byte const> from, uint64_t offset);
// At the descriptor's own offset when offset < 0.
Result<size_t> read_host(int fd, std::span<std::byte> to, int64_t offset);
Result<size_t> write_host(int fd, std::span<std::byte const> from, int64_t offset);
Result<size_t> copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset, size_t n);
Result<int> access_mode(int fd);  // O_RDONLY, O_WRONLY, O_RDWR, or O_PATH

// Locks of an open file description; none of these waits. `last` is inclusive, UINT64_MAX for ever. EAGAIN: somebody
// else holds one in the way; EBADF: not open for what the lock needs.
enum class LockKind { None, Shared, Exclusive };
struct HeldLock {
  bool exclusive;
  uint64_t first, last;
};
Result<void> set_record_lock(int fd, LockKind, uint64_t first, uint64_t last);
Result<std::optional<HeldLock>> test_record_lock(int fd, LockKind, uint64_t first, uint64_t last);
Result<void> set_whole_lock(int fd, LockKind);  // flock(2)

Result<std::string> get_xattr(int fd, std::string const& name);
Result<void> set_xattr(int fd, std::string const& name, std::string_view value, int flags);
Result<void> remove_xattr(int fd, std::string const& name);
Result<std::vector<std::string>> list_xattr(int fd);

// The sentry makes files with exactly the modes that the guest's umask left.
void clear_umask();

}  // namespace cofferdam::host
