#include "netstack/group_messages.h"

#include <algorithm>
#include <cstring>

namespace cofferdam::netstack {
namespace {

constexpr size_t igmp_size = 8, igmp_query_v3_size = 12, mld_size = 24, mld_query_v2_size = 28;
constexpr size_t report_header = 8;

// Eight bits with an exponent (RFC 3376 4.1.1, 4.1.7).
uint32_t from_code8(uint8_t code) {
  if (code < 128) return code;
  return ((code & 0xfu) | 0x10u) << (((code >> 4) & 7u) + 3);
}
// Sixteen (RFC 3810 5.1.3).
uint32_t from_code16(uint16_t code) {
  if (code < 32768) return code;
  return ((code & 0xfffu) | 0x1000u) << (((code >> 12) & 7u) + 3);
}

size_t address_size(bool v4) { return v4 ? 4 : 16; }

Address load_address(Bytes b, size_t at, bool v4) {
  return v4 ? Address::v4(load32(b, at)) : Address::v6(b.subspan(at, 16));
}

void store_address(MutableBytes b, size_t at, Address const& a) {
  Bytes const bytes = a.is_v4() ? a.v4_bytes() : a.bytes();
  std::memcpy(b.data() + at, bytes.data(), bytes.size());
}

// The sources behind the fixed part of a query; false when there are fewer than it says.
bool load_sources(GroupQuery& q, Bytes b, size_t fixed, bool v4) {
  size_t const count = load16(b, fixed - 2), each = address_size(v4);
  if (b.size() < fixed + count * each) return false;
  q.sources.reserve(count);
  for (size_t i = 0; i < count; ++i) q.sources.push_back(load_address(b, fixed + i * each, v4));
  return true;
}

void load_querier_facts(GroupQuery& q, Bytes b, size_t at) {
  q.robustness = load8(b, at) & 7u;
  q.interval = from_code8(load8(b, at + 1)) * second;
}

}  // namespace

std::optional<GroupQuery> GroupQuery::parse_igmp(Bytes b) {
  if (b.size() < igmp_size || load8(b, 0) != igmp_query) return std::nullopt;
  GroupQuery q;
  q.group = Address::v4(load32(b, 4));
  if (!q.group.is_any() && !q.group.is_multicast()) return std::nullopt;
  uint8_t const code = load8(b, 1);
  if (b.size() == igmp_size) {
    q.version = code == 0 ? 1 : 2;
    q.max_response = code == 0 ? 10 * second : code * (second / 10);
    return q;
  }
  if (b.size() < igmp_query_v3_size) return std::nullopt;
  q.max_response = std::max<uint32_t>(from_code8(code), 1) * (second / 10);
  load_querier_facts(q, b, 8);
  if (!load_sources(q, b, igmp_query_v3_size, true)) return std::nullopt;
  return q;
}

std::optional<GroupQuery> GroupQuery::parse_mld(Bytes b) {
  if (b.size() < mld_size || load8(b, 0) != mld_query) return std::nullopt;
  GroupQuery q;
  q.group = Address::v6(b.subspan(8, 16));
  if (!q.group.is_any() && !q.group.is_multicast()) return std::nullopt;
  if (b.size() == mld_size) {
    q.version = 1;
    q.max_response = load16(b, 4) * millisecond;
    return q;
  }
  if (b.size() < mld_query_v2_size) return std::nullopt;
  q.version = 2;
  q.max_response = std::max<uint32_t>(from_code16(load16(b, 4)), 1) * millisecond;
  load_querier_facts(q, b, 24);
  if (!load_sources(q, b, mld_query_v2_size, false)) return std::nullopt;
  return q;
}

std::optional<Address> reported_group(Bytes b, bool v4) {
  if (b.size() < (v4 ? igmp_size : mld_size)) return std::nullopt;
  Address const group = load_address(b, v4 ? 4 : 8, v4);
  if (!group.is_multicast()) return std::nullopt;
  return group;
}

std::vector<std::vector<std::byte>> write_reports(std::vector<GroupRecord> const& records, bool v4, size_t room) {
  std::vector<std::vector<std::byte>> messages;
  size_t const each = address_size(v4), header = 4 + each;
  auto begin = [&] {
    messages.emplace_back(report_header);
    store8(messages.back(), 0, v4 ? igmp_report_v3 : mld_report_v2);
  };
  for (auto const& r : records) {
    size_t done = 0;
    do {
      if (messages.empty() || messages.back().size() + header + (r.sources.empty() ? 0 : each) > room) begin();
      auto& message = messages.back();
      size_t const fits = (room - message.size() - header) / each;
      size_t const n = std::min(r.sources.size() - done, fits), at = message.size();
      message.resize(at + header + n * each);
      store8(message, at, static_cast<uint8_t>(r.type));
      store16(message, at + 2, static_cast<uint16_t>(n));
      store_address(message, at + 4, r.group);
      for (size_t i = 0; i < n; ++i) store_address(message, at + header + i * each, r.sources[done + i]);
      store16(message, 6, static_cast<uint16_t>(load16(message, 6) + 1));
      done += n;
      if (r.type == GroupRecordType::IsExclude || r.type == GroupRecordType::ToExclude) break;
    } while (done < r.sources.size());
  }
  return messages;
}

std::vector<std::byte> write_group_message(uint8_t type, Address const& group) {
  std::vector<std::byte> message(group.is_v4() ? igmp_size : mld_size);
  store8(message, 0, type);
  store_address(message, group.is_v4() ? 4 : 8, group);
  return message;
}

}  // namespace cofferdam::netstack
