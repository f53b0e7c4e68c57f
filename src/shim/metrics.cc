#include "shim/metrics.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>

#include <fmt/format.h>

#include "oci/json.h"
#include "shim/proto/metrics.pb.h"

namespace cofferdam::shim {

namespace {

constexpr uint64_t ns_per_us = 1000;

// Numbers of a JSON tree; what is not there is 0.
class Tree {
 public:
  explicit Tree(oci::Json const* value) : value_(value) {}
  Tree operator()(std::string_view key) const { return Tree(value_ ? value_->find(key) : nullptr); }
  operator uint64_t() const {
    if (value_ == nullptr) return 0;
    if (auto const* n = value_->as<uint64_t>()) return *n;
    if (auto const* n = value_->as<int64_t>()) return *n < 0 ? 0 : static_cast<uint64_t>(*n);
    return 0;
  }

 private:
  oci::Json const* value_;
};

void fill_entry(metrics::V1::MemoryEntry* to, Tree from) {
  to->set_limit(from("limit"));
  to->set_usage(from("usage"));
  to->set_max(from("max"));
  to->set_failcnt(from("failcnt"));
}

// memory.stat of version 1 has each value twice: of the group itself, and with those below it.
void fill_memory_raw(metrics::V1::Memory& m, Tree raw) {
  m.set_cache(raw("cache"));
  m.set_rss(raw("rss"));
  m.set_rss_huge(raw("rss_huge"));
  m.set_mapped_file(raw("mapped_file"));
  m.set_dirty(raw("dirty"));
  m.set_writeback(raw("writeback"));
  m.set_pg_pg_in(raw("pgpgin"));
  m.set_pg_pg_out(raw("pgpgout"));
  m.set_pg_fault(raw("pgfault"));
  m.set_pg_maj_fault(raw("pgmajfault"));
  m.set_inactive_anon(raw("inactive_anon"));
  m.set_active_anon(raw("active_anon"));
  m.set_inactive_file(raw("inactive_file"));
  m.set_active_file(raw("active_file"));
  m.set_unevictable(raw("unevictable"));
  m.set_hierarchical_memory_limit(raw("hierarchical_memory_limit"));
  m.set_hierarchical_swap_limit(raw("hierarchical_memsw_limit"));
  m.set_total_cache(raw("total_cache"));
  m.set_total_rss(raw("total_rss"));
  m.set_total_rss_huge(raw("total_rss_huge"));
  m.set_total_mapped_file(raw("total_mapped_file"));
  m.set_total_dirty(raw("total_dirty"));
  m.set_total_writeback(raw("total_writeback"));
  m.set_total_pg_pg_in(raw("total_pgpgin"));
  m.set_total_pg_pg_out(raw("total_pgpgout"));
  m.set_total_pg_fault(raw("total_pgfault"));
  m.set_total_pg_maj_fault(raw("total_pgmajfault"));
  m.set_total_inactive_anon(raw("total_inactive_anon"));
  m.set_total_active_anon(raw("total_active_anon"));
  m.set_total_inactive_file(raw("total_inactive_file"));
  m.set_total_active_file(raw("total_active_file"));
  m.set_total_unevictable(raw("total_unevictable"));
}

std::string encode_v1(Tree data) {
  metrics::V1 m;
  auto* usage = m.mutable_cpu()->mutable_usage();
  usage->set_total(data("cpu")("usage")("total"));
  usage->set_kernel(data("cpu")("usage")("kernel"));
  usage->set_user(data("cpu")("usage")("user"));
  auto* throttling = m.mutable_cpu()->mutable_throttling();
  throttling->set_periods(data("cpu")("throttling")("periods"));
  throttling->set_throttled_periods(data("cpu")("throttling")("throttledPeriods"));
  throttling->set_throttled_time(data("cpu")("throttling")("throttledTime"));
  Tree const memory = data("memory");
  fill_memory_raw(*m.mutable_memory(), memory("raw"));
  fill_entry(m.mutable_memory()->mutable_usage(), memory("usage"));
  fill_entry(m.mutable_memory()->mutable_swap(), memory("swap"));
  fill_entry(m.mutable_memory()->mutable_kernel(), memory("kernel"));
  fill_entry(m.mutable_memory()->mutable_kernel_tcp(), memory("kernelTCP"));
  m.mutable_pids()->set_current(data("pids")("current"));
  m.mutable_pids()->set_limit(data("pids")("limit"));
  return m.SerializeAsString();
}

void fill_memory_raw(metrics::V2::Memory& m, Tree raw) {
  m.set_anon(raw("anon"));
  m.set_file(raw("file"));
  m.set_kernel_stack(raw("kernel_stack"));
  m.set_slab(raw("slab"));
  m.set_sock(raw("sock"));
  m.set_shmem(raw("shmem"));
  m.set_file_mapped(raw("file_mapped"));
  m.set_file_dirty(raw("file_dirty"));
  m.set_file_writeback(raw("file_writeback"));
  m.set_anon_thp(raw("anon_thp"));
  m.set_inactive_anon(raw("inactive_anon"));
  m.set_active_anon(raw("active_anon"));
  m.set_inactive_file(raw("inactive_file"));
  m.set_active_file(raw("active_file"));
  m.set_unevictable(raw("unevictable"));
  m.set_slab_reclaimable(raw("slab_reclaimable"));
  m.set_slab_unreclaimable(raw("slab_unreclaimable"));
  m.set_pgfault(raw("pgfault"));
  m.set_pgmajfault(raw("pgmajfault"));
  m.set_workingset_refault(raw("workingset_refault_anon") + raw("workingset_refault_file"));
  m.set_workingset_activate(raw("workingset_activate_anon") + raw("workingset_activate_file"));
  m.set_workingset_nodereclaim(raw("workingset_nodereclaim"));
  m.set_pgrefill(raw("pgrefill"));
  m.set_pgscan(raw("pgscan"));
  m.set_pgsteal(raw("pgsteal"));
  m.set_pgactivate(raw("pgactivate"));
  m.set_pgdeactivate(raw("pgdeactivate"));
  m.set_pglazyfree(raw("pglazyfree"));
  m.set_pglazyfreed(raw("pglazyfreed"));
  m.set_thp_fault_alloc(raw("thp_fault_alloc"));
  m.set_thp_collapse_alloc(raw("thp_collapse_alloc"));
}

std::string encode_v2(Tree data) {
  metrics::V2 m;
  auto* cpu = m.mutable_cpu();
  cpu->set_usage_usec(data("cpu")("usage")("total") / ns_per_us);
  cpu->set_user_usec(data("cpu")("usage")("user") / ns_per_us);
  cpu->set_system_usec(data("cpu")("usage")("kernel") / ns_per_us);
  cpu->set_nr_periods(data("cpu")("throttling")("periods"));
  cpu->set_nr_throttled(data("cpu")("throttling")("throttledPeriods"));
  cpu->set_throttled_usec(data("cpu")("throttling")("throttledTime") / ns_per_us);
  Tree const memory = data("memory");
  fill_memory_raw(*m.mutable_memory(), memory("raw"));
  m.mutable_memory()->set_usage(memory("usage")("usage"));
  m.mutable_memory()->set_usage_limit(memory("usage")("limit"));
  m.mutable_memory()->set_swap_usage(memory("swap")("usage") -
                                     std::min<uint64_t>(memory("swap")("usage"), memory("usage")("usage")));
  m.mutable_memory()->set_swap_limit(memory("swap")("limit") -
                                     std::min<uint64_t>(memory("swap")("limit"), memory("usage")("limit")));
  m.mutable_memory_events()->set_max(memory("usage")("failcnt"));
  m.mutable_pids()->set_current(data("pids")("current"));
  m.mutable_pids()->set_limit(data("pids")("limit"));
  return m.SerializeAsString();
}

}  // namespace

CgroupVersion host_cgroup_version() {
  struct statfs fs{};
  bool const unified = ::statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
  return unified ? CgroupVersion::V2 : CgroupVersion::V1;
}

Outcome<Metrics> encode_metrics(std::string_view event_json, CgroupVersion version) {
  auto const json = oci::parse_json(event_json);
  if (!json) return refuse(fmt::format("the runtime's statistics cannot be read: {}", json.error()));
  Tree const data = Tree(&*json)("data");
  if (version == CgroupVersion::V1)
    return Metrics{.type = "io.containerd.cgroups.v1.Metrics", .value = encode_v1(data)};
  return Metrics{.type = "io.containerd.cgroups.v2.Metrics", .value = encode_v2(data)};
}

}  // namespace cofferdam::shim
