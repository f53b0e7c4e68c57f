// From whom a member of a multicast group wants to hear (RFC 3376 2 and 3.2, RFC 3810 4.2).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "netstack/address.h"

namespace cofferdam::netstack {

enum class FilterMode : uint8_t { Include, Exclude };

// Include{} wants nothing, Exclude{} everything.
struct SourceFilter {
  FilterMode mode = FilterMode::Include;
  std::vector<Address> sources;  // sorted, each once
  bool passes(Address const& source) const;
  bool wants_nothing() const { return mode == FilterMode::Include && sources.empty(); }
  void normalize();
  friend bool operator==(SourceFilter const&, SourceFilter const&) = default;
};

// What an interface must let through for all of them.
SourceFilter merged(std::span<SourceFilter const> filters);

}  // namespace cofferdam::netstack
