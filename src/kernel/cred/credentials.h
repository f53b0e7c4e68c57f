// Credentials of a task: immutable; changing them makes a new object (credentials(7), capabilities(7)).
#pragma once

#include <linux/capability.h>
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/ref.h"

namespace cofferdam::kernel {

class CapabilitySet {
 public:
  constexpr CapabilitySet() = default;
  constexpr explicit CapabilitySet(uint64_t bits) : bits_(bits & all_bits) {}
  static constexpr CapabilitySet full() { return CapabilitySet(all_bits); }
  constexpr bool has(int capability) const { return (bits_ >> capability) & 1; }
  constexpr CapabilitySet with(int capability) const { return CapabilitySet(bits_ | (uint64_t{1} << capability)); }
  constexpr CapabilitySet without(int capability) const { return CapabilitySet(bits_ & ~(uint64_t{1} << capability)); }
  constexpr uint64_t bits() const { return bits_; }
  friend constexpr bool operator==(CapabilitySet, CapabilitySet) = default;
  friend constexpr CapabilitySet operator&(CapabilitySet a, CapabilitySet b) {
    return CapabilitySet(a.bits_ & b.bits_);
  }
  friend constexpr CapabilitySet operator|(CapabilitySet a, CapabilitySet b) {
    return CapabilitySet(a.bits_ | b.bits_);
  }
  constexpr bool subset_of(CapabilitySet o) const { return (bits_ & ~o.bits_) == 0; }

 private:
  static constexpr uint64_t all_bits = (uint64_t{1} << (CAP_LAST_CAP + 1)) - 1;
  uint64_t bits_ = 0;
};

struct Credentials : RefCounted {
  uid_t uid = 0, euid = 0, suid = 0, fsuid = 0;
  gid_t gid = 0, egid = 0, sgid = 0, fsgid = 0;
  std::vector<gid_t> groups;  // sorted
  CapabilitySet permitted, effective, inheritable, bounding = CapabilitySet::full(), ambient;
  uint32_t securebits = 0;

  Credentials() = default;
  Credentials(Credentials const& o);  // a copy to be changed before it is published
  bool capable(int capability) const { return effective.has(capability); }
  // fsgid or a supplementary group (in_group_p of Linux).
  bool in_group(gid_t) const;
  bool in_group_effective(gid_t) const;
};

}  // namespace cofferdam::kernel
