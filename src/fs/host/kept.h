// What a file system keeps for some of its inodes at a cost, the least recently used given up first. Beside the inodes,
// so that the many that have nothing kept do not pay for it. The caller locks.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <list>
#include <utility>
#include <vector>

namespace cofferdam::fs::host {

class HostInode;

// T: cheap to copy, empty when default-constructed.
template <class T>
class Kept {
 public:
  explicit Kept(size_t most) : most_(most) {}

  // Empty when nothing is kept.
  T find(HostInode const& owner) {
    auto found = by_owner_.find(&owner);
    if (found == by_owner_.end()) return {};
    order_.splice(order_.begin(), order_, found->second);
    return found->second->value;
  }
  // In place of what was kept. What is given up goes to `dropped`, to be released after the caller's lock.
  void put(HostInode const& owner, T value, size_t cost, std::vector<T>& dropped) {
    drop(owner, dropped);
    order_.push_front({&owner, std::move(value), cost});
    by_owner_[&owner] = order_.begin();
    total_ += cost;
    while (total_ > most_) drop(*order_.back().owner, dropped);
  }
  void drop(HostInode const& owner, std::vector<T>& dropped) {
    auto found = by_owner_.find(&owner);
    if (found == by_owner_.end()) return;
    total_ -= found->second->cost;
    dropped.push_back(std::move(found->second->value));
    order_.erase(found->second);
    by_owner_.erase(found);
  }
  void drop_all(std::vector<T>& dropped) {
    for (auto& entry : order_) dropped.push_back(std::move(entry.value));
    order_.clear();
    by_owner_.clear();
    total_ = 0;
  }

 private:
  struct Entry {
    HostInode const* owner;
    T value;
    size_t cost;
  };
  size_t const most_;
  size_t total_ = 0;
  std::list<Entry> order_;  // most recently used first
  absl::flat_hash_map<HostInode const*, typename std::list<Entry>::iterator> by_owner_;
};

}  // namespace cofferdam::fs::host
