#include "netstack/groups.h"

#include <algorithm>
#include <iterator>

#include "netstack/stack.h"

namespace cofferdam::netstack {
namespace {

constexpr Time change_interval = second;      // between the repetitions of what has changed (RFC 3376 8.11)
constexpr Time plain_interval = 10 * second;  // version 2 (RFC 2236 8.10)
constexpr size_t smallest_report = 128;       // bytes of a message, whatever the link says
constexpr size_t max_asked = 1024;            // sources of a group that queries have asked about

constexpr Address all_hosts_v4 = Address::v4(0xe0000001), all_routers_v4 = Address::v4(0xe0000002),
                  all_v3_routers = Address::v4(0xe0000016);

Address link_scope_group(uint8_t last) {
  std::array<std::byte, 16> b{std::byte{0xff}, std::byte{2}};
  b[15] = static_cast<std::byte>(last);
  return Address::v6(b);
}

// Groups that every host is in (RFC 1112 4, RFC 4291 2.8).
bool is_of_all_hosts(Address const& group) {
  if (group.is_v4()) return group == all_hosts_v4;
  Bytes const b = group.bytes();
  if (load8(b, 1) != 1 && load8(b, 1) != 2) return false;
  return std::all_of(b.begin() + 2, b.end() - 1, [](std::byte x) { return x == std::byte{}; }) && load8(b, 15) == 1;
}

}  // namespace

// Not of the groups that everybody is in, nor of those that no router would pass on (RFC 3810 6).
bool Groups::reported(Address const& group) const {
  if (interface_.is_loopback() || is_of_all_hosts(group)) return false;
  return group.is_v4() || (load8(group.bytes(), 1) & 0xf) >= 2;
}

unsigned Groups::version_locked(bool v4) const {
  Family const& f = v4 ? v4_ : v6_;
  Time const now = stack_.now();
  if (now < f.v1_until) return 1;
  if (!v4) return 2;
  return now < f.v2_until ? 2 : 3;
}

unsigned Groups::version(bool v4) const {
  MutexLock lock(mutex_);
  return version_locked(v4);
}

Time Groups::random_delay(Time most) { return most <= 0 ? 0 : static_cast<Time>(stack_.random32()) % most; }

bool Groups::accepts(Address const& group, Address const& source) const {
  if (is_of_all_hosts(group)) return true;
  MutexLock lock(mutex_);
  auto const at = groups_.find(group);
  return at != groups_.end() && !at->second.members.empty() && at->second.filter.passes(source);
}

std::vector<Groups::Info> Groups::all() const {
  std::vector<Info> found;
  MutexLock lock(mutex_);
  found.reserve(groups_.size());
  for (auto const& [group, g] : groups_)
    if (!g.members.empty())
      found.push_back(
          {group, g.members.size(), g.filter, g.answer_at != never || g.change_at != never, g.last_reporter});
  return found;
}

Result<void> Groups::set(Member const& who, Address const& group, SourceFilter filter) {
  std::vector<Message> out;
  {
    MutexLock lock(mutex_);
    auto at = groups_.find(group);
    if (at == groups_.end()) {
      if (filter.wants_nothing()) return {};
      if (groups_.size() >= max_groups) return fail(Errno::NoBufs);
      at = groups_.try_emplace(group).first;
    }
    Group& g = at->second;
    SourceFilter const before = g.filter;
    if (filter.wants_nothing())
      g.members.erase(who);
    else
      g.members.insert_or_assign(who, std::move(filter));
    std::vector<SourceFilter> wanted;
    wanted.reserve(g.members.size());
    for (auto const& [member, f] : g.members) wanted.push_back(f);
    g.filter = merged(wanted);
    if (g.filter != before) filter_changed(group, g, before);
    if (g.members.empty() && g.change_at == never) groups_.erase(at);
    out = std::exchange(outbox_, {});
  }
  send(out);
  return {};
}

// --- what has changed (RFC 3376 5.1, RFC 3810 6.1) ---

void Groups::filter_changed(Address const& group, Group& g, SourceFilter const& before) {
  if (!reported(group)) return;
  bool const four = group.is_v4();
  bool const modern = version_locked(four) == (four ? 3u : 2u);
  if (!modern) {
    if (before.wants_nothing()) {
      g.plain_reports_left = 2;
      plain_report(group, g);
    } else if (g.filter.wants_nothing()) {
      bool const may_leave = four ? version_locked(true) == 2 : true;
      if (may_leave && g.last_reporter)
        outbox_.push_back(
            {four ? all_routers_v4 : link_scope_group(2), write_group_message(four ? igmp_leave : mld_done, group)});
      g.change_at = g.answer_at = never;
    }
    return;
  }
  unsigned const times = family(four).robustness;
  if (g.filter.mode != before.mode || (before.wants_nothing() && g.filter.mode == FilterMode::Exclude)) {
    g.mode_changes_left = times;
    g.changes.clear();
  } else {
    auto note = [&](std::vector<Address> const& from, std::vector<Address> const& without, bool allow) {
      std::vector<Address> fresh;
      std::ranges::set_difference(from, without, std::back_inserter(fresh));
      for (auto const& a : fresh) g.changes[a] = {allow, times};
    };
    bool const include = g.filter.mode == FilterMode::Include;
    note(g.filter.sources, before.sources, include);
    note(before.sources, g.filter.sources, !include);
  }
  tell_change(group, g);
}

void Groups::add_change_records(Address const& group, Group& g, std::vector<GroupRecord>& records) {
  if (g.mode_changes_left != 0) {
    --g.mode_changes_left;
    auto const type = g.filter.mode == FilterMode::Include ? GroupRecordType::ToInclude : GroupRecordType::ToExclude;
    records.push_back({type, group, g.filter.sources});
    absl::erase_if(g.changes, [](auto& c) { return --c.second.left == 0; });
    return;
  }
  GroupRecord allow{GroupRecordType::AllowNew, group, {}}, block{GroupRecordType::BlockOld, group, {}};
  for (auto const& [source, change] : g.changes) (change.allow ? allow : block).sources.push_back(source);
  absl::erase_if(g.changes, [](auto& c) { return --c.second.left == 0; });
  for (auto* r : {&allow, &block}) {
    if (r->sources.empty()) continue;
    std::ranges::sort(r->sources);
    records.push_back(std::move(*r));
  }
}

void Groups::tell_change(Address const& group, Group& g) {
  std::vector<GroupRecord> records;
  add_change_records(group, g, records);
  queue_reports(records, group.is_v4());
  bool const again = g.mode_changes_left != 0 || !g.changes.empty();
  g.change_at = again ? stack_.now() + random_delay(change_interval) : never;
  if (again) stack_.wheel().arm(*this, g.change_at);
}

// Versions 1 and 2 of IGMP, 1 of MLD: "somebody here is in this group".
void Groups::plain_report(Address const& group, Group& g) {
  bool const four = group.is_v4();
  uint8_t const type = !four ? mld_report_v1 : version_locked(true) == 1 ? igmp_report_v1 : igmp_report_v2;
  outbox_.push_back({group, write_group_message(type, group)});
  g.last_reporter = true;
  if (g.plain_reports_left != 0) --g.plain_reports_left;
  g.answer_at = g.plain_reports_left != 0 ? stack_.now() + random_delay(plain_interval) : never;
  if (g.answer_at != never) stack_.wheel().arm(*this, g.answer_at);
}

void Groups::announce() {
  std::vector<Message> out;
  {
    MutexLock lock(mutex_);
    for (auto& [group, g] : groups_)
      if (!g.members.empty()) filter_changed(group, g, {});
    out = std::exchange(outbox_, {});
  }
  send(out);
}

// --- queries (RFC 3376 5.2, 7; RFC 3810 6.2, 8) ---

void Groups::receive_igmp(Bytes message) {
  MutexLock lock(mutex_);
  if (auto q = GroupQuery::parse_igmp(message)) return query(*q, true);
  if (message.empty()) return;
  uint8_t const type = load8(message, 0);
  if (type != igmp_report_v1 && type != igmp_report_v2) return;
  if (auto group = reported_group(message, true)) heard_report(*group);
}

void Groups::receive_mld(uint8_t type, Bytes message) {
  MutexLock lock(mutex_);
  if (type == mld_report_v1) {
    if (auto group = reported_group(message, false)) heard_report(*group);
  } else if (auto q = GroupQuery::parse_mld(message)) {
    query(*q, false);
  }
}

// Somebody else has told the routers already.
void Groups::heard_report(Address const& group) {
  auto const at = groups_.find(group);
  bool const modern = version_locked(group.is_v4()) == (group.is_v4() ? 3u : 2u);
  if (at == groups_.end() || modern) return;
  at->second.answer_at = never;
  at->second.last_reporter = false;
  at->second.plain_reports_left = 0;
}

void Groups::query(GroupQuery const& q, bool v4) {
  Time const now = stack_.now();
  Family& f = family(v4);
  Time const older = f.robustness * f.query_interval + q.max_response;
  if (q.version == 1) f.v1_until = now + older;
  if (v4 && q.version == 2) f.v2_until = now + older;
  if (q.version == (v4 ? 3u : 2u)) {
    f.robustness = q.robustness != 0 ? q.robustness : 2;
    f.query_interval = q.interval != 0 ? q.interval : 125 * second;
  }
  bool const modern = version_locked(v4) == (v4 ? 3u : 2u);
  Time const at = now + random_delay(q.max_response);
  if (modern && q.group.is_any()) {
    f.answer_at = std::min(f.answer_at, at);
    return stack_.wheel().arm(*this, f.answer_at);
  }
  if (modern && f.answer_at <= at) return;
  for (auto& [group, g] : groups_) {
    if (group.is_v4() != v4 || g.members.empty() || !reported(group)) continue;
    if (!q.group.is_any() && q.group != group) continue;
    if (g.answer_at == never) {
      g.asked = q.sources;
    } else if (q.sources.empty() || g.asked.empty()) {
      g.asked.clear();
    } else {
      std::vector<Address> both = q.sources;
      both.insert(both.end(), g.asked.begin(), g.asked.end());
      g.asked = std::move(both);
    }
    std::ranges::sort(g.asked);
    g.asked.erase(std::ranges::unique(g.asked).begin(), g.asked.end());
    if (g.asked.size() > max_asked) g.asked.clear();  // then it answers about all
    // For the older versions each group has a delay of its own, so that one report silences the others.
    g.answer_at = std::min(g.answer_at, modern ? at : now + random_delay(q.max_response));
    stack_.wheel().arm(*this, g.answer_at);
  }
}

void Groups::add_state_record(Address const& group, Group const& g, std::vector<GroupRecord>& records) const {
  bool const include = g.filter.mode == FilterMode::Include;
  if (g.asked.empty()) {
    auto const type = include ? GroupRecordType::IsInclude : GroupRecordType::IsExclude;
    records.push_back({type, group, g.filter.sources});
    return;
  }
  GroupRecord r{GroupRecordType::IsInclude, group, {}};
  for (auto const& a : g.asked)
    if (g.filter.passes(a)) r.sources.push_back(a);
  if (!r.sources.empty()) records.push_back(std::move(r));
}

void Groups::answer_due(Time now, bool v4, std::vector<GroupRecord>& records) {
  Family& f = family(v4);
  bool const modern = version_locked(v4) == (v4 ? 3u : 2u);
  bool const everything = f.answer_at <= now;
  if (everything) f.answer_at = never;
  for (auto& [group, g] : groups_) {
    if (group.is_v4() != v4 || g.members.empty() || !reported(group)) continue;
    bool const due = g.answer_at <= now;
    if (!due && !everything) continue;
    if (due) g.answer_at = never;
    if (!modern) {
      plain_report(group, g);
      continue;
    }
    if (everything) g.asked.clear();
    add_state_record(group, g, records);
    g.asked.clear();
  }
}

void Groups::on_timer(Time now) {
  std::vector<Message> out;
  {
    MutexLock lock(mutex_);
    Time next = never;
    for (bool const four : {true, false}) {
      std::vector<GroupRecord> answers, changes;
      answer_due(now, four, answers);
      bool const modern = version_locked(four) == (four ? 3u : 2u);
      for (auto& [group, g] : groups_) {
        if (group.is_v4() != four) continue;
        if (!modern) {  // an older router has come meanwhile, who knows no changes
          g.mode_changes_left = 0;
          g.changes.clear();
          g.change_at = never;
        }
        if (g.change_at <= now) {
          add_change_records(group, g, changes);
          bool const again = g.mode_changes_left != 0 || !g.changes.empty();
          g.change_at = again ? now + random_delay(change_interval) : never;
        }
        next = std::min({next, g.change_at, g.answer_at});
      }
      queue_reports(answers, four);
      queue_reports(changes, four);
      next = std::min(next, family(four).answer_at);
    }
    absl::erase_if(groups_, [](auto const& e) { return e.second.members.empty() && e.second.change_at == never; });
    out = std::exchange(outbox_, {});
    if (next != never) stack_.wheel().arm(*this, next);
  }
  send(out);
}

// --- sending ---

void Groups::queue_reports(std::vector<GroupRecord> const& records, bool v4) {
  if (records.empty()) return;
  size_t const headers = v4 ? Ipv4Header::minimum + 4 : Ipv6Header::size + 8;
  size_t const room = std::max<size_t>(interface_.mtu(), smallest_report + headers) - headers;
  Address const to = v4 ? all_v3_routers : link_scope_group(0x16);
  for (auto& message : write_reports(records, v4, room)) outbox_.push_back({to, std::move(message)});
}

void Groups::send(std::vector<Message> const& messages) {
  if (!interface_.up()) return;
  for (auto const& m : messages) stack_.send_group_message(interface_, m.to, m.bytes);
}

}  // namespace cofferdam::netstack
