// System V IPC (sysvipc(7)). Rules and objects: kernel/ipc/sysv.
#include "kernel/ipc/ipc_state.h"
#include "kernel/ipc/sysv.h"
#include "kernel/kernel.h"
#include "kernel/namespace/namespace_set.h"
#include "syscalls/handlers_ipc.h"

template <>
inline constexpr bool cofferdam::kernel::abi_with_padding<sembuf> = true;

namespace cofferdam::syscalls {
namespace {

// The task's own namespaces change on its own thread only: they stay while it is in a call.
kernel::SysvIpc& sysv(Task& task) { return task.namespaces()->ipc->sysv; }

Result<void> operate(Task& task, int id, UserAddr operations, uint64_t count, kernel::Deadline deadline) {
  constexpr uint64_t most = 500;  // SEMOPM
  if (count < 1 || id < 0) return fail(Errno::Inval);
  if (count > most) return fail(Errno::TooBig);
  auto list = TRY(task.read_array(UserPtr<sembuf>(operations), count));
  return sysv(task).semaphores.operate(task, id, list, deadline);
}

}  // namespace

Result<int> sys_shmget(Task& task, int key, uint64_t size, int flags) {
  return sysv(task).shared_memory.get(task, key, size, flags);
}

Result<uint64_t> sys_shmat(Task& task, int id, uint64_t address, int flags) {
  return sysv(task).shared_memory.attach(task, id, address, flags);
}

Result<void> sys_shmdt(Task& task, uint64_t address) { return sysv(task).shared_memory.detach(task, address); }

Result<int> sys_shmctl(Task& task, int id, int command, UserAddr buffer) {
  return sysv(task).shared_memory.control(task, id, command, buffer);
}

Result<int> sys_semget(Task& task, int key, int count, int flags) {
  return sysv(task).semaphores.get(task, key, count, flags);
}

Result<void> sys_semop(Task& task, int id, UserAddr operations, uint64_t count) {
  return operate(task, id, operations, count, kernel::Deadline::never());
}

Result<void> sys_semtimedop(Task& task, int id, UserAddr operations, uint64_t count, UserPtr<timespec> timeout) {
  auto deadline = kernel::Deadline::never();
  if (timeout) deadline = kernel::Deadline::after(TRY(kernel::to_nanoseconds(TRY(task.read(timeout)))));
  return operate(task, id, operations, count, deadline);
}

Result<int> sys_semctl(Task& task, int id, int number, int command, uint64_t argument) {
  return sysv(task).semaphores.control(task, id, number, command, argument);
}

Result<int> sys_msgget(Task& task, int key, int flags) { return sysv(task).message_queues.get(task, key, flags); }

Result<void> sys_msgsnd(Task& task, int id, UserAddr message, uint64_t size, int flags) {
  if (size > sysv(task).limits.message_bytes.load(std::memory_order_relaxed) || id < 0) return fail(Errno::Inval);
  int64_t type = TRY(task.read(UserPtr<int64_t>(message)));
  if (type < 1) return fail(Errno::Inval);
  std::string data(size, '\0');
  if (size != 0)
    TRY(task.copy_in(TRY(UserPtr<int64_t>(message).at(1)).address(), std::as_writable_bytes(std::span(data))));
  return sysv(task).message_queues.send(task, id, {type, std::move(data)}, flags);
}

Result<uint64_t> sys_msgrcv(Task& task, int id, UserAddr message, uint64_t size, int64_t type, int flags) {
  if (id < 0 || static_cast<int64_t>(size) < 0) return fail(Errno::Inval);
  auto got = TRY(sysv(task).message_queues.receive(task, id, size, type, flags));
  size_t n = std::min<size_t>(got.data.size(), size);
  TRY(task.write(UserPtr<int64_t>(message), got.type));
  if (n != 0)
    TRY(task.copy_out(TRY(UserPtr<int64_t>(message).at(1)).address(), std::as_bytes(std::span(got.data)).first(n)));
  return n;
}

Result<int> sys_msgctl(Task& task, int id, int command, UserAddr buffer) {
  return sysv(task).message_queues.control(task, id, command, buffer);
}

}  // namespace cofferdam::syscalls
