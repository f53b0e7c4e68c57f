#include <utility>
#include <vector>

#include "kernel/vfs/file.h"
#include "kernel/vfs/notify.h"

namespace cofferdam::kernel {

void File::add_observer(Ref<FileObserver> o) {
  observers_.with([&](auto& all) { all.push_back(std::move(o)); });
}

void File::remove_observer(FileObserver const& o) {
  Ref<FileObserver> removed;  // dropped outside the lock
  observers_.with([&](auto& all) {
    for (auto& entry : all) {
      if (entry.get() != &o) continue;
      std::swap(entry, all.back());
      removed = std::move(all.back());
      all.pop_back();
      return;
    }
  });
}

void File::last_ref_dropped() {
  auto observers = observers_.with([](auto& all) { return std::exchange(all, {}); });
  for (auto const& o : observers) o->on_last_reference();
  if (noticed_) notify(*this, writable() ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
  delete this;
}

}  // namespace cofferdam::kernel
