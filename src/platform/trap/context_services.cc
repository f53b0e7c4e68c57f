// Descriptors that the stub answers calls on by itself.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "platform/trap/context.h"

namespace cofferdam::platform::trap {

Ref<DescriptorServices> TrapContext::make_descriptor_services() {
  if (!serves_ || shared().options.approve_all_memory_calls) return {};
  return process().make_services();
}

std::optional<PreparedService> TrapContext::prepare_service(DescriptorService const& service) {
  StubServices* services = process().services();
  if (services == nullptr) return std::nullopt;
  PreparedService prepared{.service = service};
  if (service.file) {
    auto const made = map_served_file(*services, *service.file, service.size);
    if (!made) return std::nullopt;
    prepared.address = made->address;
    prepared.length = made->length;
  }
  return prepared;
}

// Read-only, shared, and not the children's. The two calls are approved as every mapping of a file is.
std::optional<StubServices::Range> TrapContext::map_served_file(StubServices& services, FileMapping const& file,
                                                                uint64_t size) {
  constexpr uint64_t most = 1 << 30;
  if (size == 0 || size > most) return std::nullopt;
  auto range = services.reserve((size + page - 1) / page * page);
  if (!range) return std::nullopt;
  host::OwnedFd fd(::fcntl(file.host_fd, F_DUPFD_CLOEXEC, 0));
  auto const made = fd ? approved_call(SYS_mmap, {range->address, range->length, PROT_READ, MAP_SHARED | MAP_FIXED,
                                                  static_cast<uint64_t>(fd.get()), file.offset})
                       : std::nullopt;
  if (made != range->address) {
    if (!dead_) services.discard(*range);
    return std::nullopt;
  }
  mapped_fds_.clear();  // its number stays taken, those before it were proved done by this approval
  mapped_fds_.push_back(std::move(fd));
  if (approved_call(SYS_madvise, {range->address, range->length, MADV_DONTFORK}) != 0) {
    if (!dead_) services.discard(*range);
    return std::nullopt;
  }
  return range;
}

// A result that the guest forges leaves a mapping of its own to it.
void TrapContext::unmap_served_files(StubServices& services) {
  for (auto const& range : services.take_discarded()) {
    if (!approved_call(SYS_munmap, {range.address, range.length})) return;
    services.released(range);
  }
}

}  // namespace cofferdam::platform::trap
