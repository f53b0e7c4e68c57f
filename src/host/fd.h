// OwnedFd: a host file descriptor that is closed with its owner.
#pragma once

#include <unistd.h>

#include <utility>

#include "base/ref.h"

namespace cofferdam::host {

class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& o) noexcept {
    if (this != &o) {
      reset();
      fd_ = std::exchange(o.fd_, -1);
    }
    return *this;
  }
  ~OwnedFd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

// A host descriptor shared by several owners (an open file, the VMAs that map it).
class SharedFd : public RefCounted {
 public:
  explicit SharedFd(OwnedFd fd) : fd_(std::move(fd)) {}
  int get() const { return fd_.get(); }

 private:
  OwnedFd fd_;
};

}  // namespace cofferdam::host
