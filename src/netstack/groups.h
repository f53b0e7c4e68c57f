// The multicast groups of one interface: what its sockets want together, and telling the routers of it by IGMP (RFC
// 3376, with RFC 2236 and 1112 where a router speaks those) and MLD (RFC 3810, 2710).
#pragma once

#include <optional>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/mutex.h"
#include "base/result.h"
#include "netstack/group_messages.h"
#include "netstack/source_filter.h"
#include "netstack/timer_wheel.h"

namespace cofferdam::netstack {

class Interface;
class Stack;

class Groups final : public Timed {
 public:
  static constexpr size_t max_groups = 8192;  // of an interface

  Groups(Stack& stack, Interface& interface) : stack_(stack), interface_(interface) {}

  // Who wants something of a group: a socket, or an address of the interface (its solicited-node group).
  struct Member {
    void const* socket = nullptr;
    Address address;
    friend bool operator==(Member const&, Member const&) = default;
    template <class H>
    friend H AbslHashValue(H h, Member const& m) {
      return H::combine(std::move(h), m.socket, m.address);
    }
  };
  // From now on the member wants this of the group; a filter that wants nothing leaves it. ENOBUFS: too many groups.
  Result<void> set(Member const&, Address const& group, SourceFilter);
  // Does a packet of this source to the group concern this host?
  bool accepts(Address const& group, Address const& source) const;

  // The whole message, checksum verified.
  void receive_igmp(Bytes);
  void receive_mld(uint8_t type, Bytes);
  void on_timer(Time now) override;
  // Says again what it is in: the link has come up.
  void announce();

  struct Info {
    Address group;
    size_t users = 0;
    SourceFilter filter;
    bool timer_running = false, last_reporter = false;
  };
  std::vector<Info> all() const;
  unsigned version(bool v4) const;  // of IGMP or MLD that is spoken

 private:
  struct Source {  // a change of the list that is still to be told
    bool allow = false;
    unsigned left = 0;
  };
  struct Group {
    absl::flat_hash_map<Member, SourceFilter> members;
    SourceFilter filter;
    unsigned mode_changes_left = 0;  // how often the mode is still to be told
    absl::flat_hash_map<Address, Source> changes;
    Time change_at = never;      // next of these reports
    Time answer_at = never;      // to a query about it
    std::vector<Address> asked;  // sources that the query was about; none: all
    bool last_reporter = false;  // versions 1 and 2: nobody has reported after this host
    unsigned plain_reports_left = 0;
  };
  struct Family {                     // IPv4's side and IPv6's
    Time v1_until = 0, v2_until = 0;  // an older router has been heard of
    unsigned robustness = 2;
    Time query_interval = 125 * second;
    Time answer_at = never;  // to a general query
  };
  struct Message {  // to be sent once the lock is let go
    Address to;
    std::vector<std::byte> bytes;
  };
  using Table = absl::flat_hash_map<Address, Group>;

  bool reported(Address const& group) const;  // is it spoken of at all?
  Family& family(bool v4) REQUIRES(mutex_) { return v4 ? v4_ : v6_; }
  unsigned version_locked(bool v4) const REQUIRES(mutex_);
  Time random_delay(Time most);
  void filter_changed(Address const&, Group&, SourceFilter const& before) REQUIRES(mutex_);
  void tell_change(Address const&, Group&) REQUIRES(mutex_);
  void add_change_records(Address const&, Group&, std::vector<GroupRecord>&) REQUIRES(mutex_);
  void add_state_record(Address const&, Group const&, std::vector<GroupRecord>&) const REQUIRES(mutex_);
  void plain_report(Address const&, Group&) REQUIRES(mutex_);
  void query(GroupQuery const&, bool v4) REQUIRES(mutex_);
  void heard_report(Address const&) REQUIRES(mutex_);
  void answer_due(Time now, bool v4, std::vector<GroupRecord>&) REQUIRES(mutex_);
  void rearm() REQUIRES(mutex_);
  void queue_reports(std::vector<GroupRecord> const&, bool v4) REQUIRES(mutex_);
  void send(std::vector<Message> const&);

  Stack& stack_;
  Interface& interface_;
  mutable Mutex mutex_;
  Table groups_ GUARDED_BY(mutex_);
  Family v4_ GUARDED_BY(mutex_), v6_ GUARDED_BY(mutex_);
  std::vector<Message> outbox_ GUARDED_BY(mutex_);
};

}  // namespace cofferdam::netstack
