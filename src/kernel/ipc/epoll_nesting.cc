// Epoll instances that watch epoll instances: no loops, and chains of at most five (EP_MAX_NESTS of Linux).
//
// inner_ and outer_ hold an entry for each watch, so that two watches of one instance count twice.
#include <algorithm>

#include "kernel/ipc/epoll.h"

namespace cofferdam::kernel {
namespace {
constexpr int max_chain = 5;
}

// The longest chain that begins here and follows `edges`, this one counted; more than `budget` is not looked for.
int Epoll::depth(std::vector<Epoll*> Epoll::* edges, absl::flat_hash_map<Epoll*, int>& known, int budget) {
  if (budget == 0) return 1;
  if (auto it = known.find(this); it != known.end()) return it->second;
  int longest = 0;
  for (Epoll* next : this->*edges) longest = std::max(longest, next->depth(edges, known, budget - 1));
  known[this] = longest + 1;
  return longest + 1;
}

bool Epoll::reaches(Epoll& target, absl::flat_hash_map<Epoll*, int>& seen) {
  if (this == &target) return true;
  if (!seen.emplace(this, 1).second) return false;
  return std::ranges::any_of(inner_, [&](Epoll* next) { return next->reaches(target, seen); });
}

Result<void> Epoll::check_nesting(Epoll& inner) {
  absl::flat_hash_map<Epoll*, int> seen, below, above;
  if (inner.reaches(*this, seen)) return fail(Errno::Loop);
  if (depth(&Epoll::outer_, above, max_chain + 1) + inner.depth(&Epoll::inner_, below, max_chain + 1) > max_chain)
    return fail(Errno::Loop);
  return {};
}

void Epoll::forget_nesting(File& file) {
  auto* nested = dynamic_cast<EpollFile*>(&file);
  if (!nested) return;
  MutexLock nesting(ipc_.epoll_nesting);
  auto remove_one = [](std::vector<Epoll*>& all, Epoll* one) {
    if (auto it = std::ranges::find(all, one); it != all.end()) all.erase(it);
  };
  remove_one(inner_, &nested->epoll());
  remove_one(nested->epoll().outer_, this);
}

}  // namespace cofferdam::kernel
