// /proc/PID/fd and /proc/PID/fdinfo.
#include <dirent.h>

#include <fmt/core.h>

#include "fs/proc/process/process_directory.h"
#include "kernel/kernel.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/pseudo_fs.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

std::optional<int> parse_fd(std::string_view name) {
  if (name == "0") return 0;
  return parse_id(name);
}

Result<Ref<File>> file_of(Task& target, int fd) {
  Ref<FdTable> files = target.files();
  if (!files) return fail(Errno::NoEnt);
  Result<Ref<File>> file = files->get(fd, true);
  if (!file) return fail(Errno::NoEnt);
  return file;
}

// What a descriptor's link leads to when its file has no place in the tree: pipes, sockets, epoll instances.
class OpenFileInode final : public Inode {
 public:
  OpenFileInode(FileSystem& fs, Ref<File> file, mode_t type) : Inode(fs), file_(std::move(file)), type_(type) {}
  Result<Attributes> attributes() override { return file_->attributes(); }
  mode_t type() const override { return type_; }
  Result<void> set_attributes(AttributeChange const& change, Task& task) override {
    if (change.mode || change.uid || change.gid) return fail(Errno::Perm);
    if (!change.size) return {};
    Result<void> const truncated = file_->truncate(task, *change.size);
    if (!truncated && truncated.error() == Errno::Inval) return {};  // a stream: O_TRUNC passes over it
    return truncated;
  }
  bool opens_special_files() const override { return true; }
  Result<Ref<File>> open(OpenRequest const& request, Path const&) override {
    return file_->reopen(request.task, request.flags);
  }

 private:
  Ref<File> file_;
  mode_t type_;
};

class FdLink final : public TargetInode<PseudoInode> {
 public:
  FdLink(PseudoFileSystem& fs, Target const& target, int fd)
      : TargetInode(fs, target, number_of(target, NumberKind::Fd, static_cast<uint32_t>(fd)), S_IFLNK), fd_(fd) {}

  bool is_magic_link() const override { return true; }
  bool revalidate() override { return file().has_value(); }

  // The permission bits say how the file is open.
  Result<Attributes> attributes() override {
    Attributes a = TRY(TargetInode::attributes());
    a.size = 64;
    if (Result<Ref<File>> f = file()) {
      if ((*f)->readable() || ((*f)->flags() & O_PATH)) a.mode |= 0500;
      if ((*f)->writable()) a.mode |= 0300;
    }
    return a;
  }
  Result<void> permission(Credentials const&, int) override { return {}; }

  Result<Path> follow_magic_link(Task& reader) override {
    Ref<File> const f = TRY(file_for(reader));
    if (f->path()) return f->path();
    Result<Attributes> a = f->attributes();
    mode_t const type = a ? a->mode & S_IFMT : S_IFREG;
    Vfs& vfs = reader.kernel().vfs();
    return vfs.detached_path(make_ref<OpenFileInode>(vfs.anonymous_file_system(), f, type), f->anonymous_name());
  }

  Result<std::string> read_link(Task& reader) override {
    Ref<File> const f = TRY(file_for(reader));
    if (!f->path()) return f->anonymous_name();
    Ref<FsContext> fs = reader.fs();
    return reader.kernel().vfs().path_text(f->path(), fs ? fs->root() : Path());
  }

 private:
  Result<Ref<File>> file() const {
    Result<Ref<Task>> task = find();
    if (!task) return fail(Errno::NoEnt);
    return file_of(**task, fd_);
  }
  Result<Ref<File>> file_for(Task& reader) const {
    Result<Ref<Task>> task = find();
    if (!task) return fail(Errno::NoEnt);
    TRY(check_may_inspect(reader, **task));
    return file_of(**task, fd_);
  }

  int fd_;
};

class FdInfo final : public TargetInode<PseudoText> {
 public:
  FdInfo(PseudoFileSystem& fs, Target const& target, int fd)
      : TargetInode(fs, target, number_of(target, NumberKind::FdInfo, static_cast<uint32_t>(fd)), S_IFREG | 0444),
        fd_(fd) {}

  Result<void> check_access(Task& reader) override { return check_may_inspect(reader, *TRY(find())); }

  Result<std::string> text(Task&) override {
    Ref<Task> const task = TRY(find());
    Ref<FdTable> const files = task->files();
    if (!files) return fail(Errno::NoEnt);
    Ref<File> const f = TRY(file_of(*task, fd_));
    uint64_t position = 0;
    if (f->position_lock.try_lock()) {  // never waits for a blocked read
      position = f->position;
      f->position_lock.unlock();
    }
    Result<bool> const close_on_exec = files->close_on_exec(fd_);
    int const flags = f->flags() | (close_on_exec && *close_on_exec ? O_CLOEXEC : 0);
    Result<Attributes> const a = f->attributes();
    return fmt::format("pos:\t{}\nflags:\t0{:o}\nmnt_id:\t{}\nino:\t{}\n", position, flags,
                       f->path() ? f->path().mount->id() : 0, a ? a->inode : 0) +
           f->fdinfo_in(*target().pids);
  }

 private:
  int fd_;
};

class FdDirectory final : public TargetInode<PseudoDirectory> {
 public:
  FdDirectory(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t parent, bool info)
      : TargetInode(fs, target, number, parent, info ? 0555 : 0500), info_(info) {}

  Result<Attributes> attributes() override {
    Attributes a = TRY(TargetInode::attributes());
    if (info_) return a;
    if (Result<Ref<Task>> task = find())  // the count of descriptors, since Linux 6.2
      if (Ref<FdTable> files = (*task)->files()) a.size = files->descriptors().size();
    return a;
  }

  Result<Ref<Inode>> lookup(std::string_view name) override {
    std::optional<int> const fd = parse_fd(name);
    if (!fd) return fail(Errno::NoEnt);
    Result<Ref<Task>> task = find();
    if (!task || !file_of(**task, *fd)) return fail(Errno::NoEnt);
    PseudoFileSystem& fs = pseudo_file_system();
    if (info_) return Ref<Inode>(make_ref<FdInfo>(fs, target(), *fd));
    return Ref<Inode>(make_ref<FdLink>(fs, target(), *fd));
  }

  Result<std::vector<PseudoEntry>> list(Task& reader, uint64_t from) override {
    Ref<Task> const task = TRY(find());
    TRY(check_may_inspect(reader, *task));
    std::vector<PseudoEntry> entries;
    Ref<FdTable> const files = task->files();
    if (!files) return entries;
    for (int fd : files->descriptors()) {
      uint64_t const cookie = static_cast<uint64_t>(fd) + 2;
      if (cookie < from) continue;
      NumberKind const kind = info_ ? NumberKind::FdInfo : NumberKind::Fd;
      entries.push_back({std::to_string(fd), number_of(target(), kind, static_cast<uint32_t>(fd)),
                         static_cast<unsigned char>(info_ ? DT_REG : DT_LNK), cookie});
    }
    return entries;
  }

 private:
  bool info_;
};

}  // namespace

Ref<Inode> make_fd_directory(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t parent) {
  return make_ref<FdDirectory>(fs, target, number, parent, false);
}
Ref<Inode> make_fdinfo_directory(PseudoFileSystem& fs, Target const& target, uint64_t number, uint64_t parent) {
  return make_ref<FdDirectory>(fs, target, number, parent, true);
}

}  // namespace cofferdam::fs::proc
