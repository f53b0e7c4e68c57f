// The texts of the files of a process. Each takes who reads and of whom; formats are Linux's to the byte.
#pragma once

#include <string>

#include "base/result.h"
#include "kernel/task/task.h"

namespace cofferdam::fs::proc {

using kernel::Task;

// process_stat.cc
Result<std::string> stat_text(Task& reader, Task& target);
Result<std::string> thread_stat_text(Task& reader, Task& target);
Result<std::string> statm_of(Task& reader, Task& target);
Result<std::string> schedstat_text(Task& reader, Task& target);
Result<std::string> sched_text(Task& reader, Task& target);
Result<std::string> io_text(Task& reader, Task& target);
Result<std::string> thread_io_text(Task& reader, Task& target);

// process_status.cc
Result<std::string> status_text(Task& reader, Task& target);
Result<std::string> thread_status_text(Task& reader, Task& target);

// process_memory.cc
Result<std::string> cmdline_text(Task& reader, Task& target);
Result<std::string> environ_text(Task& reader, Task& target);
Result<std::string> auxv_text(Task& reader, Task& target);
Result<std::string> maps_of(Task& reader, Task& target);
Result<std::string> smaps_of(Task& reader, Task& target);
Result<std::string> smaps_rollup_of(Task& reader, Task& target);
Result<std::string> numa_maps_of(Task& reader, Task& target);
Result<void> clear_refs_write(Task& writer, Task& target, std::string_view);

// process_mounts.cc
Result<std::string> mounts_text(Task& reader, Task& target);
Result<std::string> mountinfo_text(Task& reader, Task& target);
Result<std::string> mountstats_text(Task& reader, Task& target);

// process_settings.cc
Result<std::string> comm_text(Task& reader, Task& target);
Result<void> comm_write(Task& writer, Task& target, std::string_view);
Result<std::string> limits_text(Task& reader, Task& target);
Result<std::string> oom_score_text(Task& reader, Task& target);
Result<std::string> oom_score_adj_text(Task& reader, Task& target);
Result<void> oom_score_adj_write(Task& writer, Task& target, std::string_view);
Result<std::string> oom_adj_text(Task& reader, Task& target);
Result<void> oom_adj_write(Task& writer, Task& target, std::string_view);
Result<std::string> cgroup_text(Task& reader, Task& target);
Result<std::string> wchan_text(Task& reader, Task& target);
Result<std::string> personality_text(Task& reader, Task& target);
Result<std::string> coredump_filter_text(Task& reader, Task& target);
Result<std::string> loginuid_text(Task& reader, Task& target);
Result<std::string> sessionid_text(Task& reader, Task& target);
Result<std::string> uid_map_text(Task& reader, Task& target);
Result<std::string> gid_map_text(Task& reader, Task& target);
Result<std::string> project_id_map_text(Task& reader, Task& target);
Result<std::string> setgroups_text(Task& reader, Task& target);
Result<std::string> timerslack_text(Task& reader, Task& target);
Result<std::string> syscall_text(Task& reader, Task& target);
Result<std::string> children_text(Task& reader, Task& target);
Result<std::string> empty_text(Task& reader, Task& target);

}  // namespace cofferdam::fs::proc
