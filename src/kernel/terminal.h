// Terminals as the core sees them: which session one controls, and job control. Their bytes are in kernel/terminal/.
// setsid(2), tcsetpgrp(3), ioctl_tty(2).
#pragma once

#include <cstdint>

#include "base/ref.h"
#include "base/result.h"
#include "kernel/task/pid.h"
#include "kernel/task/process_lock.h"
#include "kernel/vfs/file.h"

namespace cofferdam::kernel {

class Kernel;
class ProcessGroup;
class Session;
class Task;
class ThreadGroup;

class Terminal : public RefCounted {
 public:
  explicit Terminal(Kernel& kernel) : kernel_(kernel) {}
  Kernel& kernel() const { return kernel_; }

  // st_rdev of its device (makedev); /proc/PID/stat shows it as tty_nr.
  virtual uint64_t device() const = 0;
  // A new description of it: open(2) of /dev/tty. EIO after a hang-up.
  virtual Result<Ref<File>> open(Task&, Path const&, int flags) = 0;

  // vhangup(2), and the end of the line: files that are open now read end of file; the session hears SIGHUP and
  // SIGCONT.
  virtual void hang_up() = 0;

  // The session that it controls and that session's foreground process group; null: none.
  Pid* session(ProcessLocked const&) const { return session_.get(); }
  Pid* foreground(ProcessLocked const&) const { return foreground_.get(); }

  // open(2) without O_NOCTTY of a terminal that controls nobody, by a session leader without one.
  void adopt_on_open(Task&);
  // TIOCSCTTY: EPERM unless a session leader without a terminal; `steal` with CAP_SYS_ADMIN takes it from another
  // session.
  Result<void> set_controlling(Task&, bool steal);
  // Makes it the controlling terminal of a session at the start of a container's process.
  void set_controlling(ThreadGroup& leader, ProcessLocked const&);
  // TIOCNOTTY: ENOTTY if it is not the caller's.
  Result<void> give_up(Task&);
  // TIOCGPGRP, TIOCGSID: ENOTTY unless it is the caller's, or `any_session` (a pty's master asks).
  Result<int32_t> foreground_of(Task&, bool any_session);
  Result<int32_t> session_of(Task&, bool any_session);
  // TIOCSPGRP: SIGTTOU rules, ENOTTY, EINVAL, ESRCH, EPERM.
  Result<void> set_foreground(Task&, int32_t group);

  // May the task read now? A background reader is sent SIGTTIN (RestartSys), or gets EIO.
  Result<void> check_background_read(Task&);
  // May the task change the terminal, or write under TOSTOP? SIGTTOU (RestartSys), or EIO for an orphan.
  Result<void> check_background_change(Task&);

  // To the foreground group: INTR, QUIT, SUSP keys and SIGWINCH.
  void signal_foreground(int signal);
  // The line is gone (the master closed, vhangup(2)): SIGHUP and SIGCONT to the session leader; nobody is controlled
  // any more.
  void hang_up_session();
  // Its last file was closed: it controls nobody any more, and nobody is told.
  void forget_session();

 private:
  friend void disassociate_terminal(ThreadGroup&, ProcessLocked const&);
  bool controls(Task&, ProcessLocked const&) const;
  void leave_session(Session&, ProcessLocked const&);
  Result<void> check_background(Task&, int signal);

  Kernel& kernel_;
  Ref<Pid> session_, foreground_;  // [lock]
};

// For the exit path of a thread group: a session leader gives up its terminal; the foreground group gets SIGHUP
// (disassociate_ctty of Linux). Does nothing for others.
void disassociate_terminal(ThreadGroup&, ProcessLocked const&);

// The controlling terminal of the task's session; null: none.
Ref<Terminal> controlling_terminal(Task&);
Ref<Terminal> controlling_terminal(ThreadGroup const&, ProcessLocked const&);

// A kernel-made signal to every process of a group.
void signal_group(ProcessGroup const&, int signal, ProcessLocked const&);

}  // namespace cofferdam::kernel
