// The Kernel: everything that a sandbox's guests can see hangs off this one object (architecture, law 4).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "host/fd.h"
#include "kernel/host_facts.h"
#include "kernel/ipc/ipc_state.h"
#include "kernel/mm/memory_file.h"
#include "kernel/namespace/namespace_numbers.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/seccomp/seccomp.h"
#include "kernel/sysctls.h"
#include "kernel/task/control_group.h"
#include "kernel/task/futex_pi.h"
#include "kernel/task/process_lock.h"
#include "kernel/task/thread_group.h"
#include "kernel/time/clock.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/vfs.h"
#include "platform/platform.h"

namespace cofferdam::kernel {

class HostNotifier;
class TimerQueue;
class MountNamespace;
class Task;
class TaskThreadPool;
class Terminal;

// What a system call comes to: the table of src/syscalls, handed in by the assembly so that the core need not know it.
struct SyscallDispatcher {
  // Never throws; restart codes allowed in the result.
  Result<uint64_t> (*invoke)(Task&, platform::Syscall const&);
  // "openat(AT_FDCWD, 0x7f…, O_RDONLY)" for strace and logs.
  std::string (*describe)(Task&, platform::Syscall const&);
};

// Everything needed to start a program in the sandbox: the container's init, or exec.
struct ProcessSpec {
  std::vector<std::string> arguments, environment;
  std::string working_directory = "/";
  Ref<Credentials const> credentials;
  bool no_new_privileges = false;
  mode_t umask = 022;
  std::vector<std::pair<int, rlimit>> limits;
  Ref<FdTable> files;                  // 0, 1, 2 set up
  Ref<Terminal> controlling_terminal;  // null: none
  Ref<NamespaceSet const> namespaces;  // null: those of the first container
  Ref<ControlGroup> control_group;     // null: that of the first container
  Ref<seccomp::Filter> seccomp;        // in force from its first instruction on; null: none
  uint32_t personality = 0;            // personality(2)
  int oom_score_adj = 0;
  int scheduling_policy = 0, scheduling_priority = 0, nice = 0, io_priority = 0;
  std::string program;       // what to run, when it is not the first argument
  bool before_init = false;  // a hook of the container's: has any number but 1
};

class Kernel {
 public:
  struct Options {
    std::unique_ptr<platform::Platform> platform;
    SyscallDispatcher dispatcher;
    std::string kernel_release;           // "6.12.0-cofferdam"
    HostFacts host_facts;                 // open_host_facts(), before the jail closes
    ControlGroup::Options control_group;  // of the first container
    std::string uid_map, gid_map;         // what /proc/PID/uid_map and gid_map show; empty: every id is itself
  };
  static Result<std::unique_ptr<Kernel>> create(Options);
  ~Kernel();

  platform::Platform& platform() { return *options_.platform; }
  Options const& options() const { return options_; }
  SyscallDispatcher const& dispatcher() const { return options_.dispatcher; }
  // Of the first container.
  PidNamespace& root_pids() { return *root_pids_; }
  // Every process of the sandbox, zombies included; by namespace, then by number. Of those, the ones in a control
  // group.
  std::vector<Ref<ThreadGroup>> all_groups(ProcessLocked const&) const;
  std::vector<Ref<ThreadGroup>> groups_of(ControlGroup const&, ProcessLocked const&) const;
  // Of the first container.
  ControlGroup& root_control_group() const { return *root_control_group_; }
  void add_top_pid_namespace(PidNamespace&);
  void remove_top_pid_namespace(PidNamespace&);
  NamespaceNumbers& namespace_numbers() { return namespace_numbers_; }
  Vfs& vfs() { return *vfs_; }
  MemoryFile& memory_file() { return *memory_file_; }
  TimerQueue& timers() { return *timers_; }
  PiFutexes& pi_futexes() { return pi_futexes_; }
  IpcState& ipc() { return ipc_; }
  HostNotifier& host_notifier() { return *host_notifier_; }
  // Those of the network: the others are an IpcNamespace's.
  Sysctls& sysctls() { return sysctls_; }
  // What the first container is in; its mounts.
  Ref<NamespaceSet const> const& root_namespaces() { return root_namespaces_; }
  MountNamespace& root_mounts();
  // Of the kinds of which there is one for all: network, time, user.
  Ref<Namespace> only_namespace(NamespaceKind) const;
  // When the system booted, on the host's CLOCK_MONOTONIC: where CLOCK_BOOTTIME, which guests read from the vDSO,
  // begins. /proc/uptime, btime and the start times of processes agree with it.
  Nanoseconds boot_time_ns() const { return boot_time_ns_; }

  // File systems that mount(2) and the container's mounts know by name.
  void register_file_system(FileSystemType);
  FileSystemType const* file_system_type(std::string_view name) const;
  std::vector<FileSystemType> const& file_system_types() const { return file_system_types_; }
  // Device nodes by type (S_IFCHR, S_IFBLK) and number: how the VFS opens one.
  using DeviceOpener = std::function<Result<Ref<File>>(Task&, Path const&, int flags)>;
  void register_device(mode_t type, uint64_t device, DeviceOpener);
  // EPERM when the policy forbids it; ENXIO when there is no such device.
  Result<Ref<File>> open_device(Task&, mode_t type, uint64_t device, Path const&, int flags);

  // Starts a process: the first is init (pid 1). Looks the program up in PATH of the environment as runc does.
  // Errors: ENOENT, EACCES, ENOEXEC, … of execve(2). The task runs at once.
  Result<Ref<ThreadGroup>> start_process(ProcessSpec const&, Ref<ThreadGroup> parent = {});
  // What start_process would find wrong with the working directory or the program now. Nothing is started.
  Result<void> check_process(ProcessSpec const&);
  // Waits on the calling (non-task) thread until the group has exited; gives its wait(2) status.
  // Nothing when the deadline passes first.
  std::optional<int> wait_for_exit(ThreadGroup&, Deadline);
  // SIGKILL to everything, and waits until no task is left. For the end of the sandbox.
  void kill_all();

  // While frozen no task of the group runs guest code or gets on with a call; everything else works.
  void set_frozen(ControlGroup&, bool);
  // Whether every call of the group's tasks is logged from now on.
  void set_traced(ControlGroup&, bool);

  // How many tasks live (zombies not counted).
  int32_t living_tasks() const { return living_tasks_.load(std::memory_order_relaxed); }
  // For kernel/task: a task is in the tree, or has left it; its loop runs on a thread of the pool.
  void task_started(ProcessLocked const&);
  void task_ended(ProcessLocked const&);
  Result<void> run_task(Ref<Task>);
  std::atomic<uint64_t> context_switches{0}, forks{0};

 private:
  friend class ProcessLocked;
  explicit Kernel(Options);
  Result<Ref<File>> settle(Task&, ProcessSpec const&, std::string& path);
  PidNamespace& pids_of(ProcessSpec const&) const;
  Options options_;
  Mutex process_mutex_;
  NamespaceNumbers namespace_numbers_;
  Guarded<std::vector<PidNamespace*>> top_pids_;
  Ref<PidNamespace> root_pids_;
  Ref<ControlGroup> root_control_group_;
  std::unique_ptr<MemoryFile> memory_file_;
  IpcState ipc_;
  std::unique_ptr<TimerQueue> timers_;
  PiFutexes pi_futexes_;
  std::unique_ptr<HostNotifier> host_notifier_;
  std::unique_ptr<Vfs> vfs_;
  Ref<NamespaceSet const> root_namespaces_;
  std::map<NamespaceKind, Ref<Namespace>> only_namespaces_;
  Sysctls sysctls_{Sysctls::Scope::Network, nullptr};
  std::vector<FileSystemType> file_system_types_;
  std::map<std::pair<mode_t, uint64_t>, DeviceOpener> devices_;
  Nanoseconds boot_time_ns_ = 0;
  std::atomic<int32_t> living_tasks_{0};
  WaitQueue task_end_queue_;
  std::unique_ptr<TaskThreadPool> threads_;
};

}  // namespace cofferdam::kernel
