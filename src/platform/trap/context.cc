// The hand-off between a sentry thread and its guest thread, and what a stop means.
#include "platform/trap/context.h"

#include <immintrin.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <cstring>

#include "base/log.h"
#include "stub/hints.h"

namespace cofferdam::platform::trap {
namespace {

using namespace std::chrono_literals;

// An interrupt that is not obeyed ends the process: after this much CPU time of the process, or this much time at all.
constexpr auto disobedience_cpu_limit = 2s;
constexpr auto disobedience_limit = 60s;
constexpr auto disobedience_look = 500ms;
// CPU time of a parked thread's earlier uses that may be counted for its next one.
constexpr auto unread_limit = 10ms;

long futex(uint32_t* word, int operation, uint32_t value, timespec const* timeout = nullptr) {
  return ::syscall(SYS_futex, word, operation, value, timeout, nullptr, 0);
}

std::chrono::nanoseconds process_cpu_time(pid_t pid) {
  clockid_t clock;
  timespec t = {};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &t) != 0) return 0ns;
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

}  // namespace

TrapContext::TrapContext(Ref<TrapAddressSpace> address_space, Area* area, pid_t thread)
    : address_space_(std::move(address_space)), area_(area), thread_(thread), pace_(shared().pace, thread) {
  process().live_contexts.fetch_add(1, std::memory_order_relaxed);
  process().enlist(this);
  // A look takes as long as a pause.
  area_->control().futex_looks = shared().pace.may_spin ? shared().pace.pauses_per_spin * 2 / 3 : 0;
}

// The last thread of a process takes it along. Another one stays in the stub, for the next guest thread to use.
TrapContext::~TrapContext() {
  process().delist(this);
  (void)withdraw_queued();
  bool const last = process().live_contexts.fetch_sub(1, std::memory_order_acq_rel) == 1;
  if (last) process().kill();
  if (last || dead_ || !end_thread()) process().retire_area(area_);
}

// The thread's last deeds in guest memory, and then it is parked or exits. False if it is not parked.
bool TrapContext::end_thread() {
  op_count_ = 0;
  if (clear_at_end_ != 0 && clear_at_end_ % 4 == 0 && is_guest_range(clear_at_end_, 4)) {
    add_op(stub::op_exchange32, 0, {clear_at_end_, 0});
    add_op(stub::op_call_futex, 0, {clear_at_end_, FUTEX_WAKE, 1});
  }
  bool const parks = process().has_room_to_park();
  if (!parks) add_op(stub::op_exit, 0, {});
  if (op_count_ != 0 && !hand_over(stub::resume_no)) {
    process().kill();
    return false;
  }
  if (!parks) return false;
  // Reading the host's count is left out as long as what may have been used stays below what anybody sees.
  auto used = earlier_time_ + unread_time_ + (std::chrono::steady_clock::now() - began_);
  if (used - earlier_time_ > unread_limit) {
    used =
        process()
            .with_pid([&](pid_t pid) -> Result<std::chrono::nanoseconds> { return cpu_time(shared(), pid, thread_); })
            .value_or(0ns);
    earlier_time_ = used;
  }
  process().park({area_, thread_, earlier_time_, used - earlier_time_, std::move(mapped_fds_)});
  return true;
}

TrapContext::QueuedOp& TrapContext::add_op(uint32_t kind, uint32_t number, std::array<uint64_t, 6> const& arguments) {
  auto& queued = queued_[op_count_++];
  queued = {.op = {.kind = kind, .number = number, .a = {}, .result = ~uint64_t{0}}};
  std::ranges::copy(arguments, queued.op.a);
  return queued;
}

uint64_t TrapContext::result_of(size_t op) const {
  bool const along = (given_ & stub::turn_copy_along) && op + 1 == queued_count_;
  return along ? area_->control().along_left : area_->control().ops[op].result;
}

// Writes what is queued to the area, at the last moment: until the stub has the turn, it looks at these lines, too.
void TrapContext::publish_ops(bool runs) {
  auto& c = area_->control();
  queued_count_ = std::exchange(op_count_, 0);
  queue_bytes_ = 0;
  if (answer_) c.call[STUB_REG_RAX] = *std::exchange(answer_, std::nullopt);
  uint32_t count = queued_count_;
  if (runs && count != 0 && queued_[count - 1].op.kind == stub::op_copy_along) {
    auto const& op = queued_[--count].op;
    c.along_left = 0;
    for (size_t i = 0; i < 2 + (op.a[1] + 7) / 8; ++i) c.call[1 + i] = op.a[i];
    given_ |= stub::turn_copy_along;
  }
  for (size_t i = 0; i < count; ++i) {
    auto const& from = queued_[i].op;
    auto& to = c.ops[i];
    to.kind = from.kind;
    to.number = from.number;
    for (size_t n = 0; n < std::size(from.a); ++n) to.a[n] = from.a[n];
    to.result = from.result;
  }
  given_ |= count << stub::turn_ops_shift;
}

bool TrapContext::break_off() {
  if (!dead_ && !process().dead()) {
    log::info("trap: stub thread {} of process {} is gone or broke the protocol", thread_, process().pid());
    process().kill();
  }
  dead_ = true;
  return false;
}

bool TrapContext::hand_over(stub::Resume resume) {
  if (dead_) return false;
  auto& c = area_->control();
  bool const runs = resume == stub::resume_guest;
  given_ = stub::turn_guest | (runs && anew_ ? stub::resume_anew : resume) << stub::turn_resume_shift;
  if (!trampoline_) c.frame = frame_;
  if (uint32_t const spin = pace_.hot() ? shared().options.spin : 0; spin != spin_) c.spin = spin_ = spin;
  if (runs) {
    hints_valid_ = false;
    if (set_bases_ != set_bases_told_) c.set_bases = set_bases_told_ = set_bases_;
    if (set_bases_ != 0) {
      c.fs_base = fs_base_;
      // The trampoline finds its area by gs, while the guest makes no use of it.
      c.gs_base = gs_base_ == 0 && shared().patch_file ? area_->stub_address() : gs_base_;
      set_bases_ = 0;
    }
  }
  publish_ops(runs);
  for (auto const& request : queued_requests_) shared().approver->announce(*request);
  uint32_t const seen = area_->turn().exchange(given_, std::memory_order_seq_cst);
  if ((seen & ~stub::turn_sleep) != stub::turn_sentry) {
    if (seen == stub::turn_dead) area_->turn().store(stub::turn_dead);  // others wait for this word
    return break_off();
  }
  if (seen & stub::turn_sleep) futex(area_->turn_word(), FUTEX_WAKE, INT_MAX);
  if (runs) pace_.resumed(seen & stub::turn_sleep);
  return true;
}

// Waits for the turn. Every look at the word is bounded: what the guest may write there at worst looks like a stop.
bool TrapContext::wait() {
  auto turn = area_->turn();
  slept_ = false;
  for (uint32_t n = pace_.spin_count(); n != 0 && turn.load(std::memory_order_acquire) == given_; --n) _mm_pause();
  std::chrono::steady_clock::time_point interrupted_at{};
  std::chrono::nanoseconds cpu_then{};
  for (;;) {
    uint32_t seen = turn.load(std::memory_order_acquire);
    if (process().dead()) return break_off();
    if ((seen & ~stub::turn_sleep) == stub::turn_sentry) return true;
    if (seen == stub::turn_dead) return break_off();
    if (seen != (given_ | stub::turn_sleep)) {
      if (seen != given_) return break_off();
      if (!turn.compare_exchange_strong(seen, given_ | stub::turn_sleep)) continue;
    }
    if (!slept_) pace_.sleeps();
    slept_ = true;
    timespec timeout = {};
    bool const limited = interrupt_.load(std::memory_order_seq_cst);
    if (limited) {
      auto const now = std::chrono::steady_clock::now();
      if (interrupted_at == std::chrono::steady_clock::time_point{}) {
        interrupted_at = now;
        cpu_then = process_cpu_time(process().pid());
      } else if (now - interrupted_at > disobedience_look &&
                 (now - interrupted_at > disobedience_limit ||
                  process_cpu_time(process().pid()) - cpu_then > disobedience_cpu_limit)) {
        log::warning("trap: thread {} of process {} does not obey an interrupt", thread_, process().pid());
        return break_off();
      }
      // It may have jumped to an instruction that asks for approval.
      if (interrupted_at != now) shared().approver->look();
      timeout.tv_nsec = std::chrono::nanoseconds(disobedience_look).count();
    }
    futex(area_->turn_word(), FUTEX_WAIT, given_ | stub::turn_sleep, limited ? &timeout : nullptr);
  }
}

bool TrapContext::wait_until_ready() {
  if (!wait()) return false;
  fs_base_ = area_->control().fs_base;
  gs_base_ = area_->control().gs_base;
  return true;
}

std::optional<uint64_t> TrapContext::perform(uint32_t kind, uint32_t number, std::array<uint64_t, 6> const& arguments) {
  if (!settle_queue()) return std::nullopt;
  add_op(kind, number, arguments);
  if (!hand_over(stub::resume_no) || !wait()) return std::nullopt;
  return area_->control().ops[0].result;
}

void TrapContext::interrupt() {
  interrupt_.store(true, std::memory_order_seq_cst);
  if (!running_.load(std::memory_order_seq_cst)) return;
  (void)process().with_pid([&](pid_t pid) -> Result<void> {
    ::syscall(SYS_tgkill, pid, thread_, stub::interrupt_signal);
    return {};
  });
  // The waiting sentry thread starts to count the time until the guest obeys; a thread that is gone is seen, too.
  futex(area_->turn_word(), FUTEX_WAKE, INT_MAX);
}

// Lets the queued operations that ask for approval go on, in their order, once the stub has the turn.
bool TrapContext::await_queued() {
  if (queued_requests_.empty()) [[likely]]
    return true;
  bool approved = true;
  for (auto const& request : queued_requests_)
    approved = approved && shared().approver->await(*request, [this] { return has_turn_back(); });
  // An approval is what this thread cannot forge: it has done what it was told before. Without one a mapping of old may
  // still be under way, and the numbers that it names stay taken.
  if (withdraw_queued()) mapped_fds_ = std::move(queued_fds_);
  queued_fds_.clear();
  // Not reached because one before it failed: the results tell. Anything else is a forgery.
  return approved || has_turn_back() || break_off();
}

bool TrapContext::withdraw_queued() {
  bool any_approved = false;
  for (auto const& request : queued_requests_) {
    shared().approver->withdraw(*request);
    any_approved |= request->approved;
  }
  queued_requests_.clear();
  return any_approved;
}

bool TrapContext::has_turn_back() {
  return (area_->turn().load(std::memory_order_acquire) & stub::turn_owner) != stub::turn_guest || process().dead();
}

Stop TrapContext::died() {
  dead_ = true;
  return Died{process().dead() ? process().death_signal() : SIGKILL};
}

// Guest memory that was to be written is not there: the call's result says so.
std::optional<Stop> TrapContext::settle_fault(uint64_t missing) {
  if (!in_syscall_) return std::nullopt;
  uint64_t const landed =
      missing != 0 && last_result_ > missing && last_result_ <= INT64_MAX ? last_result_ - missing : 0;
  set_result(landed != 0 ? landed : static_cast<uint64_t>(-EFAULT));
  if (missing == 0) return std::nullopt;
  return DataMissing{missing};
}

// A queued copy_out met memory that the guest cannot write. A queued memory call that the host refused: the kernel has
// to know.
std::optional<Stop> TrapContext::settle_failed_ops() {
  for (size_t i = 0; i < queued_count_; ++i) {
    auto const& [op, is_data, is_mapping] = queued_[i];
    uint64_t const result = result_of(i);
    if (op.kind == stub::op_call_self || op.kind == stub::op_call_notify) {
      if (result < -4095ull) continue;
      auto const error = static_cast<Errno>(-static_cast<int64_t>(result));
      log::info("trap: a queued memory call at {:#x} failed: {}", op.a[0], errno_name(error));
      in_syscall_ = true;  // the guest stands behind its call still
      return MemoryCallFailed{op.a[0], op.a[1], error, is_mapping};
    }
    if (result == 0 || op.a[1] == 0) continue;
    uint64_t missing = is_data ? std::min(result, op.a[1]) : 0;
    for (size_t later = i + 1; later < queued_count_; ++later)
      if (queued_[later].is_data) missing += queued_[later].op.a[1];
    return settle_fault(missing);
  }
  return settle_fault(0);
}

Stop TrapContext::run() {
  for (;;) {
    if (dead_) return died();
    uint64_t const missing = std::exchange(data_missing_, 0);
    if (std::exchange(queue_fault_, false)) [[unlikely]]
      if (auto const stop = settle_fault(missing)) return *stop;
    // An interrupt that a trampoline has noted is by now either delivered or noted in interrupt_, too.
    if (area_->control().interrupted != 0) area_->control().interrupted = 0;
    pace_.adopt();
    if (auto* services = process().services(); services != nullptr && services->has_discarded()) [[unlikely]]
      unmap_served_files(*services);
    running_.store(true, std::memory_order_seq_cst);
    if (process().held()) [[unlikely]] {
      running_.store(false, std::memory_order_seq_cst);
      process().wait_until_let_go();
      continue;
    }
    if (uint32_t const g = process().code.generation(); g != text_generation_) [[unlikely]] {
      text_generation_ = g;
      if (!trampoline_) frame().rip = to_thunk_rip(frame().rip);
    }
    if (interrupt_.exchange(false, std::memory_order_seq_cst)) {
      running_.store(false, std::memory_order_relaxed);
      in_syscall_ = false;
      return Interrupted{};
    }
    bool const stopped = hand_over(stub::resume_guest) && await_queued() && wait();
    running_.store(false, std::memory_order_seq_cst);
    if (!stopped) return died();
    uint32_t const cpu = area_->control().cpu;
    if (cpu & stub::cpu_state_changed) native_changed_ = true;
    pace_.stopped(cpu & stub::cpu_mask, slept_);
    auto const stop = area_->control().event == stub::event_op_failed ? settle_failed_ops() : decode();
    if (stop) return *stop;
  }
}

std::optional<Stop> TrapContext::decode() {
  auto& c = area_->control();
  uint32_t event = c.event;
  in_syscall_ = false;
  trampoline_ = false;
  anew_ = fresh_ = false;
  if (event == stub::event_trampoline) {
    in_syscall_ = trampoline_ = hints_valid_ = true;
    fs_base_ = c.fs_base;
    gs_base_ = 0;
    auto& r = c.call;
    Syscall const call = {
        r[STUB_REG_RAX],
        {r[STUB_REG_RDI], r[STUB_REG_RSI], r[STUB_REG_RDX], r[STUB_REG_R10], r[STUB_REG_R8], r[STUB_REG_R9]}};
    if (stub::brings_hint(call.number)) area_->expect_hint();
    return call;
  }
  bool const is_signal = event < 65 || event == stub::event_futex_cut || event == stub::event_patch_hint;
  if (!is_signal || !accept_frame(c.frame)) {
    break_off();
    return died();
  }
  fs_base_ = c.fs_base;
  gs_base_ = c.gs_base;
  if (gs_base_ == area_->stub_address()) gs_base_ = 0;
  auto& f = frame();
  if (event == stub::event_futex_cut || event == static_cast<uint32_t>(stub::interrupt_signal)) {
    interrupt_.store(false, std::memory_order_relaxed);
    if (event == stub::event_futex_cut) f.rip = to_thunk_rip(f.rip);
    return Interrupted{event == stub::event_futex_cut};
  }
  if (event == stub::event_patch_hint) {
    uint64_t const call = f.rip - 2;
    if (shared().patch_file) consider_patch(f.rax, true);
    f.rip = to_thunk_rip(call);
    return std::nullopt;
  }
  auto& info = *reinterpret_cast<stub::SignalInfo volatile*>(area_->at(frame_ + sizeof(stub::SignalContext)));
  if ((event == SIGILL || event == SIGTRAP) && process().code.has_space()) {
    if (mend_fault(static_cast<int>(event))) return std::nullopt;
  }
  if (event != SIGSYS) return Fault{static_cast<int>(event), info.code, info.address, f.trap_number, f.error};
  if (info.arch != AUDIT_ARCH_X86_64) {
    // int $0x80 or sysenter: this Linux has no 32-bit calls, and so it is a general protection fault at the
    // instruction.
    f.rip = f.rip - 2;
    return Fault{SIGSEGV, SI_KERNEL, 0, 13, 0x80 * 8 + 2};
  }
  in_syscall_ = hints_valid_ = true;
  Syscall const call = {f.rax, {f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9}};
  if (shared().patch_file) consider_patch(call.number, false);
  return call;
}

Result<void> TrapContext::set_affinity(std::span<uint64_t const> mask) {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::memcpy(&set, mask.data(), std::min(sizeof set, mask.size_bytes()));
  pace_.set_guest_mask(set);
  return process().with_pid([&](pid_t pid) -> Result<void> {
    // The thread id came from the guest's side: only a thread of this very process is touched.
    if (::syscall(SYS_tgkill, pid, thread_, 0) != 0) return fail_host(errno);
    if (::syscall(SYS_sched_setaffinity, thread_, mask.size_bytes(), mask.data()) != 0) return fail_host(errno);
    return {};
  });
}

// The host thread may have served guest threads before this one: their time is not this one's. (What it counted of
// faults and switches stays.)
AddressSpace::Usage TrapContext::usage() {
  auto usage =
      process()
          .with_pid([&](pid_t pid) -> Result<AddressSpace::Usage> { return read_usage(shared(), pid, thread_); })
          .value_or(AddressSpace::Usage{});
  auto const from_user = std::min(usage.user, earlier_time_);
  usage.user -= from_user;
  usage.system -= std::min(usage.system, earlier_time_ - from_user);
  return usage;
}

void TrapContext::set_native_state(NativeState const& state, bool may_change) {
  auto& c = area_->control();
  if (state != native_state_) {
    native_state_ = state;
    area_->shared_word(&stub::Control::blocked_signals).store(state.blocked_signals, std::memory_order_relaxed);
    area_->shared_word(&stub::Control::robust_list).store(state.robust_list, std::memory_order_relaxed);
  }
  bool const may_discard = answers_natively_ && !process().discarding_is_restricted.load(std::memory_order_relaxed);
  bool const serves = serves_ && process().services() != nullptr;
  uint32_t const calls = (may_change ? stub::native_state : 0u) | (may_discard ? stub::native_discard : 0u) |
                         (serves ? stub::native_services : 0u);
  if (calls != native_calls_) c.native_calls = native_calls_ = calls;
}

std::optional<Context::NativeState> TrapContext::changed_native_state() {
  if (!native_changed_) return std::nullopt;
  native_changed_ = false;
  area_->control().state_changed = 0;
  native_state_ = *current_native_state();
  return native_state_;
}

std::optional<Context::NativeState> TrapContext::current_native_state() {
  return NativeState{area_->shared_word(&stub::Control::blocked_signals).load(std::memory_order_relaxed),
                     area_->shared_word(&stub::Control::robust_list).load(std::memory_order_relaxed)};
}

// A thread that sleeps until the sentry has done its call, or has not yet noticed that it is done, is not asleep to
// people: only where it sleeps tells.
bool TrapContext::asleep() {
  return process()
      .with_pid(
          [&](pid_t pid) -> Result<bool> { return blocked_at(shared(), pid, thread_, shared().image.guest_futex_ip); })
      .value_or(false);
}

void TrapContext::set_facts(Facts const& facts) {
  auto& f = area_->control().facts;
  f.flags = 0;
  f.pid = static_cast<uint32_t>(facts.pid);
  f.tid = static_cast<uint32_t>(facts.tid);
  f.ppid = static_cast<uint32_t>(facts.ppid);
  f.uid = facts.uid;
  f.euid = facts.euid;
  f.gid = facts.gid;
  f.egid = facts.egid;
  answers_natively_ = facts.answer_natively;
  serves_ = facts.answer_natively && facts.services;
  // Futexes are the host's in any case (nobody else could wait on guest memory), but a filter may want to see them
  // first.
  f.flags = (facts.answer_natively ? stub::facts_valid : 0u) | (facts.futex_natively ? stub::native_futex : 0u);
}

void TrapContext::serve_futex_natively_once() {
  constexpr uint64_t syscall_length = 2;
  Registers r = registers();  // rax still holds the number
  r.rip -= syscall_length;
  set_registers(r);
  area_->control().facts.flags |= stub::native_futex_once;
}

}  // namespace cofferdam::platform::trap
