// /proc/PID/ns: every process of a sandbox is in the same namespaces.
#include <dirent.h>

#include <fmt/core.h>

#include <array>

#include "fs/proc/process/process_directory.h"
#include "kernel/kernel.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

struct Namespace {
  std::string_view name, kind;
  uint32_t inode;  // those of Linux's initial namespaces (include/linux/proc_ns.h), made-up ones where Linux has none
};
constexpr std::array<Namespace, 10> namespaces{{{"cgroup", "cgroup", 0xEFFFFFFB},
                                                {"ipc", "ipc", 0xEFFFFFFF},
                                                {"mnt", "mnt", 0xEFFFFFF8},
                                                {"net", "net", 0xEFFFFFF9},
                                                {"pid", "pid", 0xEFFFFFFC},
                                                {"pid_for_children", "pid", 0xEFFFFFFC},
                                                {"time", "time", 0xEFFFFFFA},
                                                {"time_for_children", "time", 0xEFFFFFFA},
                                                {"user", "user", 0xEFFFFFFD},
                                                {"uts", "uts", 0xEFFFFFFE}}};

// What the link leads to: a file that stands for the namespace and can be opened, not read.
class NamespaceFileInode final : public Inode {
 public:
  NamespaceFileInode(FileSystem& fs, uint32_t number) : Inode(fs), number_(number) {}
  mode_t type() const override { return S_IFREG; }
  Result<Attributes> attributes() override {
    Attributes a;
    a.device = file_system().device();
    a.inode = number_;
    a.mode = S_IFREG | 0444;
    return a;
  }
  Result<Ref<File>> open(OpenRequest const& request, Path const& path) override {
    return Ref<File>(make_ref<File>(path, request.flags));
  }

 private:
  uint32_t number_;
};

class NamespaceLink final : public TargetInode<PseudoInode> {
 public:
  NamespaceLink(PseudoFileSystem& fs, Target const& target, uint32_t index)
      : TargetInode(fs, target, number_of(target, NumberKind::Namespace, index), S_IFLNK | 0777), index_(index) {}
  bool is_magic_link() const override { return true; }
  Result<Path> follow_magic_link(Task& reader) override {
    std::string name = TRY(read_link(reader));
    Vfs& vfs = reader.kernel().vfs();
    return vfs.detached_path(make_ref<NamespaceFileInode>(vfs.anonymous_file_system(), namespaces[index_].inode), name);
  }
  Result<std::string> read_link(Task& reader) override {
    TRY(check_may_inspect(reader, *TRY(find())));
    return fmt::format("{}:[{}]", namespaces[index_].kind, namespaces[index_].inode);
  }

 private:
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
