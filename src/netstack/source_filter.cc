#include "netstack/source_filter.h"

#include <algorithm>
#include <iterator>

namespace cofferdam::netstack {

bool SourceFilter::passes(Address const& source) const {
  return std::ranges::binary_search(sources, source) == (mode == FilterMode::Include);
}

void SourceFilter::normalize() {
  std::ranges::sort(sources);
  auto const rest = std::ranges::unique(sources);
  sources.erase(rest.begin(), rest.end());
}

// One that excludes makes it an exclusion: of what all of them exclude and nobody includes.
SourceFilter merged(std::span<SourceFilter const> filters) {
  SourceFilter included, excluded;
  bool first = true;
  for (auto const& f : filters) {
    std::vector<Address> joined;
    if (f.mode == FilterMode::Include) {
      std::ranges::set_union(included.sources, f.sources, std::back_inserter(joined));
      included.sources.swap(joined);
    } else if (first) {
      excluded.sources = f.sources;
      first = false;
    } else {
      std::ranges::set_intersection(excluded.sources, f.sources, std::back_inserter(joined));
      excluded.sources.swap(joined);
    }
  }
  if (first) return included;
  SourceFilter result{FilterMode::Exclude, {}};
  std::ranges::set_difference(excluded.sources, included.sources, std::back_inserter(result.sources));
  return result;
}

}  // namespace cofferdam::netstack
