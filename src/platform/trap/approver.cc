#include "platform/trap/approver.h"

#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "host/futex.h"

namespace cofferdam::platform::trap {

void Approver::announce(Request& request) {
  MutexLock lock(pending_mutex_);
  pending_.push_back(&request);
}

void Approver::withdraw(Request& request) {
  MutexLock lock(pending_mutex_);
  std::erase(pending_, &request);
}

bool Approver::is_approved(Request& request) {
  MutexLock lock(pending_mutex_);
  return request.approved;
}

bool Approver::await(Request& request, std::function<bool()> const& gone) {
  int wait_ms = 5;
  for (;;) {
    if (is_approved(request)) return true;
    if (!listening_.try_lock()) {
      // Bounded, for a nudge may come between the look and the sleep.
      timespec const until = host::monotonic_after(std::chrono::milliseconds(wait_ms));
      {
        MutexLock lock(pending_mutex_);
        if (request.approved) return true;
        request.waiting = true;
      }
      host::futex_wait_until(request.nudge, 0, &until);
      request.nudge.store(0);
      if (gone()) return is_approved(request);
      continue;
    }
    pollfd p = {listener_.get(), POLLIN, 0};
    bool const served = ::poll(&p, 1, wait_ms) > 0 && (p.revents & POLLIN);
    if (served) serve_one();
    listening_.unlock();
    bool const ends = is_approved(request) || (!served && gone());
    nudge_one();
    if (ends) return is_approved(request);
    if (!served) wait_ms = std::min(wait_ms * 2, 40);
  }
}

// The listener is free: somebody who waits takes it up.
void Approver::nudge_one() {
  MutexLock lock(pending_mutex_);
  for (Request* r : pending_)
    if (r->waiting && !r->approved) {
      r->nudge.store(1);
      host::futex_wake(r->nudge);
      return;
    }
}

void Approver::look() {
  if (!listening_.try_lock()) return;
  pollfd p = {listener_.get(), POLLIN, 0};
  if (::poll(&p, 1, 0) > 0 && (p.revents & POLLIN)) serve_one();
  listening_.unlock();
}

Approver::Request* Approver::find(pid_t thread, long number, uint64_t const* arguments) {
  auto const equal = [&](Request const* r) {
    return !r->approved && r->number == number && std::equal(r->arguments.begin(), r->arguments.end(), arguments);
  };
  for (Request* r : pending_)
    if (r->thread == thread && equal(r)) return r;
  for (Request* r : pending_)
    if (r->thread == 0 && equal(r) && r->accept_new(thread)) return r;
  return nullptr;
}

void Approver::serve_one() {
  seccomp_notif call;
  std::memset(&call, 0, sizeof call);
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return;  // ENOENT: a signal took it back
  seccomp_notif_resp answer;
  std::memset(&answer, 0, sizeof answer);
  answer.id = call.id;
  MutexLock lock(pending_mutex_);
  uint64_t arguments[6];
  std::memcpy(arguments, call.data.args, sizeof arguments);
  auto const thread = static_cast<pid_t>(call.pid);
  Request* request = find(thread, call.data.nr, arguments);
  if (request != nullptr) {
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    // ENOENT: a signal interrupted the call before this answer; it will come again.
    if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0) {
      request->approved = true;
      if (request->waiting) {
        request->nudge.store(1);
        host::futex_wake(request->nudge);
      }
    }
    return;
  }
  log::warning("trap: thread {} made host call {} that was not asked for; its process ends", thread, call.data.nr);
  ::kill(thread, SIGKILL);  // while it still waits for the answer, so the id cannot be another's
  answer.error = -EPERM;
  ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

}  // namespace cofferdam::platform::trap
