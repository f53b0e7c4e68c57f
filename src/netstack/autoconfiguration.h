// Addresses, routes and facts of the link that IPv6 routers advertise: router discovery (RFC 4861 6.3) and stateless
// address autoconfiguration (RFC 4862), of one Ethernet interface.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "netstack/address.h"
#include "netstack/timer_wheel.h"

namespace cofferdam::netstack {

class Interface;
struct IpInfo;
class Stack;

class Autoconfiguration final : public Timed {
 public:
  static constexpr size_t max_prefixes = 16, max_routers = 16;  // more is not listened to

  Autoconfiguration(Stack& stack, Interface& interface) : stack_(stack), interface_(interface) {}
  // The link is up, or has an address now: routers are asked.
  void start();
  // The link is down, and has lost its addresses and routes.
  void stop();
  // An ICMPv6 message of type 134, whole, its checksum verified.
  void receive_advertisement(IpInfo const&, Bytes message);
  // Another host uses the address, or wants to (RFC 4862 5.4.3, 5.4.4).
  void heard_of(Address const&);
  void on_timer(Time now) override;

  struct Lifetimes {  // never: for ever
    Time preferred_until = never, valid_until = never;
  };
  // Of an address that was made here.
  std::optional<Lifetimes> lifetimes(Address const&) const;

 private:
  struct OnLink {
    Prefix prefix;
    Time until = never;
  };
  struct Router {
    Address address;
    Time until = never;
  };
  enum class State : uint8_t { Tentative, Assigned, Deprecated, Duplicate };
  struct Own {
    Address address;
    State state = State::Tentative;
    Lifetimes lifetimes;
    Time probe_at = never, assign_at = never;
  };
  struct PrefixInformation {
    Prefix prefix;
    bool on_link = false, autonomous = false;
    uint32_t valid = 0, preferred = 0;  // seconds; 0xffffffff: for ever
  };
  // What is to be done of the stack once the lock is let go.
  using Actions = std::vector<std::function<void()>>;

  Time after(uint32_t seconds) const;
  Time random_delay(Time most);
  Address address_in(Prefix const&) const;
  void take_router(Address const&, uint32_t lifetime, Actions&) REQUIRES(mutex_);
  void take_prefix(PrefixInformation const&, Actions&) REQUIRES(mutex_);
  void take_on_link(PrefixInformation const&, Actions&) REQUIRES(mutex_);
  void take_address(PrefixInformation const&, Actions&) REQUIRES(mutex_);
  void expire(Time now, Actions&) REQUIRES(mutex_);
  void go_on(Own&, Time now, Actions&) REQUIRES(mutex_);
  void rearm() REQUIRES(mutex_);
  void ask_routers();
  void probe(Address const&);
  void assign(Address const&);
  static void run(Actions const&);

  Stack& stack_;
  Interface& interface_;
  mutable Mutex mutex_;
  Time ask_at_ GUARDED_BY(mutex_) = never;
  Time ask_interval_ GUARDED_BY(mutex_) = 0;
  std::vector<OnLink> on_link_ GUARDED_BY(mutex_);
  std::vector<Router> routers_ GUARDED_BY(mutex_);
  std::vector<Own> own_ GUARDED_BY(mutex_);
};

}  // namespace cofferdam::netstack
