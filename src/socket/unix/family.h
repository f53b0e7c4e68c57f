// AF_UNIX of one sandbox: abstract names, and the collection of sockets that only messages refer to.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include "base/mutex.h"
#include "kernel/ipc/socket.h"
#include "socket/unix/endpoint.h"
#include "socket/unix/register.h"

namespace cofferdam::unix_sockets {

class Family final : public kernel::SocketFamily {
 public:
  explicit Family(HostConnector connector) : host_connector_(std::move(connector)) {}
  HostConnector const& host_connector() const { return host_connector_; }
  Result<Ref<kernel::Socket>> create(kernel::Task&, int type, int protocol, int flags) override;
  Result<std::pair<Ref<kernel::Socket>, Ref<kernel::Socket>>> create_pair(kernel::Task&, int type, int protocol,
                                                                          int flags) override;

  Result<std::vector<kernel::NetlinkBody>> diagnose(std::span<std::byte const> request, bool dump) override;
  std::optional<std::string> proc_net(std::string_view file) override;
  // Open sockets, for the two above.
  void opened(UnixSocket&);
  void closed(UnixSocket&);

  // Abstract names. EADDRINUSE.
  Result<void> register_name(Ref<Name const> const&, Ref<Endpoint>);
  // A free one of Linux's kind: five hexadecimal digits. ENOSPC.
  Result<Ref<Name const>> register_free_name(Ref<Endpoint>);
  void unregister_name(Name const&, Endpoint const&);
  Ref<Endpoint> find_name(std::string const&);  // null: none

  // Files in messages (FlyingFiles).
  void take_off(std::vector<Ref<kernel::File>> const&);
  void land(std::vector<Ref<kernel::File>> const&);
  uint64_t files_in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  // Drops references one after the other, however deep messages hold sockets with messages.
  void bury(std::vector<Ref<kernel::File>>);
  // Called when a socket was closed: collects what nobody can reach any more, when it seems worth it.
  void collect_after_close();
  void collect_garbage();

 private:
  HostConnector const host_connector_;
  using Marks = absl::flat_hash_map<Endpoint*, uint32_t>;  // references that are not accounted for yet
  Marks find_candidates() REQUIRES(flight_mutex_);
  void spare_reachable(Marks&) REQUIRES(flight_mutex_);

  std::vector<std::pair<uint64_t, Ref<Endpoint>>> open_endpoints();  // with their inode numbers

  Mutex open_mutex_;  // nothing is locked under it
  absl::flat_hash_set<UnixSocket*> open_ GUARDED_BY(open_mutex_);

  Mutex names_mutex_;
  std::map<std::string, Ref<Endpoint>> names_ GUARDED_BY(names_mutex_);
  uint32_t next_name_ GUARDED_BY(names_mutex_) = 0;

  // Held over a whole collection: no file takes off or lands meanwhile. Before the mutex of an endpoint.
  Mutex flight_mutex_;
  absl::flat_hash_map<Endpoint*, uint32_t> flying_sockets_ GUARDED_BY(flight_mutex_);  // how often each is in flight
  uint32_t closed_since_ GUARDED_BY(flight_mutex_) = 0;
  size_t collect_at_ GUARDED_BY(flight_mutex_) = 1024;
  bool collect_wanted_ GUARDED_BY(flight_mutex_) = false;
  std::atomic<uint64_t> in_flight_{0};

  Mutex graves_mutex_;
  std::vector<Ref<kernel::File>> graves_ GUARDED_BY(graves_mutex_);
  bool digging_ GUARDED_BY(graves_mutex_) = false;
};

}  // namespace cofferdam::unix_sockets
