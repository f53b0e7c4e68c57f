"""ctr run, with the shim of our own, and with runc's and this runtime behind it."""
import os
import signal
import time

from engines import COFFERDAM, check, equal, wait_for

RUNC = {"runtime": "io.containerd.runc.v2", "options": ("--runc-binary", COFFERDAM)}


def shims(containerd):
    """Their process ids, those of this containerd only."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            words = open(f"/proc/{entry}/cmdline", "rb").read().split(b"\0") if entry.isdigit() else []
        except OSError:
            continue
        if words and words[0].endswith(b"containerd-shim-cofferdam-v1") and str(containerd.socket).encode() in words:
            found.append(int(entry))
    return found


def remove(containerd, name):
    containerd.command("tasks", "delete", "--force", name)
    containerd.command("containers", "delete", name)


def test_run_and_exit_status(containerd):
    for more in ({}, RUNC):
        rm = {**more, "options": ("--rm", *more.get("options", ()))}
        done = containerd.run("one", "echo", "hello", **rm)
        equal((done.status, done.out), (0, "hello\n"), repr(done))
        equal(containerd.run("two", "sh", "-c", "exit 7", **rm).status, 7)
        check("cofferdam" in containerd.run("three", "uname", "-r", **rm).out, "the kernel of the sandbox")
        done = containerd.run("four", "/no/such", **rm)
        check(done.status != 0 and "no such file" in done.err, repr(done))
        remove(containerd, "four")


def test_detached_exec_and_kill(containerd):
    equal(containerd.run("five", "sleep", "1000", options=("--detach",)).status, 0)
    done = containerd.command("tasks", "exec", "--exec-id", "x", "five", "sh", "-c", "cat /proc/1/comm; exit 3")
    equal((done.status, done.out), (3, "sleep\n"), repr(done))
    check("five" in containerd.command("tasks", "list").out, "listed")
    equal(containerd.command("tasks", "kill", "--signal", "KILL", "five").status, 0)
    wait_for(lambda: "STOPPED" in containerd.command("tasks", "list").out, "it stops")
    remove(containerd, "five")


def test_processes_metrics_and_pause(containerd):
    equal(containerd.run("six", "sleep", "1000", options=("--detach", "--memory-limit", "100000000")).status, 0)
    done = containerd.command("tasks", "ps", "six")
    check(done.status == 0 and len(done.out.splitlines()) > 1, repr(done))
    done = containerd.command("tasks", "metrics", "six")
    check("memory" in done.out and "99999744" in done.out, repr(done))
    equal(containerd.command("tasks", "pause", "six").status, 0)
    check("PAUSED" in containerd.command("tasks", "list").out, "paused")
    equal(containerd.command("tasks", "resume", "six").status, 0)
    remove(containerd, "six")


def test_terminal(containerd):
    words = f"ctr --address {containerd.socket} run -t --rm --runtime io.containerd.cofferdam.v1 box.local/box:1 seven sh -c 'tty; exit 4'"
    done = containerd.place.run(["script", "-qec", words, "/dev/null"])
    check("/dev/pts/" in done.out and done.status == 4, repr(done))


def test_a_containerd_that_is_killed_finds_its_containers_again(containerd):
    equal(containerd.run("eight", "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.1; done", options=("--detach",)).status, 0)
    before = containerd.command("tasks", "list").out
    containerd.kill()
    containerd.start()
    equal(containerd.command("tasks", "list").out, before, "the same process runs on")
    done = containerd.command("tasks", "exec", "--exec-id", "x", "eight", "echo", "again")
    equal((done.status, done.out), (0, "again\n"), repr(done))
    equal(containerd.command("tasks", "kill", "eight").status, 0)
    wait_for(lambda: "STOPPED" in containerd.command("tasks", "list").out, "it stops")
    check("exit code 9" in containerd.command("tasks", "delete", "eight").err, "its status is kept")
    containerd.command("containers", "delete", "eight")
    wait_for(lambda: shims(containerd) == [], "its shim has gone")


def test_a_container_ends_while_containerd_is_away(containerd):
    equal(containerd.run("nine", "sh", "-c", "sleep 1; exit 5", options=("--detach",)).status, 0)
    containerd.kill()
    time.sleep(1.5)
    containerd.start()
    wait_for(lambda: "STOPPED" in containerd.command("tasks", "list").out, "it is known to have ended")
    check("exit code 5" in containerd.command("tasks", "delete", "nine").err, "its status is kept")
    containerd.command("containers", "delete", "nine")


def test_a_shim_that_is_killed(containerd):
    equal(containerd.run("ten", "sleep", "1000", options=("--detach",)).status, 0)
    victim, = wait_for(lambda: [s for s in [shims(containerd)] if len(s) == 1], "the shims of other tests have gone")[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: "ten" not in containerd.command("tasks", "list").out, "containerd cleans up")
    equal(containerd.command("containers", "delete", "ten").status, 0)
    # containerd forgets the task a moment after it has told of its end.
    wait_for(lambda: containerd.run("ten", "echo", "again", options=("--rm",)).out == "again\n", "its name is free")
