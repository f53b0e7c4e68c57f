// /proc/PID/ns: the namespaces that a process is in.
#include <dirent.h>

#include <array>

#include "fs/proc/process/process_directory.h"
#include "kernel/kernel.h"
#include "kernel/namespace/namespace_file.h"
#include "kernel/namespace/namespace_set.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

struct NamespaceEntry {
  std::string_view name;
  NamespaceKind kind;
  bool for_children = false;
};
constexpr std::array<NamespaceEntry, 10> namespaces{{{"cgroup", NamespaceKind::Cgroup},
                                                     {"ipc", NamespaceKind::Ipc},
                                                     {"mnt", NamespaceKind::Mount},
                                                     {"net", NamespaceKind::Network},
                                                     {"pid", NamespaceKind::Pid},
                                                     {"pid_for_children", NamespaceKind::Pid, true},
                                                     {"time", NamespaceKind::Time},
                                                     {"time_for_children", NamespaceKind::Time, true},
                                                     {"user", NamespaceKind::User},
                                                     {"uts", NamespaceKind::Uts}}};

class NamespaceLink final : public TargetInode<PseudoInode> {
 public:
  NamespaceLink(PseudoFileSystem& fs, Target const& target, uint32_t index)
      : TargetInode(fs, target, number_of(target, NumberKind::Namespace, index), S_IFLNK | 0777), index_(index) {}
  bool is_magic_link() const override { return true; }
  Result<Path> follow_magic_link(Task& reader) override {
    return namespace_path(reader.kernel(), TRY(space_seen_by(reader)));
  }
  Result<std::string> read_link(Task& reader) override { return namespace_text(*TRY(space_seen_by(reader))); }

 private:
  Result<Ref<Namespace>> space_seen_by(Task& reader) {
    Ref<Task> const task = TRY(find());
    TRY(check_may_inspect(reader, *task));
    auto space = namespace_of(*task, namespaces[index_].kind, namespaces[index_].for_children);
    // A namespace that waits for its first process has nothing to show (pidns_for_children_get of Linux).
    auto* pids = dynamic_cast<PidNamespace*>(space.get());
    if (!space || (pids != nullptr && pids != &task->pids() && pids->last_pid() == 0)) return fail(Errno::NoEnt);
    return space;
  }

  uint32_t index_;
};

class NamespaceDirectory final : public TargetInode<PseudoDirectory> {
 public:
  NamespaceDirectory(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t parent)
      : TargetInode(fs, target, number, parent, 0511) {}
  Result<Ref<Inode>> lookup(std::string_view name) override {
    for (uint32_t i = 0; i < namespaces.size(); ++i)
      if (namespaces[i].name == name) return Ref<Inode>(make_ref<NamespaceLink>(pseudo_file_system(), target(), i));
    return fail(Errno::NoEnt);
  }
  Result<std::vector<PseudoEntry>> list(Task& reader, uint64_t from) override {
    TRY(check_may_inspect(reader, *TRY(find())));
    std::vector<PseudoEntry> entries;
    for (uint64_t i = from - 2; i < namespaces.size(); ++i)
      entries.push_back({std::string(namespaces[i].name),
                         number_of(target(), NumberKind::Namespace, static_cast<uint32_t>(i)), DT_LNK, i + 2});
    return entries;
  }
};

}  // namespace

Ref<Inode> make_namespace_directory(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t parent) {
  return make_ref<NamespaceDirectory>(fs, target, number, parent);
}

}  // namespace cofferdam::fs::proc
