// Which endpoint a local address and port belong to: bind(2)'s rules, ephemeral ports, and who gets what arrives.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>

#include "base/mutex.h"
#include "base/ref.h"
#include "base/result.h"
#include "netstack/address.h"
#include "netstack/time.h"

namespace cofferdam::netstack {

class Ports;

inline constexpr uint16_t first_ephemeral = 32768, last_ephemeral = 60999;

struct BindRequest {
  Address local;  // any_v4() or any_v6() for all addresses
  uint16_t port = 0;
  bool v6_only = false;
  bool reuse_address = false, reuse_port = false;
  uint32_t uid = 0;
  bool any_address = false;   // also one that is not this host's (IP_FREEBIND)
  bool address_only = false;  // connect(2) chooses the port (IP_BIND_ADDRESS_NO_PORT)
  uint16_t first_port = first_ephemeral, last_port = last_ephemeral;  // what is chosen from
  uint32_t interface = 0;                                             // SO_BINDTODEVICE; 0: any
};

// A claim on a port, held as long as it lives. Connections that came from a listener share its claim.
class PortBinding final : public RefCounted {
 public:
  PortBinding(Ports& ports, BindRequest const& r, bool for_connect)
      : reuse_address(r.reuse_address),
        reuse_port(r.reuse_port),
        interface(r.interface),
        ports_(ports),
        address_(r.local),
        port_(r.port),
        v6_only_(r.v6_only),
        for_connect_(for_connect),
        uid_(r.uid) {}
  ~PortBinding() override = default;
  Address const& address() const { return address_; }
  uint16_t port() const { return port_; }
  std::atomic<bool> reuse_address, reuse_port;
  std::atomic<uint32_t> interface;

 protected:
  void last_ref_dropped() override;

 private:
  friend class Ports;
  bool covers(Address const&) const;
  bool hears(uint32_t from_interface) const { return interface == 0 || interface == from_interface; }
  bool overlaps(PortBinding const&) const;

  Ports& ports_;
  Address address_;  // the rest: under the lock of the port's shard
  uint16_t const port_;
  bool const v6_only_, for_connect_;
  uint32_t const uid_;
  bool listening_ = false;
  RefCounted* owner_ = nullptr;  // who gets what arrives; not kept alive
  Peer remote_;                  // port 0: from anybody
};

class Ports {
 public:
  enum class Rules { Tcp, Udp };

  Ports(Rules rules, Environment& environment) : rules_(rules), environment_(environment) {}

  // EADDRINUSE.
  Result<Ref<PortBinding>> bind(BindRequest, RefCounted* owner);
  // A port for connect(2): try_port(binding) says whether the connection is free with it. EADDRNOTAVAIL.
  template <class F>
  Result<Ref<PortBinding>> bind_for_connect(BindRequest const& range, F&& try_port);
  // From now on the owner gets connections. EADDRINUSE.
  Result<void> listen(PortBinding&, RefCounted* owner);
  void set_owner(PortBinding&, RefCounted* owner);  // null: nobody gets anything any more
  // A datagram socket that is connected gets what comes from there only.
  void set_remote(PortBinding&, Address const& local, Peer const& remote);

  std::vector<Ref<RefCounted>> owners() const;  // all who get something

  // Who gets what comes from `remote` to `local` on an interface; hash chooses among those that share by SO_REUSEPORT.
  // Null: nobody.
  Ref<RefCounted> find(Peer const& local, Peer const& remote, uint32_t interface, uint64_t hash) const;
  // All of them: multicast and broadcast.
  std::vector<Ref<RefCounted>> find_all(Peer const& local, Peer const& remote, uint32_t interface) const;

 private:
  friend class PortBinding;
  static constexpr size_t shard_count = 64;
  struct Shard {
    mutable Mutex mutex;
    absl::flat_hash_map<uint16_t, absl::InlinedVector<PortBinding*, 2>> bindings GUARDED_BY(mutex);
  };
  Shard& shard_of(uint16_t port) { return shards_[port % shard_count]; }
  Shard const& shard_of(uint16_t port) const { return shards_[port % shard_count]; }
  bool conflict(PortBinding const& a, PortBinding const& b, bool listening) const;
  Result<Ref<PortBinding>> try_bind(BindRequest const&, RefCounted* owner);
  Ref<PortBinding> binding_for_connect(uint16_t port);  // null: somebody has bound it
  unsigned random_below(unsigned);

  Rules const rules_;
  Environment& environment_;
  std::array<Shard, shard_count> shards_;
};

template <class F>
Result<Ref<PortBinding>> Ports::bind_for_connect(BindRequest const& range, F&& try_port) {
  if (range.first_port > range.last_port) return fail(Errno::AddrNotAvail);
  unsigned const count = range.last_port - range.first_port + 1u, start = random_below(count);
  for (unsigned i = 0; i < count; ++i) {
    auto binding = binding_for_connect(static_cast<uint16_t>(range.first_port + (start + i) % count));
    if (binding && try_port(binding)) return binding;
  }
  return fail(Errno::AddrNotAvail);
}

}  // namespace cofferdam::netstack
