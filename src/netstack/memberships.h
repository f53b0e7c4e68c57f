// The multicast groups of one socket (ip(7), ipv6(7), RFC 3678).
#pragma once

#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "netstack/address.h"
#include "netstack/source_filter.h"

namespace cofferdam::netstack {

class Stack;

class Memberships {
 public:
  // IP_ADD_SOURCE_MEMBERSHIP, IP_DROP_SOURCE_MEMBERSHIP, IP_BLOCK_SOURCE, IP_UNBLOCK_SOURCE.
  enum class Change : uint8_t { AddSource, DropSource, BlockSource, UnblockSource };
  struct Member {
    Address group;
    uint32_t interface = 0;
    SourceFilter filter;
  };

  explicit Memberships(Stack& stack) : stack_(stack) {}
  ~Memberships() { leave_all(); }
  Memberships(Memberships const&) = delete;
  Memberships& operator=(Memberships const&) = delete;

  // Interfaces are indices: Stack::interface_for_group finds one. EINVAL: no group; ENODEV; EADDRINUSE: is a member;
  // ENOBUFS: too many.
  Result<void> join(Address const& group, uint32_t interface);
  Result<void> leave(Address const& group, uint32_t interface);  // EADDRNOTAVAIL
  // A source of a group that this socket has joined, or joins with its first source. EINVAL: not a member, or one in
  // the other mode; EADDRNOTAVAIL: there already, or not there; ENOBUFS.
  Result<void> change(Address const& group, uint32_t interface, Address const& source, Change);
  Result<void> set_filter(Address const& group, uint32_t interface, SourceFilter);  // EINVAL, ENOBUFS
  Result<SourceFilter> filter(Address const& group, uint32_t interface) const;      // EADDRNOTAVAIL
  void leave_all();
  std::vector<Member> all() const;
  // Does this socket hear what `source` sends to the group? Of groups that it has not joined: `others`
  // (IP_MULTICAST_ALL).
  bool hears(Address const& group, Address const& source, uint32_t interface, bool others) const;

 private:
  Member* find(Address const& group, uint32_t interface) REQUIRES(mutex_);
  Member const* find(Address const& group, uint32_t interface) const REQUIRES(mutex_);
  Result<Member*> add(Address const& group, uint32_t interface, FilterMode) REQUIRES(mutex_);
  Result<void> add_source(Member&, Address const& source) REQUIRES(mutex_);
  Result<void> drop_source(Member&, Address const& source) REQUIRES(mutex_);
  void remove(Member&) REQUIRES(mutex_);
  Result<void> publish(Member const&) REQUIRES(mutex_);

  Stack& stack_;
  mutable Mutex mutex_;
  std::vector<Member> members_ GUARDED_BY(mutex_);
};

}  // namespace cofferdam::netstack
