// System V IPC (sysvipc(7)): shared memory, semaphores, message queues, as one IPC namespace has them.
//
// Each kind has one lock over its table and its objects; wait queues are woken under it.
#pragma once

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "kernel/cred/credentials.h"
#include "kernel/mm/memory_file.h"
#include "kernel/task/pid.h"
#include "kernel/time/clock.h"
#include "kernel/user_memory.h"
#include "kernel/wait_queue.h"

namespace cofferdam::kernel {

class Task;

namespace sysv {

// What a process that did something is called by whoever asks; 0: nobody, or not to be seen from there.
inline int32_t number_of(Ref<Pid> const& pid, PidNamespace const& space) { return pid ? pid->number_in(space) : 0; }

// kernel.shm*, kernel.msg* and kernel.sem: changed by kernel/sysctls.h.
struct Limits {
  std::atomic<uint64_t> segment_bytes{18446744073692774399u}, segment_pages{18446744073692774399u}, segments{4096};
  std::atomic<uint64_t> message_bytes{8192}, queue_bytes{16384}, queues{32000};
  std::atomic<uint64_t> semaphores_per_set{32000}, semaphores{1024000000}, operations_per_call{500},
      semaphore_sets{32000};
};

// Bits of a mode that allow a thing to somebody.
inline constexpr int readable = S_IRUSR | S_IRGRP | S_IROTH, alterable = S_IWUSR | S_IWGRP | S_IWOTH;

// As the times of objects count: seconds of CLOCK_REALTIME.
int64_t now();

// What every object has: its key, owner and mode (struct ipc_perm).
struct Object : RefCounted {
  int id = 0;
  key_t key = 0;
  uid_t uid = 0, creator_uid = 0;
  gid_t gid = 0, creator_gid = 0;
  uint16_t mode = 0;
  bool removed = false;
  int64_t changed = 0;  // ctime, seconds

  ipc_perm permission() const;
  bool owned_by(Credentials const&) const;
  // `wanted` of S_IRUGO, S_IWUGO bits as ipcperms() of Linux takes them: EACCES.
  Result<void> check(Credentials const&, int wanted) const;
  void created_by(Credentials const&, key_t, int flags);
  // IPC_SET: EINVAL for invalid ids.
  void set(ipc_perm const&);
};

// Objects by id and key. An id is slot + 32768 * generation, as Linux's are.
template <class T>
class Table {
 public:
  explicit Table(size_t limit) : limit_(limit) {}
  // semget, shmget, msgget: `fits` checks an existing object (EINVAL), `create` makes a new one.
  template <class Fits, class Create>
  Result<int> get(Credentials const& who, key_t key, int flags, Fits&& fits, Create&& create) {
    if (key != IPC_PRIVATE) {
      if (auto it = keys_.find(key); it != keys_.end()) {
        T& found = *slots_.at(it->second);
        if ((flags & IPC_CREAT) && (flags & IPC_EXCL)) return fail(Errno::Exist);
        TRY(fits(found));
        TRY(found.check(who, flags & 0777));
        return found.id;
      }
      if (!(flags & IPC_CREAT)) return fail(Errno::NoEnt);
    }
    if (slots_.size() >= limit_) return fail(Errno::NoSpc);
    Ref<T> made = TRY(create());
    made->created_by(who, key, flags);
    int slot = 0;
    for (auto const& [used, object] : slots_) {
      if (used != slot) break;
      ++slot;
    }
    made->id = slot + 32768 * (generation_++ & 0x7fff);
    slots_[slot] = made;
    if (key != IPC_PRIVATE) keys_[key] = slot;
    return made->id;
  }
  Result<Ref<T>> find(int id) const {  // EINVAL; EIDRM for an id of an earlier generation
    if (id < 0) return fail(Errno::Inval);
    auto it = slots_.find(id % 32768);
    if (it == slots_.end()) return fail(Errno::Inval);
    if (it->second->id != id) return fail(Errno::IdRm);
    return it->second;
  }
  Result<Ref<T>> at_index(int index) const {  // SHM_STAT and kin
    auto it = slots_.find(index);
    if (it == slots_.end()) return fail(Errno::Inval);
    return it->second;
  }
  void forget_key(T& object) {
    if (object.key != IPC_PRIVATE) keys_.erase(object.key);
    object.key = IPC_PRIVATE;
  }
  void remove(T& object) {
    forget_key(object);
    object.removed = true;
    slots_.erase(object.id % 32768);
  }
  int highest_index() const { return slots_.empty() ? 0 : slots_.rbegin()->first; }
  std::map<int, Ref<T>> const& all() const { return slots_; }

 private:
  size_t limit_;
  std::map<int, Ref<T>> slots_;
  std::map<key_t, int> keys_;
  int generation_ = 0;
};

// --- shared memory ---

struct Segment;
// What a mapping of a segment holds: as many mappings are attached as there are references beside the segment's own.
struct Attachment : RefCounted {
  Ref<MemoryExtent> extent;
  uint64_t size = 0;
};
struct Segment : Object {
  uint64_t size = 0;
  Ref<Attachment> attachment;
  int64_t attached = 0, detached = 0;
  Ref<Pid> creator, last;
  bool locked = false;
  uint64_t attach_count() const { return attachment->ref_count() - 1; }
};

class SharedMemory {
 public:
  explicit SharedMemory(Limits const& limits) : limits_(limits) {}
  Result<int> get(Task&, key_t, uint64_t size, int flags);
  Result<uint64_t> attach(Task&, int id, uint64_t address, int flags);
  Result<void> detach(Task&, uint64_t address);
  Result<int> control(Task&, int id, int command, UserAddr buffer);
  std::string text(PidNamespace const&);  // /proc/sysvipc/shm

 private:
  void purge() REQUIRES(mutex_);
  static shmid_ds status(Segment const&, PidNamespace const&);
  Limits const& limits_;
  Mutex mutex_;
  Table<Segment> table_ GUARDED_BY(mutex_){32768};
};

// --- semaphores ---

struct Semaphore {
  uint16_t value = 0;
  Ref<Pid> last_pid;
  uint32_t waiting_for_more = 0, waiting_for_zero = 0;
};
struct SemaphoreSet : Object {
  std::vector<Semaphore> semaphores;
  int64_t operated = 0;  // otime
  WaitQueue queue;
  std::map<Pid const*, std::map<uint16_t, int32_t>> undo;  // by thread group (removed at its end), by semaphore
};

class Semaphores {
 public:
  explicit Semaphores(Limits const& limits) : limits_(limits) {}
  Result<int> get(Task&, key_t, int count, int flags);
  // semtimedop(2); timeout null: for ever. EAGAIN, EINTR, EIDRM, EFBIG, ERANGE.
  Result<void> operate(Task&, int id, std::vector<sembuf> const&, Deadline const&);
  Result<int> control(Task&, int id, int number, int command, uint64_t argument);
  // A process has ended: its SEM_UNDO adjustments are made.
  void process_exited(Pid&);
  std::string text();

 private:
  enum class Outcome { Done, WouldBlock };
  // All operations or none. blocker: the one that cannot be done now.
  static Result<Outcome> attempt(SemaphoreSet&, std::vector<sembuf> const&, Ref<Pid> const& process, size_t& blocker);
  Result<int> control_values(Task&, SemaphoreSet&, int number, int command, uint64_t argument) REQUIRES(mutex_);
  static semid_ds status(SemaphoreSet const&);
  Limits const& limits_;
  Mutex mutex_;
  Table<SemaphoreSet> table_ GUARDED_BY(mutex_){32768};
  size_t total_ GUARDED_BY(mutex_) = 0;
};

// --- message queues ---

struct Message {
  int64_t type;
  std::string data;
};
struct MessageQueue : Object {
  std::list<Message> messages;
  uint64_t bytes = 0, most_bytes = 16384;
  int64_t sent = 0, received = 0;
  Ref<Pid> last_sender, last_receiver;
  WaitQueue senders, receivers;
};

class MessageQueues {
 public:
  explicit MessageQueues(Limits const& limits) : limits_(limits) {}
  Result<int> get(Task&, key_t, int flags);
  Result<void> send(Task&, int id, Message, int flags);
  Result<Message> receive(Task&, int id, size_t room, int64_t type, int flags);
  Result<int> control(Task&, int id, int command, UserAddr buffer);
  std::string text(PidNamespace const&);

 private:
  static msqid_ds status(MessageQueue const&, PidNamespace const&);
  Limits const& limits_;
  Mutex mutex_;
  Table<MessageQueue> table_ GUARDED_BY(mutex_){32768};
  uint64_t total_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace sysv

// What an IPC namespace holds (kernel/namespace/ipc_namespace.h).
struct SysvIpc {
  sysv::Limits limits;
  sysv::SharedMemory shared_memory{limits};
  sysv::Semaphores semaphores{limits};
  sysv::MessageQueues message_queues{limits};
};

}  // namespace cofferdam::kernel

template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<shmid_ds> = true;
template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<semid_ds> = true;
template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<msqid_ds> = true;
template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<seminfo> = true;
template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<msginfo> = true;
template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<shm_info> = true;
template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<shminfo> = true;
