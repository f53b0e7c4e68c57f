#include "shim/oom_watch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "oci/reader.h"
#include "oci/spec.h"

namespace cofferdam::shim {

namespace {

// Without the record's lock: it is written by one rename.
std::vector<std::string> cgroups_of(std::string const& record) {
  std::vector<std::string> out;
  auto const text = oci::read_text_file(record + "/state.json");
  auto const json = text ? oci::parse_json(*text) : refuse("");
  if (!json) return out;
  std::string error;
  oci::Reader(&*json, "", &error).at("cgroups").read(out);
  return out;
}

host::OwnedFd open_in(std::string const& directory, char const* name, int flags) {
  return host::OwnedFd(::open(fmt::format("{}/{}", directory, name).c_str(), flags | O_CLOEXEC));
}

}  // namespace

std::unique_ptr<OomWatch> OomWatch::start(EventLoop& loop, std::string const& record, std::function<void()> on_oom) {
  std::unique_ptr<OomWatch> self(new OomWatch(loop, std::move(on_oom)));
  // Leaves stand first.
  for (auto const& directory : cgroups_of(record))
    if (self->watch_v1(directory) || self->watch_v2(directory)) return self;
  return nullptr;
}

OomWatch::~OomWatch() {
  if (event_) loop_.forget(event_.get());
}

// Documentation/admin-guide/cgroup-v1/memory.rst, 9.
bool OomWatch::watch_v1(std::string const& directory) {
  file_ = open_in(directory, "memory.oom_control", O_RDONLY);
  host::OwnedFd const control = file_ ? open_in(directory, "cgroup.event_control", O_WRONLY) : host::OwnedFd();
  event_ = host::OwnedFd(control ? ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1);
  std::string const wish = fmt::format("{} {}", event_.get(), file_.get());
  if (!event_ || ::write(control.get(), wish.data(), wish.size()) != static_cast<ssize_t>(wish.size())) return false;
  loop_.watch(event_.get(), EPOLLIN, [this](uint32_t) {
    uint64_t count = 0;
    bool const said = ::read(event_.get(), &count, sizeof count) == sizeof count;
    // The removal of the group is told in the same way.
    char byte = 0;
    if (::pread(file_.get(), &byte, 1, 0) != 1) return loop_.forget(event_.get());
    if (said) on_oom_();
  });
  return true;
}

// Documentation/admin-guide/cgroup-v2.rst, memory.events.
bool OomWatch::watch_v2(std::string const& directory) {
  file_ = open_in(directory, "memory.events", O_RDONLY);
  if (!file_) return false;
  event_ = host::OwnedFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!event_ || ::inotify_add_watch(event_.get(), (directory + "/memory.events").c_str(), IN_MODIFY) < 0) return false;
  seen_ = kills();
  loop_.watch(event_.get(), EPOLLIN, [this](uint32_t) {
    alignas(inotify_event) char events[4096];
    while (::read(event_.get(), events, sizeof events) > 0) {
    }
    uint64_t const now = kills();
    if (now > std::exchange(seen_, now)) on_oom_();
  });
  return true;
}

uint64_t OomWatch::kills() const {
  char text[1024];
  ssize_t const n = ::pread(file_.get(), text, sizeof text - 1, 0);
  if (n <= 0) return 0;
  text[n] = '\0';
  constexpr std::string_view name = "\noom_kill ";
  char const* at = strstr(text, name.data());
  return at ? ::strtoull(at + name.size(), nullptr, 10) : 0;
}

}  // namespace cofferdam::shim
