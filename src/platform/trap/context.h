// One guest thread of the trap platform.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>

#include "platform/platform.h"
#include "platform/trap/process.h"

namespace cofferdam::platform::trap {

class TrapContext final : public Context {
 public:
  TrapContext(Ref<TrapAddressSpace> address_space, Area* area, pid_t thread);
  ~TrapContext() override;

  AddressSpace& address_space() override { return *address_space_; }
  Stop run() override;
  void interrupt() override;
  void set_syscall_result(uint64_t rax) override;
  Registers registers() override;
  void set_registers(Registers const&) override;
  Result<void> get_xstate(std::span<std::byte> to) override;
  Result<void> set_xstate(std::span<std::byte const> from) override;
  void reset_xstate() override;
  void set_fs_base(uint64_t) override;

  Result<void> copy_in(uint64_t address, std::span<std::byte> to) override;
  Result<void> copy_out(uint64_t address, std::span<std::byte const> from) override;
  Result<void> copy_out_data(uint64_t address, std::span<std::byte const> from) override;
  Result<std::string> copy_in_string(uint64_t address, size_t max) override;
  Result<void> zero_out(uint64_t address, uint64_t length) override;
  size_t copy_in_partial(uint64_t address, std::span<std::byte> to) override;
  size_t copy_out_partial(uint64_t address, std::span<std::byte const> from) override;
  Result<void> flush() override;
  std::span<std::byte> stage() override { return area_->bounce().first(stage_size); }
  Result<void> stage_out(uint64_t address, size_t n) override;
  Result<std::span<std::byte const>> stage_in(uint64_t address, size_t n) override;
  Result<size_t> host_read(int host_fd, uint64_t address, size_t n, int64_t offset) override;
  Result<size_t> host_write(int host_fd, uint64_t address, size_t n, int64_t offset) override;
  Result<uint32_t> load32(uint64_t address) override;
  Result<void> store32(uint64_t address, uint32_t value) override;
  Result<uint32_t> compare_exchange32(uint64_t address, uint32_t expected, uint32_t desired) override;
  Result<uint64_t> futex_wake(uint64_t address, uint32_t count, bool shared) override;

  Result<void> map_anonymous(uint64_t address, uint64_t length, int protection) override;
  Result<void> map_file(uint64_t address, uint64_t length, int protection, FileMapping const&) override;
  Result<void> unmap(uint64_t address, uint64_t length) override;
  Result<void> protect(uint64_t address, uint64_t length, int protection) override;
  Result<void> remap(uint64_t address, uint64_t old_length, uint64_t new_address, uint64_t new_length) override;
  Result<void> advise(uint64_t address, uint64_t length, int advice) override;

  Result<std::unique_ptr<Context>> clone_thread(bool this_one_waits) override;
  Result<NewProcess> fork() override;
  Result<void> set_affinity(std::span<uint64_t const> mask) override;
  int current_cpu() override { return static_cast<int>(area_->control().cpu & stub::cpu_mask); }
  AddressSpace::Usage usage() override;
  bool asleep() override;
  void set_facts(Facts const&) override;
  void set_native_state(NativeState const&, bool may_change) override;
  std::optional<NativeState> changed_native_state() override;
  std::optional<NativeState> current_native_state() override;
  void clear_at_end(uint64_t address) override { clear_at_end_ = address; }
  void serve_futex_natively_once() override;
  Ref<DescriptorServices> make_descriptor_services() override;
  std::optional<PreparedService> prepare_service(DescriptorService const&) override;

  // For the zygote: waits for the first event of a thread that was started by other means. False if it died.
  bool wait_until_ready();
  // A signal frame with this state; what a thread that has not run yet starts from.
  void start_from(stub::SignalContext const& context, std::span<std::byte const> xstate);

  // fork() of this thread; with a fresh state instead of this thread's for new_process.
  Result<NewProcess> spawn(stub::SignalContext const& context, std::span<std::byte const> xstate);
  pid_t thread() const { return thread_; }
  bool running() const { return running_.load(std::memory_order_seq_cst); }
  // Brings the stub's thread, which sleeps, to the caller's CPU.
  void summon() { pace_.summon(); }

  static constexpr size_t stage_size = 0x10000;

 private:
  StubProcess& process() { return address_space_->process(); }
  Shared& shared() { return process().shared(); }

  // --- hand-off (context.cc)
  // An operation for the next hand-over.
  struct QueuedOp {
    stub::Op op;           // of copies and memory calls a0 is the address, a1 the length
    bool is_data = false;  // bytes that the call's result counts
    bool is_mapping = false;
  };
  QueuedOp& add_op(uint32_t kind, uint32_t number, std::array<uint64_t, 6> const& arguments);
  uint64_t result_of(size_t op) const;  // after the hand-over
  void publish_ops(bool runs);
  // Gives the turn to the stub: to do the operations in the area and then, perhaps, to run the guest.
  bool hand_over(stub::Resume resume);
  bool wait();
  void disobeyed();
  bool break_off();  // always false: the stub broke the protocol or is dead
  // Runs one operation without resuming. Nullopt: dead.
  std::optional<uint64_t> perform(uint32_t kind, uint32_t number, std::array<uint64_t, 6> const& arguments);
  // Nothing: run on, the stop was the platform's own business.
  std::optional<Stop> decode();
  Stop died();
  std::optional<Stop> settle_failed_ops();
  std::optional<Stop> settle_fault(uint64_t missing);
  bool await_queued();
  bool withdraw_queued();  // whether any of them was approved
  bool has_turn_back();    // the stub waits, or is dead
  bool end_thread();
  Result<std::unique_ptr<TrapContext>> clone_host_thread();

  // --- memory (context_memory.cc)
  bool can_queue();
  void queue_memory_call(uint32_t kind, uint32_t number, std::array<uint64_t, 6> const& arguments, bool is_mapping);
  Result<void> run_queue();
  enum class When { AtOnce, MayQueue };
  Result<void> memory_call(uint32_t number, std::array<uint64_t, 6> const& arguments, bool self_checked, When);
  Result<void> queue_copy_out(uint64_t address, std::span<std::byte const> from, bool is_data);
  std::optional<uint64_t> approved_call(uint32_t number, std::array<uint64_t, 6> const& arguments);
  bool settle_queue();
  std::span<std::byte const> hinted(uint64_t address);
  void set_result(uint64_t rax);
  void forget_code(uint64_t address, uint64_t length);
  size_t read_guest(uint64_t address, std::byte* to, size_t n);
  size_t write_guest(uint64_t address, std::byte const* from, size_t n);

  // --- descriptors that are served (context_services.cc)
  std::optional<StubServices::Range> map_served_file(StubServices&, FileMapping const& file, uint64_t size);
  void unmap_served_files(StubServices&);

  // --- patched call sites (context_patch.cc)
  // At a stop behind a syscall instruction. `at_once`: without counting its calls.
  void consider_patch(uint64_t number, bool at_once);
  bool prepare_patch_space();
  bool write_text(uint64_t address, std::span<std::byte const> bytes);
  bool install(PatchSite const& site);
  bool install_alone(PatchSite const& site);
  void unpatch_all();
  bool holds(PatchSite const& site, std::span<std::byte const> text);  // does the guest's text read so?
  bool is_patched(PatchSite const& site);
  // A SIGILL or SIGTRAP that a patch caused: true if the guest can run on.
  bool mend_fault(int signal);
  // Between the addresses that the guest's code has and those of the thunks that stand for them.
  uint64_t to_guest_rip(uint64_t rip);
  uint64_t to_thunk_rip(uint64_t rip);

  // --- state (context_state.cc)
  // A trampoline stop has general registers only: turns it into one with a signal frame.
  bool materialise();
  stub::SignalContext volatile& frame() const { return area_->context(frame_); }
  bool accept_frame(uint32_t offset);
  std::byte* xstate_in_frame();
  void write_xstate(std::byte* at, std::span<std::byte const> image);

  Ref<TrapAddressSpace> address_space_;
  Area* area_;
  pid_t thread_;
  uint32_t frame_ = stub::prepared_frame;  // offset of the signal frame's ucontext that the guest resumes from
  bool dead_ = false;
  bool trampoline_ = false;  // the registers of this stop stand in Control::regs, not in a frame
  bool hints_valid_ = false;
  bool in_syscall_ = false;  // the last stop was a system call
  bool fresh_ = true;        // there has been no stop yet
  uint64_t fs_base_ = 0, gs_base_ = 0;
  uint32_t set_bases_ = 0, set_bases_told_ = 0;
  uint32_t given_ = stub::turn_guest;  // the turn word of the last hand-over
  std::optional<uint64_t> answer_;     // rax for the next hand-over, after a trampoline stop
  uint32_t op_count_ = 0;              // operations queued
  std::array<QueuedOp, stub::max_ops> queued_;
  std::vector<std::unique_ptr<Approver::Request>> queued_requests_;  // of the queued operations that ask for approval
  uint32_t queued_count_ = 0;                                        // operations of the last hand-over
  size_t queue_bytes_ = 0;
  // A queued copy_out failed, before the guest was to run; so many bytes of data did not land then.
  bool queue_fault_ = false;
  uint64_t data_missing_ = 0;
  uint64_t last_result_ = 0;  // of the pending call
  // Of approved file mappings: the numbers stay taken until this thread's next approval.
  std::vector<host::OwnedFd> mapped_fds_, queued_fds_;
  Pace pace_;
  uint32_t spin_ = 0;   // what Control::spin was set to
  bool slept_ = false;  // in the last wait()
  bool anew_ = false;   // the next run starts from the frame, wherever the stub's thread stands
  uint64_t clear_at_end_ = 0;
  NativeState native_state_{};  // as last written to the area
  uint32_t native_calls_ = 0;   // as last written to the area
  bool native_changed_ = false, answers_natively_ = false, serves_ = false;
  // CPU time of the host thread for guest threads before this one: known, and at most that much more.
  std::chrono::nanoseconds earlier_time_{}, unread_time_{};
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  uint32_t text_generation_ = 0;
  std::atomic<bool> interrupt_{false};
  std::atomic<bool> running_{false};
  friend class StubProcess;
};

}  // namespace cofferdam::platform::trap
