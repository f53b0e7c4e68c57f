"""A directory shared with the host: what one side does, the other sees."""
import fcntl
import os
import subprocess
import sys
import tempfile

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
