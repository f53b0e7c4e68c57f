#include "kernel/ipc/directory_notify.h"

#include <fcntl.h>

#include "kernel/ipc/async_signal.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/locks.h"
#include "kernel/vfs/notify.h"

namespace cofferdam::kernel {
namespace {

constexpr uint32_t event_bits = DN_ACCESS | DN_MODIFY | DN_CREATE | DN_DELETE | DN_RENAME | DN_ATTRIB;

// One directory as watched through one file by the holders of one descriptor table.
class DirectoryNotify final : public Watch {
 public:
  DirectoryNotify(Kernel& kernel, FdTable const& table, Ref<File> file, int fd)
      : kernel_(kernel), table_(&table), file_(std::move(file)), fd_(fd) {}

  bool is(FdTable const& table, File const& file) const { return table_ == &table && file_.get() == &file; }
  void add(uint32_t mask) {
    state_.with([&](State& s) { s.mask |= mask; });
  }
  void on_event(FileEvent const& e) override {
    bool const tell = state_.with([&](State& s) {
      // A rename within the directory is both halves of a move, one after the other.
      bool const renamed = (e.mask & IN_MOVED_TO) && e.cookie == s.moved_from;
      if (e.mask & IN_MOVED_FROM) s.moved_from = e.cookie;
      if (!(s.mask & (wanted_by(e.mask) | (renamed ? DN_RENAME : 0)) & event_bits)) return false;
      if (!(s.mask & DN_MULTISHOT)) s.mask = 0;
      return true;
    });
    if (!tell) return;
    signal_owner(kernel_, file_->owner.with([](File::Owner& o) { return o; }), fd_);
  }
  void on_end() override {}
  bool is_done() const {
    return state_.with([](State const& s) { return (s.mask & event_bits) == 0; });
  }

 private:
  static uint32_t wanted_by(uint32_t event) {
    uint32_t mask = 0;
    if (event & IN_ACCESS) mask |= DN_ACCESS;
    if (event & IN_MODIFY) mask |= DN_MODIFY;
    if (event & (IN_CREATE | IN_MOVED_TO)) mask |= DN_CREATE;
    if (event & (IN_DELETE | IN_MOVED_FROM)) mask |= DN_DELETE;
    if (event & IN_ATTRIB) mask |= DN_ATTRIB;
    return mask;
  }
  struct State {
    uint32_t mask = 0, moved_from = 0;
  };
  Kernel& kernel_;
  FdTable const* const table_;  // compared only
  Ref<File> const file_;
  int const fd_;
  Guarded<State> state_;
};

Ref<DirectoryNotify> find(FdTable const& table, File& file) {
  auto list = WatchList::find(*file.inode());
  if (!list) return {};
  for (auto const& watch : list->all())
    if (auto* mine = dynamic_cast<DirectoryNotify*>(watch.get()); mine != nullptr && mine->is(table, file))
      return Ref<DirectoryNotify>(mine);
  return {};
}

}  // namespace

Result<void> set_directory_notify(Task& task, File& file, int fd, uint32_t mask) {
  Kernel& kernel = task.kernel();
  if (!kernel.vfs().lock_waits().directory_notify_enabled.load(std::memory_order_relaxed)) return fail(Errno::Inval);
  Inode* inode = file.inode();
  if ((mask & ~uint32_t{DN_MULTISHOT}) == 0) {
    if (inode != nullptr) end_directory_notify(*task.files(), file);
    return {};
  }
  if (inode == nullptr || !S_ISDIR(inode->type())) return fail(Errno::NotDir);
  auto table = task.files();
  set_default_owner(task, file);
  auto there = find(*table, file);
  if (there && !there->is_done()) {
    there->add(mask);
    return {};
  }
  if (there) kernel.vfs().notifications().remove(*inode, *there);
  auto fresh = make_ref<DirectoryNotify>(kernel, *table, Ref<File>(&file), fd);
  fresh->add(mask);
  kernel.vfs().notifications().add(file.path().dentry, std::move(fresh));
  return {};
}

void end_directory_notify(FdTable const& table, File& file) {
  Inode* inode = file.inode();
  if (inode == nullptr || !inode->has_attachment(Attachment::Watches)) return;
  Ref<File> keep(&file);
  auto there = find(table, file);
  Notifications* n = inode->file_system().notifications();
  if (there && n != nullptr) n->remove(*inode, *there);
}

}  // namespace cofferdam::kernel
