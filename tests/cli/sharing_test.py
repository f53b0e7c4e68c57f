"""A directory shared with the host: what one side does, the other sees."""
import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import threading

import harness
from harness import check, equal

# Run inside: takes a lock on /mnt/f, says so, holds it until its input ends. MODE: flock or record.
HOLD = """
import fcntl, sys
f = open('/mnt/f', 'r+b')
mode, wait = sys.argv[1], 0 if sys.argv[2] == 'wait' else fcntl.LOCK_NB
try:
    (fcntl.flock if mode == 'flock' else fcntl.lockf)(f, fcntl.LOCK_EX | wait)
except BlockingIOError:
    print('busy', flush=True)
    sys.exit(0)
print('held', flush=True)
sys.stdin.read()
"""

# Run inside: watches /mnt, and what its arguments name there, and prints "PLACE MASK COOKIE NAME" of each event; numbers of
# cookies count from 1. A name "end" ends it.
WATCH = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
fd = libc.inotify_init1(0)
places = {}
for place in ['', *sys.argv[1:]]:
    places[libc.inotify_add_watch(fd, ('/mnt/' + place).encode(), 0xfff)] = place or '/'
print('watching', flush=True)
if sys.stdin.readline():
    open('/mnt/inner', 'w').close()
    os.rename('/mnt/inner', '/mnt/inner2')
    print('done', flush=True)
cookies = {0: 0}
ended = False
while not ended:
    data = os.read(fd, 65536)
    while data:
        wd, mask, cookie, length = struct.unpack_from('iIII', data)
        name = data[16:16 + length].rstrip(b'\\0').decode()
        data = data[16 + length:]
        ended |= name == 'end'
        print(places[wd], hex(mask), cookies.setdefault(cookie, len(cookies)), name, flush=True)
"""

# Run inside: what /mnt/socket answers to a short and a long message, and what the end of the connection looks like.
TALK = """
import socket, sys
s = socket.socket(socket.AF_UNIX, getattr(socket, sys.argv[1]))
try:
    s.connect('/mnt/socket')
except OSError as error:
    sys.exit(f'connect: {error.strerror}')
s.sendall(b'short')
print(s.recv(100).decode())
if sys.argv[1] == 'SOCK_STREAM':
    s.sendall(b'x' * 3000000)
    s.shutdown(socket.SHUT_WR)
    print(sum(len(part) for part in iter(lambda: s.recv(65536), b'')))
else:
    print(len(s.recv(3)))
print(s.getpeername())
try:
    socket.send_fds(s, [b'fd'], [0])
except OSError as error:
    print(error.strerror)
"""


class Shared:
    def __init__(self, place):
        self.directory = tempfile.mkdtemp(prefix=place.path.name + "-shared-", dir=place.path)
        self.file = os.path.join(self.directory, "f")
        with open(self.file, "w") as f:
            f.write("text")

    def inside(self, *words):
        return subprocess.Popen([harness.COFFERDAM, "do", "--volume", f"{self.directory}:/mnt", "--", *words],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hold(self, mode, wait="now"):
        return self.inside(sys.executable, "-c", HOLD, mode, wait)


def end(process):
    process.stdin.close()
    equal(process.wait(harness.TIMEOUT), 0, "the end of the program inside")


def lock_outside(file, mode):
    (fcntl.flock if mode == "flock" else fcntl.lockf)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_locks_of_the_sandbox_are_the_hosts(place):
    for mode in ("flock", "record"):
        shared = Shared(place)
        holder = shared.hold(mode)
        equal(holder.stdout.readline(), "held\n", f"{mode} inside")
        with open(shared.file, "r+b") as file:
            try:
                lock_outside(file, mode)
                raise AssertionError(f"{mode}: both sides have the lock")
            except BlockingIOError:
                pass
            end(holder)
            lock_outside(file, mode)  # given up with the process


def test_locks_of_the_host_are_the_sandboxs(place):
    for mode in ("flock", "record"):
        shared = Shared(place)
        with open(shared.file, "r+b") as file:
            lock_outside(file, mode)
            refused = shared.hold(mode)
            equal(refused.stdout.readline(), "busy\n", f"{mode} inside")
            end(refused)
            waiting = shared.hold(mode, "wait")
        equal(waiting.stdout.readline(), "held\n", f"{mode} inside, after the host let go")
        end(waiting)


def test_files_are_seen_from_both_sides(place):
    shared = Shared(place)
    script = "while read line; do eval \"$line\"; echo done; done"
    inside = shared.inside("/bin/sh", "-c", script)

    def ask(line):
        inside.stdin.write(line + "\n")
        inside.stdin.flush()
        answers = []
        while (answer := inside.stdout.readline()) != "done\n":
            check(answer, f"the shell inside ended at: {line}")
            answers.append(answer.rstrip("\n"))
        return answers

    equal(ask("cat /mnt/f; echo"), ["text"], "the file as it was")
    with open(shared.file, "a") as f:
        f.write(" and more")
    equal(ask("cat /mnt/f; echo"), ["text and more"], "after a change outside")
    ask("echo from inside > /mnt/g; chmod 640 /mnt/g; chown 12:34 /mnt/g; touch -d @1000000000 /mnt/g")
    with open(os.path.join(shared.directory, "g")) as f:
        equal(f.read(), "from inside\n", "a file made inside")
    st = os.stat(os.path.join(shared.directory, "g"))
    equal((st.st_mode & 0o7777, st.st_uid, st.st_gid, st.st_mtime), (0o640, 12, 34, 1e9), "its attributes")
    os.rename(shared.file, os.path.join(shared.directory, "renamed"))
    os.mkdir(os.path.join(shared.directory, "directory"))
    equal(ask("ls /mnt"), ["directory", "g", "renamed"], "names after a rename outside")
    os.unlink(os.path.join(shared.directory, "g"))
    equal(ask("[ -e /mnt/g ] || echo gone"), ["gone"], "a name removed outside")
    # A link made outside leads nowhere but within the sandbox.
    os.symlink("/etc/hostname", os.path.join(shared.directory, "link"))
    os.symlink("../../../../../../etc", os.path.join(shared.directory, "up"))
    equal(ask("cmp /mnt/link /etc/hostname && cd /mnt/up && pwd -P"), ["/etc"], "links of the host's")
    inside.stdin.close()
    equal(inside.wait(harness.TIMEOUT), 0, "the end of the shell inside")


def test_watches_inside_hear_of_changes_outside(place):
    shared = Shared(place)
    at = lambda name: os.path.join(shared.directory, name)
    os.mkdir(at("sub"))
    inside = shared.inside(sys.executable, "-c", WATCH, "sub", "f")
    equal(inside.stdout.readline(), "watching\n", "the watches")
    inside.stdin.write("\n")
    inside.stdin.flush()
    equal(inside.stdout.readline(), "done\n", "changes made inside")
    with open(at("new"), "w") as f:
        f.write("text")
    os.rename(at("new"), at("sub/moved"))
    with open(shared.file, "a") as f:
        f.write("more")
    os.chmod(shared.file, 0o600)
    os.unlink(at("sub/moved"))
    os.rmdir(at("sub"))
    os.mkdir(at("directory"))
    os.unlink(shared.file)
    # What the sandbox did itself is told once. The host joins events of one file that come close together, so their order
    # among each other is not looked at.
    wanted = ["/ 0x100 0 inner", "/ 0x20 0 inner", "/ 0x8 0 inner", "/ 0x40 1 inner", "/ 0x80 1 inner2",
              "/ 0x100 0 new", "/ 0x20 0 new", "/ 0x2 0 new", "/ 0x8 0 new", "/ 0x40 2 new", "sub 0x80 2 moved",
              "/ 0x20 0 f", "f 0x20 0", "/ 0x2 0 f", "f 0x2 0", "/ 0x8 0 f", "f 0x8 0", "/ 0x4 0 f", "f 0x4 0",
              "sub 0x200 0 moved", "/ 0x40000200 0 sub", "sub 0x400 0", "sub 0x8000 0", "/ 0x40000100 0 directory",
              "f 0x4 0", "/ 0x200 0 f", "f 0x400 0", "f 0x8000 0"]
    watchdog = threading.Timer(harness.TIMEOUT, inside.kill)
    watchdog.start()
    seen = [inside.stdout.readline().rstrip() for _ in wanted]
    os.mkdir(at("end"))
    seen += [line.rstrip() for line in inside.stdout]
    watchdog.cancel()
    equal(inside.wait(harness.TIMEOUT), 0, "the end of the program inside")
    equal(sorted(seen), sorted(wanted + ["/ 0x40000100 0 end"]), "the events")


def serve_once(listener):
    peer, _ = listener.accept()
    with peer:
        peer.send(peer.recv(100).upper())
        if listener.type == socket.SOCK_STREAM:
            data = b"".join(iter(lambda: peer.recv(65536), b""))
            peer.sendall(data[: len(data) // 2])
        else:
            peer.send(b"longer than the room")
            peer.recv(100)


def test_sockets_of_the_host_are_reached_with_the_option_alone(place):
    for kind, second in (("SOCK_STREAM", "1500000"), ("SOCK_SEQPACKET", "3")):
        shared = Shared(place)
        with socket.socket(socket.AF_UNIX, getattr(socket, kind)) as listener:
            listener.bind(os.path.join(shared.directory, "socket"))
            listener.listen()
            command = ["do", "--volume", f"{shared.directory}:/mnt", "--", sys.executable, "-c", TALK, kind]
            refused = subprocess.run([harness.COFFERDAM, *command], capture_output=True, text=True, timeout=harness.TIMEOUT)
            equal(refused.stderr, "connect: Connection refused\n", f"{kind} without the option")
            server = threading.Thread(target=serve_once, args=(listener,), daemon=True)
            server.start()
            done = subprocess.run([harness.COFFERDAM, "--host-uds", "open", *command], capture_output=True, text=True,
                                  timeout=harness.TIMEOUT)
            equal((done.stdout.splitlines(), done.stderr), (["SHORT", second, "/mnt/socket", "Operation not supported"], ""),
                  f"{kind} with it")
            server.join(harness.TIMEOUT)
