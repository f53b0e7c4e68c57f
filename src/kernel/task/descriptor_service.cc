#include "kernel/task/descriptor_service.h"

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task_internal.h"
#include "kernel/vfs/inode.h"

namespace cofferdam::kernel {
namespace {

bool wants_no_calls(Task& task) {
  return task.implementation().seccomp_mode.load(std::memory_order_acquire) == seccomp::Mode::Disabled;
}

// Do all threads of the address space use this table, without a filter?
bool threads_agree(Task& task, FdTable const& files) {
  auto const agrees = [&](Ref<Task> const& t) { return wants_no_calls(*t) && t->files().get() == &files; };
  ProcessLocked lock(task.kernel());
  auto const tasks = task.thread_group().tasks(lock);
  return tasks.size() == task.context().address_space().thread_count() && std::ranges::all_of(tasks, agrees);
}

bool may_be_served(Task& task, FdTable const& files, File const& file) {
  if (task.thread_group().control_group().traced()) return false;
  if (Inode const* inode = file.inode(); inode != nullptr && inode->file_system().notifications() != nullptr)
    return false;
  return threads_agree(task, files);
}

}  // namespace

void offer_descriptor_service(Task& task, int fd, File& file) {
  auto const files = task.files();
  if (!may_be_served(task, *files, file)) return;
  auto const services = task.context().make_descriptor_services();
  if (!services) return;
  file.note_service(services);
  auto offer = file.service(task);
  if (!offer) return;
  if (offer->target) {
    offer->what.file = {.host_fd = offer->target->fd->get(), .offset = offer->target->offset, .shared = true};
    offer->what.backing = offer->target->backing;
  }
  // The table is this task's alone, and the description its own (and the caller's).
  bool const alone = files->ref_count() == 2 && task.context().address_space().thread_count() == 1;
  if (offer->target && alone && file.ref_count() == 2) {
    MutexLock lock(file.position_lock);
    offer->what.position = file.position;
  }
  auto const prepared = task.context().prepare_service(offer->what);
  if (!prepared || !files->start_serving(fd, file, services, *prepared)) return;
  task.implementation().is_served = true;
  if (!file.service_holds() || !may_be_served(task, *files, file)) files->stop_serving(fd);
}

platform::DescriptorServices::Counts served_counts(Task& task) {
  auto const mm = task.mm();
  auto const services = mm ? mm->address_space().descriptor_services() : Ref<platform::DescriptorServices>();
  return services ? services->counts() : platform::DescriptorServices::Counts{};
}

}  // namespace cofferdam::kernel
