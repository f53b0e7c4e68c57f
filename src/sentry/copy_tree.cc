#include "sentry/copy_tree.h"

#include <sys/stat.h>

#include <memory>

namespace cofferdam::sentry {

namespace {

using kernel::Attributes;
using kernel::Inode;
using kernel::NewInode;

constexpr int deepest = 128;
constexpr size_t chunk_size = 256 << 10;

Result<void> copy_data(Inode& from, Inode& to, uint64_t size) {
  auto buffer = std::make_unique<std::byte[]>(chunk_size);
  for (uint64_t at = 0; at < size;) {
    size_t const n = TRY(from.read_data(std::span(buffer.get(), chunk_size), at));
    if (n == 0) break;
    for (size_t done = 0; done < n;)
      done += TRY(to.write_data(std::span<std::byte const>(buffer.get() + done, n - done), at + done));
    at += n;
  }
  return {};
}

Result<void> copy_children(Inode& from, Inode& to, int depth);

Result<void> copy_one(Inode& child, Inode& to, std::string const& name, int depth) {
  Attributes const a = TRY(child.attributes());
  NewInode const fresh{.mode = a.mode, .uid = a.uid, .gid = a.gid, .special_device = a.special_device};
  mode_t const type = child.type();
  if (S_ISSOCK(type)) return {};
  Ref<Inode> made;
  {
    WriteLock lock(to.directory_lock());
    made = S_ISLNK(type) ? TRY(to.symlink(name, TRY(child.link_text()), fresh)) : TRY(to.create(name, fresh));
  }
  if (S_ISREG(type)) TRY(copy_data(child, *made, a.size));
  if (S_ISDIR(type)) TRY(copy_children(child, *made, depth + 1));
  return made->set_times(a.accessed, a.modified);
}

Result<void> copy_children(Inode& from, Inode& to, int depth) {
  if (depth > deepest) return fail(Errno::Loop);
  auto const entries = TRY(from.list_entries());
  for (auto const& entry : entries) {
    auto child = from.lookup(entry.name);
    if (!child && child.error() == Errno::NoEnt) continue;
    if (!child) return std::unexpected(child.error());
    TRY(copy_one(**child, to, entry.name, depth));
  }
  return {};
}

}  // namespace

Result<void> copy_tree(Inode& from, Inode& to) { return copy_children(from, to, 0); }

}  // namespace cofferdam::sentry
