// An inode that lives in memory: what tmpfs and memfd_create(2) are made of. Attributes, extended attributes, symlink
// text, and for regular files their data. Directories are tmpfs's own matter.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/memory_data.h"

namespace cofferdam::kernel {

class Kernel;

class MemoryInode : public Inode {
 public:
  MemoryInode(FileSystem&, uint64_t number, NewInode const&);

  Result<Attributes> attributes() override;
  Result<void> set_attributes(AttributeChange const&, Task&) override;
  Result<void> set_times(timespec accessed, timespec modified) override;
  mode_t type() const override { return type_; }
  Result<std::string> link_text() override;
  Result<Ref<File>> open(OpenRequest const&, Path const&) override;
  Result<size_t> read_data(std::span<std::byte>, uint64_t offset) override;
  Result<size_t> write_data(std::span<std::byte const>, uint64_t offset) override;
  Result<std::string> get_xattr(std::string_view) override;
  Result<void> set_xattr(std::string_view, std::string_view, int flags) override;
  Result<void> remove_xattr(std::string_view) override;
  Result<std::vector<std::string>> list_xattr() override;

  // Before anybody knows the inode.
  void set_data(std::unique_ptr<MemoryData> data) {
    data_ = std::move(data);
    data_->set_owner(*this);
  }
  void set_link_text(std::string text);

  MemoryData* data() const { return data_.get(); }
  uint64_t number() const { return number_; }
  // Link counts and times, as directory operations change them.
  int64_t add_links(int n);  // the count then
  int64_t links() const;
  void note_accessed();
  void note_modified();  // contents: mtime and ctime
  void note_changed();   // inode: ctime

 private:
  uint64_t const number_;
  mode_t const type_;
  std::unique_ptr<MemoryData> data_;

  mutable Mutex mutex_;
  mode_t mode_ GUARDED_BY(mutex_);
  uid_t uid_ GUARDED_BY(mutex_);
  gid_t gid_ GUARDED_BY(mutex_);
  int64_t links_ GUARDED_BY(mutex_) = 0;
  uint64_t special_device_ GUARDED_BY(mutex_);
  timespec accessed_ GUARDED_BY(mutex_), modified_ GUARDED_BY(mutex_), changed_ GUARDED_BY(mutex_), born_;
  std::unique_ptr<std::map<std::string, std::string, std::less<>>> xattrs_ GUARDED_BY(mutex_);
  size_t xattr_bytes_ GUARDED_BY(mutex_) = 0;
  std::string link_text_;
};

// memfd_create(2), flags checked by the caller: MFD_ALLOW_SEALING decides whether seals can be added, MFD_NOEXEC_SEAL
// implies it and takes the executable bits away.
Result<Ref<File>> create_memfd(Kernel&, Credentials const&, std::string const& name, unsigned flags);

}  // namespace cofferdam::kernel
