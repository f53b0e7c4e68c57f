#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/log.h"
#include "shim/events.h"
#include "shim/service.h"
#include "shim/start.h"
#include "shim/ttrpc_server.h"

namespace cofferdam::shim {

namespace {

constexpr milliseconds last_words_step{20};
constexpr int last_words_steps = 250;

// containerd reads the FIFO "log" of the bundle. A line is lost rather than waited for.
void open_log(bool debug) {
  int const fd = ::open("log", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  log::sink().fd = fd >= 0 ? fd : STDERR_FILENO;
  log::sink().level = debug ? log::Level::Debug : log::Level::Warning;
}

std::string path_of_socket(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.sun_path[0] == '\0') return {};
  return address.sun_path;
}

// What has been said last is on its way still: answers, and events.
void end_when_heard(EventLoop& loop, EventPublisher& events, TtrpcServer& server, int attempts) {
  if ((events.idle() && !server.has_unsent()) || attempts >= last_words_steps) return loop.stop();
  loop.after(last_words_step,
             [&loop, &events, &server, attempts] { end_when_heard(loop, events, server, attempts + 1); });
}

}  // namespace

Outcome<> serve_shim(Arguments const& a) {
  open_log(a.debug);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // A pod's containers are looked after until they are deleted, whoever thinks it time to go.
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_IGN);
  host::OwnedFd listener(socket_descriptor);
  if (::fcntl(listener.get(), F_SETFD, FD_CLOEXEC) != 0)
    return refuse("this program is started by containerd: descriptor 3 is no socket");
  std::string const path = path_of_socket(listener.get());
  auto loop = ATTEMPT(EventLoop::create());
  char const* events_address = ::getenv("TTRPC_ADDRESS");
  EventPublisher events(*loop, events_address != nullptr ? events_address : "", a.name_space);
  TaskService service(*loop, events, a.name_space);
  TtrpcServer server(*loop, std::move(listener));
  service.serve_on(server);
  service.when_done([&] {
    ::unlink(path.c_str());  // nobody finds this one any more: a pod of the same name gets a new one
    end_when_heard(*loop, events, server, 0);
  });
  loop->run();
  return {};
}

}  // namespace cofferdam::shim
