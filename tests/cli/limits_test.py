"""Limits, what is used, pause, update, wait: the commands about a container that runs."""
import json
import os
import pathlib
import re
import subprocess
import time

import harness
from harness import check, equal

MIB = 1 << 20


def limited(**resources):
    def change(config):
        config["linux"]["cgroupsPath"] = f"/cofferdam-test-{os.getpid()}/{time.monotonic_ns()}"
        config["linux"]["resources"] = resources
        config["mounts"].append({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1g"]})
    return change


def test_memory_limit_ends_the_eater(place):
    for runtime in place.runtimes():
        bundle = place.bundle(("/guest", "eat", "200"), limited(memory={"limit": 48 * MIB, "swap": 48 * MIB}))
        done = place.run("run", "--bundle", bundle, place.id(), runtime=runtime)
        # Init, which waits for the eater, tells of its end: the sandbox has survived.
        equal((done.status, done.out), (0, "signal 9\n"), f"{runtime}: {done}")


def test_memory_limit_is_seen_inside(place):
    done = place.run("run", "--bundle", place.bundle(("/guest", "line", "/proc/meminfo", "MemTotal"), limited(memory={"limit": 64 * MIB})), place.id())
    equal(done.out.split()[1], str(64 * 1024), repr(done))


def test_update_changes_limits(place):
    for runtime in place.runtimes():
        container = place.id()
        bundle = place.bundle(("/guest", "sleep"), limited(memory={"limit": 64 * MIB}, pids={"limit": 100}))
        equal(place.run("run", "--detach", "--bundle", bundle, container, runtime=runtime).status, 0)
        # As the kernel tells it: runc's own events want more hierarchies than some machines have.
        relative = json.loads((bundle / "config.json").read_text())["linux"]["cgroupsPath"]

        def value(controller, name):
            for base in ("/sys/fs/cgroup/" + controller, "/sys/fs/cgroup"):
                for file in name:
                    if os.path.exists(f"{base}{relative}/{file}"):
                        return int(pathlib.Path(f"{base}{relative}/{file}").read_text())
            raise AssertionError(f"no {name} of {relative}")
        memory = lambda: value("memory", ("memory.limit_in_bytes", "memory.max"))
        try:
            done = place.run("update", "--memory", 96 * MIB, "--pids-limit", "50", container, runtime=runtime)
            equal(done.status, 0, f"{runtime}: {done}")
            equal((memory(), value("pids", ("pids.max",))), (96 * MIB, 50), str(runtime))
            file = place.path / "resources.json"
            file.write_text(json.dumps({"memory": {"limit": 80 * MIB}, "cpu": {"shares": 500}}))
            equal(place.run("update", "--resources", file, container, runtime=runtime).status, 0)
            equal(memory(), 80 * MIB, str(runtime))
            if runtime is None:
                stats = json.loads(place.run("events", "--stats", container).out)["data"]
                equal((stats["memory"]["usage"]["limit"], stats["pids"]["limit"]), (80 * MIB, 50), stats)
        finally:
            place.run("delete", "--force", container, runtime=runtime)


def test_stats_of_a_container(place):
    container = place.id()
    equal(place.run("run", "--detach", "--bundle", place.bundle(("/guest", "spin"), limited(memory={"limit": 64 * MIB})), container).status, 0)
    try:
        used = lambda: json.loads(place.run("events", "--stats", container).out)["data"]
        first = used()["cpu"]["usage"]["total"]
        place.wait_for(lambda: used()["cpu"]["usage"]["total"] > first, "CPU time is counted")
        stats = used()
        check(0 < stats["memory"]["usage"]["usage"] < 64 * MIB, stats)
        check(stats["pids"]["current"] >= 2, stats)
    finally:
        place.run("delete", "--force", container)


def test_pause_and_resume(place):
    for runtime in place.runtimes():
        container = place.id()
        bundle = place.bundle(("/guest", "count", "/n"), limited(memory={"limit": 64 * MIB}))
        number = lambda: (bundle / "rootfs/n").stat().st_size if (bundle / "rootfs/n").exists() else 0
        state = lambda: json.loads(place.run("state", container, runtime=runtime).out)["status"]
        equal(place.run("run", "--detach", "--bundle", bundle, container, runtime=runtime).status, 0)
        try:
            place.wait_for(number, f"{runtime}: it counts")
            equal(place.run("pause", container, runtime=runtime).status, 0)
            equal(state(), "paused", str(runtime))
            time.sleep(0.2)  # one write may be under way
            last = number()
            time.sleep(0.3)
            equal(number(), last, f"{runtime}: it stands still")
            if runtime is None:
                check("paused" in place.run("exec", container, "/guest", "true").err, "exec is refused")
                check(place.run("pause", container).status != 0, "paused already")
            equal(place.run("resume", container, runtime=runtime).status, 0)
            equal(state(), "running", str(runtime))
            place.wait_for(lambda: number() > last, f"{runtime}: it counts on")
        finally:
            place.run("delete", "--force", container, runtime=runtime)


def test_a_paused_container_can_be_killed(place):
    with place.running() as container:
        equal(place.run("pause", container).status, 0)
        equal(place.run("kill", container, "KILL").status, 0)
        place.wait_for(lambda: place.status(container) == "stopped", "it ends")


def test_pause_of_blocked_and_of_many(place):
    with place.running(("/guest", "fork-and-sleep")) as container:
        for _ in range(20):
            equal(place.run("pause", container).status, 0)
            equal(place.status(container), "paused")
            equal(place.run("resume", container).status, 0)
        equal(place.run("exec", container, "/guest", "echo", "alive").out, "alive\n")


def is_blocked_on_socket(pid):
    """Whether the process sleeps in a call that receives from a socket (proc_pid_syscall(5))."""
    receives = {0, 7, 45, 47, 271}  # read, poll, recvfrom, recvmsg, ppoll
    try:
        call = pathlib.Path(f"/proc/{pid}/syscall").read_text().split()
        has_socket = any(os.readlink(fd).startswith("socket:") for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # a descriptor was closed meanwhile
        return False
    return call[0].isdigit() and int(call[0]) in receives and has_socket


def test_wait_gives_the_status(place):
    container = place.id()
    equal(place.run("create", "--bundle", place.bundle(("/guest", "trap")), container).status, 0)
    check("not been started" in place.run("wait", container).err, "wait before start")
    equal(place.run("start", container).status, 0)
    waiting = place.start("wait", container)
    place.wait_for(lambda: is_blocked_on_socket(waiting.pid), "the command waits")
    place.wait_for(lambda: place.run("kill", container, "USR1").status or place.status(container) == "stopped", "it ends")
    equal(waiting.wait(harness.TIMEOUT), 10)
    place.run("delete", "--force", container)


def test_ps_json_gives_host_processes(place):
    with place.running(("/guest", "fork-and-sleep")) as container:
        place.wait_for(lambda: len(place.run("ps", container).out.splitlines()) == 5, "init and three children")
        pids = json.loads(place.run("ps", "--format", "json", container).out)
        equal(pids[0], place.pid(container))
        check(len(pids) == 5 and all(pathlib.Path(f"/proc/{p}").exists() for p in pids), pids)


def test_install_and_uninstall(place):
    file = place.path / "engine" / "daemon.json"
    equal(place.run("install", "--config", file, "--runtime-arg=--debug").status, 0)
    entry = json.loads(file.read_text())["runtimes"]["cofferdam"]
    equal(entry, {"path": os.path.realpath(harness.COFFERDAM), "runtimeArgs": ["--debug"]})
    file.write_text(json.dumps({"data-root": "/x", "runtimes": {"other": {"path": "/y"}}}))
    equal(place.run("install", "--config", file).status, 0)
    equal(place.run("uninstall", "--config", file).status, 0)
    equal(json.loads(file.read_text()), {"data-root": "/x", "runtimes": {"other": {"path": "/y"}}})
    for engine in ("containerd", "crio"):
        file = place.path / "engine" / engine
        file.write_text("# mine\n")
        for _ in range(2):
            equal(place.run("install", "--engine", engine, "--config", file).status, 0)
        equal(file.read_text().count("runtimes.cofferdam]"), 1, file.read_text())
        equal(place.run("uninstall", "--engine", engine, "--config", file).status, 0)
        equal(file.read_text(), "# mine\n")
    for words in (("--engine", "moon"), ("--name", "a b"), ("word",)):
        equal(place.run("install", "--config", place.path / "nothing", *words).status, 1)
    check(not (place.path / "nothing").exists(), "nothing is written")


def test_completion_names_every_command(place):
    for shell in ("bash", "zsh", "fish"):
        text = place.run("completion", shell).out
        for command in ("create", "pause", "completion", "wait"):
            check(command in text, f"{shell}: {command}")
    equal(place.run("completion", "moon").status, 1)


def test_every_command_has_a_manual(place):
    for command in ("", *place.run("completion", "words").out.split()):
        words = [harness.COFFERDAM, command] if command else [harness.COFFERDAM]
        page, usage = (subprocess.run([*words, word], capture_output=True, text=True, timeout=harness.TIMEOUT).stdout
                       for word in ("--manual", "--help"))
        check(page.startswith(".TH cofferdam"), f"{command}: {page[:80]}")
        for option in re.findall(r"--[a-z][a-z-]+", usage.split("Options:", 1)[-1].split("\n\n")[0]):
            check(option.replace("-", "\\-") in page, f"{command}: the manual has no {option}")


def test_strace_of_a_sandbox_that_runs(place):
    def lines():
        return log.read_text().splitlines() if log.exists() else []
    with place.running(("/guest", "count", "/n")) as container, place.running(("/guest", "sleep")) as silent:
        log = place.path / "strace-later"
        refused = place.run("debug", "--strace", "on", container)
        check(refused.status == 1 and "--debug-log" in refused.err, f"{refused}")
        equal(place.run("--debug-log", log, "debug", "--strace", "on", container).status, 0)
        place.wait_for(lambda: sum("write(" in line for line in lines()) > 20, "calls are logged")
        check(any("nanosleep" in line for line in lines()), "all kinds of calls")
        equal(place.run("exec", container, "/guest", "echo", "traced-word").status, 0)
        place.wait_for(lambda: any("] write(" in line and "[    1]" not in line for line in lines()), "calls of a process that came later")
        equal(place.run("debug", "--strace", "off", container).status, 0)
        time.sleep(0.2)
        before = len(lines())
        time.sleep(0.3)
        equal(len(lines()), before, "no call is logged any more")
        check(place.status(container) == "running" and place.status(silent) == "running", "both run on")
        equal(place.run("debug", "--strace", "moon", container).status, 1)


def test_strace_sees_what_was_answered_without_the_kernel(place):
    """Reads of /dev/zero and getpid are answered where the guest runs, until somebody wants to see them."""
    with place.running(("/guest", "read-zeros")) as container:
        log = place.path / "strace-served"
        time.sleep(0.3)
        equal(place.run("--debug-log", log, "debug", "--strace", "on", container).status, 0)
        count = lambda call: sum(call in line for line in log.read_text().splitlines())
        place.wait_for(lambda: count("read(") > 50 and count("getpid(") > 50, "they are logged")
        equal(place.run("debug", "--strace", "off", container).status, 0)
        equal(place.status(container), "running")


def test_debug_lists_tasks(place):
    with place.running(("/guest", "fork-and-sleep")) as container:
        place.wait_for(lambda: place.run("debug", "--tasks", container).out.count("\n") == 5, "init and three children")
        equal(place.run("debug", "--log-level", "debug", container).status, 0)
        equal(place.run("debug", "--log-level", "moon", container).status, 1)
        equal(place.run("debug", container).status, 1)
