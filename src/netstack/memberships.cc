#include "netstack/memberships.h"

#include <algorithm>

#include "netstack/groups.h"
#include "netstack/stack.h"

namespace cofferdam::netstack {
namespace {

constexpr size_t max_groups_v6 = 1024;  // Linux has no number, but what net.core.optmem_max has room for
constexpr size_t max_sources_v6 = 64;   // net.ipv6.mld_max_msf

}  // namespace

Memberships::Member* Memberships::find(Address const& group, uint32_t interface) {
  auto const at =
      std::ranges::find_if(members_, [&](Member const& m) { return m.group == group && m.interface == interface; });
  return at == members_.end() ? nullptr : &*at;
}

Memberships::Member const* Memberships::find(Address const& group, uint32_t interface) const {
  auto const at =
      std::ranges::find_if(members_, [&](Member const& m) { return m.group == group && m.interface == interface; });
  return at == members_.end() ? nullptr : &*at;
}

// Tells the interface what this socket wants of the group from now on.
Result<void> Memberships::publish(Member const& m) {
  auto groups = stack_.groups(m.interface);
  if (!groups) return fail(Errno::NoDev);
  return groups->set({this, Address()}, m.group, m.filter);
}

Result<Memberships::Member*> Memberships::add(Address const& group, uint32_t interface, FilterMode mode) {
  if (!group.is_multicast()) return fail(Errno::Inval);
  if (!stack_.groups(interface)) return fail(Errno::NoDev);
  if (find(group, interface)) return fail(Errno::AddrInUse);
  size_t const most = group.is_v4() ? stack_.settings().igmp_max_memberships.load() : max_groups_v6;
  if (members_.size() >= most) return fail(Errno::NoBufs);
  members_.push_back({group, interface, {mode, {}}});
  auto told = publish(members_.back());
  if (told) return &members_.back();
  members_.pop_back();
  return std::unexpected(told.error());
}

void Memberships::remove(Member& m) {
  m.filter = {};
  static_cast<void>(publish(m));
  members_.erase(members_.begin() + (&m - members_.data()));
}

Result<void> Memberships::join(Address const& group, uint32_t interface) {
  Stack::Visit visit(stack_);
  MutexLock lock(mutex_);
  TRY(add(group, interface, FilterMode::Exclude));
  return {};
}

Result<void> Memberships::leave(Address const& group, uint32_t interface) {
  Stack::Visit visit(stack_);
  MutexLock lock(mutex_);
  Member* m = find(group, interface);
  if (!m) return fail(Errno::AddrNotAvail);
  remove(*m);
  return {};
}

Result<void> Memberships::add_source(Member& m, Address const& source) {
  auto& sources = m.filter.sources;
  auto const at = std::ranges::lower_bound(sources, source);
  if (at != sources.end() && *at == source) return fail(Errno::AddrNotAvail);
  size_t const most = m.group.is_v4() ? stack_.settings().igmp_max_sources.load() : max_sources_v6;
  if (sources.size() >= most) return fail(Errno::NoBufs);
  sources.insert(at, source);
  return publish(m);
}

// A member that includes nobody any more is none.
Result<void> Memberships::drop_source(Member& m, Address const& source) {
  auto& sources = m.filter.sources;
  auto const at = std::ranges::lower_bound(sources, source);
  if (at == sources.end() || *at != source) return fail(Errno::AddrNotAvail);
  sources.erase(at);
  if (!m.filter.wants_nothing()) return publish(m);
  remove(m);
  return {};
}

Result<void> Memberships::change(Address const& group, uint32_t interface, Address const& source, Change what) {
  Stack::Visit visit(stack_);
  MutexLock lock(mutex_);
  if (!group.is_multicast()) return fail(Errno::Inval);
  Member* m = find(group, interface);
  bool const adds = what == Change::AddSource || what == Change::BlockSource;
  auto const mode = what == Change::AddSource || what == Change::DropSource ? FilterMode::Include : FilterMode::Exclude;
  if (!m && what == Change::AddSource) m = TRY(add(group, interface, mode));
  if (!m) return fail(Errno::Inval);
  if (m->filter.mode != mode) {
    if (!m->filter.sources.empty()) return fail(Errno::Inval);
    m->filter.mode = mode;  // with nobody in its list it may change its mind
  }
  return adds ? add_source(*m, source) : drop_source(*m, source);
}

Result<void> Memberships::set_filter(Address const& group, uint32_t interface, SourceFilter filter) {
  Stack::Visit visit(stack_);
  MutexLock lock(mutex_);
  if (!group.is_multicast()) return fail(Errno::Inval);
  Member* m = find(group, interface);
  if (!m) return fail(Errno::Inval);
  filter.normalize();
  size_t const most = group.is_v4() ? stack_.settings().igmp_max_sources.load() : max_sources_v6;
  if (filter.sources.size() > most) return fail(Errno::NoBufs);
  if (filter.wants_nothing()) {
    remove(*m);
    return {};
  }
  m->filter = std::move(filter);
  return publish(*m);
}

Result<SourceFilter> Memberships::filter(Address const& group, uint32_t interface) const {
  MutexLock lock(mutex_);
  Member const* m = find(group, interface);
  if (!m) return fail(Errno::AddrNotAvail);
  return m->filter;
}

void Memberships::leave_all() {
  Stack::Visit visit(stack_);
  MutexLock lock(mutex_);
  while (!members_.empty()) remove(members_.back());
}

std::vector<Memberships::Member> Memberships::all() const {
  MutexLock lock(mutex_);
  return members_;
}

bool Memberships::hears(Address const& group, Address const& source, uint32_t interface, bool others) const {
  MutexLock lock(mutex_);
  Member const* m = find(group, interface);
  return m ? m->filter.passes(source) : others;
}

}  // namespace cofferdam::netstack
