#include "kernel/task/thread_pool.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <vector>

#include "base/mutex.h"
#include "host/futex.h"
#include "kernel/task/run_loop.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

constexpr size_t max_idle_threads = 32;
#ifdef COFFERDAM_SANITIZED
constexpr size_t stack_bytes = 1 << 20;
#else
constexpr size_t stack_bytes = 192 << 10;  // virtual; a few pages are ever touched
#endif

// A thread without work sleeps on its word; 1 means that `task` has been set (or that it shall end, when it is null).
struct Worker {
  std::atomic<uint32_t> word{0};
  Ref<Task> task;
};

}  // namespace

struct TaskThreadPool::State {
  Mutex mutex;
  std::vector<Worker*> idle GUARDED_BY(mutex);
  bool closing GUARDED_BY(mutex) = false;

  static void* worker_main(void* argument);
};

namespace {
struct StartArgument {
  std::shared_ptr<TaskThreadPool::State> state;
  Ref<Task> task;
};
}  // namespace

void* TaskThreadPool::State::worker_main(void* argument) {
  std::unique_ptr<StartArgument> start(static_cast<StartArgument*>(argument));
  auto state = start->state;
  Worker self;
  self.task = std::move(start->task);
  start.reset();
  for (;;) {
    run_loop::run(*self.task);
    self.task = nullptr;
    self.word.store(0);
    {
      MutexLock lock(state->mutex);
      if (state->closing || state->idle.size() >= max_idle_threads) return nullptr;
      state->idle.push_back(&self);
    }
    while (self.word.load(std::memory_order_acquire) == 0) host::futex_wait(self.word, 0);
    if (!self.task) return nullptr;
  }
}

TaskThreadPool::TaskThreadPool() : state_(std::make_shared<State>()) {}

TaskThreadPool::~TaskThreadPool() {
  MutexLock lock(state_->mutex);
  state_->closing = true;
  for (Worker* w : state_->idle) {
    w->word.store(1, std::memory_order_release);
    host::futex_wake(w->word);
  }
  state_->idle.clear();
}

Result<void> TaskThreadPool::run(Ref<Task> task) {
  Worker* worker = nullptr;
  {
    MutexLock lock(state_->mutex);
    if (!state_->idle.empty()) {
      worker = state_->idle.back();
      state_->idle.pop_back();
    }
  }
  if (worker) {
    worker->task = std::move(task);
    worker->word.store(1, std::memory_order_release);
    host::futex_wake(worker->word);
    return {};
  }
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  auto argument = std::make_unique<StartArgument>(state_, std::move(task));
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, &State::worker_main, argument.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) return fail(Errno::Again);
  (void)argument.release();  // the thread's now
  return {};
}

}  // namespace cofferdam::kernel
