#include "fs/proc/process/process_directory.h"

#include <dirent.h>

#include <array>

#include "fs/proc/process/process_text.h"
#include "kernel/kernel.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

using Text = Result<std::string> (*)(View const&, Task& target);
using Write = Result<void> (*)(Task& writer, Task& target, std::string_view);
using Make = Ref<Inode> (*)(PseudoFileSystem&, Target const&, uint64_t number, uint64_t parent);

enum class Where { Both, Process, Thread };
enum class See { Anybody, Inspector };  // Inspector: ptrace's right to look (ptrace(2))

struct Entry {
  std::string_view name;
  mode_t mode;
  Where where;
  See see;
  Text text;
  Write write = nullptr;
  Make make = nullptr;  // instead of text
};

constexpr mode_t R = S_IFREG, D = S_IFDIR, L = S_IFLNK;
using enum Where;
using enum See;

// In the order of Linux's tables (tgid_base_stuff, tid_base_stuff).
constexpr Entry entries[] = {
    {"task", D | 0555, Process, Anybody, nullptr, nullptr, &make_task_directory},
    {"fd", D | 0500, Both, Anybody, nullptr, nullptr, &make_fd_directory},
    {"fdinfo", D | 0555, Both, Anybody, nullptr, nullptr, &make_fdinfo_directory},
    {"ns", D | 0511, Both, Anybody, nullptr, nullptr, &make_namespace_directory},
    {"net", D | 0555, Both, Anybody, nullptr, nullptr, &make_net_directory},
    {"environ", R | 0400, Both, Inspector, &environ_text},
    {"auxv", R | 0400, Both, Inspector, &auxv_text},
    {"status", R | 0444, Process, Anybody, &status_text},
    {"status", R | 0444, Thread, Anybody, &thread_status_text},
    {"personality", R | 0400, Both, Inspector, &personality_text},
    {"limits", R | 0444, Both, Anybody, &limits_text},
    {"sched", R | 0444, Both, Anybody, &sched_text},
    {"comm", R | 0644, Both, Anybody, &comm_text, &comm_write},
    {"syscall", R | 0400, Both, Inspector, &syscall_text},
    {"cmdline", R | 0444, Both, Anybody, &cmdline_text},
    {"stat", R | 0444, Process, Anybody, &stat_text},
    {"stat", R | 0444, Thread, Anybody, &thread_stat_text},
    {"statm", R | 0444, Both, Anybody, &statm_of},
    {"maps", R | 0444, Both, Inspector, &maps_of},
    {"children", R | 0444, Thread, Anybody, &children_text},
    {"numa_maps", R | 0444, Both, Inspector, &numa_maps_of},
    {"mem", R | 0600, Both, Inspector, nullptr, nullptr, &make_memory_file},
    {"cwd", L | 0777, Both, Inspector, nullptr, nullptr, &make_cwd_link},
    {"root", L | 0777, Both, Inspector, nullptr, nullptr, &make_root_link},
    {"exe", L | 0777, Both, Inspector, nullptr, nullptr, &make_executable_link},
    {"mounts", R | 0444, Both, Anybody, &mounts_text},
    {"mountinfo", R | 0444, Both, Anybody, &mountinfo_text},
    {"mountstats", R | 0400, Process, Anybody, &mountstats_text},
    {"clear_refs", R | 0200, Both, Inspector, &empty_text, &clear_refs_write},
    {"smaps", R | 0444, Both, Inspector, &smaps_of},
    {"smaps_rollup", R | 0444, Both, Inspector, &smaps_rollup_of},
    {"wchan", R | 0444, Both, Anybody, &wchan_text},
    {"schedstat", R | 0444, Both, Anybody, &schedstat_text},
    {"cgroup", R | 0444, Both, Anybody, &cgroup_text},
    {"oom_score", R | 0444, Both, Anybody, &oom_score_text},
    {"oom_adj", R | 0644, Both, Anybody, &oom_adj_text, &oom_adj_write},
    {"oom_score_adj", R | 0644, Both, Anybody, &oom_score_adj_text, &oom_score_adj_write},
    {"loginuid", R | 0444, Both, Anybody, &loginuid_text},
    {"sessionid", R | 0444, Both, Anybody, &sessionid_text},
    {"coredump_filter", R | 0444, Both, Anybody, &coredump_filter_text},
    {"io", R | 0400, Process, Inspector, &io_text},
    {"io", R | 0400, Thread, Inspector, &thread_io_text},
    {"uid_map", R | 0444, Both, Anybody, &uid_map_text},
    {"gid_map", R | 0444, Both, Anybody, &gid_map_text},
    {"projid_map", R | 0444, Both, Anybody, &project_id_map_text},
    {"setgroups", R | 0444, Both, Anybody, &setgroups_text},
    {"timerslack_ns", R | 0444, Process, Inspector, &timerslack_text},
};

bool belongs(Entry const& entry, Target const& target) {
  return entry.where == Both || (entry.where == Thread) == target.as_thread;
}

uint64_t entry_number(Target const& target, size_t index) {
  return number_of(target, NumberKind::Entry, static_cast<uint32_t>(index) + 1);
}

class EntryText final : public TargetInode<PseudoText> {
 public:
  EntryText(PseudoFileSystem& fs, Target const& target, uint64_t number, Entry const& entry)
      : TargetInode(fs, target, number, entry.mode), entry_(entry) {}

  Result<void> check_access(Task& reader) override {
    Ref<Task> const task = TRY(find());
    if (entry_.see == Inspector) TRY(check_may_inspect(reader, *task));
    return {};
  }
  Result<std::string> text(Task& reader) override {
    Ref<Task> const task = TRY(find());
    return entry_.text(View{reader, *target().pids}, *task);
  }
  Result<void> write_text(Task& writer, std::string_view text) override {
    if (entry_.write == nullptr) return fail(Errno::Inval);
    Ref<Task> const task = TRY(find());
    return entry_.write(writer, *task, text);
  }

 private:
  Entry const& entry_;
};

class ProcessDirectory final : public TargetInode<PseudoDirectory> {
 public:
  using TargetInode::TargetInode;

  Ref<ThreadGroup> process() override {
    auto found = target().as_thread ? Result<Ref<Task>>(fail(Errno::BadF)) : find();
    return found ? Ref<ThreadGroup>(&(*found)->thread_group()) : Ref<ThreadGroup>();
  }

  uint64_t subdirectories() const override {
    uint64_t n = 0;
    for (Entry const& e : entries) n += belongs(e, target()) && S_ISDIR(e.mode);
    return n;
  }

  Result<Ref<Inode>> lookup(std::string_view name) override {
    if (!find()) return fail(Errno::NoEnt);
    for (size_t i = 0; i < std::size(entries); ++i)
      if (entries[i].name == name && belongs(entries[i], target())) return make(i);
    return fail(Errno::NoEnt);
  }

  Result<std::vector<PseudoEntry>> list(Task&, uint64_t from) override {
    if (!find()) return fail(Errno::NoEnt);
    std::vector<PseudoEntry> result;
    for (uint64_t i = from - 2; i < std::size(entries); ++i)
      if (belongs(entries[i], target()))
        result.push_back({std::string(entries[i].name), entry_number(target(), i),
                          static_cast<unsigned char>((entries[i].mode & S_IFMT) >> 12), i + 2});
    return result;
  }

 private:
  Result<Ref<Inode>> make(size_t index) {
    Entry const& entry = entries[index];
    uint64_t const inode = entry_number(target(), index);
    if (entry.make) return entry.make(pseudo_file_system(), target(), inode, number());
    return Ref<Inode>(make_ref<EntryText>(pseudo_file_system(), target(), inode, entry));
  }
};

class TaskDirectory final : public TargetInode<PseudoDirectory> {
 public:
  using TargetInode::TargetInode;

  uint64_t subdirectories() const override {
    Result<Ref<Task>> task = find();
    if (!task) return 0;
    ProcessLocked lock((*task)->kernel());
    return (*task)->thread_group().tasks(lock).size();
  }

  Result<Ref<Inode>> lookup(std::string_view name) override {
    std::optional<int32_t> const tid = parse_id(name);
    if (!tid) return fail(Errno::NoEnt);
    Target const thread = TRY(Target::of_thread(target(), *tid));
    return Ref<Inode>(
        make_ref<ProcessDirectory>(pseudo_file_system(), thread, number_of(thread, NumberKind::Entry, 0), number()));
  }

  Result<std::vector<PseudoEntry>> list(Task&, uint64_t from) override {
    Result<Ref<Task>> const task = find();
    if (!task) return fail(Errno::NoEnt);
    std::map<int32_t, bool> tids;
    {
      ProcessLocked lock((*task)->kernel());
      auto number = [&](Ref<Task> const& t) { return target().pids->number_of(*t); };
      for (Ref<Task> const& t : (*task)->thread_group().tasks(lock)) tids[number(t)] = true;
      if (tids.empty()) tids[number(*task)] = true;  // a zombie's leader
    }
    std::vector<PseudoEntry> result;
    for (auto const& [tid, _] : tids) {
      uint64_t const cookie = static_cast<uint64_t>(tid) + 2;
      Target const thread{target().pids, tid, true, 0};
      if (cookie >= from)
        result.push_back({std::to_string(tid), number_of(thread, NumberKind::Entry, 0), DT_DIR, cookie});
    }
    return result;
  }
};

}  // namespace

// tid in the upper half; below it whether it is a thread for itself, the kind and the index.
uint64_t number_of(Target const& target, NumberKind kind, uint32_t index) {
  return static_cast<uint64_t>(target.tid) << 32 | uint64_t{target.as_thread} << 31 |
         uint64_t{static_cast<uint8_t>(kind)} << 27 | (index & 0x7ffffff);
}

uint64_t process_directory_number(int32_t tid) { return number_of({nullptr, tid, false, 0}, NumberKind::Entry, 0); }

Ref<Inode> make_task_directory(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t parent) {
  return make_ref<TaskDirectory>(fs, target, number, parent);
}

Result<Ref<Inode>> process_directory(PseudoFileSystem& fs, PidNamespace& pids, int32_t tid) {
  Target const target = TRY(Target::of_process(pids, tid));
  return Ref<Inode>(make_ref<ProcessDirectory>(fs, target, number_of(target, NumberKind::Entry, 0), fs_root_number));
}

}  // namespace cofferdam::fs::proc
