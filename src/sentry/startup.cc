#include "sentry/startup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <fmt/format.h>

namespace cofferdam::sentry {

namespace {
constexpr size_t max_text = 8192;
}

Outcome<> say(int socket, Word word, std::string_view text) {
  std::string packet(1, static_cast<char>(word));
  packet += text.substr(0, max_text);
  ssize_t n;
  do n = ::send(socket, packet.data(), packet.size(), MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return refuse(fmt::format("cannot talk to the sandbox that starts: {}", strerror(errno)));
  return {};
}

Outcome<StartupMessage> hear(int socket) {
  char packet[max_text + 1];
  ssize_t n;
  do n = ::recv(socket, packet, sizeof packet, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return refuse(fmt::format("cannot hear from the sandbox that starts: {}", strerror(errno)));
  if (n == 0) return refuse("the sandbox ended while it started");
  return StartupMessage{static_cast<Word>(packet[0]), std::string(packet + 1, static_cast<size_t>(n - 1))};
}

}  // namespace cofferdam::sentry
