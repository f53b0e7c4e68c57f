// Messages on their way between two AF_UNIX sockets, and the queue that they wait in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/ref.h"
#include "kernel/ipc/socket.h"
#include "socket/unix/address.h"

namespace cofferdam::unix_sockets {

class Endpoint;
class Family;

// Files on their way. Counts those that are sockets as in flight while it lives, and lets go of all in the family's
// own way, so that a chain of sockets in sockets does not end in a chain of destructors.
class FlyingFiles {
 public:
  FlyingFiles() = default;
  FlyingFiles(Family& family, std::vector<Ref<kernel::File>> files);
  FlyingFiles(FlyingFiles&&) noexcept;
  FlyingFiles& operator=(FlyingFiles&&) noexcept;
  ~FlyingFiles();
  std::vector<Ref<kernel::File>> const& files() const { return files_; }
  // They have arrived.
  std::vector<Ref<kernel::File>> land();

 private:
  Family* family_ = nullptr;
  std::vector<Ref<kernel::File>> files_;
};

struct Message {
  Message();
  ~Message();  // gives its charge back to the sender

  std::unique_ptr<std::byte[]> data;
  size_t size = 0, read = 0;  // bytes before `read` have been received (streams)
  kernel::SocketIdentity credentials;
  Ref<Name const> from;
  FlyingFiles files;
  Ref<Endpoint> sender;
  size_t charge = 0;
  Message* next = nullptr;

  std::span<std::byte const> rest() const { return std::span(data.get(), size).subspan(read); }
};

// What a message of `size` bytes counts against the sender's SO_SNDBUF (skb->truesize of Linux).
constexpr size_t charge_of(size_t size) { return ((size + 63) & ~size_t{63}) + 704; }

class MessageQueue {
 public:
  MessageQueue() = default;
  MessageQueue(MessageQueue&& o) noexcept { swap(o); }
  MessageQueue& operator=(MessageQueue&&) = delete;
  ~MessageQueue() { clear(); }
  bool empty() const { return first_ == nullptr; }
  size_t count() const { return count_; }
  size_t bytes() const { return bytes_; }  // not yet read
  Message* front() const { return first_; }
  void push(std::unique_ptr<Message>);
  std::unique_ptr<Message> pop();
  void note_read(size_t n) { bytes_ -= n; }  // of the front message
  void clear();
  void swap(MessageQueue& o) noexcept {
    std::swap(first_, o.first_);
    std::swap(last_, o.last_);
    std::swap(count_, o.count_);
    std::swap(bytes_, o.bytes_);
  }

 private:
  Message* first_ = nullptr;
  Message* last_ = nullptr;
  size_t count_ = 0, bytes_ = 0;
};

}  // namespace cofferdam::unix_sockets
