// seccomp(2) inside the sandbox: filters of the guest's own and of the container's profile, decided in the sentry when
// a call arrives. A task without a filter pays one comparison for it.
#pragma once

#include <bitset>
#include <cstdint>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "kernel/seccomp/bpf.h"
#include "platform/platform.h"

namespace cofferdam::kernel {

class Task;

namespace seccomp {

// A filter and those that were installed before it. Immutable: tasks share it.
class Filter final : public RefCounted {
 public:
  // ENOMEM when the chain becomes too long (MAX_INSNS_PER_PATH of Linux).
  static Result<Ref<Filter>> create(Program program, Ref<Filter> earlier);
  ~Filter() override;

  // The most severe of what the chain says (seccomp(2)).
  uint32_t decide(seccomp_data const& call) const;
  // Every filter of the chain lets all calls with this number pass, whatever their arguments.
  bool always_allows(uint64_t number) const { return number < always_.size() && always_[number]; }
  // No filter of the chain can see a call that the platform answers without the sentry.
  bool leaves_trivial_calls_alone() const { return leaves_trivial_calls_alone_; }
  Filter const* earlier() const { return earlier_.get(); }
  size_t chain_length() const { return chain_length_; }

 private:
  Filter(Program program, Ref<Filter> earlier) : program_(std::move(program)), earlier_(std::move(earlier)) {}
  Program program_;
  Ref<Filter> earlier_;
  std::bitset<512> always_;
  bool leaves_trivial_calls_alone_ = false;
  size_t chain_length_ = 1, chain_cost_ = 0;
};

enum class Mode : uint8_t { Disabled = 0, Strict = 1, Filter = 2 };  // as PR_GET_SECCOMP and /proc/PID/status tell

// What the run loop asks before it dispatches a call of a task whose mode is not Disabled. false: the call has been
// dealt with (a result, a signal, the end of the task).
bool admit(Task&, platform::Syscall const&);

// seccomp(SECCOMP_SET_MODE_STRICT): EINVAL under filters.
Result<void> enter_strict_mode(Task&);
// seccomp(SECCOMP_SET_MODE_FILTER). EACCES without CAP_SYS_ADMIN or no_new_privs; EINVAL; ENOMEM. `all_threads`:
// SECCOMP_FILTER_FLAG_TSYNC; gives the id of a thread that cannot follow, 0 when all do.
Result<int32_t> install(Task&, Program, bool all_threads);

}  // namespace seccomp
}  // namespace cofferdam::kernel
