"""Containers that live in another's sandbox: those of a pod, and those that share namespaces of one that runs."""
import contextlib
import json
import os
import signal
import time

import harness
from harness import check, equal

KINDS = ("pid", "network", "ipc", "uts", "mount")


def annotated(kind, sandbox=None, engine="containerd", paths=None, mounts=()):
    words = {"containerd": ("io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"),
             "crio": ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID")}[engine]

    def change(config):
        config["annotations"] = {words[0]: kind} | ({words[1]: sandbox} if sandbox else {})
        config["linux"]["namespaces"] = [{"type": k} | ({"path": paths[k]} if k in (paths or {}) else {}) for k in KINDS]
        config["mounts"] += list(mounts)
    return change


def create(place, args, change, container=None):
    container = container or place.id()
    done = place.run("create", "--bundle", place.bundle(args, change), container)
    equal(done.status, 0, f"create: {done}")
    return container


@contextlib.contextmanager
def pod(place, engine="containerd"):
    made = []

    def add(args=("/guest", "sleep"), start=True, **more):
        container = create(place, args, annotated("container", sandbox, engine, **more))
        made.append(container)
        if start:
            equal(place.run("start", container).status, 0, "start")
        return container

    sandbox = create(place, ("/guest", "sleep"), annotated("sandbox", engine=engine))
    made.append(sandbox)
    equal(place.run("start", sandbox).status, 0, "start of the sandbox")
    try:
        yield sandbox, add
    finally:
        for container in reversed(made):
            place.run("delete", "--force", container)


def test_a_container_joins_the_sandbox_of_its_pod(place):
    for engine in ("containerd", "crio"):
        with pod(place, engine) as (sandbox, add):
            before = harness.sandbox_processes(place.state)
            container = add()
            equal(place.status(container), "running")
            sentries = [p for p in harness.sandbox_processes(place.state)
                        if harness.status_of(p)["Name"].startswith("cofferdam-sentr")]
            equal(len(sentries), 1, f"one sentry for both; before: {before}")
            equal(place.run("exec", container, "/guest", "exit", "3").status, 3)
            listed = json.loads(place.run("list", "--format", "json").out)
            equal({c["id"]: c["status"] for c in listed}, {sandbox: "running", container: "running"})


def test_each_has_processes_of_its_own(place):
    with pod(place) as (sandbox, add):
        first, second = add(("/guest", "fork-and-sleep")), add()
        place.wait_for(lambda: len(place.run("ps", first).out.splitlines()) == 5, "four processes of the first, and a heading")
        equal(len(place.run("ps", second).out.splitlines()), 2, "the second sees its own")
        equal(len(place.run("ps", sandbox).out.splitlines()), 2, "the sandbox's container sees its own")
        equal(place.run("kill", "--all", first, "KILL").status, 0)
        place.wait_for(lambda: place.status(first) == "stopped", "the first ends")
        equal(place.status(second), "running")
        equal(place.status(sandbox), "running")


def test_the_end_of_one_is_its_own(place):
    with pod(place) as (sandbox, add):
        container = create(place, ("/guest", "trap"), annotated("container", sandbox))
        try:
            pid = place.pid(container)
            equal(place.run("start", container).status, 0)
            time.sleep(0.3)
            equal(place.run("kill", container, "TERM").status, 0)
            place.wait_for(lambda: place.status(container) == "stopped", "the container ends")
            check(not harness_alive(pid), "the process that stands for it is gone")
            equal(place.status(sandbox), "running")
        finally:
            equal(place.run("delete", container).status, 0)
        again = create(place, ("/guest", "sleep"), annotated("container", sandbox), container)
        equal(place.run("start", again).status, 0, "the id can be used again")
        equal(place.run("delete", "--force", again).status, 0)


def harness_alive(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return not harness.status_of(pid)["State"].startswith("Z")
    return False


def test_run_gives_the_exit_status(place):
    with pod(place) as (sandbox, _):
        for words, status in ((("/guest", "exit", "5"), 5), (("/guest", "true"), 0)):
            done = place.run("run", "--bundle", place.bundle(words, annotated("container", sandbox)), place.id())
            equal(done.status, status, f"{words}: {done}")
        done = place.run("run", "--bundle", place.bundle(("/nothing",), annotated("container", sandbox)), place.id())
        equal(done.status, 1)
        check("no such file" in done.err, done)
        equal(place.status(sandbox), "running")


def test_a_killed_command_leaves_nothing(place):
    with pod(place) as (sandbox, _):
        container = place.id()
        run = place.start("run", "--bundle", place.bundle(("/guest", "sleep"), annotated("container", sandbox)), container)
        place.wait_for(lambda: place.status(container) == "running", "it runs")
        run.send_signal(signal.SIGKILL)
        run.wait(20)
        place.wait_for(lambda: not (place.state / container).exists(), "the record is removed")
        equal(place.status(sandbox), "running")


def test_a_stand_in_that_is_killed_ends_its_container(place):
    with pod(place) as (sandbox, add):
        container = add(("/guest", "spin"))
        os.kill(place.pid(container), signal.SIGKILL)
        place.wait_for(lambda: place.status(container) == "stopped", "it is stopped")
        sentry = place.pid(sandbox)
        place.wait_for(lambda: len(harness.stubs_of(sentry)) <= 3, "its processes are gone")
        equal(place.status(sandbox), "running")


def test_the_end_of_the_sandbox_is_the_end_of_all(place):
    with pod(place) as (sandbox, add):
        container = add()
        equal(place.run("kill", sandbox, "KILL").status, 0)
        time.sleep(0.3)
        equal(place.status(container), "running", "the end of the pause container is not yet the others'")
        equal(place.run("delete", "--force", sandbox).status, 0)
        place.wait_for(lambda: place.status(container) == "stopped", "all end with their sandbox")
        equal(place.run("delete", container).status, 0)


def test_a_shared_host_name_and_an_own_one(place):
    with pod(place) as (sandbox, add):
        path = f"/proc/{place.pid(sandbox)}/ns/"

        def links(container):
            found = {}
            for kind in ("ipc", "uts", "net", "pid", "mnt"):
                done = place.run("exec", container, "/guest", "link", f"/proc/self/ns/{kind}")
                equal(done.status, 0, f"{kind}: {done}")
                found[kind] = done.out
            return found
        own, sharing, separate = links(sandbox), add(paths={"ipc": path + "ipc", "uts": path + "uts"}), add()
        shared, other = links(sharing), links(separate)
        for kind in ("ipc", "uts", "net"):
            equal(shared[kind], own[kind], kind)
        for kind in ("pid", "mnt"):
            check(shared[kind] != own[kind], f"{kind} is shared")
        equal(other["net"], own["net"])
        for kind in ("ipc", "uts", "pid", "mnt"):
            check(other[kind] not in (own[kind], shared[kind]), f"{kind} is shared")


def test_namespaces_alone_lead_to_the_sandbox(place):
    with place.running() as first:
        def change(config):
            config["linux"]["namespaces"][1]["path"] = f"/proc/{place.pid(first)}/ns/net"
        with place.running(change=change) as second:
            equal(place.run("exec", second, "/guest", "exit", "4").status, 4)
            equal(place.run("delete", "--force", first).status, 0)
            place.wait_for(lambda: place.status(second) == "stopped", "it ends with the container that it joined")


def test_what_cannot_be_joined_is_refused(place):
    with pod(place) as (sandbox, _):
        path = f"/proc/{place.pid(sandbox)}/ns/"
        done = place.run("create", "--bundle", place.bundle(change=annotated("container", sandbox, paths={"mount": path + "mnt"})),
                         place.id())
        equal(done.status, 1)
        check("cannot be joined" in done.err, done)
    done = place.run("create", "--bundle", place.bundle(change=annotated("container", paths={"ipc": "/proc/1/ns/ipc"})), place.id())
    equal(done.status, 1)
    check("of no container under this state root" in done.err, done)
