#include "kernel/vfs/dentry.h"

#include <absl/hash/hash.h>

#include <utility>

#include "kernel/vfs/notify.h"

namespace cofferdam::kernel {
namespace {

Dentry::Kind kind_of(Inode const* inode) {
  if (inode == nullptr) return Dentry::Kind::Negative;
  mode_t type = inode->type();
  if (S_ISDIR(type)) return Dentry::Kind::Directory;
  return S_ISLNK(type) ? Dentry::Kind::Symlink : Dentry::Kind::Other;
}

constexpr size_t first_buckets = 1024;
constexpr size_t eviction_steps = 32;

}  // namespace

Dentry::Dentry(Ref<Inode> inode, std::string_view name)
    : name_(name), inode_(std::move(inode)), kind_(kind_of(inode_.get())) {
  unlinked_ = !name_.empty();
}

Dentry::Dentry(Ref<Dentry> parent, std::string_view name, Ref<Inode> inode, uint32_t hash)
    : parent_(std::move(parent)), name_(name), inode_(std::move(inode)), hash_(hash), kind_(kind_of(inode_.get())) {
  revalidates_ = inode_ && inode_->file_system().revalidates();
}

// A chain of removed directories may be as long as the guest likes: no recursion from child to parent.
void Dentry::last_ref_dropped() {
  Dentry* dentry = this;
  while (dentry != nullptr) {
    Dentry* parent = dentry->parent_.release();
    if (dentry->is_unlinked() && dentry->inode_)
      if (Notifications* n = dentry->inode_->file_system().notifications()) n->dentry_gone(*dentry->inode_);
    delete dentry;
    if (parent == nullptr) return;
    if (parent->ref_count() != 1) {
      parent->unref();
      return;
    }
    dentry = parent;  // ours is the last reference, and it is in no cache: nobody can get another
  }
}

DentryCache::DentryCache(size_t limit) : limit_(limit), buckets_(first_buckets) {}

DentryCache::~DentryCache() {
  std::vector<Ref<Dentry>> dropped;
  WriteLock lock(lock_);
  for (Dentry* bucket : buckets_) {
    for (Dentry* d = bucket; d != nullptr; d = d->hash_next_) {
      d->hashed_ = false;
      dropped.push_back(Ref<Dentry>::adopt(d));
    }
  }
  buckets_.clear();
}

uint32_t DentryCache::hash(Dentry const* parent, std::string_view name) {
  return static_cast<uint32_t>(absl::HashOf(static_cast<void const*>(parent), name));
}

Dentry* DentryCache::find(Dentry const* parent, std::string_view name) const {
  uint32_t h = hash(parent, name);
  for (Dentry* d = buckets_[h & (buckets_.size() - 1)]; d != nullptr; d = d->hash_next_) {
    if (d->hash_ != h || d->parent_.get() != parent || !(d->name_ == name)) continue;
    if (!d->used_.load(std::memory_order_relaxed)) d->used_.store(true, std::memory_order_relaxed);
    return d;
  }
  return nullptr;
}

void DentryCache::link(Dentry& d) {
  d.hash_ = hash(d.parent_.get(), d.name_.view());
  Dentry*& bucket = buckets_[d.hash_ & (buckets_.size() - 1)];
  d.hash_next_ = std::exchange(bucket, &d);
  d.hashed_ = true;
  if (++count_ > buckets_.size()) grow();
}

void DentryCache::unlink(Dentry& d) {
  Dentry** at = &buckets_[d.hash_ & (buckets_.size() - 1)];
  while (*at != &d) at = &(*at)->hash_next_;
  *at = std::exchange(d.hash_next_, nullptr);
  d.hashed_ = false;
  --count_;
}

void DentryCache::grow() {
  std::vector<Dentry*> bigger(buckets_.size() * 2);
  for (Dentry* d : buckets_) {
    while (d != nullptr) {
      Dentry* next = d->hash_next_;
      Dentry*& bucket = bigger[d->hash_ & (bigger.size() - 1)];
      d->hash_next_ = std::exchange(bucket, d);
      d = next;
    }
  }
  buckets_ = std::move(bigger);
}

// A step is a look at one dentry, or at an empty bucket.
void DentryCache::evict(std::vector<Ref<Dentry>>& dropped, size_t target, size_t max_steps) {
  for (size_t step = 0; step < max_steps && count_ > target; ++step) {
    hand_ = (hand_ + 1) & (buckets_.size() - 1);
    for (Dentry *d = buckets_[hand_], *next; d != nullptr && count_ > target; d = next, ++step) {
      next = d->hash_next_;
      if (d->ref_count() != 1 || d->used_.exchange(false, std::memory_order_relaxed)) continue;
      unlink(*d);
      dropped.push_back(Ref<Dentry>::adopt(d));
    }
  }
}

Ref<Dentry> DentryCache::insert(Ref<Dentry> parent, std::string_view name, Ref<Inode> inode) {
  std::vector<Ref<Dentry>> dropped;  // released after the lock
  WriteLock lock(lock_);
  if (Dentry* found = find(parent.get(), name)) return Ref<Dentry>(found);
  Ref<Dentry> d = Ref<Dentry>::adopt(new Dentry(std::move(parent), name, std::move(inode), 0));
  d->ref();  // the cache's
  link(*d);
  if (count_ > limit_) evict(dropped, limit_, eviction_steps);
  return d;
}

Ref<Dentry> DentryCache::replace(Ref<Dentry> parent, std::string_view name, Ref<Inode> inode) {
  std::vector<Ref<Dentry>> dropped;
  WriteLock lock(lock_);
  if (Dentry* found = find(parent.get(), name)) remove(*found, false, dropped);
  Ref<Dentry> d = Ref<Dentry>::adopt(new Dentry(std::move(parent), name, std::move(inode), 0));
  d->ref();
  link(*d);
  if (count_ > limit_) evict(dropped, limit_, eviction_steps);
  return d;
}

void DentryCache::remove(Dentry& d, bool gone) {
  std::vector<Ref<Dentry>> dropped;
  WriteLock lock(lock_);
  remove(d, gone, dropped);
}

void DentryCache::remove(Dentry& d, bool gone, std::vector<Ref<Dentry>>& dropped) {
  if (gone) d.unlinked_.store(true, std::memory_order_relaxed);
  if (!d.hashed_) return;
  unlink(d);
  dropped.push_back(Ref<Dentry>::adopt(&d));
}

void DentryCache::move(Dentry& d, Ref<Dentry> new_parent, std::string_view new_name) {
  std::vector<Ref<Dentry>> dropped;
  Ref<Dentry> old_parent;
  WriteLock lock(lock_);
  if (Dentry* target = find(new_parent.get(), new_name); target != nullptr && target != &d)
    remove(*target, true, dropped);
  if (d.hashed_)
    unlink(d);
  else
    d.ref();  // the cache's
  old_parent = std::exchange(d.parent_, std::move(new_parent));
  d.name_ = SmallName(new_name);
  link(d);
}

void DentryCache::exchange(Dentry& a, Dentry& b) {
  WriteLock lock(lock_);
  for (Dentry* d : {&a, &b}) {
    if (d->hashed_)
      unlink(*d);
    else
      d->ref();
  }
  std::swap(a.parent_, b.parent_);
  a.name_.swap(b.name_);
  link(a);
  link(b);
}

void DentryCache::shrink() {
  for (size_t before = SIZE_MAX;;) {  // each round frees leaves, which makes their parents leaves
    std::vector<Ref<Dentry>> dropped;
    {
      WriteLock lock(lock_);
      evict(dropped, 0, 2 * (count_ + buckets_.size()));
    }
    size_t now = size();
    if (now >= before) return;
    before = now;
  }
}

size_t DentryCache::size() const {
  ReadLock lock(lock_);
  return count_;
}

}  // namespace cofferdam::kernel
