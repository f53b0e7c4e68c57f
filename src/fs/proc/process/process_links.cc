// /proc/PID/exe, cwd and root: links that lead to a place, not to a name.
#include "fs/proc/process/process_directory.h"
#include "kernel/kernel.h"
#include "kernel/vfs/pseudo_fs.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

using PathOf = Result<Path> (*)(Task& target);

class PlaceLink final : public TargetInode<PseudoInode> {
 public:
  PlaceLink(PseudoFileSystem& fs, Target const& target, uint64_t number, PathOf path_of)
      : TargetInode(fs, target, number, S_IFLNK | 0777), path_of_(path_of) {}

  bool is_magic_link() const override { return true; }

  Result<Path> follow_magic_link(Task& reader) override {
    Result<Ref<Task>> task = find();
    if (!task) return fail(Errno::NoEnt);
    TRY(check_may_inspect(reader, **task));
    return path_of_(**task);
  }

  Result<std::string> read_link(Task& reader) override {
    Path const path = TRY(follow_magic_link(reader));
    Ref<FsContext> fs = reader.fs();
    return reader.kernel().vfs().path_text(path, fs ? fs->root() : Path());
  }

 private:
  PathOf path_of_;
};

Result<Path> executable_of(Task& task) {
  Ref<MemoryManager> mm = task.mm();
  Ref<File> file = mm ? mm->executable() : Ref<File>();
  if (!file || !file->path()) return fail(Errno::NoEnt);
  return file->path();
}

Result<Path> cwd_of(Task& task) {
  Ref<FsContext> fs = task.fs();
  if (!fs) return fail(Errno::NoEnt);
  return fs->cwd();
}

Result<Path> root_of(Task& task) {
  Ref<FsContext> fs = task.fs();
  if (!fs) return fail(Errno::NoEnt);
  return fs->root();
}

}  // namespace

Ref<Inode> make_executable_link(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t) {
  return make_ref<PlaceLink>(fs, target, number, &executable_of);
}
Ref<Inode> make_cwd_link(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t) {
  return make_ref<PlaceLink>(fs, target, number, &cwd_of);
}
Ref<Inode> make_root_link(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t) {
  return make_ref<PlaceLink>(fs, target, number, &root_of);
}

}  // namespace cofferdam::fs::proc
