"""The network of a container: the interfaces of its namespace, as the engine has made them. The other side is a namespace too."""
import contextlib
import json
import os
import subprocess
import sys

import harness
from harness import check, equal

OUTSIDE, INSIDE = "10.213.0.1", "10.213.0.2"
OUTSIDE6, INSIDE6 = "fd13::1", "fd13::2"

# Run outside. Echoes of streams and datagrams come back as they went.
TALK = """
import hashlib, os, socket, sys, threading
address, port = sys.argv[1], 5000
block = os.urandom(1 << 16)
for size in (1, 1000, 8 << 20):
    stream = socket.create_connection((address, port), timeout=30)
    sent, came = hashlib.md5(), hashlib.md5()
    def send():
        left = size
        while left:
            piece = block[:left]
            stream.sendall(piece)
            sent.update(piece)
            left -= len(piece)
        stream.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    total = 0
    while piece := stream.recv(1 << 16):
        came.update(piece)
        total += len(piece)
    sender.join()
    assert (total, came.digest()) == (size, sent.digest()), (total, size)
datagrams = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
datagrams.settimeout(5)
for size in (0, 1, 1472, 4000, 30000):
    datagrams.sendto(block[:size], (address, port))
    assert datagrams.recv(65536) == block[:size], size
print("all came back")
"""

# Run outside: answers one connection.
ANSWER = """
import socket, sys
listener = socket.create_server((sys.argv[1], 5002))
print("ready", flush=True)
stream, _ = listener.accept()
stream.sendall(stream.recv(100).upper())
"""


def ip(*words):
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True)
    equal(done.returncode, 0, f"ip {words}: {done.stderr}")
    return done.stdout


# Run outside: a router's advertisement of a prefix, and then a connection to the address that the other side makes of it.
ADVERTISE = """
import ipaddress, socket, struct, sys, time
prefix, address = sys.argv[1:]
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("veth"))
message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
message += struct.pack("!BBBBIII16s", 3, 4, 64, 0xc0, 3600, 1800, 0, ipaddress.ip_address(prefix).packed)
for _ in range(100):
    s.sendto(message, ("ff02::1%veth", 0))
    try:
        socket.create_connection((address, 5000), timeout=0.3).close()
        print("there")
        break
    except OSError:
        time.sleep(0.1)
"""


@contextlib.contextmanager
def two_namespaces(place):
    """Names of namespaces with a link between them: outside, and what a container shall have as eth0."""
    place.count += 1
    names = [f"cf-{os.getpid()}-{place.count}-{end}" for end in ("out", "in")]
    made = []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", names[0], "link", "add", "veth", "type", "veth", "peer", "name", "eth0", "netns", names[1])
        addresses = ((OUTSIDE, OUTSIDE6), (INSIDE, INSIDE6))
        for name, link, (four, six) in zip(names, ("veth", "eth0"), addresses):
            ip("-n", name, "address", "add", f"{four}/24", "dev", link)
            ip("-n", name, "address", "add", f"{six}/64", "dev", link, "nodad")
            ip("-n", name, "link", "set", link, "up")
        ip("-n", names[1], "route", "add", "default", "via", OUTSIDE)
        yield names
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def in_namespace(name):
    def change(config):
        for space in config["linux"]["namespaces"]:
            if space["type"] == "network":
                space["path"] = f"/run/netns/{name}"
    return change


def python(namespace, program, *words, **more):
    return subprocess.Popen(["ip", "netns", "exec", namespace, sys.executable, "-c", program, *words], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def talk(namespace, address):
    process = python(namespace, TALK, address)
    out, errors = process.communicate(timeout=harness.TIMEOUT)
    equal(out, "all came back\n", f"{address}: {errors}")


@contextlib.contextmanager
def echo(place, change, runtime=None):
    container = place.id()
    process = subprocess.Popen(place.command("run", "--bundle", place.bundle(("/guest", "net-echo", "5000"), change), container, runtime=runtime),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        equal(process.stdout.readline(), b"ready\n")
        yield
    finally:
        place.run("kill", container, "KILL", runtime=runtime)
        process.wait(harness.TIMEOUT)
        place.run("delete", "--force", container, runtime=runtime)


def test_data_goes_both_ways(place):
    for runtime in place.runtimes():
        with two_namespaces(place) as (outside, inside), echo(place, in_namespace(inside), runtime):
            talk(outside, INSIDE)
            talk(outside, INSIDE6)


def test_the_container_reaches_out(place):
    for runtime in place.runtimes():
        with two_namespaces(place) as (outside, inside):
            server = python(outside, ANSWER, OUTSIDE)
            equal(server.stdout.readline(), "ready\n")
            done = place.run("run", "--bundle", place.bundle(("/guest", "net-fetch", OUTSIDE, "5002"), in_namespace(inside)), place.id(), runtime=runtime)
            server.wait(harness.TIMEOUT)
            equal(done.out, "HELLO\n", repr(done))


def test_a_closed_port_refuses(place):
    for runtime in place.runtimes():
        with two_namespaces(place) as (_, inside):
            done = place.run("run", "--bundle", place.bundle(("/guest", "net-fetch", OUTSIDE, "5003"), in_namespace(inside)), place.id(), runtime=runtime)
            equal(done.out, "errno 111\n", repr(done))


def test_the_default_route_is_there(place):
    for runtime in place.runtimes():
        with two_namespaces(place) as (_, inside):
            done = place.run("run", "--bundle", place.bundle(("/guest", "cat", "/proc/net/route"), in_namespace(inside)), place.id(), runtime=runtime)
            routes = {tuple(line.split()[:3]) for line in done.out.splitlines()[1:]}
            equal(routes, {("eth0", "00000000", "0100D50A"), ("eth0", "0000D50A", "00000000")}, repr(done))


def test_an_address_of_an_advertised_prefix_is_taken(place):
    for runtime in place.runtimes():
        with two_namespaces(place) as (outside, inside):
            ip("-n", outside, "address", "add", "fd77::1/64", "dev", "veth", "nodad")
            hardware = json.loads(ip("-j", "-n", inside, "link", "show", "eth0"))[0]["address"].split(":")
            first = f"{int(hardware[0], 16) ^ 2:02x}"
            address = f"fd77::{first}{hardware[1]}:{hardware[2]}ff:fe{hardware[3]}:{hardware[4]}{hardware[5]}"
            with echo(place, in_namespace(inside), runtime):
                process = python(outside, ADVERTISE, "fd77::", address)
                out, errors = process.communicate(timeout=harness.TIMEOUT)
                equal(out, "there\n", f"{address}: {errors}")
                talk(outside, address)
                if runtime is None:  # the host's kernel has left the link to the sandbox
                    equal(json.loads(ip("-j", "-n", inside, "address", "show", "dev", "eth0"))[0]["addr_info"], [])


def hook_that_makes_the_network(place, inside):
    """A change of the configuration: the hook puts the interface into the namespace of the process that it is told."""
    hook = place.path / "network-hook"
    hook.write_text(f"""#!/bin/sh
set -e
pid=$(sed 's/.*"pid": *\\([0-9]*\\).*/\\1/')
ip -n {inside} link set eth0 netns $pid
nsenter -t $pid -n ip address add {INSIDE}/24 dev eth0
nsenter -t $pid -n ip link set eth0 up
""")
    hook.chmod(0o755)

    def change(config):
        config["hooks"] = {"createRuntime": [{"path": str(hook), "env": [f"PATH={os.environ['PATH']}"]}]}

    return change


def test_hooks_make_the_network(place):
    """As Docker does: the hook puts an interface into the namespace of the process that it is told."""
    for runtime in place.runtimes():
        with two_namespaces(place) as (outside, inside):
            with echo(place, hook_that_makes_the_network(place, inside), runtime):
                talk(outside, INSIDE)


def test_without_a_network_the_namespace_is_left_alone(place):
    with two_namespaces(place) as (_, inside):
        done = place.run("--network", "none", "run", "--bundle", place.bundle(("/guest", "cat", "/proc/net/dev"), in_namespace(inside)), place.id())
        check("lo:" in done.out and "eth0:" not in done.out, repr(done))
        check(INSIDE in ip("-n", inside, "address"), "the address is still the host's")


def test_a_namespace_that_is_not_there(place):
    done = place.run("run", "--bundle", place.bundle(change=in_namespace("nowhere")), place.id())
    check(done.status != 0 and "/run/netns/nowhere" in done.err and done.err.count("\n") == 1, repr(done))
