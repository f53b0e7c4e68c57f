"""Sandboxes that are started and ended, also killed at random moments, leave nothing: no process, mount, cgroup, file, memory."""
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time

import harness
from harness import check, equal

ROUNDS = int(os.environ.get("LEAK_ROUNDS", "20"))
SEED = int(os.environ.get("LEAK_SEED", "1"))


def slab_and_shared_kib():
    fields = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    return int(fields["Shmem"].split()[0])


def snapshot(place):
    return {
        "processes": harness.sandbox_processes(place.state),
        "mounts": harness.mounts_of(place),
        "cgroups": harness.cgroups(),
        "records": sorted(os.listdir(place.state)) if place.state.exists() else [],
        "temporary files": sorted(n for n in os.listdir(tempfile.gettempdir()) if n.startswith(place.path.name)),
    }


def limited(name):
    def change(config):
        config["linux"]["cgroupsPath"] = name
        config["linux"]["resources"] = {"pids": {"limit": 1000}}
    return change


def test_nothing_is_left(place):
    choose = random.Random(SEED)
    bundles = {kind: place.bundle(("/guest", *kind), limited(f"/cofferdam-leak-{os.getpid()}-{n}"))
               for n, kind in enumerate([("true",), ("fork-and-sleep",), ("spin",)])}
    before = snapshot(place)
    shared_before = slab_and_shared_kib()
    for round_number in range(ROUNDS):
        kind, way = choose.choice(list(bundles)), choose.choice(["end", "kill command", "kill sentry", "interrupt", "delete"])
        container = place.id()
        words = place.command("run", "--bundle", bundles[kind], container)
        run = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(choose.random() * choose.choice([0.01, 0.1, 0.3]))
        if way == "kill command":
            run.kill()
        elif way == "interrupt":
            run.send_signal(signal.SIGINT)
        elif way == "kill sentry":
            for pid, parent in harness.process_parents().items():
                try:
                    # Not the gofer: who kills both it and the command has to delete the record himself.
                    if parent == run.pid and harness.status_of(pid)["Name"].startswith("cofferdam-sentr"):
                        os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, FileNotFoundError):
                    pass
        elif way == "delete":
            place.run("delete", "--force", container)
        if way != "kill command":
            try:
                run.wait(0.5)
            except subprocess.TimeoutExpired:
                run.kill()
        try:
            run.wait(20)
        except subprocess.TimeoutExpired:
            run.kill()
            raise AssertionError(f"round {round_number} ({kind}, {way}): the command does not end") from None
        finally:
            place.run("delete", "--force", container)
        if round_number % 50 == 49:
            settle(place, before, round_number)
    settle(place, before, ROUNDS)
    shared = slab_and_shared_kib() - shared_before
    check(shared < 16 << 10, f"{shared} KiB of shared memory more than before")


def test_what_a_death_in_the_middle_left_is_no_record(place):
    """An empty directory stands where a removal was cut short, its gofer too: it can be deleted, and it blocks no id."""
    first, second = place.id(), place.id()
    for container in (first, second):
        (place.state / container).mkdir(parents=True)
    place.run("delete", "--force", first)
    check(not (place.state / first).exists(), "delete --force left the empty directory")
    bundle = place.bundle(("/guest", "true"))
    equal(place.run("run", "--bundle", bundle, second).status, 0, "run under an id whose directory is empty")
    check(not (place.state / second).exists(), "the record of the ended container is still there")


def settle(place, before, round_number):
    end = time.monotonic() + 10
    while (now := snapshot(place)) != before and time.monotonic() < end:
        time.sleep(0.1)
    for what in before:
        equal(now[what], before[what], f"after round {round_number}: {what}")
