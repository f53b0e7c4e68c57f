// System V message queues (msgget(2), msgop(2), msgctl(2)).
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include <algorithm>

#include "kernel/ipc/sysv.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel::sysv {
namespace {

constexpr uint64_t most_bytes_of_all = uint64_t{64} << 20;  // a bound on our memory, where Linux has a cgroup's
constexpr uint64_t per_message = 64;                        // what a message costs beside its bytes, about
constexpr int msg_stat_any = 13, copy = 040000;

// The message that msgrcv's type asks for: the first, the first of a type (or not of it), or the one of the lowest
// type.
std::list<Message>::iterator find_message(std::list<Message>& messages, int64_t type, bool except) {
  if (type == 0) return messages.begin();
  if (type > 0)
    return std::find_if(messages.begin(), messages.end(), [&](auto const& m) { return (m.type == type) != except; });
  auto best = messages.end();
  int64_t most = type == INT64_MIN ? INT64_MAX : -type;
  for (auto it = messages.begin(); it != messages.end(); ++it)
    if (it->type <= most && (best == messages.end() || it->type < best->type)) best = it;
  return best;
}

Error interrupted(Error e) { return e == Errno::RestartSys ? Error(Errno::RestartNoHand) : e; }

}  // namespace

Result<int> MessageQueues::get(Task& task, key_t key, int flags) {
  auto who = task.credentials();
  MutexLock lock(mutex_);
  return table_.get(
      *who, key, flags, [](MessageQueue const&) -> Result<void> { return {}; },
      [&]() NO_THREAD_SAFETY_ANALYSIS -> Result<Ref<MessageQueue>> {
        auto const& limits = limits_;
        if (table_.all().size() >= limits.queues.load(std::memory_order_relaxed)) return fail(Errno::NoSpc);
        auto queue = make_ref<MessageQueue>();
        queue->most_bytes = limits.queue_bytes.load(std::memory_order_relaxed);
        return queue;
      });
}

Result<void> MessageQueues::send(Task& task, int id, Message message, int flags) {
  auto who = task.credentials();
  Ref<MessageQueue> queue;
  {
    MutexLock lock(mutex_);
    queue = TRY(table_.find(id));
    TRY(queue->check(*who, alterable));
  }
  Result<void> outcome;
  auto settled = [&]() {
    MutexLock lock(mutex_);
    if (queue->removed) {
      outcome = fail(Errno::IdRm);
      return true;
    }
    uint64_t size = message.data.size();
    if (size + queue->bytes > queue->most_bytes || queue->messages.size() + 1 > queue->most_bytes) {
      if (!(flags & IPC_NOWAIT)) return false;
      outcome = fail(Errno::Again);
      return true;
    }
    if (total_bytes_ + size + per_message > most_bytes_of_all) {
      outcome = fail(Errno::NoMem);
      return true;
    }
    total_bytes_ += size + per_message;
    queue->bytes += size;
    queue->messages.push_back(std::move(message));
    queue->last_sender = Ref<Pid>(&task.thread_group().pid());
    queue->sent = now();
    queue->receivers.wake(EPOLLIN, SIZE_MAX);
    return true;
  };
  auto waited = task.wait_until(queue->senders, EPOLLOUT, Deadline::never(), settled);
  if (!waited) return std::unexpected(interrupted(waited.error()));
  return outcome;
}

Result<Message> MessageQueues::receive(Task& task, int id, size_t room, int64_t type, int flags) {
  if (flags & copy) return fail(Errno::NoSys);  // a kernel without CONFIG_CHECKPOINT_RESTORE
  auto who = task.credentials();
  Ref<MessageQueue> queue;
  {
    MutexLock lock(mutex_);
    queue = TRY(table_.find(id));
    TRY(queue->check(*who, readable));
  }
  Result<Message> outcome = Message{};
  auto settled = [&]() {
    MutexLock lock(mutex_);
    if (queue->removed) {
      outcome = fail(Errno::IdRm);
      return true;
    }
    auto found = find_message(queue->messages, type, flags & MSG_EXCEPT);
    if (found == queue->messages.end()) {
      if (!(flags & IPC_NOWAIT)) return false;
      outcome = fail(Errno::NoMsg);
      return true;
    }
    if (found->data.size() > room && !(flags & MSG_NOERROR)) {
      outcome = fail(Errno::TooBig);
      return true;
    }
    queue->bytes -= found->data.size();
    total_bytes_ -= found->data.size() + per_message;
    queue->last_receiver = Ref<Pid>(&task.thread_group().pid());
    queue->received = now();
    outcome = std::move(*found);
    queue->messages.erase(found);
    queue->senders.wake(EPOLLOUT, SIZE_MAX);
    return true;
  };
  auto waited = task.wait_until(queue->receivers, EPOLLIN, Deadline::never(), settled);
  if (!waited) return std::unexpected(interrupted(waited.error()));
  return outcome;
}

msqid_ds MessageQueues::status(MessageQueue const& q, PidNamespace const& space) {
  msqid_ds d{};
  d.msg_perm = q.permission();
  d.msg_stime = q.sent;
  d.msg_rtime = q.received;
  d.msg_ctime = q.changed;
  d.__msg_cbytes = q.bytes;
  d.msg_qnum = q.messages.size();
  d.msg_qbytes = q.most_bytes;
  d.msg_lspid = number_of(q.last_sender, space);
  d.msg_lrpid = number_of(q.last_receiver, space);
  return d;
}

Result<int> MessageQueues::control(Task& task, int id, int command, UserAddr buffer) {
  if (id < 0 || command < 0) return fail(Errno::Inval);
  auto who = task.credentials();
  msqid_ds wanted{};
  if (command == IPC_SET) wanted = TRY(task.read(UserPtr<msqid_ds>(buffer)));
  auto const& limits = limits_;
  MutexLock lock(mutex_);
  if (command == IPC_INFO || command == MSG_INFO) {
    msginfo info{};
    info.msgmax = static_cast<int>(limits.message_bytes.load(std::memory_order_relaxed));
    info.msgmnb = static_cast<int>(limits.queue_bytes.load(std::memory_order_relaxed));
    info.msgmni = static_cast<int>(limits.queues.load(std::memory_order_relaxed));
    info.msgssz = 16;
    info.msgseg = 0xffff;
    info.msgpool = info.msgmni * info.msgmnb / 1024;
    info.msgtql = info.msgmnb;
    info.msgmap = info.msgmnb;
    if (command == MSG_INFO) {
      info.msgpool = static_cast<int>(table_.all().size());
      size_t messages = 0, bytes = 0;
      for (auto const& [slot, q] : table_.all()) {
        messages += q->messages.size();
        bytes += q->bytes;
      }
      info.msgmap = static_cast<int>(messages);
      info.msgtql = static_cast<int>(bytes);
    }
    int highest = table_.highest_index();
    lock.unlock();
    TRY(task.write(UserPtr<msginfo>(buffer), info));
    return highest;
  }
  bool by_index = command == MSG_STAT || command == msg_stat_any;
  auto queue = TRY(by_index ? table_.at_index(id) : table_.find(id));
  switch (command) {
    case IPC_STAT:
    case MSG_STAT:
    case msg_stat_any: {
      if (command != msg_stat_any) TRY(queue->check(*who, readable));
      msqid_ds out = status(*queue, task.pids());
      int result = by_index ? queue->id : 0;
      lock.unlock();
      TRY(task.write(UserPtr<msqid_ds>(buffer), out));
      return result;
    }
    case IPC_SET:
      if (!queue->owned_by(*who)) return fail(Errno::Perm);
      if (wanted.msg_qbytes > limits.queue_bytes.load(std::memory_order_relaxed) && !who->capable(CAP_SYS_RESOURCE))
        return fail(Errno::Perm);
      queue->most_bytes = wanted.msg_qbytes;
      queue->set(wanted.msg_perm);
      queue->senders.wake(EPOLLOUT, SIZE_MAX);
      queue->receivers.wake(EPOLLIN, SIZE_MAX);
      return 0;
    case IPC_RMID:
      if (!queue->owned_by(*who)) return fail(Errno::Perm);
      total_bytes_ -= queue->bytes + per_message * queue->messages.size();
      table_.remove(*queue);
      queue->senders.wake(EPOLLOUT, SIZE_MAX);
      queue->receivers.wake(EPOLLIN, SIZE_MAX);
      return 0;
    default:
      return fail(Errno::Inval);
  }
}

std::string MessageQueues::text(PidNamespace const& space) {
  std::string out =
      "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime    "
      "  "
      "ctime\n";
  MutexLock lock(mutex_);
  for (auto const& [slot, q] : table_.all())
    out += fmt::format("{:10} {:10}  {:4o}  {:10} {:10} {:5} {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10}\n", q->key,
                       q->id, q->mode, q->bytes, q->messages.size(), number_of(q->last_sender, space),
                       number_of(q->last_receiver, space), q->uid, q->gid, q->creator_uid, q->creator_gid, q->sent,
                       q->received, q->changed);
  return out;
}

}  // namespace cofferdam::kernel::sysv
