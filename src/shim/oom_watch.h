// Hears from the host's kernel that a container ran out of the memory that its control group gives it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "host/fd.h"
#include "shim/event_loop.h"

namespace cofferdam::shim {

class OomWatch {
 public:
  // `record`: the runtime's directory of the container, which tells its control groups. Null: there is nothing to
  // watch.
  static std::unique_ptr<OomWatch> start(EventLoop& loop, std::string const& record, std::function<void()> on_oom);
  ~OomWatch();
  OomWatch(OomWatch const&) = delete;
  OomWatch& operator=(OomWatch const&) = delete;

 private:
  OomWatch(EventLoop& loop, std::function<void()> on_oom) : loop_(loop), on_oom_(std::move(on_oom)) {}
  bool watch_v1(std::string const& directory);
  bool watch_v2(std::string const& directory);
  uint64_t kills() const;  // version 2

  EventLoop& loop_;
  std::function<void()> on_oom_;
  host::OwnedFd event_, file_;
  uint64_t seen_ = 0;
};

}  // namespace cofferdam::shim
