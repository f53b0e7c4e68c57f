#include "dev/memory_devices.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <memory>

#include "host/random.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"

namespace cofferdam::dev {
namespace {

using namespace kernel;

constexpr uint8_t uses_before_service = 4;

// Its position stays 0 wherever one seeks.
class MemoryDevice : public File {
 public:
  using File::File;
  bool seekable() const final { return true; }
  Result<uint64_t> seek(Task&, int64_t, int) final { return uint64_t{0}; }
  Result<size_t> write(Task&, IoSource& source, uint64_t, IoOptions) override { return source.remaining(); }
};

class NullFile final : public MemoryDevice {
 public:
  NullFile(Path path, int flags) : MemoryDevice(std::move(path), flags) {
    ask_for_service_after(uses_before_service);
    ask_for_service_of_writes();
  }
  std::optional<FileService> service(Task&) override {
    return FileService{.what = {.reads_nothing = readable(), .writes_vanish = writable()}, .target = {}};
  }
  Result<size_t> read(Task&, IoSink&, uint64_t, IoOptions) override { return size_t{0}; }
};

class ZeroFile : public MemoryDevice {
 public:
  ZeroFile(Path path, int flags) : MemoryDevice(std::move(path), flags) {
    ask_for_service_after(uses_before_service);
    ask_for_service_of_writes();
  }
  std::optional<FileService> service(Task&) override {
    return FileService{.what = {.reads_zeros = readable(), .writes_vanish = writable()}, .target = {}};
  }
  Result<size_t> read(Task&, IoSink& sink, uint64_t, IoOptions) override { return sink.put_zeros(sink.remaining()); }
  // Anonymous memory, shared or private as the mapping is.
  Result<MapTarget> map(Task&, MapRequest const&) override { return MapTarget{}; }
};

class FullFile final : public MemoryDevice {
 public:
  using MemoryDevice::MemoryDevice;
  Result<size_t> read(Task&, IoSink& sink, uint64_t, IoOptions) override { return sink.put_zeros(sink.remaining()); }
  Result<size_t> write(Task&, IoSource&, uint64_t, IoOptions) override { return fail(Errno::NoSpc); }
};

// The host's generator; what guests write into it is taken and not mixed in.
class RandomFile final : public MemoryDevice {
 public:
  using MemoryDevice::MemoryDevice;
  Result<size_t> read(Task& task, IoSink& sink, uint64_t, IoOptions) override;
  Result<uint64_t> ioctl(Task&, uint32_t request, uint64_t argument) override;
};

Result<size_t> RandomFile::read(Task& task, IoSink& sink, uint64_t, IoOptions) {
  std::array<std::byte, 256> small;
  std::unique_ptr<std::byte[]> large;
  std::span<std::byte> buffer = small;
  if (constexpr size_t chunk = 32768; sink.remaining() > small.size()) {
    large = std::make_unique_for_overwrite<std::byte[]>(chunk);
    buffer = {large.get(), chunk};
  }
  size_t total = 0;
  while (sink.remaining() != 0) {
    size_t const wanted = std::min(sink.remaining(), buffer.size());
    host::fill_random(buffer.first(wanted));
    Result<size_t> const put = sink.put(buffer.first(wanted));
    if (!put) return total ? Result<size_t>(total) : put;
    total += *put;
    if (*put < wanted || task.signal_pending()) break;
  }
  return total;
}

constexpr uint32_t rndgetentcnt = 0x80045200, rndaddtoentcnt = 0x40045201, rndaddentropy = 0x40085203,
                   rndzapentcnt = 0x5204, rndclearpool = 0x5206, rndreseedcrng = 0x5207;

Result<uint64_t> RandomFile::ioctl(Task& task, uint32_t request, uint64_t argument) {
  switch (request) {
    case rndgetentcnt:
      TRY(task.write(UserPtr<int32_t>(argument), int32_t{256}));
      return uint64_t{0};
    case rndaddtoentcnt:
    case rndaddentropy:
    case rndzapentcnt:
    case rndclearpool:
    case rndreseedcrng:
      return fail(Errno::Perm);  // the pool is the host's
    default:
      return fail(Errno::Inval);
  }
}

template <class T>
void add(Kernel& kernel, unsigned minor) {
  kernel.register_device(S_IFCHR, makedev(1, minor), [](Task&, Path const& path, int flags) -> Result<Ref<File>> {
    return Ref<File>(make_ref<T>(path, flags));
  });
}

}  // namespace

void register_memory_devices(Kernel& kernel) {
  add<NullFile>(kernel, 3);
  add<ZeroFile>(kernel, 5);
  add<FullFile>(kernel, 7);
  add<RandomFile>(kernel, 8);
  add<RandomFile>(kernel, 9);
}

}  // namespace cofferdam::dev
