// Tells containerd what happens to tasks, in order, over ttrpc.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "host/fd.h"
#include "shim/event_loop.h"
#include "shim/ttrpc_frame.h"

namespace cofferdam::shim {

class EventPublisher {
 public:
  // `address`: path of containerd's ttrpc socket; empty: nobody listens.
  EventPublisher(EventLoop& loop, std::string address, std::string name_space);
  ~EventPublisher();
  EventPublisher(EventPublisher const&) = delete;
  EventPublisher& operator=(EventPublisher const&) = delete;

  // `type` is the message's name at containerd, `event` the encoded message. An event that cannot be delivered is tried
  // again, while containerd restarts, and given up after some attempts.
  void publish(std::string_view topic, std::string_view type, std::string event);
  bool idle() const { return queue_.empty(); }

 private:
  struct Pending {
    std::string request;  // encoded
    unsigned attempts = 0;
  };
  void send_next();
  bool connect();
  void on_ready(uint32_t events);
  void flush();
  void delivered();
  void failed();
  void disconnect();

  EventLoop& loop_;
  std::string address_, namespace_;
  std::deque<Pending> queue_;  // the first is under way
  host::OwnedFd socket_;
  FrameReader reader_;
  std::string unsent_;
  uint32_t stream_ = 0;
  EventLoop::TimerId timer_ = 0;
  bool under_way_ = false;
};

}  // namespace cofferdam::shim
