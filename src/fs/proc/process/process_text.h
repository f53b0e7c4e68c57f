// The texts of the files of a process. Each takes who looks and at whom; formats are Linux's to the byte.
#pragma once

#include <string>

#include "base/result.h"
#include "kernel/task/task.h"

namespace cofferdam::fs::proc {

using kernel::PidNamespace;
using kernel::Task;

// Who reads, and whose numbers processes are told in: those of the namespace that the procfs was mounted in.
struct View {
  Task& reader;
  PidNamespace const& pids;
};

// process_stat.cc
Result<std::string> stat_text(View const&, Task& target);
Result<std::string> thread_stat_text(View const&, Task& target);
Result<std::string> statm_of(View const&, Task& target);
Result<std::string> schedstat_text(View const&, Task& target);
Result<std::string> sched_text(View const&, Task& target);
Result<std::string> io_text(View const&, Task& target);
Result<std::string> thread_io_text(View const&, Task& target);

// process_status.cc
Result<std::string> status_text(View const&, Task& target);
Result<std::string> thread_status_text(View const&, Task& target);

// process_memory.cc
Result<std::string> cmdline_text(View const&, Task& target);
Result<std::string> environ_text(View const&, Task& target);
Result<std::string> auxv_text(View const&, Task& target);
Result<std::string> maps_of(View const&, Task& target);
Result<std::string> smaps_of(View const&, Task& target);
Result<std::string> smaps_rollup_of(View const&, Task& target);
Result<std::string> numa_maps_of(View const&, Task& target);
Result<void> clear_refs_write(Task& writer, Task& target, std::string_view);

// process_mounts.cc
Result<std::string> mounts_text(View const&, Task& target);
Result<std::string> mountinfo_text(View const&, Task& target);
Result<std::string> mountstats_text(View const&, Task& target);

// process_settings.cc
Result<std::string> comm_text(View const&, Task& target);
Result<void> comm_write(Task& writer, Task& target, std::string_view);
Result<std::string> limits_text(View const&, Task& target);
Result<std::string> oom_score_text(View const&, Task& target);
Result<std::string> oom_score_adj_text(View const&, Task& target);
Result<void> oom_score_adj_write(Task& writer, Task& target, std::string_view);
Result<std::string> oom_adj_text(View const&, Task& target);
Result<void> oom_adj_write(Task& writer, Task& target, std::string_view);
Result<std::string> cgroup_text(View const&, Task& target);
Result<std::string> wchan_text(View const&, Task& target);
Result<std::string> personality_text(View const&, Task& target);
Result<std::string> coredump_filter_text(View const&, Task& target);
Result<std::string> loginuid_text(View const&, Task& target);
Result<std::string> sessionid_text(View const&, Task& target);
Result<std::string> uid_map_text(View const&, Task& target);
Result<std::string> gid_map_text(View const&, Task& target);
Result<std::string> project_id_map_text(View const&, Task& target);
Result<std::string> setgroups_text(View const&, Task& target);
Result<std::string> timerslack_text(View const&, Task& target);
Result<std::string> syscall_text(View const&, Task& target);
Result<std::string> children_text(View const&, Task& target);
Result<std::string> empty_text(View const&, Task& target);

}  // namespace cofferdam::fs::proc
