#include "fs/proc/proc.h"

#include <dirent.h>
#include <linux/magic.h>

#include <charconv>
#include <cmath>

#include "fs/proc/proc_file_system.h"
#include "fs/proc/process/process_directory.h"
#include "kernel/kernel.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

constexpr uint64_t root_number = 1, self_number = 2, thread_self_number = 3, first_tree_number = 16;
constexpr uint64_t first_pid_cookie = 4096;

// /proc/self and /proc/thread-self: whose target is the reader.
class SelfLink final : public PseudoInode {
 public:
  SelfLink(ProcFileSystem& fs, bool thread)
      : PseudoInode(fs, thread ? thread_self_number : self_number, S_IFLNK | 0777), pids_(fs.pids()), thread_(thread) {}
  Result<std::string> read_link(Task& task) override {
    int32_t const tgid = pids_.number_of(task.thread_group());
    if (tgid == 0) return fail(Errno::NoEnt);  // the procfs of a namespace that the reader is not in
    std::string const process = std::to_string(tgid);
    return thread_ ? process + "/task/" + std::to_string(pids_.number_of(task)) : process;
  }

 private:
  PidNamespace& pids_;
  bool thread_;
};

class RootDirectory final : public StaticDirectory {
 public:
  explicit RootDirectory(ProcFileSystem& fs) : StaticDirectory(fs, root_number, root_number), pids_(fs.pids()) {}

  Result<Ref<Inode>> lookup(std::string_view name) override {
    if (std::optional<int32_t> tid = parse_id(name)) return process_directory(pseudo_file_system(), pids_, *tid);
    return StaticDirectory::lookup(name);
  }

  Result<std::vector<PseudoEntry>> list(Task& task, uint64_t from) override {
    if (from < first_pid_cookie) {
      std::vector<PseudoEntry> entries = TRY(StaticDirectory::list(task, from));
      if (!entries.empty()) return entries;
    }
    std::vector<PseudoEntry> entries;
    ProcessLocked lock(task.kernel());
    for (Ref<ThreadGroup> const& group : pids_.groups(lock)) {
      int32_t const tgid = pids_.number_of(*group);
      uint64_t const cookie = first_pid_cookie + static_cast<uint64_t>(tgid);
      if (cookie >= from) entries.push_back({std::to_string(tgid), process_directory_number(tgid), DT_DIR, cookie});
    }
    return entries;
  }

 private:
  PidNamespace& pids_;
};

Result<Ref<FileSystem>> create(MountRequest const& request) {
  return Ref<FileSystem>(make_ref<ProcFileSystem>(request.kernel, Ref<PidNamespace>(&request.pids)));
}

}  // namespace

LoadAverage::Values LoadAverage::update(Nanoseconds now_ns, Nanoseconds cpu_ns) {
  if (last_now_ns_ != 0 && now_ns > last_now_ns_) {
    double const seconds = static_cast<double>(now_ns - last_now_ns_) / ns_per_second;
    double const running = std::max(0.0, static_cast<double>(cpu_ns - last_cpu_ns_) / ns_per_second / seconds);
    auto decay = [&](double& value, double minutes) {
      double const kept = std::exp(-seconds / (60 * minutes));
      value = value * kept + running * (1 - kept);
    };
    decay(values_.one, 1);
    decay(values_.five, 5);
    decay(values_.fifteen, 15);
  }
  last_now_ns_ = now_ns;
  last_cpu_ns_ = std::max(cpu_ns, last_cpu_ns_);
  return values_;
}

ProcFileSystem::ProcFileSystem(Kernel& kernel, Ref<PidNamespace> pids)
    : PseudoFileSystem(kernel, "proc", PROC_SUPER_MAGIC), pids_(std::move(pids)) {
  load_average.with([&](LoadAverage& l) { l.update(kernel.boot_time_ns(), 0); });
}

Ref<Inode> ProcFileSystem::root() {
  PseudoTreeBuilder tree(*this, first_tree_number);
  tree.set_root(make_ref<RootDirectory>(*this));
  tree.add("self", make_ref<SelfLink>(*this, false));
  tree.add("thread-self", make_ref<SelfLink>(*this, true));
  add_system_files(tree, *this);
  add_sys_tree(tree, *this);
  return tree.root();
}

FileSystemType file_system_type() { return {.name = "proc", .nodev = true, .user_mountable = true, .create = &create}; }

}  // namespace cofferdam::fs::proc
