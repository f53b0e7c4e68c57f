#include "host/memfd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace cofferdam::host {

Result<OwnedFd> create_memfd(char const* name) {
  int fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return fail_host(errno);
  return OwnedFd(fd);
}

Result<void> set_file_size(int fd, uint64_t size) {
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0) return fail_host(errno);
  return {};
}

Result<void> add_seals(int fd, int seals) {
  if (::fcntl(fd, F_ADD_SEALS, seals) != 0) return fail_host(errno);
  return {};
}

Result<void> punch_hole(int fd, uint64_t offset, uint64_t length) {
  if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(length)) != 0)
    return fail_host(errno);
  return {};
}

}  // namespace cofferdam::host
