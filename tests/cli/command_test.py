"""The commands of a container's life."""
import json
import os
import pathlib
import signal
import subprocess

import harness
from harness import check, equal


def test_run_gives_the_exit_status(place):
    for status in (0, 1, 7, 255):
        equal(place.run("run", "--bundle", place.bundle(("/guest", "exit", str(status))), place.id()).status, status)


def test_run_passes_output_and_input(place):
    done = place.run("run", "--bundle", place.bundle(("/guest", "echo", "a b", "c")), place.id())
    equal((done.status, done.out), (0, "a b c\n"), repr(done))
    done = place.run("run", "--bundle", place.bundle(("/guest", "error", "wrong")), place.id())
    equal((done.status, done.err), (0, "wrong\n"), repr(done))
    source = place.path / "input"
    source.write_text("line\n" * 5000)
    with open(source) as stdin:
        done = place.run("run", "--bundle", place.bundle(("/guest", "cat")), place.id(), stdin=stdin)
    equal((done.status, done.out), (0, source.read_text()))


def test_process_is_as_the_specification_says(place):
    def change(config):
        config["process"]["user"] = {"uid": 1000, "gid": 1001}
        config["process"]["cwd"] = "/tmp"
    done = place.run("run", "--bundle", place.bundle(("/guest", "ids"), change), place.id())
    equal(done.out, "uid 1000 gid 1001 pid 1 host inside cwd /tmp\n", repr(done))


def test_environment(place):
    done = place.run("run", "--bundle", place.bundle(("/guest", "env")), place.id(), env={"SECRET": "of the host"})
    equal(sorted(done.out.split()), ["HOME=/", "PATH=/"], repr(done))


def test_read_only_root(place):
    def change(config):
        config["root"]["readonly"] = True
    done = place.run("run", "--bundle", place.bundle(("/guest", "write", "/file"), change), place.id())
    equal(done.status, 30, f"EROFS: {done}")


def test_writable_root_reaches_the_host(place):
    bundle = place.bundle(("/guest", "write", "/file"))
    equal(place.run("run", "--bundle", bundle, place.id()).status, 0)
    equal((bundle / "rootfs/file").read_text(), "x")


def test_memory_overlay_leaves_the_host_alone(place):
    bundle = place.bundle(("/guest", "write", "/file"))
    done = place.run("--overlay", "memory", "run", "--bundle", bundle, place.id())
    equal(done.status, 0, repr(done))
    check(not (bundle / "rootfs/file").exists(), "the host's root was written to")


def test_bind_mounts(place):
    shared = place.path / "shared"
    shared.mkdir(exist_ok=True)
    (shared / "file").write_text("from the host")

    def bound(option):
        def change(config):
            config["mounts"].append({"destination": "/shared", "type": "bind", "source": str(shared), "options": ["rbind", option]})
        return change
    done = place.run("run", "--bundle", place.bundle(("/guest", "cat", "/shared/file"), bound("ro")), place.id())
    equal((done.status, done.out), (0, "from the host"), repr(done))
    done = place.run("run", "--bundle", place.bundle(("/guest", "write", "/shared/new"), bound("ro")), place.id())
    equal(done.status, 30, f"EROFS: {done}")
    done = place.run("run", "--bundle", place.bundle(("/guest", "write", "/shared/new"), bound("rw")), place.id())
    equal(done.status, 0, repr(done))
    equal((shared / "new").read_text(), "x")


def test_create_start_kill_delete(place):
    container, bundle, pid_file = place.id(), place.bundle(("/guest", "sleep")), place.path / "pid"
    equal(place.run("create", "--bundle", bundle, "--pid-file", pid_file, container).status, 0)
    equal(place.status(container), "created")
    state = json.loads(place.run("state", container).out)
    equal(set(state), {"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"})
    equal((state["id"], state["bundle"], state["owner"]), (container, str(bundle), "root"))
    equal(int(pid_file.read_text()), state["pid"])
    equal(place.run("start", container).status, 0)
    equal(place.status(container), "running")
    check(place.run("start", container).status == 1, "a second start is refused")
    check(place.run("delete", container).status == 1, "a container that runs cannot be deleted")
    equal(place.run("kill", container, "KILL").status, 0)
    place.wait_for(lambda: place.status(container) == "stopped", "stopped")
    check(place.run("kill", container, "KILL").status == 1, "a container that has stopped cannot be signalled")
    equal(place.run("delete", container).status, 0)
    check(place.run("state", container).status == 1, "it is gone")


def test_delete_of_one_that_was_only_created(place):
    container = place.id()
    equal(place.run("create", "--bundle", place.bundle(("/guest", "sleep")), container).status, 0)
    equal(place.run("delete", container).status, 0)
    check(place.run("state", container).status == 1, "it is gone")


def test_delete_force(place):
    with place.running() as container:
        pid = place.pid(container)
        equal(place.run("delete", "--force", container).status, 0)
        check(not pathlib.Path(f"/proc/{pid}").exists() or harness.status_of(pid)["State"].startswith("Z"), "it was ended")
    equal(place.run("delete", "--force", "no-such").status, 0)


def test_signals_reach_init(place):
    for name, number in (("TERM", 15), ("SIGUSR1", 10), ("12", 12), ("hup", 1)):
        container = place.id()
        run = place.start("run", "--bundle", place.bundle(("/guest", "trap")), container, stdout=subprocess.PIPE)
        equal(run.stdout.readline(), b"ready\n")
        equal(place.run("kill", container, name).status, 0)
        equal(run.wait(20), number)


def test_run_passes_its_signals_on(place):
    run = place.start("run", "--bundle", place.bundle(("/guest", "trap")), place.id(), stdout=subprocess.PIPE)
    equal(run.stdout.readline(), b"ready\n")
    run.send_signal(signal.SIGTERM)
    equal(run.wait(20), signal.SIGTERM)


def test_kill_9_gives_137(place):
    container = place.id()
    run = place.start("run", "--bundle", place.bundle(("/guest", "trap")), container, stdout=subprocess.PIPE)
    equal(run.stdout.readline(), b"ready\n")
    equal(place.run("kill", container, "9").status, 0)
    equal(run.wait(20), 137)


def test_list(place):
    with place.running() as one, place.running() as two:
        equal(set(place.run("list", "--quiet").out.split()) & {one, two}, {one, two})
        rows = {r["id"]: r for r in json.loads(place.run("list", "--format", "json").out)}
        equal(rows[one]["status"], "running")
        table = place.run("list").out
        equal(table.split()[:6], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"])


def test_ps(place):
    with place.running(("/guest", "fork-and-sleep")) as container:
        place.wait_for(lambda: len(json.loads(place.run("ps", "-f", "json", container).out)) == 5, "the sentry, and a stub for each of four processes")
        equal(json.loads(place.run("ps", "--format", "json", container).out)[0], place.pid(container), "the sentry comes first")
        table = place.run("ps", container).out.splitlines()
        check("PID" in table[0] and len(table) == 5, table)


def test_a_command_that_is_killed_takes_the_sandbox_along(place):
    container = place.id()
    run = place.start("run", "--bundle", place.bundle(("/guest", "fork-and-sleep")), container)
    place.wait_for(lambda: place.status(container) == "running", "running")
    pid = place.pid(container)
    before = harness.stubs_of(pid)
    run.kill()
    run.wait()
    place.wait_for(lambda: not any(pathlib.Path(f"/proc/{p}").exists() for p in [pid, *before]), "every process is gone")
    place.wait_for(lambda: not (place.state / container).exists(), "the record is gone")


def test_strace_shows_every_call(place):
    def trace(*call):
        log = place.path / "strace-log"
        done = place.run("--strace", "--debug-log", log, "run", "--bundle", place.bundle(("/guest", "call", *map(str, call))), place.id())
        return done.out, log.read_text()

    out, text = trace(202, 8, 0, 1)  # a futex wait, which the host serves
    check(out == "errno 14\n" and "futex(0x8, 0, 1" in text and "= ? (the host's)" in text, out + text)
    check("write(" in text, text)
    text = trace(39)[1]  # which the stub answers at other times
    check("getpid() = 1" in text, text)


def test_detached_lives_on(place):
    with place.running() as container:
        equal(place.status(container), "running")


def test_run_keep(place):
    container = place.id()
    equal(place.run("run", "--keep", "--bundle", place.bundle(), container).status, 0)
    equal(place.status(container), "stopped")
    equal(place.run("delete", container).status, 0)


def test_preserve_fds(place):
    # A shell gives the command descriptor 3.
    words = " ".join(place.command("run", "--preserve-fds", "1", "--bundle",
                                   place.bundle(("/guest", "cat", "/proc/self/fd/3")), place.id()))
    (place.path / "third").write_text("third")
    done = subprocess.run(["sh", "-c", f"{words} 3<{place.path}/third"], capture_output=True, text=True, timeout=harness.TIMEOUT)
    equal((done.returncode, done.stdout), (0, "third"), done.stderr)


def test_hooks_see_the_state(place):
    seen = place.path / "hook-state"
    script = place.path / "hook"
    script.write_text(f"#!/bin/sh\ncat >> {seen}\necho >> {seen}\n")
    script.chmod(0o755)

    def change(config):
        config["hooks"] = {p: [{"path": str(script)}] for p in ("prestart", "createRuntime", "poststart", "poststop")}
    container = place.id()
    equal(place.run("run", "--bundle", place.bundle(("/guest", "true"), change), container).status, 0)
    states = [json.loads(line) for line in seen.read_text().split("\n") if line]
    equal([s["status"] for s in states], ["creating", "creating", "running", "stopped"])
    check(all(s["id"] == container for s in states), states)


def test_spec(place):
    directory = place.path / "spec"
    directory.mkdir(exist_ok=True)
    equal(place.run("spec", "--bundle", directory).status, 0)
    config = json.loads((directory / "config.json").read_text())
    equal(config["process"]["args"], ["sh"])
    check(place.run("spec", "--bundle", directory).status == 1, "it does not overwrite")


def test_version_features_and_help(place):
    check(place.run("--version").out.startswith("cofferdam version "), "version")
    check("CAP_KILL" in json.loads(place.run("features").out)["linux"]["capabilities"], "features")
    for command in ("run", "create", "start", "state", "kill", "delete", "exec", "ps", "list", "spec", "do", "features"):
        done = place.run(command, "--help")
        check(done.status == 0 and "Options:" in done.out and not done.err, f"{command}: {done}")


def test_do(place):
    bundle = place.bundle()
    root = bundle / "rootfs"
    equal(place.run("do", "--root", root, "--", "/guest", "exit", "5").status, 5)
    done = place.run("do", "--root", root, "--env", "A=1", "/guest", "env")
    check("A=1" in done.out.split(), repr(done))
    equal(place.run("do", "--root", root, "/guest", "write", "/file").status, 0)
    check(not (root / "file").exists(), "the host's directory was written to")
    done = place.run("do", "--root", root, "--cwd", "/tmp", "/guest", "ids")
    check("cwd /tmp" in done.out, repr(done))
    shared = place.path / "volume"
    shared.mkdir(exist_ok=True)
    equal(place.run("do", "--root", root, "--volume", f"{shared}:/v", "/guest", "write", "/v/x").status, 0)
    check((shared / "x").exists(), "a volume is shared")
    equal(place.run("do", "--root", root, "--volume", f"{shared}:/v:ro", "/guest", "write", "/v/y").status, 30)


def test_do_on_the_host_root_hides_the_host_kernel(place):
    done = place.run("do", "--cwd", "/", "--", "/bin/cat", "/proc/version")
    equal(done.status, 0, repr(done))
    check("cofferdam" in done.out and os.uname().release not in done.out, done.out)


def test_cgroup_limits_and_removal(place):
    if os.geteuid() != 0 or not os.path.isdir("/sys/fs/cgroup/pids"):
        return "no version 1 hierarchy to look at"
    name = f"/cofferdam-test-{os.getpid()}"

    def change(config):
        config["linux"]["cgroupsPath"] = name
        config["linux"]["resources"] = {"pids": {"limit": 500}, "memory": {"limit": 256 << 20}}
    with place.running(change=change) as container:
        equal(pathlib.Path(f"/sys/fs/cgroup/pids{name}/pids.max").read_text(), "500\n")
        check(str(place.pid(container)) in pathlib.Path(f"/sys/fs/cgroup/memory{name}/cgroup.procs").read_text().split(), "inside")
    check(not [c for c in harness.cgroups() if c.endswith(name)], "removed")


def test_an_option_given_again_replaces_the_first(place):
    done = place.run("--root", place.path / "elsewhere", "--root", place.state, "run", "--bundle", "/nonexistent", "--bundle", place.bundle(), place.id())
    equal(done.status, 0, repr(done))
