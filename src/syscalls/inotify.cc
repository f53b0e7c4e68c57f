// inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2).
#include "kernel/ipc/inotify.h"

#include "kernel/kernel.h"
#include "syscalls/handlers_file.h"
#include "syscalls/path_arguments.h"

namespace cofferdam::syscalls {

using namespace kernel;

namespace {

struct OpenInotify {
  Ref<File> file;
  InotifyInstance* instance;
};

Result<OpenInotify> inotify_at(Task& task, Fd fd) {
  auto file = TRY(task.file(fd.value));
  auto* inotify = dynamic_cast<InotifyFile*>(file.get());
  if (inotify == nullptr) return fail(Errno::Inval);
  return OpenInotify{std::move(file), &inotify->instance()};
}

}  // namespace

Result<int> sys_inotify_init1(Task& task, InotifyFlags flags) {
  auto file = TRY(InotifyFile::create(task.kernel(), task.credentials()->uid, static_cast<int>(flags.bits)));
  return task.files()->install(std::move(file), flags.has(IN_CLOEXEC), descriptor_limit(task));
}

Result<int> sys_inotify_init(Task& task) { return sys_inotify_init1(task, {}); }

Result<int> sys_inotify_add_watch(Task& task, Fd fd, UserCString path, uint32_t mask) {
  constexpr uint32_t known = IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD |
                             IN_MASK_CREATE | IN_ISDIR | IN_ONESHOT | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED;
  if (!(mask & known)) return fail(Errno::Inval);
  if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE)) return fail(Errno::Inval);
  auto [file, instance] = TRY(inotify_at(task, fd));
  auto at = TRY(path_argument(task, Fd{AT_FDCWD}, path));
  LookupOptions const how{.follow_last = !(mask & IN_DONT_FOLLOW), .must_be_directory = (mask & IN_ONLYDIR) != 0};
  auto found = TRY(task.kernel().vfs().lookup(task, at.start, at.text, how));
  TRY(task.kernel().vfs().permission(*task.credentials(), found, may_read));
  return instance->add(found.dentry, mask);
}

Result<void> sys_inotify_rm_watch(Task& task, Fd fd, int32_t wd) {
  auto [file, instance] = TRY(inotify_at(task, fd));
  return instance->remove(wd);
}

}  // namespace cofferdam::syscalls
