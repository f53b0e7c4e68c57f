#include "host/changes.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cstring>
#include <span>

namespace cofferdam::host {
namespace {

// Newer than Debian 12's headers.
constexpr int at_handle_fid = 0x200;
constexpr uint64_t fan_rename = 0x10000000;
constexpr uint8_t old_place_record = 10, new_place_record = 12;

constexpr uint64_t moves = FAN_MOVED_FROM | FAN_MOVED_TO;
constexpr uint64_t of_an_inode =
    FAN_ACCESS | FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE | FAN_OPEN | FAN_DELETE_SELF | FAN_MOVE_SELF;

// The file system's id, then the handle's type and bytes: as a record of an event has them.
std::string identity_of(std::span<std::byte const> fsid, file_handle const& handle, std::byte const* bytes) {
  std::string text(reinterpret_cast<char const*>(fsid.data()), fsid.size());
  text.append(reinterpret_cast<char const*>(&handle.handle_type), sizeof handle.handle_type);
  text.append(reinterpret_cast<char const*>(bytes), handle.handle_bytes);
  return text;
}

Result<std::string> identity_of(int fd) {
  struct {
    file_handle header;
    std::byte bytes[MAX_HANDLE_SZ];
  } handle{};
  int mount;
  handle.header.handle_bytes = sizeof handle.bytes;
  int r = ::name_to_handle_at(fd, "", &handle.header, &mount, AT_EMPTY_PATH | at_handle_fid);
  if (r != 0 && errno == EINVAL) {  // before Linux 6.5
    handle.header.handle_bytes = sizeof handle.bytes;
    r = ::name_to_handle_at(fd, "", &handle.header, &mount, AT_EMPTY_PATH);
  }
  struct statfs s;
  if (r != 0 || ::fstatfs(fd, &s) != 0) return fail_host(errno);
  return identity_of(std::as_bytes(std::span(&s.f_fsid, 1)), handle.header, handle.bytes);
}

// The records behind an event's header. The host's own bytes; their lengths are looked at all the same.
void read_records(std::span<std::byte const> rest, ChangeWatcher::Change& change) {
  while (rest.size() >= sizeof(fanotify_event_info_fid) + sizeof(file_handle)) {
    fanotify_event_info_fid record;
    file_handle handle;
    std::memcpy(&record, rest.data(), sizeof record);
    std::memcpy(&handle, rest.data() + sizeof record, sizeof handle);
    size_t const length = record.hdr.len, names = sizeof record + sizeof handle + handle.handle_bytes;
    if (length < names || length > rest.size()) return;
    std::string identity =
        identity_of(std::as_bytes(std::span(&record.fsid, 1)), handle, rest.data() + sizeof record + sizeof handle);
    char const* text = reinterpret_cast<char const*>(rest.data() + names);
    std::string name(text, strnlen(text, length - names));
    switch (record.hdr.info_type) {
      case FAN_EVENT_INFO_TYPE_FID:
        change.object = std::move(identity);
        break;
      case FAN_EVENT_INFO_TYPE_DFID_NAME:
      case old_place_record:
        change.directory = std::move(identity);
        change.name = std::move(name);
        break;
      case new_place_record:
        change.to_directory = std::move(identity);
        change.to_name = std::move(name);
        break;
      default:
        break;
    }
    rest = rest.subspan(length);
  }
}

}  // namespace

Result<ChangeWatcher> ChangeWatcher::create() {
  OwnedFd fd(
      ::fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME | FAN_REPORT_FID, O_RDONLY));
  if (!fd) return fail_host(errno);
  return ChangeWatcher(std::move(fd));
}

Result<std::string> ChangeWatcher::watch(int fd, uint32_t mask, bool directory) {
  uint64_t wanted = mask & of_an_inode;
  if (directory) {
    wanted |= (mask & (FAN_CREATE | FAN_DELETE)) | FAN_ONDIR | FAN_EVENT_ON_CHILD;
    if (mask & moves) wanted |= fan_rename;
  }
  auto identity = TRY(identity_of(fd));
  int r = ::fanotify_mark(fd_.get(), FAN_MARK_ADD, wanted, fd, nullptr);
  if (r != 0 && errno == EINVAL && (wanted & fan_rename))  // before Linux 5.17
    r = ::fanotify_mark(fd_.get(), FAN_MARK_ADD, (wanted & ~fan_rename) | moves, fd, nullptr);
  if (r != 0) return fail_host(errno);
  return identity;
}

void ChangeWatcher::unwatch_all() { ::fanotify_mark(fd_.get(), FAN_MARK_FLUSH, 0, AT_FDCWD, nullptr); }

std::vector<ChangeWatcher::Change> ChangeWatcher::take() {
  alignas(8) std::byte buffer[8192];
  std::vector<Change> found;
  ssize_t n = ::read(fd_.get(), buffer, sizeof buffer);
  if (n <= 0) return found;
  std::span<std::byte const> rest(buffer, static_cast<size_t>(n));
  while (rest.size() >= sizeof(fanotify_event_metadata)) {
    fanotify_event_metadata event;
    std::memcpy(&event, rest.data(), sizeof event);
    if (event.event_len < sizeof event || event.event_len > rest.size()) break;
    Change change{.mask = static_cast<uint32_t>(event.mask & IN_ALL_EVENTS),
                  .own = event.pid != 0,
                  .is_directory = (event.mask & FAN_ONDIR) != 0,
                  .overflow = (event.mask & FAN_Q_OVERFLOW) != 0};
    if (event.mask & fan_rename) change.mask |= IN_MOVE;
    read_records(rest.subspan(event.metadata_len, event.event_len - event.metadata_len), change);
    found.push_back(std::move(change));
    rest = rest.subspan(event.event_len);
  }
  return found;
}

}  // namespace cofferdam::host
