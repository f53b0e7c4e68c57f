#include "sentry/host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <termios.h>

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/host_notifier.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/mount.h"

namespace cofferdam::sentry {

namespace {

using namespace kernel;

constexpr size_t largest_transfer = 64 << 10;

Attributes from_host(struct stat const& st, uint64_t device) {
  Attributes a;
  a.device = device;
  a.inode = st.st_ino;
  a.mode = st.st_mode;
  a.link_count = 1;
  a.special_device = st.st_rdev;
  a.size = static_cast<uint64_t>(st.st_size);
  a.blocks = static_cast<uint64_t>(st.st_blocks);
  a.accessed = st.st_atim;
  a.modified = st.st_mtim;
  a.changed = st.st_ctim;
  return a;
}

// What the guest's descriptions of one donated descriptor share: readiness and its host file.
class HostInode final : public Inode {
 public:
  HostInode(Kernel& kernel, host::OwnedFd fd, mode_t type)
      : Inode(kernel.vfs().anonymous_file_system()),
        kernel_(kernel),
        fd_(make_ref<host::SharedFd>(std::move(fd))),
        type_(type) {}
  ~HostInode() override {
    if (watched_.with([](bool& w) { return w; })) kernel_.host_notifier().remove(fd_->get());
  }
  Result<Attributes> attributes() override {
    struct stat st{};
    if (::fstat(fd_->get(), &st) != 0) return fail_host(errno);
    return from_host(st, file_system().device());
  }
  // Ownership and times belong to the host; programs that set them on their output are not stopped.
  Result<void> set_attributes(AttributeChange const& c, Task&) override {
    return c.size ? fail(Errno::Inval) : Result<void>{};
  }
  mode_t type() const override { return type_; }
  bool opens_special_files() const override { return true; }
  // /dev/stdout and /proc/self/fd/1 lead here.
  Result<Ref<File>> open(OpenRequest const&, Path const&) override;

  int fd() const { return fd_->get(); }
  Ref<host::SharedFd> shared_fd() const { return fd_; }
  bool streams() const { return type_ == S_IFIFO || type_ == S_IFSOCK || type_ == S_IFCHR; }
  WaitQueue* readiness() {
    if (!streams()) return nullptr;
    watched_.with([&](bool& watched) {
      if (!watched) watched = kernel_.host_notifier().add(fd(), queue_).has_value();
    });
    return &queue_;
  }

 private:
  Kernel& kernel_;
  Ref<host::SharedFd> fd_;
  mode_t const type_;
  WaitQueue queue_;
  Guarded<bool> watched_{false};
};

class HostFile final : public File {
 public:
  HostFile(Ref<HostInode> inode, Path path, int flags) : File(std::move(path), flags), inode_(std::move(inode)) {}

  Result<size_t> read(Task& task, IoSink& to, uint64_t, IoOptions o) override {
    return transfer(task, POLLIN | POLLRDHUP, o, [&] { return read_once(to); });
  }
  Result<size_t> write(Task& task, IoSource& from, uint64_t, IoOptions o) override {
    auto n = transfer(task, POLLOUT, o, [&] { return write_once(from); });
    if (!n && n.error() == Errno::Pipe) (void)task.send_signal(SignalInfo::from_kernel(SIGPIPE));
    return n;
  }
  Result<uint64_t> seek(Task&, int64_t offset, int whence) override {
    if (inode_->type() != S_IFREG) return fail(Errno::SPipe);
    off_t at = ::lseek(inode_->fd(), offset, whence);
    if (at < 0) return fail_host(errno);
    return static_cast<uint64_t>(at);
  }
  Result<void> truncate(Task&, uint64_t size) override {
    if (::ftruncate(inode_->fd(), static_cast<off_t>(size)) != 0) return fail_host(errno);
    return {};
  }
  Result<void> sync(Task&, bool data_only) override {
    if ((data_only ? ::fdatasync(inode_->fd()) : ::fsync(inode_->fd())) != 0) return fail_host(errno);
    return {};
  }
  Result<uint64_t> ioctl(Task& task, uint32_t request, uint64_t argument) override {
    switch (request) {
      case TCGETS:
        return copy_out_host<ktermios>(task, request, argument);
      case TIOCGWINSZ:
        return copy_out_host<winsize>(task, request, argument);
      case FIONREAD:
        return copy_out_host<int>(task, request, argument);
      default:
        return fail(Errno::NoTty);
    }
  }
  Result<MapTarget> map(Task&, MapRequest const& request) override {
    if (inode_->type() != S_IFREG) return fail(Errno::NoDev);
    return MapTarget{.fd = inode_->shared_fd(), .offset = request.offset};
  }
  Result<Attributes> attributes() override { return inode_->attributes(); }
  PollMask poll() override {
    if (!inode_->streams()) return File::poll();
    pollfd p{.fd = inode_->fd(), .events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI};
    if (::poll(&p, 1, 0) < 0) return EPOLLERR;
    auto ready = static_cast<PollMask>(static_cast<unsigned short>(p.revents));
    if (ready & EPOLLIN) ready |= EPOLLRDNORM;
    if (ready & EPOLLOUT) ready |= EPOLLWRNORM;
    return ready;
  }
  WaitQueue* wait_queue() override { return inode_->readiness(); }

 private:
  struct ktermios {  // struct termios of the kernel, 36 bytes
    uint32_t iflag, oflag, cflag, lflag;
    unsigned char line, control[19];
  };

  template <class T>
  Result<uint64_t> copy_out_host(Task& task, uint32_t request, uint64_t argument) {
    T value{};
    if (::ioctl(inode_->fd(), request, &value) != 0) return fail_host(errno);
    TRY(task.copy_out(UserAddr{argument}, std::as_bytes(std::span(&value, 1))));
    return 0;
  }

  Result<size_t> read_once(IoSink& to) {
    size_t n = std::min(to.remaining(), largest_transfer);
    if (n == 0) return 0;
    if (inode_->type() != S_IFSOCK) return to.put_from_host(inode_->fd(), n, -1);
    std::vector<std::byte> buffer(std::min<size_t>(n, 16 << 10));
    ssize_t got = ::recv(inode_->fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0) return fail_host(errno);
    return to.put(std::span(buffer).first(static_cast<size_t>(got)));
  }

  Result<size_t> write_once(IoSource& from) {
    size_t n = std::min(from.remaining(), largest_transfer);
    if (n == 0) return 0;
    if (inode_->type() != S_IFSOCK) return from.get_to_host(inode_->fd(), n, -1);
    std::vector<std::byte> buffer(std::min<size_t>(n, 16 << 10));
    size_t have = TRY(from.get(buffer));
    ssize_t put = ::send(inode_->fd(), buffer.data(), have, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0) {
      int error = errno;
      from.unget(have);
      return fail_host(error);
    }
    from.unget(have - static_cast<size_t>(put));
    return static_cast<size_t>(put);
  }

  // Streams are non-blocking on the host wherever that is ours to say (the description was made for the sandbox), so
  // that a guest that is to be interrupted or killed never sits in a host call.
  template <class Once>
  Result<size_t> transfer(Task& task, short events, IoOptions o, Once&& once) {
    for (;;) {
      if (inode_->streams() && !ready(events)) {
        if (o.nowait || nonblocking()) return fail(Errno::Again);
        WaitQueue* queue = inode_->readiness();
        TRY(task.wait_until(*queue, static_cast<PollMask>(events), Deadline(), [&] { return ready(events); }));
      }
      auto n = once();
      if (n || n.error() != Errno::Again || o.nowait || nonblocking()) return n;
    }
  }
  bool ready(short events) {
    pollfd p{.fd = inode_->fd(), .events = events};
    return ::poll(&p, 1, 0) != 0;
  }

  Ref<HostInode> inode_;
};

Result<Ref<File>> HostInode::open(OpenRequest const& request, Path const& path) {
  return Ref<File>(make_ref<HostFile>(Ref<HostInode>(this), path, request.flags));
}

std::string name_of(struct stat const& st) {
  switch (st.st_mode & S_IFMT) {
    case S_IFIFO:
      return fmt::format("pipe:[{}]", st.st_ino);
    case S_IFSOCK:
      return fmt::format("socket:[{}]", st.st_ino);
    case S_IFCHR:
      return "console";
    default:
      return "standard";
  }
}

}  // namespace

Result<Ref<File>> make_host_file(Kernel& kernel, host::OwnedFd fd) {
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail_host(errno);
  int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0) return fail_host(errno);
  if (S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode)) return fail(Errno::OpNotSupp);
  auto inode = make_ref<HostInode>(kernel, std::move(fd), st.st_mode & S_IFMT);
  Path path = kernel.vfs().detached_path(inode, name_of(st));
  return Ref<File>(make_ref<HostFile>(inode, std::move(path), flags & (O_ACCMODE | O_APPEND)));
}

}  // namespace cofferdam::sentry
