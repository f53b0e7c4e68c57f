#include "oci/spec_parts.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

namespace cofferdam::oci {

void read_device_rules(Reader const& list, std::vector<DeviceRule>& to) {
  for (auto& item : list.items()) {
    auto& rule = to.emplace_back();
    std::string type = "a";
    item.at("allow").require(rule.allow);
    item.at("type").read(type);
    item.at("major").read(rule.major);
    item.at("minor").read(rule.minor);
    item.at("access").read(rule.access);
    if (type.empty()) type = "a";
    if (type.size() != 1 || !std::string_view("abc").contains(type[0]))
      item.at("type").complain(fmt::format("'{}' is no device type; use a, b or c", type));
    rule.type = type[0];
    if (rule.access.empty()) rule.access = "rwm";
    if (rule.access.find_first_not_of("rwm") != std::string::npos)
      item.at("access").complain(fmt::format("'{}' is no access; use letters of rwm", rule.access));
    // -1 is how engines write "every".
    if (rule.major && *rule.major < 0) rule.major.reset();
    if (rule.minor && *rule.minor < 0) rule.minor.reset();
  }
}

namespace {

void read_file(Reader const& at, Resources& to, std::string controller, std::string name,
               std::string unified_name = {}) {
  std::optional<int64_t> value;
  at.read(value);
  bool const means_something = controller == "memory" && name == "memory.swappiness";
  if (!value || (*value == 0 && !means_something)) return;
  std::string const text = fmt::format("{}", *value);
  to.files.push_back({.controller = std::move(controller),
                      .name = std::move(name),
                      .value = text,
                      .path = at.path(),
                      .unified_name = std::move(unified_name),
                      .unified_value = text});
}

// `unified_key`: of io.max.
void read_throttle(Reader const& list, Resources& to, std::string const& name, std::string_view unified_key) {
  for (auto& item : list.items()) {
    uint64_t major = 0, minor = 0, rate = 0;
    item.at("major").require(major);
    item.at("minor").require(minor);
    item.at("rate").require(rate);
    to.files.push_back({.controller = "blkio",
                        .name = "blkio.throttle." + name,
                        .value = fmt::format("{}:{} {}", major, minor, rate),
                        .path = item.path(),
                        .unified_name = "io.max",
                        .unified_value = fmt::format("{}:{} {}={}", major, minor, unified_key,
                                                     rate == 0 ? "max" : fmt::format("{}", rate))});
  }
}

void read_rare_resources(Reader const& r, Resources& to) {
  auto memory = r.at("memory"), cpu = r.at("cpu"), block = r.at("blockIO"), network = r.at("network");
  read_file(memory.at("swappiness"), to, "memory", "memory.swappiness");
  read_file(memory.at("kernelTCP"), to, "memory", "memory.kmem.tcp.limit_in_bytes");
  int64_t kernel_memory = 0;
  memory.at("kernel").read(kernel_memory);
  if (kernel_memory > 0) memory.at("kernel").complain("kernels have no such limit any more; remove it");
  memory.at("checkBeforeUpdate").read(to.check_before_update);
  bool counts_below = true;
  memory.at("useHierarchy").read(counts_below);
  if (!counts_below) memory.at("useHierarchy").complain("every group counts what lies below it; remove it");
  bool no_killer = false;
  memory.at("disableOOMKiller").read(no_killer);
  if (no_killer)
    to.files.push_back({.controller = "memory",
                        .name = "memory.oom_control",
                        .value = "1",
                        .path = memory.at("disableOOMKiller").path()});
  read_file(cpu.at("realtimeRuntime"), to, "cpu", "cpu.rt_runtime_us");
  read_file(cpu.at("realtimePeriod"), to, "cpu", "cpu.rt_period_us");
  read_file(cpu.at("idle"), to, "cpu", "cpu.idle", "cpu.idle");
  read_file(cpu.at("burst"), to, "cpu", "cpu.cfs_burst_us", "cpu.max.burst");
  read_throttle(block.at("throttleReadBpsDevice"), to, "read_bps_device", "rbps");
  read_throttle(block.at("throttleWriteBpsDevice"), to, "write_bps_device", "wbps");
  read_throttle(block.at("throttleReadIOPSDevice"), to, "read_iops_device", "riops");
  read_throttle(block.at("throttleWriteIOPSDevice"), to, "write_iops_device", "wiops");
  read_file(block.at("leafWeight"), to, "blkio", "blkio.leaf_weight");
  if (!block.at("weightDevice").items().empty())
    block.at("weightDevice").complain("weights of single devices are not supported; remove it");
  read_file(network.at("classID"), to, "net_cls", "net_cls.classid");
  for (auto& item : network.at("priorities").items()) {
    std::string name;
    uint32_t priority = 0;
    item.at("name").require(name);
    item.at("priority").require(priority);
    to.files.push_back({.controller = "net_prio",
                        .name = "net_prio.ifpriomap",
                        .value = fmt::format("{} {}", name, priority),
                        .path = item.path()});
  }
  for (auto& item : r.at("hugepageLimits").items()) {
    std::string size;
    uint64_t limit = 0;
    item.at("pageSize").require(size);
    item.at("limit").require(limit);
    to.files.push_back({.controller = "hugetlb",
                        .name = fmt::format("hugetlb.{}.limit_in_bytes", size),
                        .value = fmt::format("{}", limit),
                        .path = item.path(),
                        .unified_name = fmt::format("hugetlb.{}.max", size),
                        .unified_value = fmt::format("{}", limit)});
  }
  if (!r.at("rdma").members().empty()) r.at("rdma").complain("is not supported: containers have no RDMA devices");
}

}  // namespace

void read_resources(Reader const& r, Resources& to) {
  auto memory = r.at("memory"), cpu = r.at("cpu");
  memory.at("limit").read(to.memory_limit);
  memory.at("reservation").read(to.memory_reservation);
  memory.at("swap").read(to.memory_swap);
  cpu.at("shares").read(to.cpu_shares);
  cpu.at("period").read(to.cpu_period);
  cpu.at("quota").read(to.cpu_quota);
  cpu.at("cpus").read(to.cpuset_cpus);
  cpu.at("mems").read(to.cpuset_mems);
  r.at("pids").at("limit").read(to.pids_limit);
  r.at("blockIO").at("weight").read(to.block_io_weight);
  r.at("unified").read(to.unified);
  read_rare_resources(r, to);
  // As in runc, 0 is how engines say that a limit is not given.
  auto unset = [](auto&... limits) { ((limits = limits.value_or(0) != 0 ? limits : std::nullopt), ...); };
  unset(to.memory_limit, to.memory_reservation, to.memory_swap, to.cpu_shares, to.cpu_period, to.cpu_quota,
        to.pids_limit, to.block_io_weight);
}

}  // namespace cofferdam::oci
