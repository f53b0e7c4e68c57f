#include "kernel/ipc/epoll.h"

#include <algorithm>

#include <fmt/core.h>

#include "kernel/kernel.h"
#include "kernel/mm/memory_manager.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel {
namespace {

// Bits of an item's events that are orders, not events (EP_PRIVATE_BITS of Linux).
constexpr uint32_t order_bits = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
constexpr uint32_t allowed_with_exclusive =
    EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

uint32_t with_implied(uint32_t events) { return (events | EPOLLERR | EPOLLHUP) & ~uint32_t{EPOLLWAKEUP}; }

}  // namespace

EpollItem::EpollItem(Ref<Epoll> epoll, File& file, int fd, EpollEvent event)
    : epoll_(std::move(epoll)), file_(file), fd_(fd), events_(with_implied(event.events)), data_(event.data) {}

void EpollItem::on_event(PollMask events) { epoll_->note_ready(*this, events); }

void EpollItem::on_last_reference() { epoll_->drop(*this); }

// --- the ready list ---

void Epoll::link_ready(EpollItem& item) {
  item.ready_ = true;
  item.ready_next_ = nullptr;
  item.ready_previous_ = ready_last_;
  (ready_last_ ? ready_last_->ready_next_ : ready_first_) = &item;
  ready_last_ = &item;
  ready_count_.fetch_add(1, std::memory_order_release);
}

void Epoll::unlink_ready(EpollItem& item) {
  item.ready_ = false;
  (item.ready_previous_ ? item.ready_previous_->ready_next_ : ready_first_) = item.ready_next_;
  (item.ready_next_ ? item.ready_next_->ready_previous_ : ready_last_) = item.ready_previous_;
  ready_count_.fetch_sub(1, std::memory_order_release);
}

EpollItem* Epoll::pop_ready() {
  MutexLock lock(ready_mutex_);
  EpollItem* item = ready_first_;
  if (item) unlink_ready(*item);
  return item;
}

bool Epoll::relink(EpollItem& item) {
  MutexLock lock(ready_mutex_);
  if (item.ready_) return false;
  link_ready(item);
  return true;
}

void Epoll::tell() {
  waiters.wake(EPOLLIN);
  pollers.wake(EPOLLIN | EPOLLRDNORM);
}

void Epoll::note_ready(EpollItem& item, PollMask events) {
  uint32_t wanted = item.events_.load(std::memory_order_relaxed);
  if ((wanted & ~order_bits) == 0) return;  // disarmed by EPOLLONESHOT
  if ((events & wanted) == 0) return;
  relink(item);
  tell();
}

void Epoll::collect(Task& task, size_t max, std::vector<EpollEvent>& out, TakenList& of) {
  std::vector<EpollItem*> still_ready;
  {
    MutexLock lock(mutex_);
    for (size_t left = ready_count_.load(std::memory_order_acquire); left != 0 && out.size() < max; --left) {
      EpollItem* item = pop_ready();
      if (!item) break;
      uint32_t wanted = item->events_.load(std::memory_order_relaxed);
      uint32_t ready = item->file_.poll_as(task) & wanted & ~order_bits;
      if (ready == 0) continue;
      out.push_back({ready, item->data_});
      of.push_back({&item->file_, item->fd_, wanted});
      if (wanted & EPOLLONESHOT)
        item->events_.store(wanted & order_bits, std::memory_order_relaxed);
      else if (!(wanted & EPOLLET))
        still_ready.push_back(item);
    }
    for (EpollItem* item : still_ready) relink(*item);
  }
  // Only one waiter was woken: it wakes the next when something is left.
  if (maybe_ready()) waiters.wake(EPOLLIN);
}

void Epoll::give_back(std::span<Taken const> taken) {
  {
    MutexLock lock(mutex_);
    for (Taken const& t : taken) {
      auto it = items_.find(Key(t.file, t.fd));
      if (it == items_.end()) continue;
      EpollItem& item = *it->second;
      // Disarmed by its taking, unless epoll_ctl has said something else since.
      if (t.wanted & EPOLLONESHOT && item.events_.load(std::memory_order_relaxed) == (t.wanted & order_bits))
        item.events_.store(t.wanted, std::memory_order_relaxed);
      relink(item);
    }
  }
  waiters.wake(EPOLLIN);
}

bool Epoll::any_ready() {
  if (!maybe_ready()) return false;
  MutexLock lock(mutex_);
  for (size_t left = ready_count_.load(std::memory_order_acquire); left != 0; --left) {
    EpollItem* item = pop_ready();
    if (!item) break;
    uint32_t wanted = item->events_.load(std::memory_order_relaxed);
    if ((item->file_.poll() & wanted & ~order_bits) == 0) continue;
    relink(*item);
    return true;
  }
  return false;
}

// --- epoll_ctl ---

Result<void> Epoll::add(Task& task, File& file, int fd, EpollEvent event) {
  auto* nested = dynamic_cast<EpollFile*>(&file);
  if (event.events & EPOLLEXCLUSIVE) {
    if (nested || (event.events & ~allowed_with_exclusive)) return fail(Errno::Inval);
  }
  if (!nested) return insert(task, file, fd, event);
  MutexLock nesting(ipc_.epoll_nesting);
  TRY(check_nesting(nested->epoll()));
  TRY(insert(task, file, fd, event));
  inner_.push_back(&nested->epoll());
  nested->epoll().outer_.push_back(this);
  return {};
}

Result<void> Epoll::insert(Task& task, File& file, int fd, EpollEvent event) {
  Ref<EpollItem> item;
  bool ready;
  {
    MutexLock lock(mutex_);
    if (closed_) return fail(Errno::BadF);
    if (items_.contains(Key(&file, fd))) return fail(Errno::Exist);
    if (ipc_.epoll_watches.load(std::memory_order_relaxed) >= max_watches) return fail(Errno::NoSpc);
    ipc_.epoll_watches.fetch_add(1, std::memory_order_relaxed);
    item = make_ref<EpollItem>(Ref(this), file, fd, event);
    items_.emplace(Key(&file, fd), item);
    item->queue_ = file.wait_queue_as(task);
    if (item->queue_ != file.wait_queue()) item->queue_keeper_ = Ref<RefCounted>(&task.thread_group());
    file.add_observer(item);
    if (item->queue_) item->queue_->add(*item, ~PollMask{0}, event.events & EPOLLEXCLUSIVE);
    ready = (file.poll_as(task) & item->events_.load(std::memory_order_relaxed) & ~order_bits) != 0;
    if (ready) relink(*item);
  }
  if (ready) tell();
  return {};
}

Result<void> Epoll::modify(Task& task, File& file, int fd, EpollEvent event) {
  if (event.events & EPOLLEXCLUSIVE) return fail(Errno::Inval);
  bool ready;
  {
    MutexLock lock(mutex_);
    auto it = items_.find(Key(&file, fd));
    if (it == items_.end()) return fail(Errno::NoEnt);
    EpollItem& item = *it->second;
    if (item.events_.load(std::memory_order_relaxed) & EPOLLEXCLUSIVE) return fail(Errno::Inval);
    item.events_.store(with_implied(event.events), std::memory_order_seq_cst);
    item.data_ = event.data;
    ready = (file.poll_as(task) & with_implied(event.events) & ~order_bits) != 0 && relink(item);
  }
  if (ready) tell();
  return {};
}

// After it the item is in no list; the map's reference is the caller's to drop.
void Epoll::detach(EpollItem& item) {
  if (item.queue_) item.queue_->remove(item);
  MutexLock lock(ready_mutex_);
  if (item.ready_) unlink_ready(item);
  ipc_.epoll_watches.fetch_sub(1, std::memory_order_relaxed);
}

Result<void> Epoll::remove(File& file, int fd) {
  Ref<EpollItem> item;
  {
    MutexLock lock(mutex_);
    auto it = items_.find(Key(&file, fd));
    if (it == items_.end()) return fail(Errno::NoEnt);
    item = std::move(it->second);
    items_.erase(it);
    detach(*item);
  }
  file.remove_observer(*item);
  forget_nesting(file);
  return {};
}

void Epoll::drop(EpollItem& item) {
  Ref<EpollItem> removed;
  {
    MutexLock lock(mutex_);
    auto it = items_.find(Key(&item.file_, item.fd_));
    if (it == items_.end() || it->second != &item) return;
    removed = std::move(it->second);
    items_.erase(it);
    detach(*removed);
  }
  forget_nesting(item.file_);
}

void Epoll::close() {
  std::vector<Ref<EpollItem>> items;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    for (auto& [key, item] : items_) {
      detach(*item);
      item->file_.remove_observer(*item);
      items.push_back(std::move(item));
    }
    items_.clear();
  }
  MutexLock nesting(ipc_.epoll_nesting);
  for (Epoll* inner : inner_) std::erase(inner->outer_, this);
  for (Epoll* outer : outer_) std::erase(outer->inner_, this);
  inner_.clear();
  outer_.clear();
}

std::string Epoll::describe() {
  std::string text;
  MutexLock lock(mutex_);
  for (auto const& [key, item] : items_)
    text += fmt::format("tfd: {:8} events: {:8x} data: {:16x}\n", item->fd_,
                        item->events_.load(std::memory_order_relaxed), item->data_);
  return text;
}

// --- the file ---

EpollFile::EpollFile(Kernel& kernel) : AnonymousFile("eventpoll", O_RDWR), epoll_(make_ref<Epoll>(kernel.ipc())) {}

EpollFile::~EpollFile() { epoll_->close(); }

Result<size_t> EpollFile::wait(Task& task, UserPtr<EpollEvent> to, size_t max, Deadline deadline) {
  std::vector<EpollEvent> events;
  Epoll::TakenList taken;
  for (;;) {
    if (epoll_->maybe_ready()) epoll_->collect(task, max, events, taken);
    if (!events.empty()) break;
    if (deadline.expired()) return 0;
    auto waited = task.wait_until(epoll_->waiters, EPOLLIN, deadline, [&] { return epoll_->maybe_ready(); }, true);
    if (waited) continue;
    if (epoll_->maybe_ready()) epoll_->waiters.wake(EPOLLIN);  // the wake was perhaps meant for us
    if (waited.error() == Errno::TimedOut) return 0;
    return std::unexpected(never_restarted(waited.error()));
  }
  auto told = task.write_array(to, std::span<EpollEvent const>(events));
  // (What is told to mapped memory lands when the guest goes on.)
  if (told && !task.mm()->range_is_mapped(to.address().value, events.size() * sizeof(EpollEvent)))
    told = task.context().flush();
  if (told) return events.size();
  // As far as it goes; the rest stays ready.
  size_t n = 0;
  for (; n < events.size(); ++n) {
    auto at = to.at(n);
    if (!at || !task.write(*at, events[n]) || !task.context().flush()) break;
  }
  epoll_->give_back(std::span(taken).subspan(n));
  return n != 0 ? Result<size_t>(n) : std::unexpected(told.error());
}

}  // namespace cofferdam::kernel
