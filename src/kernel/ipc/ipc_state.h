// What pipes, sockets and epoll instances of a sandbox share.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "base/mutex.h"
#include "base/ref.h"

namespace cofferdam::kernel {

class File;
class SocketFamily;

// The socket families that the assembly registered; fixed before the first task runs.
class SocketRegistry {
 public:
  SocketRegistry();
  ~SocketRegistry();
  void add(int family, std::unique_ptr<SocketFamily>);
  SocketFamily* find(int family) const;  // null: EAFNOSUPPORT

 private:
  std::map<int, std::unique_ptr<SocketFamily>> families_;
};

// fs.inotify.*: per real user id. What a user has now is counted here.
struct InotifyLimits {
  std::atomic<uint32_t> max_queued_events{16384}, max_user_instances{128}, max_user_watches{65536};
  struct Counts {
    uint32_t instances = 0, watches = 0;
  };
  Guarded<std::map<uint32_t, Counts>> used;
  // Bytes of all queued events, so that many queues together stay bounded too.
  std::atomic<uint64_t> queued_bytes{0};
};

struct IpcState {
  SocketRegistry sockets;
  // Numbers of the inodes of pipes and sockets, which live on no file system.
  std::atomic<uint64_t> next_inode{1024};
  uint64_t allocate_inode() { return next_inode.fetch_add(1, std::memory_order_relaxed); }
  // Pages that the capacities of all pipes allow for (pipe-user-pages-soft of Linux).
  std::atomic<uint64_t> pipe_pages{0};
  // Files watched by epoll instances (fs.epoll.max_user_watches).
  std::atomic<uint64_t> epoll_watches{0};
  InotifyLimits inotify;
  // What all AIO contexts have room for (fs.aio-nr).
  std::atomic<uint64_t> aio_requests{0};
  // What sends the signals of files with O_ASYNC.
  Guarded<std::map<File const*, Ref<RefCounted>>> async_files;
  // And SIGURG of sockets with an owner.
  Guarded<std::map<File const*, Ref<RefCounted>>> urgent_files;
  // Held while the graph of nested epoll instances changes.
  Mutex epoll_nesting;
};

}  // namespace cofferdam::kernel
