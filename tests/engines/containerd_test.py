"""ctr run: containerd's own shim for runc, with this runtime as its binary."""
from engines import check, equal, wait_for


def test_run_and_exit_status(containerd):
    done = containerd.run("one", "echo", "hello", options=("--rm",))
    equal((done.status, done.out), (0, "hello\n"), repr(done))
    equal(containerd.run("two", "sh", "-c", "exit 7", options=("--rm",)).status, 7)


def test_task_life(containerd):
    done = containerd.run("life", "sleep", "1000", options=("--detach",))
    equal(done.status, 0, repr(done))
    try:
        check("RUNNING" in containerd.command("tasks", "list").out, "running")
        done = containerd.command("tasks", "exec", "--exec-id", "x", "life", "sh", "-c", "echo inside; exit 3")
        equal((done.status, done.out), (3, "inside\n"), repr(done))
        equal(containerd.command("tasks", "pause", "life").status, 0)
        check("PAUSED" in containerd.command("tasks", "list").out, "paused")
        equal(containerd.command("tasks", "resume", "life").status, 0)
        done = containerd.command("tasks", "metrics", "life")
        check(done.status == 0 and "memory" in done.out, repr(done))
        done = containerd.command("tasks", "ps", "life")
        check(done.status == 0 and len(done.out.splitlines()) > 1, repr(done))
        equal(containerd.command("tasks", "kill", "-s", "SIGKILL", "life").status, 0)
        wait_for(lambda: "STOPPED" in containerd.command("tasks", "list").out, "stopped")
    finally:
        containerd.command("tasks", "delete", "--force", "life")
        containerd.command("containers", "delete", "life")


def test_options(containerd):
    shared = containerd.place.path / "ctr-shared"
    shared.mkdir(exist_ok=True)
    (shared / "in").write_text("from the host\n")
    done = containerd.run("opts", "sh", "-c", "echo $A; cat /data/in; echo x > /f", options=(
        "--rm", "--read-only", "--env", "A=b", "--mount", f"type=bind,src={shared},dst=/data,options=rbind:ro", "--memory-limit", "67108864"))
    equal(done.out, "b\nfrom the host\n", repr(done))
    check("Read-only" in done.err, repr(done))
    done = containerd.run("sec", "grep", "Seccomp:", "/proc/self/status", options=("--rm", "--seccomp"))
    equal(done.out.split()[1], "2", repr(done))
