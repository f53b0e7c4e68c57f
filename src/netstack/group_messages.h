// The messages by which hosts and routers speak of multicast groups: IGMP (RFC 1112, 2236, 3376) and MLD (RFC 2710,
// 3810), read from bytes that are not to be trusted, and written.
#pragma once

#include <optional>
#include <vector>

#include "netstack/address.h"
#include "netstack/bytes.h"
#include "netstack/time.h"

namespace cofferdam::netstack {

inline constexpr uint8_t igmp_query = 0x11, igmp_report_v1 = 0x12, igmp_report_v2 = 0x16, igmp_leave = 0x17,
                         igmp_report_v3 = 0x22;
inline constexpr uint8_t mld_query = 130, mld_report_v1 = 131, mld_done = 132, mld_report_v2 = 143;

struct GroupQuery {
  unsigned version = 3;  // IGMP 1 to 3; MLD 1 and 2
  Address group;         // any: a general query
  Time max_response = 0;
  unsigned robustness = 0;  // 0: not said
  Time interval = 0;
  std::vector<Address> sources;
  // The whole message, its checksum verified. Nothing when it makes no sense.
  static std::optional<GroupQuery> parse_igmp(Bytes);
  static std::optional<GroupQuery> parse_mld(Bytes);
};

// The group that somebody else reports (version 1 and 2 of IGMP, 1 of MLD).
std::optional<Address> reported_group(Bytes message, bool v4);

// What one record of a report of IGMPv3 or MLDv2 says (RFC 3376 4.2.12).
enum class GroupRecordType : uint8_t {
  IsInclude = 1,
  IsExclude,
  ToInclude,
  ToExclude,
  AllowNew,
  BlockOld,
};
struct GroupRecord {
  GroupRecordType type = GroupRecordType::IsExclude;
  Address group;
  std::vector<Address> sources;
};

// Reports with these records, each message at most `room` bytes long, without checksums. A record whose sources do not
// fit into one message is cut; what says "all but these" must be cut short (RFC 3376 4.2.16).
std::vector<std::vector<std::byte>> write_reports(std::vector<GroupRecord> const& records, bool v4, size_t room);
// A message of version 1 or 2 that names one group, without its checksum.
std::vector<std::byte> write_group_message(uint8_t type, Address const& group);

}  // namespace cofferdam::netstack
