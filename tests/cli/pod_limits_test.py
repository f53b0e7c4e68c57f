"""What a container of a pod has of its own on the host: limits, counts, devices, pause; and what it may share: process ids."""
import json
import os
import pathlib
import time

import harness
from harness import check, equal
from pod_test import annotated, create, pod

MIB = 1 << 20


def limited(sandbox, name, paths=None, **resources):
    """A container of the pod with control groups of its own."""
    base = annotated("container", sandbox, paths=paths)

    def change(config):
        base(config)
        config["linux"]["cgroupsPath"] = group_path(name)
        config["linux"]["resources"] = resources
    return change


def group_path(name):
    return f"/cofferdam-pod-{os.getpid()}/{name}"


def read(name, *files):
    """The first of these (controller, file) that the host has."""
    for controller, file in files:
        for base in (f"/sys/fs/cgroup/{controller}", "/sys/fs/cgroup"):
            path = pathlib.Path(base + group_path(name)) / file
            if path.exists():
                return path.read_text()
    raise AssertionError(f"none of {files} in {group_path(name)}")


def run_in(place, sandbox, name, args, **resources):
    return place.run("run", "--bundle", place.bundle(args, limited(sandbox, name, **resources)), place.id())


def started(place, sandbox, name, args, **resources):
    container = create(place, args, limited(sandbox, name, **resources))
    equal(place.run("start", container).status, 0, "start")
    return container


def test_a_memory_limit_is_one_containers(place):
    with pod(place) as (sandbox, add):
        neighbour = add()
        limit = {"limit": 48 * MIB, "swap": 48 * MIB}
        # Init, which waits for the eater, tells of its end: sandbox, container and neighbour have survived.
        done = run_in(place, sandbox, "eater", ("/guest", "eat", "200"), memory=limit)
        equal((done.status, done.out), (0, "signal 9\n"), f"{done}")
        for container in (sandbox, neighbour):
            equal(place.run("exec", container, "/guest", "exit", "3").status, 3)
        done = run_in(place, sandbox, "free", ("/guest", "eat", "200"))
        equal((done.status, done.out), (0, "exit 0\n"), f"a container without a limit: {done}")


def test_an_end_for_want_of_memory_is_counted(place):
    with pod(place) as (sandbox, _):
        container = started(place, sandbox, "counted", ("/guest", "sleep"), memory={"limit": 48 * MIB, "swap": 48 * MIB})
        try:
            equal(place.run("exec", container, "/guest", "eat", "200").out, "signal 9\n")
            text = read("counted", ("memory", "memory.oom_control"), ("", "memory.events"))
            kills = dict(line.split() for line in text.splitlines())["oom_kill"]
            check(int(kills) >= 1, text)
        finally:
            equal(place.run("delete", "--force", container).status, 0)
        left = [c for c in os.listdir("/sys/fs/cgroup") if os.path.exists(f"/sys/fs/cgroup/{c}{group_path('counted')}")]
        equal(left, [], "control groups that are left")


def test_each_sees_the_limit_that_it_has(place):
    with pod(place) as (sandbox, _):
        for limit in (64, 96):
            done = run_in(place, sandbox, f"seen{limit}", ("/guest", "line", "/proc/meminfo", "MemTotal"), memory={"limit": limit * MIB})
            equal(done.out.split()[1], str(limit * 1024), repr(done))


def test_statistics_are_one_containers(place):
    with pod(place) as (sandbox, _):
        busy = started(place, sandbox, "busy", ("/guest", "spin"), memory={"limit": 64 * MIB})
        idle = started(place, sandbox, "idle", ("/guest", "sleep"), memory={"limit": 80 * MIB}, pids={"limit": 40})
        try:
            used = lambda container: json.loads(place.run("events", "--stats", container).out)["data"]
            place.wait_for(lambda: used(busy)["cpu"]["usage"]["total"] > 500_000_000, "half a second of CPU time is counted")
            stats = used(idle)
            check(stats["cpu"]["usage"]["total"] < 200_000_000, stats)
            equal((stats["memory"]["usage"]["limit"], stats["pids"]["limit"]), (80 * MIB, 40), stats)
            check(stats["pids"]["current"] >= 2, stats)
            hosts = json.loads(place.run("ps", "--format", "json", busy).out)
            equal(hosts[0], place.pid(busy))
            equal(len(hosts), 2, "what stands for it, and the process inside")
            equal(place.run("update", "--memory", 96 * MIB, "--pids-limit", 50, idle).status, 0)
            stats = used(idle)
            equal((stats["memory"]["usage"]["limit"], stats["pids"]["limit"]), (96 * MIB, 50), stats)
            equal(used(busy)["memory"]["usage"]["limit"], 64 * MIB)
        finally:
            for container in (busy, idle):
                place.run("delete", "--force", container)


def test_a_limit_of_processes_is_one_containers(place):
    with pod(place) as (sandbox, add):
        container = started(place, sandbox, "few", ("/guest", "sleep"), pids={"limit": 12})
        try:
            done = place.run("exec", container, "/guest", "forks", "30")
            equal(done.out, "Resource temporarily unavailable\n", f"{done}")
            equal(place.run("exec", add(), "/guest", "forks", "30").out, "30\n", "its neighbour has no such limit")
        finally:
            place.run("delete", "--force", container)


def test_one_is_paused_and_the_others_run_on(place):
    with pod(place) as (sandbox, add):
        bundles = [place.bundle(("/guest", "count", "/n"), annotated("container", sandbox)) for _ in range(2)]
        containers = [place.id() for _ in bundles]
        for bundle, container in zip(bundles, containers):
            equal(place.run("run", "--detach", "--bundle", bundle, container).status, 0)
        size = lambda n: (bundles[n] / "rootfs/n").stat().st_size if (bundles[n] / "rootfs/n").exists() else 0
        try:
            place.wait_for(lambda: size(0) and size(1), "both count")
            equal(place.run("pause", containers[0]).status, 0)
            equal([place.status(c) for c in (*containers, sandbox)], ["paused", "running", "running"])
            time.sleep(0.2)  # one write may be under way
            still, other = size(0), size(1)
            place.wait_for(lambda: size(1) > other + 2, "the other counts on")
            equal(size(0), still, "the paused one stands still")
            check("paused" in place.run("exec", containers[0], "/guest", "true").err, "exec is refused")
            equal(place.run("exec", containers[1], "/guest", "exit", "4").status, 4)
            equal(place.run("pause", sandbox).status, 0)
            late = add(("/guest", "sleep"))
            equal(place.status(late), "running", "one that joins a sandbox whose first is paused")
            equal(place.run("resume", sandbox).status, 0)
            equal(place.run("resume", containers[0]).status, 0)
            place.wait_for(lambda: size(0) > still, "it counts on")
            equal(place.run("pause", containers[0]).status, 0)
            equal(place.run("kill", containers[0], "KILL").status, 0)
            place.wait_for(lambda: place.status(containers[0]) == "stopped", "a paused one can be killed")
        finally:
            for container in containers:
                place.run("delete", "--force", container)


def test_devices_are_one_containers(place):
    def rules(allow):
        def change(config):
            annotated("container", names[0])(config)
            config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}, {"allow": allow, "type": "c", "major": 10, "minor": 229, "access": "rwm"}]}
            config["linux"]["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]
        return change
    names = []
    with pod(place) as (sandbox, _):
        names.append(sandbox)
        for allow in (True, False):
            done = place.run("run", "--bundle", place.bundle(("/guest", "open", "/dev/fuse"), rules(allow)), place.id())
            equal(done.out != "errno 1\n", allow, f"{done}")


def test_process_ids_that_are_shared(place):
    with pod(place) as (sandbox, add):
        path = {"pid": f"/proc/{place.pid(sandbox)}/ns/pid"}
        first, second, own = add(("/guest", "fork-and-sleep"), paths=path), add(paths=path), add()
        links = [place.run("exec", c, "/guest", "link", "/proc/self/ns/pid").out for c in (sandbox, first, second, own)]
        equal(links[1:3], [links[0]] * 2)
        check(links[3] != links[0], "one without the path has process ids of its own")
        place.wait_for(lambda: len(place.run("ps", first).out.splitlines()) == 5, "four processes of the first, and a heading")
        equal(len(place.run("ps", second).out.splitlines()), 2, "ps tells of one container")
        inits = {int(line.split()[1]) for c in (sandbox, first, second) for line in place.run("ps", c).out.splitlines()[1:]}
        equal(len(inits), 6, "numbers of one space")
        check(1 in inits, "the sandbox's own is the first")
        seen = place.run("exec", second, "/guest", "list", "/proc").out.split()
        check(inits <= {int(n) for n in seen if n.isdigit()}, f"{inits} in {seen}")
        check(place.run("exec", own, "/guest", "list", "/proc").out.split().count("1") == 1, "its own init")
        equal(place.run("kill", "--all", first, "KILL").status, 0)
        place.wait_for(lambda: place.status(first) == "stopped", "the first ends")
        equal([place.status(c) for c in (sandbox, second, own)], ["running"] * 3)
        equal(place.run("wait", first).status, 1)


def test_what_init_leaves_ends_with_its_container(place):
    with pod(place) as (sandbox, add):
        path = {"pid": f"/proc/{place.pid(sandbox)}/ns/pid"}
        done = place.run("run", "--bundle", place.bundle(("/guest", "leave-child"), annotated("container", sandbox, paths=path)), place.id())
        equal(done.status, 7, f"{done}")
        numbers = [n for n in place.run("exec", sandbox, "/guest", "list", "/proc").out.split() if n.isdigit()]
        state = lambda n: place.run("exec", sandbox, "/guest", "line", f"/proc/{n}/status", "State").out
        # The sandbox's init, to which the child has gone, does not wait for it.
        place.wait_for(lambda: not [n for n in numbers if n != "1" and state(n) and "Z" not in state(n)], "its child has ended")
        equal(place.run("run", "--bundle", place.bundle(("/guest", "trap"), annotated("container", sandbox, paths=path)), "--detach", name := place.id()).status, 0)
        time.sleep(0.3)
        equal(place.run("kill", name, "USR2").status, 0, "a signal to an init that is not process 1")
        place.wait_for(lambda: place.status(name) == "stopped", "it took the signal")
        place.run("delete", "--force", name)
