"""--network host: the container's sockets are the host's, in the network namespace that the specification names."""
import os
import pathlib
import subprocess
import sys

import harness
from harness import check, equal
from network_test import ANSWER, INSIDE, OUTSIDE, hook_that_makes_the_network, in_namespace, ip, python, talk, two_namespaces
from posture_test import KEPT

HOST = ("--network", "host")


def with_capabilities(*names, also=None):
    def change(config):
        if also:
            also(config)
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind] = list(names)
    return change


def brokers():
    """Processes that are the brokers of somebody's sockets, as far as they are this machine's."""
    found = set()
    for entry in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if entry.read_text() == "cofferdam-ports\n" and (entry.parent / "stat").read_text().split()[2] != "Z":
                found.add(int(entry.parent.name))
        except OSError:
            continue
    return found


def broker_of(place, container):
    """The broker of one sandbox: it is in the sandbox's network namespace."""
    space = os.readlink(f"/proc/{place.pid(container)}/ns/net")
    return [pid for pid in brokers() if os.readlink(f"/proc/{pid}/ns/net") == space]


def test_the_sockets_are_the_hosts(place):
    """Connections both ways, while the addresses stay the host's kernel's."""
    with two_namespaces(place) as (outside, inside):
        container = place.id()
        bundle = place.bundle(("/guest", "net-echo", "5000"), in_namespace(inside))
        equal(place.run(*HOST, "run", "--detach", "--bundle", bundle, container).status, 0, "the container starts")
        try:
            place.wait_for(lambda: ":5000" in subprocess.run(["ip", "netns", "exec", inside, "ss", "-ltn"], capture_output=True, text=True).stdout, "a listener")
            talk(outside, INSIDE)
            check(INSIDE in ip("-n", inside, "address"), "the address is still the host's")
        finally:
            place.run("delete", "--force", container)


def test_a_container_reaches_the_outside(place):
    with two_namespaces(place) as (outside, inside):
        server = python(outside, ANSWER, OUTSIDE)
        equal(server.stdout.readline(), "ready\n", "the server")
        done = place.run(*HOST, "run", "--bundle", place.bundle(("/guest", "net-fetch", OUTSIDE, "5002"), in_namespace(inside)), place.id())
        server.wait(harness.TIMEOUT)
        equal(done.out, "HELLO\n", repr(done))


def test_do_is_in_the_callers_namespace(place):
    with two_namespaces(place) as (_, inside):
        words = place.command(*HOST, "do", "--", "/usr/bin/python3", "-c", "import socket; print(socket.if_nameindex())")
        done = subprocess.run(["ip", "netns", "exec", inside, *words], capture_output=True, text=True, timeout=harness.TIMEOUT)
        check("eth0" in done.stdout, repr(done))


def test_a_namespace_of_its_own_has_a_loopback(place):
    """Without a path the specification wants a new one."""
    done = place.run(*HOST, "run", "--bundle", place.bundle(("/guest", "net-fetch", "127.0.0.1", "5003")), place.id())
    equal(done.out, "errno 111\n", repr(done))


def test_hooks_make_the_network(place):
    with two_namespaces(place) as (outside, inside):
        server = python(outside, ANSWER, OUTSIDE)
        equal(server.stdout.readline(), "ready\n", "the server")
        done = place.run(*HOST, "run", "--bundle", place.bundle(("/guest", "net-fetch", OUTSIDE, "5002"), hook_that_makes_the_network(place, inside)), place.id())
        server.wait(harness.TIMEOUT)
        equal(done.out, "HELLO\n", repr(done))


def test_reserved_ports_and_raw_sockets_as_the_configuration_gives(place):
    with two_namespaces(place) as (_, inside):
        for names, port, raw in ((["CAP_NET_BIND_SERVICE"], "bound", "Operation not permitted"),
                                 (["CAP_NET_RAW"], "Permission denied", "raw"), (["CAP_KILL"], "Permission denied", "Operation not permitted")):
            for words, wanted in ((("net-bind", "80"), port), (("net-raw",), raw)):
                change = with_capabilities(*names, also=in_namespace(inside))
                done = place.run(*HOST, "run", "--bundle", place.bundle(("/guest", *words), change), place.id())
                equal(done.out, wanted + "\n", f"{names} {words}: {done!r}")


def test_the_broker_ends_with_the_sandbox(place):
    with two_namespaces(place) as (_, inside):
        container = place.id()
        change = with_capabilities("CAP_NET_BIND_SERVICE", also=in_namespace(inside))
        equal(place.run(*HOST, "run", "--detach", "--bundle", place.bundle(("/guest", "sleep"), change), container).status, 0, "it starts")
        found = broker_of(place, container)
        equal(len(found), 1, "a broker")
        os.kill(place.pid(container), 9)
        place.wait_for(lambda: not brokers() & set(found), "the broker is gone", 5)
        place.run("delete", "--force", container)


def test_posture(place):
    """The sentry has no more privileges than elsewhere; the broker has those of the configuration, and few system calls."""
    with two_namespaces(place) as (_, inside):
        container = place.id()
        change = with_capabilities("CAP_NET_BIND_SERVICE", "CAP_KILL", also=in_namespace(inside))
        equal(place.run(*HOST, "run", "--detach", "--bundle", place.bundle(("/guest", "sleep"), change), container).status, 0, "it starts")
        try:
            sentry = harness.status_of(place.pid(container))
            check(int(sentry["CapEff"], 16) & ~KEPT == 0, f"capabilities {sentry['CapEff']}")
            check(os.readlink(f"/proc/{place.pid(container)}/ns/user") != os.readlink("/proc/self/ns/user"), "a user namespace of its own")
            (pid,) = broker_of(place, container)
            broker = harness.status_of(pid)
            equal(int(broker["CapEff"], 16), 1 << 10, "CAP_NET_BIND_SERVICE alone")
            equal((broker["NoNewPrivs"], broker["Seccomp"]), ("1", "2"), "its jail")
            equal(len(os.listdir(f"/proc/{pid}/fd")), 1, "its descriptors")
        finally:
            place.run("delete", "--force", container)


def test_the_bypass_changes_nothing_of_the_hosts(place):
    """Addresses, routes and settings are the host's: NETLINK_ROUTE tells, and does not change."""
    program = """
import os, socket
try:
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    s.send(bytes([24, 0, 0, 0, 21, 0, 5, 0]) + bytes(16))  # RTM_DELADDR
    print("sent")
except OSError as e:
    print(e.errno)
try:
    os.write(os.open("/proc/sys/net/ipv4/ip_forward", os.O_WRONLY), b"1\\n")
    print("written")
except OSError as e:
    print(e.errno)
"""
    with two_namespaces(place) as (_, inside):
        words = place.command(*HOST, "do", "--", sys.executable, "-c", program)
        done = subprocess.run(["ip", "netns", "exec", inside, *words], capture_output=True, text=True, timeout=harness.TIMEOUT)
        equal(done.stdout, "1\n1\n", repr(done))
