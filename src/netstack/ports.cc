#include "netstack/ports.h"

#include <algorithm>

namespace cofferdam::netstack {

void PortBinding::last_ref_dropped() {
  auto& shard = ports_.shard_of(port_);
  {
    MutexLock lock(shard.mutex);
    auto at = shard.bindings.find(port_);
    if (at != shard.bindings.end()) {
      auto& list = at->second;
      list.erase(std::remove(list.begin(), list.end(), this), list.end());
      if (list.empty()) shard.bindings.erase(at);
    }
  }
  delete this;
}

bool PortBinding::covers(Address const& a) const {
  if (address_ == a) return true;
  if (address_ == Address::any_v4()) return a.is_v4();
  return address_ == Address::any_v6() && (!v6_only_ || !a.is_v4());
}

bool PortBinding::overlaps(PortBinding const& o) const {
  uint32_t const here = interface, there = o.interface;
  if (here != 0 && there != 0 && here != there) return false;
  return covers(o.address_) || o.covers(address_);
}

// inet_csk_bind_conflict of Linux and its UDP sibling.
bool Ports::conflict(PortBinding const& a, PortBinding const& b, bool listening) const {
  if (!a.overlaps(b)) return false;
  if (a.reuse_port && b.reuse_port && a.uid_ == b.uid_) return false;
  if (!a.reuse_address || !b.reuse_address) return true;
  return rules_ == Rules::Tcp && (listening || b.listening_);
}

Result<Ref<PortBinding>> Ports::try_bind(BindRequest const& request, RefCounted* owner) {
  auto binding = make_ref<PortBinding>(*this, request, false);
  auto& shard = shard_of(request.port);
  bool in_use;
  {
    MutexLock lock(shard.mutex);
    auto& list = shard.bindings[request.port];
    in_use = std::any_of(list.begin(), list.end(), [&](auto* b) { return conflict(*binding, *b, false); });
    if (!in_use) {
      binding->owner_ = owner;
      list.push_back(binding.get());
    }
  }
  if (in_use) return fail(Errno::AddrInUse);
  return binding;
}

unsigned Ports::random_below(unsigned n) {
  uint32_t r;
  environment_.random(std::as_writable_bytes(std::span(&r, 1)));
  return r % n;
}

Result<Ref<PortBinding>> Ports::bind(BindRequest request, RefCounted* owner) {
  if (request.port != 0) return try_bind(request, owner);
  if (request.first_port > request.last_port) return fail(Errno::AddrInUse);
  unsigned const count = request.last_port - request.first_port + 1u, start = random_below(count);
  // First ports that nobody has; only then those that may be shared.
  for (unsigned round = 0; round < 2; ++round)
    for (unsigned i = 0; i < count; ++i) {
      BindRequest r = request;
      r.port = static_cast<uint16_t>(request.first_port + (start + i) % count);
      if (round == 0) r.reuse_address = r.reuse_port = false;
      auto bound = try_bind(r, owner);
      if (!bound) continue;
      (*bound)->reuse_address = request.reuse_address;
      (*bound)->reuse_port = request.reuse_port;
      return bound;
    }
  return fail(Errno::AddrInUse);
}

Ref<PortBinding> Ports::binding_for_connect(uint16_t port) {
  BindRequest request;
  request.port = port;
  auto fresh = make_ref<PortBinding>(*this, request, true);
  auto& shard = shard_of(port);
  MutexLock lock(shard.mutex);
  auto& list = shard.bindings[port];
  if (list.empty()) {
    list.push_back(fresh.get());
    return fresh;
  }
  Ref<PortBinding> shared;
  if (list.size() == 1 && list.front()->for_connect_ && list.front()->try_ref())
    shared = Ref<PortBinding>::adopt(list.front());
  lock.unlock();  // `fresh` dies without the lock
  fresh = {};
  return shared;
}

Result<void> Ports::listen(PortBinding& binding, RefCounted* owner) {
  auto& shard = shard_of(binding.port_);
  MutexLock lock(shard.mutex);
  for (auto* other : shard.bindings[binding.port_])
    if (other != &binding && other->listening_ && conflict(binding, *other, true)) return fail(Errno::AddrInUse);
  binding.listening_ = true;
  binding.owner_ = owner;
  return {};
}

void Ports::set_owner(PortBinding& binding, RefCounted* owner) {
  MutexLock lock(shard_of(binding.port_).mutex);
  binding.owner_ = owner;
  if (!owner) binding.listening_ = false;
}

void Ports::set_remote(PortBinding& binding, Address const& local, Peer const& remote) {
  MutexLock lock(shard_of(binding.port_).mutex);
  binding.address_ = local;
  binding.remote_ = remote;
}

Ref<RefCounted> Ports::find(Peer const& local, Peer const& remote, uint32_t interface, uint64_t hash) const {
  auto& shard = shard_of(local.port);
  MutexLock lock(shard.mutex);
  auto at = shard.bindings.find(local.port);
  if (at == shard.bindings.end()) return {};
  int best_score = -1;
  absl::InlinedVector<PortBinding*, 8> best;
  for (auto* b : at->second) {
    if (!b->owner_ || (rules_ == Rules::Tcp && !b->listening_) || !b->covers(local.address)) continue;
    if (!b->hears(interface)) continue;
    // compute_score of Linux, where an exact address goes before everything.
    int score = b->address_ == local.address ? 32 : b->address_ == Address::any(local.address.is_v4()) ? 1 : 0;
    if (b->interface != 0) score += 4;
    if (b->remote_.port != 0) {
      if (b->remote_.port != remote.port || b->remote_.address != remote.address) continue;
      score += 8;
    }
    if (score < best_score) continue;
    if (score > best_score || !b->reuse_port || !best.front()->reuse_port) best.clear();
    best_score = score;
    best.push_back(b);
  }
  if (best.empty()) return {};
  auto* owner = best[hash % best.size()]->owner_;
  return owner->try_ref() ? Ref<RefCounted>::adopt(owner) : Ref<RefCounted>();
}

std::vector<Ref<RefCounted>> Ports::owners() const {
  std::vector<Ref<RefCounted>> found;
  for (auto const& shard : shards_) {
    MutexLock lock(shard.mutex);
    for (auto const& [port, list] : shard.bindings)
      for (auto* b : list)
        if (b->owner_ && b->owner_->try_ref()) found.push_back(Ref<RefCounted>::adopt(b->owner_));
  }
  return found;
}

std::vector<Ref<RefCounted>> Ports::find_all(Peer const& local, Peer const& remote, uint32_t interface) const {
  std::vector<Ref<RefCounted>> found;
  auto& shard = shard_of(local.port);
  MutexLock lock(shard.mutex);
  auto at = shard.bindings.find(local.port);
  if (at == shard.bindings.end()) return found;
  for (auto* b : at->second) {
    if (!b->owner_ || !b->covers(local.address) || !b->hears(interface)) continue;
    if (b->remote_.port != 0 && (b->remote_.port != remote.port || b->remote_.address != remote.address)) continue;
    if (b->owner_->try_ref()) found.push_back(Ref<RefCounted>::adopt(b->owner_));
  }
  return found;
}

}  // namespace cofferdam::netstack
