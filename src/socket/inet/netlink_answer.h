// What a netlink request comes to: messages for the socket that asked, and notices for those that have joined a group.
#pragma once

#include <linux/netlink.h>

#include <utility>
#include <vector>

#include "kernel/ipc/netlink_body.h"

namespace cofferdam::inet {

// One message with its header.
std::vector<std::byte> netlink_message(uint32_t port, uint32_t sequence, uint16_t type, uint16_t flags,
                                       kernel::NetlinkBody const&);

class NetlinkAnswer {
 public:
  NetlinkAnswer(uint32_t port, nlmsghdr const& request) : port_(port), request_(request) {}
  nlmsghdr const& request() const { return request_; }
  bool asks_for_dump() const { return (request_.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP; }

  // Several messages of a dump share a datagram.
  void add(uint16_t type, uint16_t flags, kernel::NetlinkBody const&);
  void notice(uint32_t group, uint16_t type, kernel::NetlinkBody body) {
    notices.push_back({group, type, std::move(body)});
  }
  // Ends a dump, or an exchange with an error (0: where an acknowledgment is asked for).
  void end_dump();
  void acknowledge(int error, std::span<std::byte const> request_body);
  std::vector<std::vector<std::byte>> take();

  struct Notice {
    uint32_t group;
    uint16_t type;
    kernel::NetlinkBody body;
  };
  std::vector<Notice> notices;

 private:
  uint32_t const port_;
  nlmsghdr const request_;
  bool dumped_ = false;
  std::vector<std::byte> bytes_;
  std::vector<std::vector<std::byte>> done_;
};

}  // namespace cofferdam::inet
