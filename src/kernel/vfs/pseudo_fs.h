// Building blocks for file systems that exist in the sentry's memory only (proc, sys, devpts): as kernfs and seq_file
// of Linux.
//
// Inode numbers are the maker's choice and stable: the same thing has the same number however often its inode is made.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::kernel {

class Kernel;
class ThreadGroup;

class PseudoFileSystem : public FileSystem {
 public:
  // magic: f_type of statfs(2).
  PseudoFileSystem(Kernel&, std::string_view type_name, uint64_t magic);
  Kernel& kernel() const { return kernel_; }
  std::string_view type_name() const override { return type_name_; }
  Result<struct statfs> statfs() override;
  uint64_t device() const override { return device_; }

 private:
  Kernel& kernel_;
  std::string type_name_;
  uint64_t magic_, device_;
};

class PseudoInode : public Inode {
 public:
  PseudoInode(PseudoFileSystem&, uint64_t number, mode_t mode);
  PseudoFileSystem& pseudo_file_system() const;
  uint64_t number() const { return number_; }
  mode_t type() const override { return mode_ & S_IFMT; }
  mode_t mode() const { return mode_; }
  Result<Attributes> attributes() override;
  // Truncation and times are accepted (shells write with O_TRUNC) and change nothing; the rest is EPERM.
  Result<void> set_attributes(AttributeChange const&, Task&) override;
  bool cache_negative() const override { return false; }
  // /proc/PID: the process that the directory is of, which pidfd_send_signal(2) takes as well. Null: none (any more).
  virtual Ref<ThreadGroup> process() { return {}; }

 protected:
  // Who owns it; root by default.
  virtual void owner(uid_t&, gid_t&) {}

 private:
  uint64_t const number_;
  mode_t const mode_;
  timespec made_;
};

// A symbolic link with a fixed target.
class PseudoSymlink final : public PseudoInode {
 public:
  PseudoSymlink(PseudoFileSystem& fs, uint64_t number, std::string target)
      : PseudoInode(fs, number, S_IFLNK | 0777), target_(std::move(target)) {}
  Result<std::string> read_link(Task&) override { return target_; }

 private:
  std::string target_;
};

// A file whose text is made when it is read from its beginning, and kept while it is read on.
class PseudoText : public PseudoInode {
 public:
  using PseudoInode::PseudoInode;
  virtual Result<std::string> text(Task& reader) = 0;
  // One write(2), at most a page of it (EINVAL beyond).
  virtual Result<void> write_text(Task&, std::string_view) { return fail(Errno::Io); }
  // Asked at open(2) and again at every read: the right to see a process may end (EACCES, ESRCH).
  virtual Result<void> check_access(Task&) { return {}; }
  // st_size: 0 for proc, a page for sysfs.
  virtual uint64_t shown_size() const { return 0; }
  Result<Attributes> attributes() override;
  Result<Ref<File>> open(OpenRequest const&, Path const&) override;
};

// The same from plain functions.
class PseudoTextFunction final : public PseudoText {
 public:
  using Text = std::function<Result<std::string>(Task&)>;
  using Write = std::function<Result<void>(Task&, std::string_view)>;
  PseudoTextFunction(PseudoFileSystem& fs, uint64_t number, mode_t permissions, Text text, Write write = {},
                     uint64_t shown_size = 0)
      : PseudoText(fs, number, S_IFREG | permissions),
        text_(std::move(text)),
        write_(std::move(write)),
        shown_size_(shown_size) {}
  Result<std::string> text(Task& reader) override { return text_ ? text_(reader) : fail(Errno::Io); }
  Result<void> write_text(Task& task, std::string_view s) override {
    return write_ ? write_(task, s) : fail(Errno::Io);
  }
  uint64_t shown_size() const override { return shown_size_; }

 private:
  Text text_;
  Write write_;
  uint64_t shown_size_;
};

// The open file of a PseudoText.
class PseudoTextFile final : public File {
 public:
  PseudoTextFile(Ref<PseudoText>, Path, int flags);
  bool seekable() const override { return true; }
  Result<size_t> read(Task&, IoSink&, uint64_t offset, IoOptions) override;
  Result<size_t> write(Task&, IoSource&, uint64_t offset, IoOptions) override;
  Result<uint64_t> seek(Task&, int64_t offset, int whence) override;
  Result<Attributes> attributes() override { return inode_->attributes(); }

 private:
  Ref<PseudoText> inode_;
  Guarded<std::shared_ptr<std::string const>> text_;
};

struct PseudoEntry {
  std::string name;
  uint64_t number = 0;
  unsigned char type = 0;  // DT_*
  uint64_t cookie = 0;     // rises from entry to entry; at least 2
};

// A directory: lookup() by name, and a list in the order of rising cookies.
class PseudoDirectory : public PseudoInode {
 public:
  PseudoDirectory(PseudoFileSystem& fs, uint64_t number, uint64_t parent_number, mode_t permissions = 0555)
      : PseudoInode(fs, number, S_IFDIR | permissions), parent_number_(parent_number) {}
  // Entries with cookies >= `from`, ascending; a part of them will do, none means the end.
  virtual Result<std::vector<PseudoEntry>> list(Task&, uint64_t from) = 0;
  uint64_t parent_number() const { return parent_number_; }
  virtual uint64_t subdirectories() const { return 0; }  // for st_nlink
  Result<Attributes> attributes() override;
  Result<Ref<Inode>> lookup(std::string_view) override { return fail(Errno::NoEnt); }
  Result<Ref<Inode>> create(std::string_view, NewInode const&) override { return fail(Errno::Acces); }
  Result<Ref<File>> open(OpenRequest const&, Path const&) override;

 private:
  uint64_t parent_number_;
};

class PseudoDirectoryFile final : public File {
 public:
  PseudoDirectoryFile(Ref<PseudoDirectory>, Path, int flags);
  bool seekable() const override { return true; }
  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override { return fail(Errno::IsDir); }
  Result<uint64_t> seek(Task&, int64_t offset, int whence) override;
  Result<void> iterate(Task&, uint64_t position, DirectorySink&) override;
  Result<Attributes> attributes() override { return inode_->attributes(); }

 private:
  Ref<PseudoDirectory> inode_;
};

// A directory whose entries are there from the start. Fill it before it is shared.
class StaticDirectory : public PseudoDirectory {
 public:
  using PseudoDirectory::PseudoDirectory;
  void add(std::string name, Ref<PseudoInode> inode);
  Result<Ref<Inode>> lookup(std::string_view) override;
  Result<std::vector<PseudoEntry>> list(Task&, uint64_t from) override;
  uint64_t subdirectories() const override { return subdirectories_; }

 private:
  std::vector<std::pair<std::string, Ref<PseudoInode>>> entries_;
  std::map<std::string, size_t, std::less<>> index_;
  uint64_t subdirectories_ = 0;
};

// Plants a tree of static directories and files, numbering as it goes.
class PseudoTreeBuilder {
 public:
  PseudoTreeBuilder(PseudoFileSystem& fs, uint64_t first_number) : fs_(fs), next_(first_number) {}
  Ref<StaticDirectory> root() const { return root_; }
  // Makes the root, and every directory that a path names, as needed. Paths are relative: "sys/kernel/hostname".
  Ref<StaticDirectory> directory(std::string_view path);
  void text(std::string_view path, mode_t permissions, PseudoTextFunction::Text, PseudoTextFunction::Write = {},
            uint64_t shown_size = 0);
  void fixed(std::string_view path, std::string text, mode_t permissions = 0444, uint64_t shown_size = 0);
  void symlink(std::string_view path, std::string target);
  void add(std::string_view path, Ref<PseudoInode>);
  void set_root(Ref<StaticDirectory> root) { root_ = std::move(root); }
  uint64_t next_number() { return next_++; }
  PseudoFileSystem& file_system() const { return fs_; }

 private:
  PseudoFileSystem& fs_;
  uint64_t next_;
  Ref<StaticDirectory> root_;
  std::map<std::string, Ref<StaticDirectory>, std::less<>> directories_;
};

// What write(2) to a number in proc or sys means: optional blanks, digits (decimal, 0x…, 0…), optional newline. EINVAL.
Result<int64_t> parse_number(std::string_view);
std::string_view trim(std::string_view);  // blanks and newlines at both ends

}  // namespace cofferdam::kernel
