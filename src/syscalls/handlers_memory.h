// Handlers of this family; each is documented by its man page.
#pragma once

#include "syscalls/arguments.h"

namespace cofferdam::syscalls {

Result<uint64_t> sys_mmap(Task&, uint64_t address, uint64_t length, int protection, int flags, Fd fd, uint64_t offset);
Result<void> sys_munmap(Task&, uint64_t address, uint64_t length);
Result<void> sys_mprotect(Task&, uint64_t address, uint64_t length, int protection);
Result<uint64_t> sys_mremap(Task&, uint64_t old_address, uint64_t old_length, uint64_t new_length, int flags,
                            uint64_t new_address);
Result<uint64_t> sys_brk(Task&, uint64_t new_break);
Result<void> sys_madvise(Task&, uint64_t address, uint64_t length, int advice);
Result<uint64_t> sys_process_madvise(Task&, Fd pidfd, UserAddr vector, uint64_t count, int advice, uint32_t flags);
Result<void> sys_mlock(Task&, uint64_t address, uint64_t length);
Result<void> sys_mlock2(Task&, uint64_t address, uint64_t length, int flags);
Result<void> sys_munlock(Task&, uint64_t address, uint64_t length);
Result<void> sys_mlockall(Task&, int flags);
Result<void> sys_munlockall(Task&);
Result<void> sys_mincore(Task&, uint64_t address, uint64_t length, UserAddr vector);
Result<void> sys_msync(Task&, uint64_t address, uint64_t length, int flags);
Result<void> sys_mseal(Task&, uint64_t address, uint64_t length, uint64_t flags);
Result<void> sys_remap_file_pages(Task&, uint64_t address, uint64_t size, uint64_t protection, uint64_t page_offset,
                                  uint64_t flags);

Result<int> sys_memfd_create(Task&, UserCString name, uint32_t flags);
Result<int> sys_membarrier(Task&, int command, uint32_t flags, int cpu);

Result<uint64_t> sys_process_vm_readv(Task&, int32_t pid, UserAddr local, uint64_t local_count, UserAddr remote,
                                      uint64_t remote_count, uint64_t flags);
Result<uint64_t> sys_process_vm_writev(Task&, int32_t pid, UserAddr local, uint64_t local_count, UserAddr remote,
                                       uint64_t remote_count, uint64_t flags);

Result<void> sys_get_mempolicy(Task&, UserPtr<int> mode, UserPtr<uint64_t> nodes, uint64_t max_node, uint64_t address,
                               uint64_t flags);
Result<void> sys_set_mempolicy(Task&, int mode, UserPtr<uint64_t> nodes, uint64_t max_node);
Result<void> sys_mbind(Task&, uint64_t address, uint64_t length, uint64_t mode, UserPtr<uint64_t> nodes,
                       uint64_t max_node, uint32_t flags);
Result<void> sys_set_mempolicy_home_node(Task&, uint64_t address, uint64_t length, uint64_t node, uint64_t flags);
Result<uint64_t> sys_migrate_pages(Task&, int32_t pid, uint64_t max_node, UserPtr<uint64_t> old_nodes,
                                   UserPtr<uint64_t> new_nodes);

}  // namespace cofferdam::syscalls
