"""podman run with this runtime, by way of conmon."""
import contextlib
import json

from engines import check, equal, wait_for


@contextlib.contextmanager
def running(podman, *words, command=("sleep", "1000"), **more):
    done = podman.run("-d", *words, "box:local", *command, **more)
    equal(done.status, 0, f"run -d: {done}")
    container = done.out.strip()
    try:
        yield container
    finally:
        podman.command("rm", "-f", "-t", "0", container)


def test_run_and_exit_status(podman):
    done = podman.run("--rm", "box:local", "echo", "hello")
    equal((done.status, done.out), (0, "hello\n"), repr(done))
    equal(podman.run("--rm", "box:local", "sh", "-c", "exit 7").status, 7)
    equal(podman.run("--rm", "box:local", "/no/such/program").status, 127)
    equal(podman.run("--rm", "box:local", "/etc").status, 126)


def test_detached_logs_exec_and_stop(podman):
    with running(podman, command=("sh", "-c", "echo out; trap 'exit 6' TERM; while :; do sleep 0.1; done")) as container:
        wait_for(lambda: podman.command("logs", container).out == "out\n", "its log")
        done = podman.command("exec", "-e", "A=b", container, "sh", "-c", "echo $A; cat /proc/1/comm; exit 3")
        equal((done.status, done.out), (3, "b\nsh\n"), repr(done))
        equal(podman.command("stop", "-t", "30", container).status, 0)
        equal(podman.command("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", container).out, "exited 6\n")


def test_terminal(podman):
    with running(podman) as container:
        words = " ".join(f"{k}={v}" for k, v in podman.env.items())
        done = podman.place.run(["script", "-qec", f"env {words} podman exec -it {container} sh -c 'tty; exit 4'", "/dev/null"])
        check("/dev/pts/" in done.out, repr(done))
        equal(done.status, 4, repr(done))


def test_pause_and_unpause(podman):
    with running(podman) as container:
        equal(podman.command("pause", container).status, 0)
        equal(podman.command("inspect", "-f", "{{.State.Status}}", container).out, "paused\n")
        equal(podman.command("unpause", container).status, 0)
        equal(podman.command("exec", container, "true").status, 0)


def test_volumes_and_read_only(podman):
    shared = podman.place.path / "podman-shared"
    shared.mkdir(exist_ok=True)
    (shared / "in").write_text("from the host\n")
    done = podman.run("--rm", "-v", f"{shared}:/data", "--read-only", "box:local", "sh", "-c", "cat /data/in; echo back > /data/out; echo x > /f; echo x > /run/f && echo run")
    equal(done.out, "from the host\nrun\n", repr(done))
    check("Read-only" in done.err, repr(done))
    equal((shared / "out").read_text(), "back\n")


def test_capabilities_seccomp_and_sysctl(podman):
    done = podman.run("--rm", "--cap-drop", "ALL", "box:local", "grep", "-E", "CapEff|Seccomp:", "/proc/self/status")
    equal(done.out.split(), ["CapEff:", "0000000000000000", "Seccomp:", "2"], repr(done))
    done = podman.run("--rm", "--sysctl", "kernel.shm_rmid_forced=0", "--sysctl", "kernel.msgmax=4000", "box:local", "cat", "/proc/sys/kernel/msgmax")
    equal(done.out, "4000\n", repr(done))


def test_limits_and_stats(podman):
    with running(podman, "-m", "100m", "--pids-limit", "200") as container:
        done = podman.command("stats", "--no-stream", "--format", "json", container)
        equal(done.status, 0, repr(done))
        check("104.9MB" in json.loads(done.out)[0]["mem_usage"], done.out)


def test_healthcheck_and_restart_by_hand(podman):
    with running(podman, "--health-cmd", "test -e /tmp/well", "--health-interval", "disable") as container:
        check(podman.command("healthcheck", "run", container).status != 0, "unwell")
        podman.command("exec", container, "touch", "/tmp/well")
        equal(podman.command("healthcheck", "run", container).status, 0)
        equal(podman.command("restart", "-t", "0", container).status, 0)
        equal(podman.command("exec", container, "echo", "again").out, "again\n")
