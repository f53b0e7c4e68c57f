"""The same words to runc and to cofferdam: the same status and the same output."""
import json

import harness
from harness import check, equal


def both(place, args, change=None):
    found = []
    for runtime in (None, harness.RUNC):
        found.append(place.run("run", "--bundle", place.bundle(args, change), place.id(), runtime=runtime))
    return found


def same(place, args, change=None):
    ours, theirs = both(place, args, change)
    equal((ours.status, ours.out), (theirs.status, theirs.out), f"{args}: ours {ours}, runc's {theirs}")


def test_same_results(place):
    if not harness.RUNC:
        return "runc is not installed"
    for args in (("/guest", "true"), ("/guest", "exit", "3"), ("/guest", "echo", "x"), ("/guest", "env"), ("/guest", "ids"),
                 ("guest", "true"), ("/guest", "cat", "/proc/self/comm"), ("/guest", "tty")):
        same(place, args)


def test_same_with_a_user(place):
    if not harness.RUNC:
        return "runc is not installed"

    def change(config):
        config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5, 6]}
        config["process"]["env"] = ["PATH=/"]
    for args in (("/guest", "ids"), ("/guest", "env"), ("/guest", "write", "/denied")):
        same(place, args, change)


def test_same_refusals(place):
    if not harness.RUNC:
        return "runc is not installed"
    for args in (("/no/such",), ("nosuchprogram",), ("/proc",)):
        ours, theirs = both(place, args)
        equal((ours.status, ours.out), (theirs.status, theirs.out), f"{args}: ours {ours}, runc's {theirs}")


def test_same_state_members(place):
    if not harness.RUNC:
        return "runc is not installed"
    states = []
    for runtime in (None, harness.RUNC):
        container = place.id()
        done = place.run("create", "--bundle", place.bundle(("/guest", "sleep")), container, runtime=runtime)
        equal(done.status, 0, repr(done))
        states.append(json.loads(place.run("state", container, runtime=runtime).out))
        equal(place.run("start", container, runtime=runtime).status, 0)
        equal(json.loads(place.run("state", container, runtime=runtime).out)["status"], "running")
        equal(place.run("kill", container, "KILL", runtime=runtime).status, 0)
        place.wait_for(lambda: json.loads(place.run("state", container, runtime=runtime).out)["status"] == "stopped", "stopped")
        equal(place.run("delete", container, runtime=runtime).status, 0)
    ours, theirs = states
    check(set(ours) == set(theirs), f"ours {sorted(ours)}, runc's {sorted(theirs)}")
    equal(ours["status"], theirs["status"])
