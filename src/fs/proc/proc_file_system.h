#pragma once

#include "kernel/task/pid.h"
#include "kernel/task/task.h"
#include "kernel/time/clock.h"
#include "kernel/vfs/pseudo_fs.h"

namespace cofferdam::fs::proc {

using kernel::Kernel;
using kernel::Task;

// The load averages: the CPU time that the sandbox used, decayed over 1, 5 and 15 minutes when somebody looks, so that
// an idle sandbox need not wake to sample.
class LoadAverage {
 public:
  struct Values {
    double one = 0, five = 0, fifteen = 0;
  };
  Values update(kernel::Nanoseconds now_ns, kernel::Nanoseconds cpu_ns);

 private:
  Values values_;
  kernel::Nanoseconds last_now_ns_ = 0, last_cpu_ns_ = 0;
};

class ProcFileSystem final : public kernel::PseudoFileSystem {
 public:
  ProcFileSystem(Kernel& kernel, Ref<kernel::PidNamespace> pids);
  // Whose processes it shows.
  kernel::PidNamespace& pids() const { return *pids_; }
  Ref<kernel::Inode> root() override;
  // Processes come and go without telling the dentry cache.
  bool revalidates() const override { return true; }
  std::string source() const override { return "proc"; }

  Guarded<LoadAverage> load_average;

 private:
  Ref<kernel::PidNamespace> const pids_;
};

// Plants /proc/cpuinfo and its neighbours, and /proc/sys.
void add_system_files(kernel::PseudoTreeBuilder&, ProcFileSystem&);
void add_sys_tree(kernel::PseudoTreeBuilder&, ProcFileSystem&);

}  // namespace cofferdam::fs::proc
