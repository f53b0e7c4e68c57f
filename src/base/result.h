// Result<T>: a value, or an errno together with the place in the source that raised it.
//
// A guest error is an Error, never an exception or an abort (architecture, law 6). The restart codes of
// a blocked system call live in the same type and are resolved by the task's run loop; they never reach the guest.
#pragma once

#include <cerrno>
#include <cstdint>
#include <expected>
#include <source_location>
#include <string_view>
#include <utility>

namespace cofferdam {

// clang-format off: a table reads better in rows.
enum class Errno : int {
  None = 0,
  Perm = EPERM, NoEnt = ENOENT, Srch = ESRCH, Intr = EINTR, Io = EIO, NxIo = ENXIO, TooBig = E2BIG, NoExec = ENOEXEC,
  BadF = EBADF, Child = ECHILD, Again = EAGAIN, NoMem = ENOMEM, Acces = EACCES, Fault = EFAULT, NotBlk = ENOTBLK,
  Busy = EBUSY, Exist = EEXIST, XDev = EXDEV, NoDev = ENODEV, NotDir = ENOTDIR, IsDir = EISDIR, Inval = EINVAL,
  NFile = ENFILE, MFile = EMFILE, NoTty = ENOTTY, TxtBsy = ETXTBSY, FBig = EFBIG, NoSpc = ENOSPC, SPipe = ESPIPE,
  RoFs = EROFS, MLink = EMLINK, Pipe = EPIPE, Dom = EDOM, Range = ERANGE, DeadLk = EDEADLK, NameTooLong = ENAMETOOLONG,
  NoLck = ENOLCK, NoSys = ENOSYS, NotEmpty = ENOTEMPTY, Loop = ELOOP, NoMsg = ENOMSG, IdRm = EIDRM, NoData = ENODATA,
  Time = ETIME, Overflow = EOVERFLOW, BadFd = EBADFD, IlSeq = EILSEQ, NotSock = ENOTSOCK, DestAddrReq = EDESTADDRREQ,
  MsgSize = EMSGSIZE, Prototype = EPROTOTYPE, NoProtoOpt = ENOPROTOOPT, ProtoNoSupport = EPROTONOSUPPORT,
  SockTNoSupport = ESOCKTNOSUPPORT, OpNotSupp = EOPNOTSUPP, PfNoSupport = EPFNOSUPPORT, AfNoSupport = EAFNOSUPPORT,
  AddrInUse = EADDRINUSE, AddrNotAvail = EADDRNOTAVAIL, NetDown = ENETDOWN, NetUnreach = ENETUNREACH,
  ConnAborted = ECONNABORTED, ConnReset = ECONNRESET, NoBufs = ENOBUFS, IsConn = EISCONN, NotConn = ENOTCONN,
  TimedOut = ETIMEDOUT, ConnRefused = ECONNREFUSED, HostUnreach = EHOSTUNREACH, Already = EALREADY,
  InProgress = EINPROGRESS, Stale = ESTALE, DQuot = EDQUOT, Canceled = ECANCELED, OwnerDead = EOWNERDEAD,
  NotRecoverable = ENOTRECOVERABLE,

  // Kernel-internal (include/linux/errno.h of Linux): what the run loop does with an interrupted call.
  RestartSys = 512,           // restart if the handler has SA_RESTART, else EINTR
  RestartNoIntr = 513,        // always restart
  RestartNoHand = 514,        // restart only if no handler runs
  RestartRestartBlock = 516,  // restart by restart_syscall(2), EINTR if a handler runs
};
// clang-format on

struct [[nodiscard]] Error {
  Errno code = Errno::None;
  std::source_location where;
  constexpr Error(Errno c, std::source_location w = std::source_location::current()) : code(c), where(w) {}
  constexpr bool operator==(Errno c) const { return code == c; }
  constexpr bool is_restart() const { return code >= Errno::RestartSys && code <= Errno::RestartRestartBlock; }
};

template <class T = void>
using Result = std::expected<T, Error>;

constexpr std::unexpected<Error> fail(Errno c, std::source_location w = std::source_location::current()) {
  return std::unexpected(Error(c, w));
}
// From a host call's errno (> 0). Unknown values pass through unchanged.
constexpr std::unexpected<Error> fail_host(int host_errno, std::source_location w = std::source_location::current()) {
  return std::unexpected(Error(static_cast<Errno>(host_errno), w));
}

// "ENOENT"; for unknown values "E?".
std::string_view errno_name(Errno e);
// "No such file or directory".
std::string_view errno_text(Errno e);

}  // namespace cofferdam

// Unwraps a Result, or returns its error from the enclosing function.
#define TRY(...)                                                                     \
  ({                                                                                 \
    auto try_result_ = (__VA_ARGS__);                                                \
    static_assert(!std::is_reference_v<typename decltype(try_result_)::value_type>); \
    if (!try_result_) [[unlikely]]                                                   \
      return std::unexpected(std::move(try_result_).error());                        \
    std::move(try_result_).value();                                                  \
  })
