#include "platform/trap/trap.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>

#include "host/futex.h"
#include "platform/trap/zygote.h"

namespace cofferdam::platform::trap {
namespace {

// Fresh processes, clones of a zygote. From the second one on, one is kept ready: a thread makes it while the last
// one's program begins, so that execve does not wait for it.
class Nursery final : public ProcessSource {
 public:
  Nursery(std::shared_ptr<Shared> shared, std::unique_ptr<TrapContext> zygote, stub::SignalContext const& fresh)
      : shared_(std::move(shared)),
        fresh_context_(fresh),
        zygote_process_(zygote->thread()),
        zygote_(std::move(zygote)) {}
  ~Nursery() override { close(); }

  int32_t host_process() const override { return zygote_process_; }

  void close() override {
    ending_.store(true);
    ask();
    std::thread maker;
    {
      MutexLock lock(mutex_);
      maker = std::move(maker_);
    }
    if (maker.joinable()) maker.join();
    {
      MutexLock lock(mutex_);
      ready_.reset();
    }
    MutexLock lock(zygote_mutex_);
    zygote_.reset();  // the last of its process: it is killed, and the reaper ends with the last stub
  }

  // Another one's zygote.
  Result<std::unique_ptr<TrapContext>> spawn_zygote() {
    auto made = TRY(spawn());
    return std::unique_ptr<TrapContext>(static_cast<TrapContext*>(made.context.release()));
  }

  Result<NewProcess> new_process() override {
    std::optional<NewProcess> ready;
    {
      MutexLock lock(mutex_);
      ready = std::exchange(ready_, std::nullopt);
      if (++taken_ == 2 && !ending_.load()) start_maker();
    }
    if (taken_ >= 2) ask();
    if (!ready) return spawn();
    static_cast<TrapContext&>(*ready->context).summon();
    return std::move(*ready);
  }

 private:
  Result<NewProcess> spawn() {
    MutexLock lock(zygote_mutex_);
    if (!zygote_) return fail(Errno::Srch);
    zygote_->summon();
    return zygote_->spawn(fresh_context_, shared_->fresh_xstate);
  }
  void ask() {
    wanted_.store(1);
    host::futex_wake(wanted_);
  }
  void start_maker() REQUIRES(mutex_) {
    sigset_t all, old;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &old);
    maker_ = std::thread([this] { make(); });
    ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  }
  void make() {
    ::sched_setaffinity(0, sizeof shared_->pace.allowed, &shared_->pace.allowed);
    while (!ending_.load()) {
      while (wanted_.exchange(0) == 0) host::futex_wait(wanted_, 0);
      if (ending_.load()) return;
      {
        MutexLock lock(mutex_);
        if (ready_) continue;
      }
      auto made = spawn();
      if (!made) continue;  // whoever wants one will hear why
      MutexLock lock(mutex_);
      ready_ = std::move(*made);
    }
  }

  std::shared_ptr<Shared> shared_;
  stub::SignalContext const fresh_context_;
  pid_t const zygote_process_;
  Mutex zygote_mutex_;
  std::unique_ptr<TrapContext> zygote_ GUARDED_BY(zygote_mutex_);
  Mutex mutex_;
  std::optional<NewProcess> ready_ GUARDED_BY(mutex_);
  std::atomic<uint64_t> taken_{0};
  std::atomic<uint32_t> wanted_{0};
  std::atomic<bool> ending_{false};
  std::thread maker_ GUARDED_BY(mutex_);
};

class TrapPlatform final : public Platform {
 public:
  explicit TrapPlatform(Zygote zygote)
      : shared_(zygote.shared),
        reaper_(zygote.shared, zygote.context->thread()),
        watch_(zygote.shared->pace),
        fresh_context_(zygote.fresh_context),
        nursery_(make_ref<Nursery>(zygote.shared, std::move(zygote.context), zygote.fresh_context)) {}

  std::string_view name() const override { return "trap"; }
  Result<NewProcess> new_process() override { return nursery_->new_process(); }
  Result<Ref<ProcessSource>> new_source() override {
    return Ref<ProcessSource>(make_ref<Nursery>(shared_, TRY(nursery_->spawn_zygote()), fresh_context_));
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
  Ref<Nursery> const nursery_;
};

}  // namespace

Result<std::unique_ptr<Platform>> create(Options const& options) {
  auto zygote = TRY(start_zygote(options));
  return std::make_unique<TrapPlatform>(std::move(zygote));
}

}  // namespace cofferdam::platform::trap
