#include "fs/sys/sys.h"

#include <linux/magic.h>

#include <fmt/core.h>

#include "kernel/kernel.h"
#include "kernel/vfs/pseudo_fs.h"

namespace cofferdam::fs::sys {

using namespace kernel;

namespace {

constexpr uint64_t page = 4096;

// Adds files that hold a line each; what the host does not tell is left out.
class Planter {
 public:
  Planter(PseudoTreeBuilder& tree) : tree_(tree) {}
  void line(std::string const& path, std::string_view text) {
    if (!text.empty()) tree_.fixed(path, text == "\n" ? "\n" : fmt::format("{}\n", text), 0444, page);
  }
  void directory(std::string_view path) { tree_.directory(path); }
  void link(std::string_view path, std::string target) { tree_.symlink(path, std::move(target)); }

 private:
  PseudoTreeBuilder& tree_;
};

std::string range(size_t count) { return count <= 1 ? "0" : fmt::format("0-{}", count - 1); }

// The CPUs that share a package (and a core) with one, by their paragraphs of cpuinfo.
std::vector<bool> cpus_that_share(std::vector<std::string> const& cpus, size_t with, bool core_too) {
  std::vector<bool> result(cpus.size());
  for (size_t i = 0; i < cpus.size(); ++i) {
    bool const package = cpu_field(cpus[i], "physical id") == cpu_field(cpus[with], "physical id");
    bool const core = cpu_field(cpus[i], "core id") == cpu_field(cpus[with], "core id");
    result[i] = i == with || (package && (core || !core_too));
  }
  return result;
}

void add_cpu(PseudoTreeBuilder& tree, Kernel& kernel, size_t index, size_t count) {
  std::string const at = fmt::format("devices/system/cpu/cpu{}", index);
  auto fact = [&](std::string_view name, std::function<std::string(std::vector<std::string> const&)> of) {
    auto text = [&kernel, index, count, of = std::move(of)](Task&) -> Result<std::string> {
      std::vector<std::string> const cpus = cpu_paragraphs(kernel.options().host_facts, count);
      return (index < cpus.size() ? of(cpus) : std::string("0")) + "\n";
    };
    tree.text(fmt::format("{}/topology/{}", at, name), 0444, std::move(text), {}, page);
  };
  auto field = [index](char const* name) {
    return [index, name](std::vector<std::string> const& cpus) {
      std::string_view const value = cpu_field(cpus[index], name);
      return value.empty() ? std::string("0") : std::string(value);
    };
  };
  auto shared = [&](std::string_view name, bool core) {
    fact(fmt::format("{}_list", name), [index, core](std::vector<std::string> const& cpus) {
      return kernel::cpu_list(cpus_that_share(cpus, index, core));
    });
    fact(name, [index, core](std::vector<std::string> const& cpus) {
      return kernel::cpu_mask(cpus_that_share(cpus, index, core));
    });
  };
  fact("core_id", field("core id"));
  fact("physical_package_id", field("physical id"));
  shared("core_cpus", true);
  shared("thread_siblings", true);
  shared("package_cpus", false);
  shared("core_siblings", false);
  if (index != 0) tree.fixed(at + "/online", "1\n", 0444, page);
}

void add_cpus(Planter& plant, PseudoTreeBuilder& tree, Kernel& kernel) {
  size_t const count = static_cast<size_t>(std::max(1, kernel.platform().cpu_count()));
  std::string const base = "devices/system/cpu";
  for (std::string_view name : {"/online", "/possible", "/present"}) plant.line(base + std::string(name), range(count));
  plant.line(base + "/offline", "\n");
  plant.line(base + "/kernel_max", "8191");
  plant.line(base + "/isolated", "\n");
  plant.line(base + "/smt/active", "0");
  plant.line(base + "/smt/control", "notsupported");
  for (size_t i = 0; i < count; ++i) add_cpu(tree, kernel, i, count);
}

void add_node(Planter& plant, PseudoTreeBuilder& tree, Kernel& kernel) {
  size_t const count = static_cast<size_t>(std::max(1, kernel.platform().cpu_count()));
  std::string const base = "devices/system/node";
  for (std::string_view name : {"/online", "/possible", "/has_cpu", "/has_memory", "/has_normal_memory"})
    plant.line(base + std::string(name), "0");
  plant.line(base + "/node0/cpulist", range(count));
  plant.line(base + "/node0/cpumap", cpu_mask(std::vector<bool>(count, true)));
  plant.line(base + "/node0/distance", "10");
  for (size_t i = 0; i < count; ++i)
    tree.symlink(fmt::format("{}/node0/cpu{}", base, i), fmt::format("../../cpu/cpu{}", i));
}

void add_huge_pages(Planter& plant, PseudoTreeBuilder& tree, HostFacts const& facts) {
  std::string const base = "kernel/mm/transparent_hugepage";
  auto fact = [&](std::string_view name, Ref<host::SharedFd> const& fd) {
    if (!fd) return;
    auto text = [fd](Task&) -> Result<std::string> { return read_host_fact(fd) + "\n"; };
    tree.text(fmt::format("{}/{}", base, name), 0444, std::move(text), {}, page);
  };
  fact("enabled", facts.huge_pages);
  fact("hpage_pmd_size", facts.huge_page_size);
  plant.line(base + "/defrag", "always defer defer+madvise [madvise] never");
  plant.line(base + "/shmem_enabled", "always within_size advise [never] deny force");
  plant.line(base + "/use_zero_page", "1");
  for (std::string_view name :
       {"nr_hugepages", "free_hugepages", "resv_hugepages", "surplus_hugepages", "nr_overcommit_hugepages"})
    plant.line(fmt::format("kernel/mm/hugepages/hugepages-2048kB/{}", name), "0");
}

void add_loopback(Planter& plant) {
  std::string const at = "devices/virtual/net/lo";
  struct {
    std::string_view name, value;
  } const rows[] = {{"addr_assign_type", "0"},
                    {"addr_len", "6"},
                    {"address", "00:00:00:00:00:00"},
                    {"broadcast", "00:00:00:00:00:00"},
                    {"carrier", "1"},
                    {"dev_id", "0x0"},
                    {"dormant", "0"},
                    {"flags", "0x9"},
                    {"ifindex", "1"},
                    {"iflink", "1"},
                    {"link_mode", "0"},
                    {"mtu", "65536"},
                    {"operstate", "unknown"},
                    {"tx_queue_len", "1000"},
                    {"type", "772"}};
  for (auto const& row : rows) plant.line(fmt::format("{}/{}", at, row.name), row.value);
  for (std::string_view name :
       {"rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"})
    plant.line(fmt::format("{}/statistics/{}", at, name), "0");
  plant.link("class/net/lo", "../../devices/virtual/net/lo");
}

class SysFileSystem final : public PseudoFileSystem {
 public:
  explicit SysFileSystem(Kernel& kernel) : PseudoFileSystem(kernel, "sysfs", SYSFS_MAGIC) {}
  std::string source() const override { return "sysfs"; }
  Ref<Inode> root() override {
    PseudoTreeBuilder tree(*this, 1);
    Planter plant(tree);
    for (std::string_view name : {"block", "bus", "class/net", "class/block", "class/tty", "class/mem", "dev/block",
                                  "dev/char", "devices/system", "devices/virtual", "firmware", "fs/cgroup",
                                  "hypervisor", "kernel/mm", "kernel/security", "module", "power"})
      plant.directory(name);
    add_cpus(plant, tree, kernel());
    add_node(plant, tree, kernel());
    add_huge_pages(plant, tree, kernel().options().host_facts);
    add_loopback(plant);
    return tree.root();
  }
};

Result<Ref<FileSystem>> create(MountRequest const& request) {
  return Ref<FileSystem>(make_ref<SysFileSystem>(request.kernel));
}

}  // namespace

FileSystemType file_system_type() {
  return {.name = "sysfs", .nodev = true, .user_mountable = true, .create = &create};
}

}  // namespace cofferdam::fs::sys
