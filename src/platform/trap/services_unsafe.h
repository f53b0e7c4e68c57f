// Descriptors that a stub process answers calls on by itself: the table that it shares with the sentry, and where files
// are mapped for it.
//
// The table lies behind the thread areas of the process's window, and is as hostile as they are: the sentry writes it,
// and reads back positions and counts, which are the guest's own.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "platform/platform.h"
#include "platform/trap/area_unsafe.h"

namespace cofferdam::platform::trap {

class StubServices final : public DescriptorServices {
 public:
  struct Range {
    uint64_t address = 0, length = 0;
    Ref<RefCounted> backing = {};
  };

  static Result<Ref<StubServices>> create(AreaFile const& file, uint32_t window);
  ~StubServices() override;
  // The process is gone, and its window goes to another.
  void detach();

  bool start(int fd, PreparedService const&) override;
  void discard(PreparedService const& p) override { discard(Range{p.address, p.length, p.service.backing}); }
  void stop(int fd) override;
  void stop_all() override;
  std::optional<uint64_t> position(int fd) override;
  void set_position(int fd, uint64_t position) override;
  std::vector<int> used() override;
  bool serves(int fd) override;
  Counts counts() override;

  // Room for a mapping of this length, where none was for as long as possible; nullopt if there is none.
  std::optional<Range> reserve(uint64_t length);
  // A mapping that nothing is read from any more, or was not made: to be unmapped.
  void discard(Range mapping);
  bool has_discarded() const { return has_discarded_.load(std::memory_order_relaxed); }
  // Takes what is to be unmapped; released() when it is.
  std::vector<Range> take_discarded();
  void released(Range const& mapping);

 private:
  struct Entry {
    int fd = -1;
    bool positioned = false;
    bool stopped = false;  // and kept for its position
    Range mapping;
  };
  explicit StubServices(stub::Service* table) : table_(table) {}
  Entry* find(int fd) REQUIRES(mutex_);
  void stop_entry(Entry& entry) REQUIRES(mutex_);
  void discard_locked(Range mapping) REQUIRES(mutex_);
  stub::Service& slot(int fd) REQUIRES(mutex_) { return table_[static_cast<uint32_t>(fd) % stub::max_services]; }

  Mutex mutex_;
  stub::Service* table_ GUARDED_BY(mutex_);  // null: detached
  std::array<Entry, stub::max_services> entries_ GUARDED_BY(mutex_);
  std::map<uint64_t, uint64_t> reserved_ GUARDED_BY(mutex_);  // address -> length
  uint64_t next_ GUARDED_BY(mutex_) = stub::served_files_address;
  std::vector<Range> discarded_ GUARDED_BY(mutex_);
  std::atomic<bool> has_discarded_{false};
};

}  // namespace cofferdam::platform::trap
