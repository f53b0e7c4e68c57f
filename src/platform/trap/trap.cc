#include "platform/trap/trap.h"

#include <unistd.h>

#include "platform/trap/zygote.h"

namespace cofferdam::platform::trap {
namespace {

class TrapPlatform final : public Platform {
 public:
  explicit TrapPlatform(Zygote zygote)
      : shared_(zygote.shared),
        reaper_(zygote.shared, zygote.context->thread()),
        watch_(zygote.shared->pace),
        fresh_context_(zygote.fresh_context),
        zygote_(std::move(zygote.context)) {}
  ~TrapPlatform() override {
    MutexLock lock(zygote_mutex_);
    zygote_.reset();  // the last of its process: it is killed, and the reaper ends with the last stub
  }

  std::string_view name() const override { return "trap"; }
  Result<NewProcess> new_process() override {
    MutexLock lock(zygote_mutex_);
    zygote_->summon();
    return zygote_->spawn(fresh_context_, shared_->fresh_xstate);
  }
  uint64_t user_limit() const override { return stub::user_limit; }
  uint64_t min_address() const override { return stub::min_address; }
  uint64_t vdso_address() const override { return shared_->vdso_address; }
  uint64_t vdso_length() const override { return shared_->vdso_length; }
  size_t xstate_size() const override { return shared_->xstate_size; }
  int cpu_count() const override { return shared_->pace.cpus; }

 private:
  std::shared_ptr<Shared> shared_;
  Reaper reaper_;
  PlacementWatch watch_;
  stub::SignalContext const fresh_context_;
  Mutex zygote_mutex_;
  std::unique_ptr<TrapContext> zygote_ GUARDED_BY(zygote_mutex_);
};

}  // namespace

Result<std::unique_ptr<Platform>> create(Options const& options) {
  auto zygote = TRY(start_zygote(options));
  return std::make_unique<TrapPlatform>(std::move(zygote));
}

}  // namespace cofferdam::platform::trap
