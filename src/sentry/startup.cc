#include "sentry/startup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>

#include <fmt/format.h>

namespace cofferdam::sentry {

namespace {
constexpr size_t max_text = 8192, max_descriptors = 64;
}

Outcome<> say(int socket, Word word, std::string_view text, std::span<int const> descriptors) {
  std::string packet(1, static_cast<char>(word));
  packet += text.substr(0, max_text);
  iovec part{packet.data(), packet.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_descriptors)] = {};
  if (!descriptors.empty()) {
    descriptors = descriptors.first(std::min(descriptors.size(), max_descriptors));
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    memcpy(CMSG_DATA(c), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t n;
  do n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return refuse(fmt::format("cannot talk to the sandbox that starts: {}", strerror(errno)));
  return {};
}

Outcome<StartupMessage> hear(int socket) {
  char packet[max_text + 1];
  iovec part{packet, sizeof packet};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_descriptors)];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return refuse(fmt::format("cannot hear from the sandbox that starts: {}", strerror(errno)));
  if (n == 0) return refuse("the sandbox ended while it started");
  StartupMessage heard{static_cast<Word>(packet[0]), std::string(packet + 1, static_cast<size_t>(n - 1)), {}};
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
      heard.descriptors.emplace_back(fd);
    }
  }
  return heard;
}

}  // namespace cofferdam::sentry
