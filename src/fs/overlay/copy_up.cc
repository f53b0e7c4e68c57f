// Copying a file of a lower layer into the upper one, before it is changed.
#include <algorithm>
#include <cstring>
#include <memory>

#include "fs/overlay/overlay_inode.h"

namespace cofferdam::fs::overlay {
namespace {

constexpr size_t chunk_size = 256 << 10;

bool all_zero(std::span<std::byte const> bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

// Chunks of zeros stay holes.
Result<void> OverlayInode::copy_data(Inode& from, Inode& to, uint64_t size) {
  size_t room = std::min<uint64_t>(chunk_size, size);
  auto buffer = std::make_unique<std::byte[]>(room);
  for (uint64_t at = 0; at < size;) {
    size_t n = TRY(from.read_data(std::span(buffer.get(), room), at));
    if (n == 0) break;
    auto bytes = std::span<std::byte const>(buffer.get(), n);
    bool last = at + n >= size;
    if (last || !all_zero(bytes)) {
      for (size_t done = 0; done < n;) done += TRY(to.write_data(bytes.subspan(done), at + done));
    }
    at += n;
  }
  return {};
}

void OverlayInode::publish_upper(Ref<Inode> made) {
  upper_ref_ = std::move(made);
  upper_.store(upper_ref_.get(), std::memory_order_release);
  stop_serving();  // reads of the lower file
  if (!lowers_.empty() && !S_ISDIR(type_)) fs_.note_living(upper_ref_.get(), *this);
}

// The directories of its places are in the upper layer.
Result<void> OverlayInode::copy_up_self(bool with_data) {
  MutexLock lock(copy_lock_);
  if (upper() != nullptr) return {};
  auto at = places();
  // A file without a name any more (removed, but still open) gets an upper inode without a name.
  Inode& directory = at.empty() ? *fs_.upper_root() : *at.front().parent->upper();
  Inode& lower = *lowers_.front();
  Attributes a = TRY(lower.attributes());
  NewInode fresh{.mode = a.mode, .uid = a.uid, .gid = a.gid, .special_device = a.special_device};
  Ref<Inode> made;
  if (S_ISREG(type_)) {
    made = TRY(directory.tmpfile(fresh));
    if (with_data) TRY(copy_data(lower, *made, a.size));
  } else if (at.empty()) {
    return fail(Errno::NoEnt);
  } else if (S_ISLNK(type_)) {
    made = TRY(directory.symlink(at.front().name, TRY(lower.link_text()), fresh));
  } else {
    made = TRY(directory.create(at.front().name, fresh));
  }
  if (auto names = lower.list_xattr()) {
    for (auto const& n : *names)  // what the upper layer cannot hold is left out
      if (auto value = lower.get_xattr(n)) (void)made->set_xattr(n, *value, 0);
  }
  TRY(made->set_times(a.accessed, a.modified));
  if (S_ISREG(type_)) {
    for (auto const& place : at) TRY(place.parent->upper()->link(place.name, *made));
  }
  for (auto const& place : at) place.parent->upper_changed(place.name);
  publish_upper(std::move(made));
  return {};
}

Result<void> OverlayInode::copy_up(bool with_data) {
  if (upper() != nullptr) return {};
  if (!fs_.upper_root()) return fail(Errno::RoFs);
  for (auto const& place : places()) {
    // The directories above that are not in the upper layer yet, topmost last.
    std::vector<Ref<OverlayInode>> chain;
    for (auto above = place.parent; above && above->upper() == nullptr; above = above->parent()) chain.push_back(above);
    for (auto it = chain.rbegin(); it != chain.rend(); ++it) TRY((*it)->copy_up_self(true));
  }
  return copy_up_self(with_data);
}

}  // namespace cofferdam::fs::overlay
