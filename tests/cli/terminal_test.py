"""A person at a terminal: what is typed and what shell, keys and windows make of it."""
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import harness

LIMIT_S = 20


class Screen:
    """A program in a pseudo-terminal of the host."""

    def __init__(self, arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(arguments[0], arguments)
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.fd, keys)

    def expect(self, text):
        end = time.monotonic() + LIMIT_S
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            try:
                data = os.read(self.fd, 65536) if ready else b""
            except OSError:
                data = b""
            harness.check(data, f"{text!r} did not come; there was {self.seen[-400:]!r}")
            self.seen += data
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def close(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def test_interactive_shell_has_job_control(_place):
    screen = Screen([harness.COFFERDAM, "do", "-t", "--", "/bin/bash", "--norc", "-i"])
    prompt = b"# "
    try:
        screen.expect(prompt)
        screen.type(b"tty\r")
        screen.expect(b"/dev/pts/0")
        screen.expect(prompt)
        screen.resize(40, 100)
        screen.type(b"sleep 1; stty size\r")
        screen.expect(b"40 100")
        screen.expect(prompt)
        screen.type(b"sleep 100\r")
        time.sleep(1)
        screen.type(b"\x1a")
        screen.expect(b"Stopped")
        screen.expect(prompt)
        screen.type(b"fg\r")
        time.sleep(1)
        screen.type(b"\x03")
        screen.expect(prompt)
        screen.type(b"echo status $?\r")
        screen.expect(b"status 130")
        screen.expect(prompt)
        screen.type(b"cat\r")
        time.sleep(1)
        screen.type(b"typed\r")
        screen.expect(b"typed\r\ntyped")
        screen.type(b"\x04")
        screen.expect(prompt)
    finally:
        screen.close()
