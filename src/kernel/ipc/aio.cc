#include "kernel/ipc/aio.h"

#include <algorithm>
#include <utility>

namespace cofferdam::kernel {

// One IOCB_CMD_POLL that waits. Off its file's queue before it goes.
class AioContext::PollRequest final : public RefCounted, public Waiter {
 public:
  PollRequest(AioContext& context, Ref<File> file, PollMask wanted, io_event const& event)
      : context_(context), file_(std::move(file)), wanted_(wanted), event_(event) {}
  ~PollRequest() override { stop(); }

  void start() {
    WaitQueue* queue = file_->wait_queue();
    if (queue != nullptr) {
      queue->add(*this, wanted_);
      queue_ = queue;
    }
    on_event(file_->poll());
  }
  void stop() {
    if (WaitQueue* queue = std::exchange(queue_, nullptr)) queue->remove(*this);
  }
  void on_event(PollMask events) override {
    PollMask const seen = events & (wanted_ | EPOLLERR | EPOLLHUP);
    if (seen == 0 || done_.exchange(true)) return;
    event_.res = seen;
    context_.fired(*this);
  }
  bool cancelled() { return !done_.exchange(true); }
  io_event const& event() const { return event_; }

 private:
  AioContext& context_;
  Ref<File> const file_;
  PollMask const wanted_;
  io_event event_;
  WaitQueue* queue_ = nullptr;
  std::atomic<bool> done_{false};
};

Result<Ref<AioContext>> AioContext::create(IpcState& ipc, MemoryManager const& owner, uint32_t most) {
  constexpr uint64_t max_requests = 65536;  // fs.aio-max-nr
  if (ipc.aio_requests.fetch_add(most) + most > max_requests) {
    ipc.aio_requests.fetch_sub(most);
    return fail(Errno::Again);
  }
  return make_ref<AioContext>(ipc, owner, most);
}

AioContext::AioContext(IpcState& ipc, MemoryManager const& owner, uint32_t most)
    : ipc_(ipc), owner_(&owner), most_(most) {}

AioContext::~AioContext() {
  close();
  ipc_.aio_requests.fetch_sub(most_);
}

Result<void> AioContext::reserve() {
  MutexLock lock(mutex_);
  if (reserved_ >= most_) return fail(Errno::Again);
  ++reserved_;
  return {};
}

void AioContext::release() {
  MutexLock lock(mutex_);
  --reserved_;
}

void AioContext::complete(io_event const& event) {
  {
    MutexLock lock(mutex_);
    completed_.push_back(event);
  }
  queue_.wake(EPOLLIN, SIZE_MAX);
}

void AioContext::poll(Ref<File> file, PollMask wanted, io_event const& event) {
  auto request = make_ref<PollRequest>(*this, std::move(file), wanted, event);
  {  // (Of two requests of one iocb the first can no longer be cancelled.)
    MutexLock lock(mutex_);
    Ref<PollRequest>& slot = polls_[event.obj];
    if (slot) spent_.push_back(std::move(slot));
    slot = request;
  }
  request->start();
}

// Under the lock of the polled file's queue: the request itself goes later.
void AioContext::fired(PollRequest& request) {
  {
    MutexLock lock(mutex_);
    completed_.push_back(request.event());
    auto it = polls_.find(request.event().obj);
    if (it != polls_.end() && it->second.get() == &request) {
      spent_.push_back(std::move(it->second));
      polls_.erase(it);
    }
  }
  queue_.wake(EPOLLIN, SIZE_MAX);
}

Result<void> AioContext::cancel(uint64_t iocb) {
  Ref<PollRequest> request;
  {
    MutexLock lock(mutex_);
    auto it = polls_.find(iocb);
    if (it == polls_.end()) return fail(Errno::Inval);
    request = std::move(it->second);
    polls_.erase(it);
  }
  if (!request->cancelled()) return fail(Errno::Again);
  complete(request->event());  // with no events in it
  return {};
}

std::vector<io_event> AioContext::take(size_t most) {
  std::vector<Ref<PollRequest>> gone;  // released after the lock: they leave their queues
  std::vector<io_event> events;
  MutexLock lock(mutex_);
  gone.swap(spent_);
  size_t const n = std::min(most, completed_.size());
  events.assign(completed_.begin(), completed_.begin() + static_cast<ptrdiff_t>(n));
  completed_.erase(completed_.begin(), completed_.begin() + static_cast<ptrdiff_t>(n));
  reserved_ -= static_cast<uint32_t>(n);
  return events;
}

size_t AioContext::ready() const {
  MutexLock lock(mutex_);
  return completed_.size();
}

void AioContext::close() {
  std::map<uint64_t, Ref<PollRequest>> polls;
  std::vector<Ref<PollRequest>> spent;
  {
    MutexLock lock(mutex_);
    polls.swap(polls_);
    spent.swap(spent_);
  }
  for (auto& [iocb, request] : polls) request->stop();
  for (auto& request : spent) request->stop();
  closed_.store(true, std::memory_order_release);
  queue_.wake(EPOLLIN, SIZE_MAX);
}

}  // namespace cofferdam::kernel
