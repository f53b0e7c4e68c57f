"""What the network costs: the measurements of `bench/run --network`.

Each has a container, or natively a process, in a network namespace of its own, which a pair of virtual Ethernet devices
(veth) joins to the namespace of the bench, where clients run: "host" below. All of it goes with the bench's namespaces.
"""
import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import time

HOST, GUEST = "10.89.0.1", "10.89.0.2"
SECONDS = 3
IPERF, REDIS, HTTP, HELD, SINK = 5201, 6379, 8080, 9000, 9001
CONNECTIONS = 10_000
FILES = 16_384  # open files that clients and servers may have
PACKAGES = ["iperf3", "libiperf0", "libsctp1", "nginx", "nginx-common", "wrk", "libluajit-5.1-2", "libluajit-5.1-common"]
CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID"]

# name: (what it is, unit, bar). Of all but memory more is better.
NETWORK = {
    "loopback_stream": ("stream on the loopback (iperf3)", "Gbit/s", "1 x native"),
    "to_sandbox": ("stream, host to sandbox (iperf3)", "Gbit/s", "0.8 x runc, 1.5 x runsc"),
    "from_sandbox": ("stream, sandbox to host (iperf3)", "Gbit/s", "0.8 x runc, 1.5 x runsc"),
    **{f"redis_{where}_{what}_p{depth}": (f"redis {what}, pipeline of {depth}, {client}", "/s", "0.7 x native")
       for where, client in (("host", "client on the host"), ("loopback", "client inside"))
       for depth in (1, 16) for what in ("set", "get")},
    "nginx": ("nginx, 1 KiB, 100 connections (wrk)", "/s", "0.6 x native, 2 x runsc"),
    "connect": ("connect + accept + close, loopback", "/s", "-"),
    "pingpong": ("a byte there and back, loopback", "/s", "-"),
    "udp": ("datagrams of 64 bytes, loopback", "/s", "-"),
    "udp_to_sandbox": ("datagrams of 64 bytes, host to sandbox", "/s", "-"),
    "idle_connections": (f"memory of {CONNECTIONS:,} idle connections (PSS)", "KiB", "20 MB"),
}

NGINX = f"""daemon off;
user root;
worker_processes auto;
pid /tmp/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path /tmp/nginx-body; proxy_temp_path /tmp/nginx-proxy; fastcgi_temp_path /tmp/nginx-fastcgi;
  uwsgi_temp_path /tmp/nginx-uwsgi; scgi_temp_path /tmp/nginx-scgi;
  keepalive_requests 1000000;
  server {{ listen {HTTP}; root /bench/www; }}
}}
"""


def fetch(folder):
    """Debian's packages of the servers and clients, which are unpacked into the bench's root; nothing is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    if not all(list(folder.glob(f"{package}_*.deb")) for package in PACKAGES):
        done = subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download"] + PACKAGES, cwd=folder,
                              capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"apt-get download: {done.stderr.strip()[-300:]}")


def prepare(root, source, packages):
    for package in sorted(packages.glob("*.deb")):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpacked:
            subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root], stdin=unpacked.stdout, check=True)
    subprocess.run(["gcc", "-O2", "-o", root / "bench/network", source / "network.c", "-lpthread"], check=True)
    (root / "bench/www").mkdir(exist_ok=True)
    (root / "bench/www/1k").write_bytes(b"x" * 1024)
    (root / "bench/nginx.conf").write_text(NGINX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, max(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def namespace():
    """A network namespace with one end of a veth pair, `eth0`; the other end is the host's."""
    name = "bench"
    with contextlib.suppress(subprocess.CalledProcessError):
        ip("netns", "delete", name)
    with contextlib.suppress(subprocess.CalledProcessError):
        ip("link", "delete", "bench0")
    ip("netns", "add", name)
    try:
        ip("link", "add", "bench0", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", f"{HOST}/24", "dev", "bench0")
        ip("link", "set", "bench0", "up")
        for words in (["link", "set", "lo", "up"], ["addr", "add", f"{GUEST}/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                      ["route", "add", "default", "via", HOST]):
            ip("-n", name, *words)
        yield name
    finally:
        ip("netns", "delete", name)


def in_namespace(name):
    def change(config):
        for one in config["linux"]["namespaces"]:
            if one["type"] == "network":
                one["path"] = f"/run/netns/{name}"
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": FILES, "soft": FILES}]
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind] = CAPABILITIES
    return change


@contextlib.contextmanager
def container(runtime, script, environment=()):
    """A shell script that runs in a container of the runtime; gives its process, with a pipe on its standard output."""
    with namespace() as name:
        if runtime.name == "native":
            identity, words = None, ["ip", "netns", "exec", name, "chroot", str(runtime.root), "/bin/sh", "-c", script]
        else:
            runtime.write_bundle(["/bin/sh", "-c", script], change=in_namespace(name))
            identity = runtime.next_id()
            words = runtime.words(identity)
        errors = runtime.bundle / "stderr"
        with open(errors, "w", encoding="utf-8") as stderr:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
                                       start_new_session=True)
        process.errors = errors
        try:
            yield process
        finally:
            if identity and process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subprocess.run(runtime.command + ["kill", identity, "KILL"], capture_output=True, timeout=10, check=False)
            elif process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            if identity:
                with contextlib.suppress(subprocess.TimeoutExpired):  # runsc's delete sometimes waits for ever
                    subprocess.run(runtime.command + ["delete", "--force", identity], capture_output=True, timeout=10, check=False)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()


def inside(runtime, script):
    """What the script prints, run to its end."""
    with container(runtime, script) as process:
        try:
            output, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            raise RuntimeError("not done after a minute") from None
        if process.returncode != 0:
            raise RuntimeError(f"exit {process.returncode}: {(process.errors.read_text() or output)[-300:].strip()}")
        return output


@contextlib.contextmanager
def server(runtime, script, port):
    with container(runtime, script) as process:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection((GUEST, port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no server at port {port}: {process.errors.read_text()[-300:].strip()}")
            time.sleep(0.1)
        time.sleep(0.3)
        yield process


def client(root, words):
    done = subprocess.run(["chroot", str(root)] + words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {(done.stderr or done.stdout)[-300:].strip()}")
    return done.stdout


def gigabits(text):
    return json.loads(text)["end"]["sum_received"]["bits_per_second"] / 1e9


def redis_words(depth, address):
    count = 400_000 if depth > 1 else 100_000
    return ["redis-benchmark", "-h", address, "-p", str(REDIS), "-t", "set,get", "-n", str(count), "-c", "50", "-P", str(depth), "--csv"]


def redis_results(where, depth, text):
    rows = re.findall(r'^"(SET|GET)","([0-9.]+)"', text, re.MULTILINE)
    return {f"redis_{where}_{what.lower()}_p{depth}": float(rate) for what, rate in rows}


def idle_kib(runtime, processes, pss_kib):
    """Growth of all processes of the sandbox by connections that do nothing."""
    def expect(stream, word):
        line = stream.readline()
        if not line.startswith(word):
            raise RuntimeError(f"no '{word}' but '{line.strip()}'")

    with container(runtime, f"exec /bench/network hold {HELD} {CONNECTIONS}") as process:
        expect(process.stdout, "ready")
        time.sleep(1)
        before = sum(map(pss_kib, processes()))
        with subprocess.Popen(["chroot", str(runtime.root), "/bench/network", "dial", GUEST, str(HELD), str(CONNECTIONS)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as dialler:
            expect(dialler.stdout, "dialled")
            expect(process.stdout, "held")
            time.sleep(1)
            after = sum(pss_kib(pid) for pid in processes() if pid != dialler.pid)
            dialler.stdin.close()
        return after - before


def measure(runtime, wanted, attempt, processes, pss_kib):
    """{name: value} of one runtime in one round; `attempt(what, action)` says what fails."""
    results = {}
    root = runtime.root

    def iperf_loopback():
        script = f"iperf3 -s -1 >/dev/null 2>&1 & sleep 0.5; iperf3 -c 127.0.0.1 -t {SECONDS} -J; wait"
        results["loopback_stream"] = gigabits(inside(runtime, script))

    def iperf():
        with server(runtime, "exec iperf3 -s >/dev/null", IPERF):
            for name, more in (("to_sandbox", []), ("from_sandbox", ["-R"])):
                if name in wanted:
                    results[name] = gigabits(client(root, ["iperf3", "-c", GUEST, "-t", str(SECONDS), "-J"] + more))

    redis = f"redis-server --save '' --appendonly no --protected-mode no --port {REDIS} >/dev/null"

    def redis_host():
        with server(runtime, f"exec {redis}", REDIS):
            for depth in (1, 16):
                results.update(redis_results("host", depth, client(root, redis_words(depth, GUEST))))

    def redis_loopback():
        lines = [f"{redis} & sleep 1"] + [" ".join(redis_words(depth, "127.0.0.1")) for depth in (1, 16)]
        parts = inside(runtime, "; echo next; ".join(lines) + f"; redis-cli -p {REDIS} shutdown nosave; exit 0").split("next\n")
        for depth, text in zip((1, 16), parts[1:]):
            results.update(redis_results("loopback", depth, text))

    def nginx():
        with server(runtime, "exec nginx -c /bench/nginx.conf", HTTP):
            text = client(root, ["wrk", "-t", "2", "-c", "100", "-d", f"{SECONDS}s", f"http://{GUEST}:{HTTP}/1k"])
            if "Non-2xx" in text:
                raise RuntimeError("nginx: answers that are no success")
            results["nginx"] = float(re.search(r"Requests/sec:\s+([0-9.]+)", text).group(1))

    def program(name, argument):
        word, value = inside(runtime, f"exec /bench/network {name} {argument}").split()
        results[word] = float(value)

    def udp_to_sandbox():
        with container(runtime, f"exec /bench/network sink {SINK}") as process:
            time.sleep(1.5)
            client(root, ["/bench/network", "flood", GUEST, str(SINK), str(SECONDS)])
            results["udp_to_sandbox"] = float(process.communicate(timeout=20)[0].split()[1])

    def idle():
        results["idle_connections"] = idle_kib(runtime, processes, pss_kib)

    for names, action in ((["loopback_stream"], iperf_loopback), (["to_sandbox", "from_sandbox"], iperf),
                          ([n for n in NETWORK if n.startswith("redis_host")], redis_host),
                          ([n for n in NETWORK if n.startswith("redis_loopback")], redis_loopback), (["nginx"], nginx),
                          (["connect"], lambda: program("connect", 20_000)), (["pingpong"], lambda: program("pingpong", 2)),
                          (["udp"], lambda: program("udp", 2)), (["udp_to_sandbox"], udp_to_sandbox), (["idle_connections"], idle)):
        if any(name in wanted for name in names):
            attempt(names[0], action)
    return results
