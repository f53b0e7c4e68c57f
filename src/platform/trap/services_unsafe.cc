#include "platform/trap/services_unsafe.h"

#include <sys/mman.h>

#include <utility>

namespace cofferdam::platform::trap {
namespace {

constexpr size_t table_size = sizeof(stub::Service) * stub::max_services;
constexpr uint64_t most_position = uint64_t{1} << 62;

template <class T>
T read_word(T& word) {
  return std::atomic_ref<T>(word).load(std::memory_order_relaxed);
}
template <class T>
void write_word(T& word, T value) {
  std::atomic_ref<T>(word).store(value, std::memory_order_relaxed);
}

// Around a change: the stub believes nothing that it has seen in between.
void change(stub::Service& s, auto&& make) {
  std::atomic_ref<uint32_t> const version(s.version);
  uint32_t const before = version.load(std::memory_order_relaxed) | 1;
  version.store(before, std::memory_order_seq_cst);
  make();
  version.store(before + 1, std::memory_order_seq_cst);
}

}  // namespace

Result<Ref<StubServices>> StubServices::create(AreaFile const& file, uint32_t window) {
  off_t const offset = static_cast<off_t>(AreaFile::window_offset(window) + stub::services_offset);
  void* p = ::mmap(nullptr, table_size, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), offset);
  if (p == MAP_FAILED) return fail_host(errno);
  return Ref<StubServices>::adopt(new StubServices(static_cast<stub::Service*>(p)));
}

StubServices::~StubServices() { detach(); }

void StubServices::detach() {
  MutexLock lock(mutex_);
  if (table_ != nullptr) ::munmap(std::exchange(table_, nullptr), table_size);
}

StubServices::Entry* StubServices::find(int fd) {
  auto& entry = entries_[static_cast<uint32_t>(fd) % stub::max_services];
  return entry.fd == fd && table_ != nullptr ? &entry : nullptr;
}

void StubServices::stop_entry(Entry& entry) {
  auto& s = slot(entry.fd);
  change(s, [&] { write_word(s.served, 0u); });
  discard_locked(std::exchange(entry.mapping, {}));
  entry.stopped = true;
}

void StubServices::stop(int fd) {
  MutexLock lock(mutex_);
  Entry* entry = find(fd);
  if (entry == nullptr) return;
  stop_entry(*entry);
  *entry = {};
}

void StubServices::stop_all() {
  MutexLock lock(mutex_);
  if (table_ == nullptr) return;
  for (auto& entry : entries_) {
    if (entry.fd < 0) continue;
    stop_entry(entry);
    if (!entry.positioned) entry = {};
  }
}

bool StubServices::serves(int fd) {
  MutexLock lock(mutex_);
  Entry const* entry = find(fd);
  return entry != nullptr && !entry->stopped;
}

std::optional<uint64_t> StubServices::position(int fd) {
  MutexLock lock(mutex_);
  Entry const* entry = find(fd);
  if (entry == nullptr || !entry->positioned) return std::nullopt;
  uint64_t const at = read_word(slot(fd).position);
  if (at >= most_position) return std::nullopt;
  return at;
}

void StubServices::set_position(int fd, uint64_t position) {
  MutexLock lock(mutex_);
  Entry const* entry = find(fd);
  if (entry == nullptr || !entry->positioned) return;
  auto& s = slot(fd);
  change(s, [&] { write_word(s.position, position); });
}

std::vector<int> StubServices::used() {
  std::vector<int> used;
  MutexLock lock(mutex_);
  if (table_ == nullptr) return used;
  for (auto const& entry : entries_) {
    if (entry.fd < 0 || (entry.mapping.length == 0 && !entry.stopped)) continue;
    auto& s = slot(entry.fd);
    if (read_word(s.used) == 0 && !entry.stopped) continue;
    write_word(s.used, 0u);
    used.push_back(entry.fd);
  }
  return used;
}

DescriptorServices::Counts StubServices::counts() {
  Counts sum{};
  MutexLock lock(mutex_);
  for (size_t i = 0; table_ != nullptr && i < stub::max_services; ++i) {
    auto& s = table_[i];
    sum.reads += read_word(s.reads);
    sum.read_bytes += read_word(s.read_bytes);
    sum.writes += read_word(s.writes);
    sum.written_bytes += read_word(s.written_bytes);
  }
  return sum;
}

// Addresses go round: a thread that still reads by an old entry finds nothing rather than another file.
std::optional<StubServices::Range> StubServices::reserve(uint64_t length) {
  constexpr uint64_t first = stub::served_files_address, end = first + stub::served_files_size;
  if (length == 0 || length > stub::served_files_size) return std::nullopt;
  MutexLock lock(mutex_);
  for (uint64_t const begin : {next_, first}) {
    uint64_t at = begin;
    auto it = reserved_.upper_bound(at);
    if (it != reserved_.begin()) {
      auto const before = std::prev(it);
      at = std::max(at, before->first + before->second);
    }
    for (; it != reserved_.end() && it->first - at < length; ++it) at = it->first + it->second;
    if (at + length > end) continue;
    reserved_.emplace(at, length);
    next_ = at + length;
    return Range{.address = at, .length = length};
  }
  return std::nullopt;
}

bool StubServices::start(int fd, PreparedService const& prepared) {
  auto const& service = prepared.service;
  Range const mapping = {prepared.address, prepared.length, service.backing};
  MutexLock lock(mutex_);
  auto& entry = entries_[static_cast<uint32_t>(fd) % stub::max_services];
  if (table_ == nullptr || fd < 0 || entry.fd >= 0) {
    discard_locked(mapping);
    return false;
  }
  entry = {.fd = fd, .positioned = service.position.has_value(), .mapping = mapping};
  uint32_t const served = (service.reads_zeros ? stub::serve_zeros : 0u) |
                          (service.reads_nothing ? stub::serve_end : 0u) |
                          (service.writes_vanish ? stub::serve_sink : 0u) | (service.file ? stub::serve_file : 0u) |
                          (service.position ? stub::serve_position : 0u);
  auto& s = slot(fd);
  change(s, [&] {
    write_word(s.descriptor, static_cast<uint32_t>(fd));
    write_word(s.used, 0u);
    write_word(s.file, mapping.address);
    write_word(s.size, service.size);
    write_word(s.position, service.position.value_or(0));
    write_word(s.served, served);
  });
  return true;
}

void StubServices::discard(Range mapping) {
  MutexLock lock(mutex_);
  discard_locked(std::move(mapping));
}

void StubServices::discard_locked(Range mapping) {
  if (mapping.length == 0) return;
  discarded_.push_back(std::move(mapping));
  has_discarded_.store(true, std::memory_order_relaxed);
}

std::vector<StubServices::Range> StubServices::take_discarded() {
  MutexLock lock(mutex_);
  has_discarded_.store(false, std::memory_order_relaxed);
  return std::exchange(discarded_, {});
}

void StubServices::released(Range const& mapping) {
  MutexLock lock(mutex_);
  reserved_.erase(mapping.address);
}

}  // namespace cofferdam::platform::trap
