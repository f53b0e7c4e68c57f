// New threads and processes: clone by a stub thread, approved by the sentry.
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <cstring>

#include "platform/trap/context.h"

namespace cofferdam::platform::trap {
namespace {

constexpr uint64_t process_flags = CLONE_FILES | CLONE_PARENT | CLONE_CHILD_CLEARTID;
constexpr uint64_t thread_flags =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;

// Is this a process that is our child and not yet known? Then it can only be the one whose clone was just approved.
bool is_new_child(Shared& shared, pid_t pid) REQUIRES(shared.table_mutex) {
  if (shared.table.contains(pid)) return false;
  siginfo_t info = {};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT | __WCLONE) == 0;
}

}  // namespace

Result<NewProcess> TrapContext::fork() {
  std::vector<std::byte> xstate(shared().xstate_size);
  TRY(get_xstate(xstate));  // also makes this a stop with a frame
  stub::SignalContext context;
  std::memcpy(&context, area_->at(frame_), sizeof context);
  auto child = TRY(spawn(context, xstate));
  auto& c = static_cast<TrapContext&>(*child.context);
  c.fs_base_ = fs_base_;
  c.gs_base_ = gs_base_;
  c.set_bases_ = 3;
  c.process().code.copy_from(process().code);
  return child;
}

Result<NewProcess> TrapContext::spawn(stub::SignalContext const& context, std::span<std::byte const> xstate) {
  if (!settle_queue()) return fail(Errno::Srch);
  auto child = std::make_shared<StubProcess>(process().shared_ptr(), TRY(shared().areas.allocate_window()));
  // The same slot: the kernel gives the child its parent's signal stack.
  Area* area = TRY(child->allocate_area(area_->slot()));
  uint64_t const clear_word = area->stub_address() + offsetof(stub::Control, turn);
  uint64_t const offset = AreaFile::window_offset(child->window());
  auto const area_fd = static_cast<uint64_t>(shared().areas.fd());

  Approver& approver = *shared().approver;
  Approver::Request clone(thread_, SYS_clone, {process_flags, 0, 0, clear_word, 0, 0});
  Approver::Request remap(
      0, SYS_mmap,
      {stub::areas_address, stub::window_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, area_fd, offset});
  remap.accept_new = [&](pid_t pid) {
    MutexLock lock(shared().table_mutex);
    if (!is_new_child(shared(), pid)) return false;
    child->set_pid(pid);
    shared().table.emplace(pid, child);
    return true;
  };
  approver.announce(clone);
  approver.announce(remap);
  add_op(stub::op_clone_process, SYS_clone, {process_flags, clear_word, offset, area_fd});
  bool started = hand_over(stub::resume_no);
  auto const back = [this] { return has_turn_back(); };
  started = started && approver.await(clone, back);
  int patience = 50;  // looks at a child that should be there and does not call
  started = started && approver.await(remap, [&] {
    return back() && (static_cast<int64_t>(area_->control().ops[0].result) < 0 || --patience == 0);
  });
  approver.withdraw(remap);
  approver.withdraw(clone);
  if (!wait()) return fail(Errno::Srch);
  if (!started) {
    auto const result = static_cast<int64_t>(area_->control().ops[0].result);
    return result < 0 && result >= -4095 ? fail_host(static_cast<int>(-result)) : fail(Errno::NoMem);
  }
  auto address_space = make_ref<TrapAddressSpace>(child);
  auto thread = std::make_unique<TrapContext>(address_space, area, child->pid());
  thread->pace_.made_by(pace_, false);
  thread->set_bases_ = 3;
  thread->start_from(context, xstate);
  if (!thread->wait_until_ready()) return fail(Errno::NoMem);
  return NewProcess{std::move(address_space), std::move(thread)};
}

Result<std::unique_ptr<Context>> TrapContext::clone_thread(bool this_one_waits) {
  if (!materialise() || !settle_queue()) return fail(Errno::Srch);
  std::vector<std::byte> xstate(shared().xstate_size);
  TRY(get_xstate(xstate));
  std::unique_ptr<TrapContext> thread;
  if (auto parked = process().unpark()) {
    auto& c = parked->area->control();
    c.facts.flags = stub::native_futex;
    c.native_calls = 0;
    c.state_changed = 0;
    thread = std::make_unique<TrapContext>(address_space_, parked->area, parked->thread);
    thread->earlier_time_ = parked->used;
    thread->unread_time_ = parked->unread;
    thread->mapped_fds_ = std::move(parked->mapped_fds);
    thread->anew_ = true;
  } else {
    thread = TRY(clone_host_thread());
  }
  thread->pace_.made_by(pace_, !this_one_waits);
  stub::SignalContext context;
  std::memcpy(&context, area_->at(frame_), sizeof context);
  thread->start_from(context, xstate);
  if (!thread->anew_ && !thread->wait_until_ready()) return fail(Errno::NoMem);
  thread->fs_base_ = fs_base_;
  thread->gs_base_ = gs_base_;
  thread->set_bases_ = 3;
  return thread;
}

Result<std::unique_ptr<TrapContext>> TrapContext::clone_host_thread() {
  Area* area = TRY(process().allocate_area());
  uint64_t const self = area->stub_address();
  uint64_t const clear_word = self + offsetof(stub::Control, turn);
  Approver& approver = *shared().approver;
  Approver::Request clone(thread_, SYS_clone, {thread_flags, self + stub::stack_top, 0, clear_word, 0, 0});
  approver.announce(clone);
  add_op(stub::op_clone_thread, SYS_clone, {thread_flags, self + stub::stack_top, clear_word, self});
  bool const approved = hand_over(stub::resume_no) && approver.await(clone, [this] { return has_turn_back(); });
  approver.withdraw(clone);
  if (!approved || !wait()) {
    break_off();
    return fail(Errno::Srch);
  }
  auto const result = static_cast<int64_t>(area_->control().ops[0].result);
  auto const thread = static_cast<pid_t>(result);
  // What the guest's side says is checked: the sentry places the thread by its number.
  bool const exists = result > 0 && result <= INT_MAX && process().with_pid([&](pid_t pid) -> Result<void> {
    if (::syscall(SYS_tgkill, pid, thread, 0) != 0) return fail_host(errno);
    return {};
  });
  if (!exists) {
    area->turn().store(stub::turn_dead);
    process().retire_area(area);
    return fail_host(result < 0 && result >= -4095 ? static_cast<int>(-result) : EAGAIN);
  }
  return std::make_unique<TrapContext>(address_space_, area, thread);
}

}  // namespace cofferdam::platform::trap
