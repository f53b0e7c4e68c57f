#include "kernel/kernel.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "kernel/host_notifier.h"
#include "kernel/ipc/socket.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/task/clone.h"
#include "kernel/task/host_wait.h"
#include "kernel/task/process_internal.h"
#include "kernel/task/task.h"
#include "kernel/task/task_internal.h"
#include "kernel/task/thread_pool.h"
#include "kernel/terminal.h"
#include "kernel/time/timer_queue.h"
#include "kernel/vfs/mount.h"

namespace cofferdam::kernel {
namespace {

// The program named by the first argument, searched in the environment's PATH as runc and execvp(3) do.
Result<Ref<File>> find_program(Task& task, ProcessSpec const& spec, std::string& path) {
  std::string const& name = spec.program.empty() ? spec.arguments[0] : spec.program;
  Vfs& vfs = task.kernel().vfs();
  Path cwd = task.fs()->cwd();
  if (name.find('/') != std::string::npos) {
    path = name;
    return vfs.open_executable(task, cwd, path, true);
  }
  std::string_view search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (auto const& entry : spec.environment)
    if (entry.starts_with("PATH=")) search = std::string_view(entry).substr(5);
  Error last(Errno::NoEnt);
  while (true) {
    size_t colon = search.find(':');
    std::string_view directory = search.substr(0, colon);
    path = directory.empty() ? "./" + name : std::string(directory) + "/" + name;
    auto file = vfs.open_executable(task, cwd, path, true);
    if (file) return file;
    if (file.error() != Errno::NoEnt && file.error() != Errno::NotDir) last = file.error();
    if (colon == std::string_view::npos) return std::unexpected(last);
    search.remove_prefix(colon + 1);
  }
}

// One of a kind that has no second.
class OnlyNamespace final : public Namespace {
 public:
  OnlyNamespace(Kernel& kernel, NamespaceKind kind) : Namespace(kernel, kind) {}
};

}  // namespace

Kernel::Kernel(Options options) : options_(std::move(options)) {}

// Socket families may have timers: they go first.
Kernel::~Kernel() {
  for (int family : {AF_INET, AF_INET6, AF_NETLINK}) ipc_.sockets.add(family, nullptr);
}

Result<std::unique_ptr<Kernel>> Kernel::create(Options options) {
  std::unique_ptr<Kernel> kernel(new Kernel(std::move(options)));
  kernel->boot_time_ns_ = host_now(CLOCK_MONOTONIC) - host_now(CLOCK_BOOTTIME);
  kernel->root_control_group_ = make_ref<ControlGroup>(std::move(kernel->options_.control_group));
  kernel->root_pids_ = TRY(PidNamespace::create(*kernel, {}));
  kernel->memory_file_ = TRY(MemoryFile::create());
  kernel->timers_ = std::make_unique<TimerQueue>();
  kernel->host_notifier_ = std::make_unique<HostNotifier>();
  kernel->vfs_ = std::make_unique<Vfs>(*kernel);
  auto namespaces = make_ref<NamespaceSet>();
  namespaces->mounts = make_ref<MountNamespace>(*kernel);
  namespaces->uts = make_ref<UtsNamespace>(*kernel, UtsNames{});
  namespaces->ipc = make_ref<IpcNamespace>(*kernel);
  namespaces->cgroup = make_ref<CgroupNamespace>(*kernel);
  namespaces->pids_for_children = kernel->root_pids_;
  kernel->root_namespaces_ = std::move(namespaces);
  for (auto kind : {NamespaceKind::Network, NamespaceKind::Time, NamespaceKind::User})
    kernel->only_namespaces_[kind] = make_ref<OnlyNamespace>(*kernel, kind);
  kernel->threads_ = std::make_unique<TaskThreadPool>();
  return kernel;
}

Ref<Namespace> Kernel::only_namespace(NamespaceKind kind) const { return only_namespaces_.at(kind); }

MountNamespace& Kernel::root_mounts() { return *root_namespaces_->mounts; }

void Kernel::register_file_system(FileSystemType type) { file_system_types_.push_back(std::move(type)); }

FileSystemType const* Kernel::file_system_type(std::string_view name) const {
  for (auto const& type : file_system_types_)
    if (type.name == name) return &type;
  return nullptr;
}

void Kernel::register_device(mode_t type, uint64_t device, DeviceOpener opener) {
  devices_[{type, device}] = std::move(opener);
}

Result<Ref<File>> Kernel::open_device(Task& task, mode_t type, uint64_t device, Path const& path, int flags) {
  ControlGroup const& control_group = task.thread_group().control_group();
  if (!control_group.allows_device(type, device, flags & O_ACCMODE)) return fail(Errno::Perm);
  auto it = devices_.find({type, device});
  if (it == devices_.end()) return fail(Errno::NxIo);
  return it->second(task, path, flags);
}

void Kernel::add_top_pid_namespace(PidNamespace& space) {
  top_pids_.with([&](auto& all) { all.push_back(&space); });
}

void Kernel::remove_top_pid_namespace(PidNamespace& space) {
  top_pids_.with([&](auto& all) { std::erase(all, &space); });
}

std::vector<Ref<ThreadGroup>> Kernel::all_groups(ProcessLocked const& lock) const {
  std::vector<Ref<PidNamespace>> spaces;
  top_pids_.with([&](auto const& all) {
    for (PidNamespace* space : all)
      if (space->try_ref()) spaces.push_back(Ref<PidNamespace>::adopt(space));
  });
  std::vector<Ref<ThreadGroup>> groups;
  for (auto const& space : spaces)
    for (auto& group : space->groups(lock)) groups.push_back(std::move(group));
  return groups;
}

std::vector<Ref<ThreadGroup>> Kernel::groups_of(ControlGroup const& control_group, ProcessLocked const& lock) const {
  auto groups = all_groups(lock);
  std::erase_if(groups, [&](auto const& group) { return &group->control_group() != &control_group; });
  return groups;
}

void Kernel::task_started(ProcessLocked const&) { living_tasks_.fetch_add(1, std::memory_order_relaxed); }

void Kernel::task_ended(ProcessLocked const&) {
  if (living_tasks_.fetch_sub(1, std::memory_order_acq_rel) == 1) task_end_queue_.wake(EPOLLIN);
}

Result<void> Kernel::run_task(Ref<Task> task) { return threads_->run(std::move(task)); }

// Gives a new task what the specification says, and opens its program.
Result<Ref<File>> Kernel::settle(Task& task, ProcessSpec const& spec, std::string& path) {
  auto& own = task.implementation();
  auto namespaces = spec.namespaces ? spec.namespaces : root_namespaces_;
  Path root = vfs_->root_of(*namespaces->mounts);
  {
    MutexLock lock(own.shared_mutex);
    own.files = spec.files;
    own.fs = make_ref<FsContext>(root, root, spec.umask);
    own.credentials = spec.credentials;
    own.namespaces = std::move(namespaces);
  }
  own.personality = spec.personality;
  own.scheduling_policy = spec.scheduling_policy;
  own.scheduling_priority = spec.scheduling_priority;
  own.nice = spec.nice;
  own.io_priority = spec.io_priority;
  task.no_new_privileges.store(spec.no_new_privileges);
  auto cwd = TRY(vfs_->lookup(task, root, spec.working_directory, {.must_be_directory = true}));
  task.fs()->set_cwd(cwd);
  return find_program(task, spec, path);
}

PidNamespace& Kernel::pids_of(ProcessSpec const& spec) const {
  return *(spec.namespaces ? spec.namespaces : root_namespaces_)->pids_for_children;
}

Result<void> Kernel::check_process(ProcessSpec const& spec) {
  if (spec.arguments.empty()) return fail(Errno::Inval);
  auto pid = Pid::without_number(pids_of(spec));
  auto task = make_ref<Task>(*this, make_ref<ThreadGroup>(*this, pid), pid, nullptr);
  std::string path;
  TRY(settle(*task, spec, path));
  return {};
}

Result<Ref<ThreadGroup>> Kernel::start_process(ProcessSpec const& spec, Ref<ThreadGroup> parent) {
  if (spec.arguments.empty()) return fail(Errno::Inval);
  Ref<ThreadGroup> group;
  Ref<Task> task;
  {
    ProcessLocked lock(*this);
    PidNamespace& pids = pids_of(spec);
    if (spec.before_init) pids.keep_init_number();
    constexpr int32_t init_number[] = {1};
    bool const is_init = !spec.before_init && !pids.find(1);
    auto pid = TRY(Pid::allocate(pids, is_init ? std::span(init_number) : std::span<int32_t const>()));
    group = make_ref<ThreadGroup>(*this, pid);
    task = make_ref<Task>(*this, group, pid, nullptr);
    auto& g = group->implementation();
    g.process_group = make_ref<ProcessGroup>(pid, make_ref<Session>(pid));
    if (spec.control_group) g.control_group = spec.control_group;
    g.leader = task;
    g.tasks.push_back(task);
    g.parent = parent.get();
    if (parent) parent->implementation().children.push_back(group);
    g.oom_score_adj = spec.oom_score_adj;
    for (auto const& [resource, limit] : spec.limits) group->limits.set(resource, limit);
    pids.add(*pid, task, lock);
    if (spec.controlling_terminal) spec.controlling_terminal->set_controlling(*group, lock);
  }
  auto discard = [&] {
    ProcessLocked lock(*this);
    auto& g = group->implementation();
    if (parent) std::erase(parent->implementation().children, group);
    group->pids().remove(group->pid(), lock);
    g.leader = nullptr;
    g.tasks.clear();
    g.process_group = nullptr;
  };
  auto launched = [&]() -> Result<void> {
    auto& own = task->implementation();
    std::string path;
    auto program = TRY(settle(*task, spec, path));
    TRY(execute(*task, program, path, spec.arguments, spec.environment));
    own.registers_replaced = false;
    // What the container is given is what it starts with: the capabilities of the spec, not those of an execve by root.
    task->set_credentials(spec.credentials);
    {
      ProcessLocked lock(*this);
      own.seccomp_chain = spec.seccomp;
      own.seccomp_filter.store(spec.seccomp.get());
      own.seccomp_mode.store(spec.seccomp ? seccomp::Mode::Filter : seccomp::Mode::Disabled);
      task_started(lock);
    }
    auto started = run_task(task);
    if (!started) {
      ProcessLocked lock(*this);
      task_ended(lock);
    }
    return started;
  }();
  if (!launched) {
    discard();
    return std::unexpected(launched.error());
  }
  return group;
}

void Kernel::set_frozen(ControlGroup& control_group, bool frozen) {
  {
    ProcessLocked lock(*this);
    control_group.frozen_.store(frozen, std::memory_order_release);
    if (frozen)
      for (auto const& group : groups_of(control_group, lock))
        for (auto const& task : group->tasks(lock)) task->notify_work(work::freeze);
  }
  if (!frozen) control_group.thaw_queue_.wake(EPOLLIN, SIZE_MAX);
}

void Kernel::set_traced(ControlGroup& control_group, bool traced) {
  control_group.traced_.store(traced, std::memory_order_relaxed);
  std::vector<Ref<Task>> tasks;
  {
    ProcessLocked lock(*this);
    for (auto const& group : groups_of(control_group, lock))
      for (auto const& task : group->tasks(lock)) tasks.push_back(task);
  }
  for (auto const& task : tasks) {
    if (auto files = traced ? task->files() : Ref<FdTable>()) files->stop_serving();
    task->notify_work(work::credentials);  // what is answered without us has to come to us now, or need not any more
  }
}

std::optional<int> Kernel::wait_for_exit(ThreadGroup& group, Deadline deadline) {
  bool const exited = wait_on_host_thread(
      group.exit_queue,
      [&] {
        ProcessLocked lock(*this);
        return group.implementation().zombie;
      },
      deadline);
  if (!exited) return std::nullopt;
  ProcessLocked lock(*this);
  return group.implementation().exit_status;
}

void Kernel::kill_all() {
  {
    ProcessLocked lock(*this);
    for (auto const& group : all_groups(lock)) run_loop::request_group_kill(*group, SIGKILL, lock);
  }
  wait_on_host_thread(task_end_queue_, [&] { return living_tasks() == 0; });
}

}  // namespace cofferdam::kernel
