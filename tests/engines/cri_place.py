"""containerd's CRI, driven as a kubelet does: pods and containers by gRPC, streams (exec, attach, port-forward) by WebSocket."""
import base64
import concurrent.futures
import contextlib
import ctypes
import importlib
import os
import socket
import struct
import subprocess
import sys
import urllib.parse

from engines import ROOT, Containerd, check, equal, wait_for

STDIN, STDOUT, STDERR, STATUS, RESIZE = range(5)
HANDLER = os.environ.get("CRI_HANDLER", "cofferdam")
IMAGE = "box.local/box:1"


def compile_messages(directory):
    subprocess.run(["protoc", f"--proto_path={ROOT}/tests/engines", f"--python_out={directory}", "cri.proto"], check=True)
    sys.path.insert(0, str(directory))
    try:
        return importlib.import_module("cri_pb2")
    finally:
        sys.path.remove(str(directory))


def enter_network(name):
    """Moves the calling thread into a network namespace."""
    with open(f"/run/netns/{name}") as namespace:
        clone_newnet = 0x40000000
        check(ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), clone_newnet) == 0, "setns")


class WebSocket:
    """RFC 6455, as much as the streams of the kubelet's interface take: binary messages, the first byte of which is a channel."""

    def __init__(self, url, protocol="v4.channel.k8s.io", network=None):
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=30) if network is None else network(parts.hostname, parts.port)
        key = base64.b64encode(os.urandom(16)).decode()
        target = parts.path + ("?" + parts.query if parts.query else "")
        self.socket.sendall((f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://{parts.netloc}\r\n"
                             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self._more()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        check(b" 101 " in head.split(b"\r\n")[0], f"the stream opens: {head!r} {self.data!r}")

    def _more(self):
        part = self.socket.recv(1 << 16)
        if not part:
            raise EOFError("the stream ended")
        self.data += part

    def _take(self, count):
        while len(self.data) < count:
            self._more()
        out, self.data = self.data[:count], self.data[count:]
        return out

    def send(self, channel, payload):
        body = bytes([channel]) + payload
        length = len(body)
        size = struct.pack(">B", 0x80 | length) if length < 126 else struct.pack(">BH", 0x80 | 126, length)
        mask = os.urandom(4)
        self.socket.sendall(b"\x82" + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(body)))

    def receive(self):
        """(channel, bytes) of the next message; None at the end."""
        while True:
            try:
                first, second = self._take(2)
                length = second & 0x7F
                if length == 126:
                    length, = struct.unpack(">H", self._take(2))
                elif length == 127:
                    length, = struct.unpack(">Q", self._take(8))
                body = self._take(length)
            except (EOFError, ConnectionResetError):
                return None
            if first & 0x0F == 8:
                return None
            if first & 0x0F in (1, 2) and body:
                return body[0], body[1:]

    def collect(self):
        """Everything until the end, by channel."""
        found = {}
        while (message := self.receive()) is not None:
            found[message[0]] = found.get(message[0], b"") + message[1]
        return found

    def until(self, channel, text):
        got = b""
        while text not in got:
            message = self.receive()
            check(message is not None, f"the stream ended before {text!r}: {got!r}")
            if message[0] == channel:
                got += message[1]
        return got

    def close(self):
        self.socket.close()


class Cri(Containerd):
    """containerd with its CRI, networks by CNI, and this runtime behind our own shim."""
    needs = ("containerd", "ctr", "umoci", "skopeo", "protoc", "iptables")
    cri = True

    def __init__(self, place):
        super().__init__(place)
        import grpc
        modules = place.path / "modules"
        modules.mkdir(exist_ok=True)
        self.m = compile_messages(modules)
        self.channel = grpc.insecure_channel(f"unix:{self.socket}")
        self.count = 0
        self._import_pause()
        self._calls = concurrent.futures.ThreadPoolExecutor(1, initializer=enter_network, initargs=(place.name,))
        wait_for(lambda: all(c.status for c in self.call("Status", self.m.StatusRequest(), self.m.StatusResponse).status.conditions), "the runtime and its network are ready")

    def call(self, method, request, answer=None, timeout=60):
        rpc = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}", request_serializer=lambda r: r.SerializeToString(),
                                       response_deserializer=(answer or self.m.Empty).FromString)
        return rpc(request, timeout=timeout)

    def dial(self, host, port):
        """A connection from the network that containerd stands in."""
        return self._calls.submit(socket.create_connection, (host, port), 30).result()

    def _import_pause(self):
        root = self.place.path / "pause"
        root.mkdir()
        source = self.place.path / "pause.c"
        source.write_text("#include <signal.h>\n#include <unistd.h>\nstatic void end(int s) { (void)s; _exit(0); }\n"
                          "int main(void) { signal(SIGTERM, end); signal(SIGINT, end); for (;;) pause(); }\n")
        subprocess.run(["cc", "-static", "-Os", "-o", root / "pause", source], check=True)
        self.import_image(root, "pause.local/pause:1", ["--config.entrypoint", "/pause"])

    def stop(self):
        self.channel.close()
        self._calls.shutdown()
        super().stop()

    @contextlib.contextmanager
    def pod(self, handler=HANDLER, **more):
        self.count += 1
        pod = Pod(self, f"pod{self.count}", handler, **more)
        try:
            yield pod
        finally:
            pod.remove()


class Pod:
    def __init__(self, cri, name, handler, ports=(), hostname="", sysctls=None, namespaces=None):
        self.cri, self.m, self.count = cri, cri.m, 0
        self.logs = cri.place.path / "logs" / name
        self.logs.mkdir(parents=True)
        self.config = self.m.PodSandboxConfig(hostname=hostname or name, log_directory=str(self.logs))
        self.config.metadata.name, self.config.metadata.uid, self.config.metadata.namespace = name, f"uid-{name}", "tests"
        self.config.linux.cgroup_parent = f"/{cri.place.name}"
        for inside, outside in ports:
            self.config.port_mappings.add(container_port=inside, host_port=outside)
        for key, value in (sysctls or {}).items():
            self.config.linux.sysctls[key] = value
        for key, value in (namespaces or {}).items():
            setattr(self.config.linux.security_context.namespace_options, key, value)
        self.id = cri.call("RunPodSandbox", self.m.RunPodSandboxRequest(config=self.config, runtime_handler=handler), self.m.RunPodSandboxResponse).pod_sandbox_id

    def status(self):
        return self.cri.call("PodSandboxStatus", self.m.PodSandboxStatusRequest(pod_sandbox_id=self.id, verbose=True), self.m.PodSandboxStatusResponse)

    @property
    def ip(self):
        return self.status().status.network.ip

    def create(self, words, name=None, mounts=(), memory=0, tty=False, stdin=False, environment=None, user=None, attempt=0, read_only=False, drop=()):
        self.count += 1
        config = self.m.ContainerConfig(command=words, log_path=f"{name or self.count}-{attempt}.log", tty=tty, stdin=stdin)
        config.metadata.name, config.metadata.attempt = name or f"c{self.count}", attempt
        config.image.image = IMAGE
        for source, target in mounts:
            config.mounts.add(host_path=str(source), container_path=target)
        for key, value in (environment or {}).items():
            config.envs.add(key=key, value=value)
        config.linux.resources.memory_limit_in_bytes = memory
        security = config.linux.security_context
        security.readonly_rootfs = read_only
        security.capabilities.drop_capabilities.extend(drop)
        security.namespace_options.CopyFrom(self.config.linux.security_context.namespace_options)
        if not self.config.linux.security_context.HasField("namespace_options"):
            security.namespace_options.pid = 1  # CONTAINER, the kubelet's default
        if user is not None:
            security.run_as_user.value = user
        request = self.m.CreateContainerRequest(pod_sandbox_id=self.id, config=config, sandbox_config=self.config)
        return Container(self, self.cri.call("CreateContainer", request, self.m.CreateContainerResponse).container_id, self.logs / config.log_path)

    def run(self, words, **more):
        container = self.create(words, **more)
        container.start()
        return container

    def forward(self, port):
        url = self.cri.call("PortForward", self.m.PortForwardRequest(pod_sandbox_id=self.id, port=[port]), self.m.StreamResponse).url
        return WebSocket(f"{url}?port={port}", "v4.channel.k8s.io", self.cri.dial)

    def stop(self):
        self.cri.call("StopPodSandbox", self.m.StopPodSandboxRequest(pod_sandbox_id=self.id))

    def remove(self):
        self.stop()
        self.cri.call("RemovePodSandbox", self.m.RemovePodSandboxRequest(pod_sandbox_id=self.id))


class Container:
    def __init__(self, pod, container_id, log):
        self.cri, self.m, self.id, self.log_path = pod.cri, pod.m, container_id, log

    def start(self):
        self.cri.call("StartContainer", self.m.StartContainerRequest(container_id=self.id))

    def status(self):
        return self.cri.call("ContainerStatus", self.m.ContainerStatusRequest(container_id=self.id), self.m.ContainerStatusResponse).status

    def wait(self, seconds=30):
        wait_for(lambda: self.status().state == self.m.CONTAINER_EXITED, "the container ends", seconds)
        return self.status().exit_code

    def stop(self, timeout=10):
        self.cri.call("StopContainer", self.m.StopContainerRequest(container_id=self.id, timeout=timeout))

    def remove(self):
        self.cri.call("RemoveContainer", self.m.RemoveContainerRequest(container_id=self.id))

    def exec(self, *words, timeout=30):
        return self.cri.call("ExecSync", self.m.ExecSyncRequest(container_id=self.id, cmd=words, timeout=timeout), self.m.ExecSyncResponse)

    def out(self, *words):
        done = self.exec(*words)
        equal(done.exit_code, 0, done)
        return done.stdout.decode()

    def open_exec(self, *words, tty=False, stdin=False):
        request = self.m.ExecRequest(container_id=self.id, cmd=words, tty=tty, stdin=stdin, stdout=True, stderr=not tty)
        return WebSocket(self.cri.call("Exec", request, self.m.StreamResponse).url, network=self.cri.dial)

    def open_attach(self, tty=False, stdin=True):
        request = self.m.AttachRequest(container_id=self.id, tty=tty, stdin=stdin, stdout=True, stderr=not tty)
        return WebSocket(self.cri.call("Attach", request, self.m.StreamResponse).url, network=self.cri.dial)

    def stats(self):
        return self.cri.call("ContainerStats", self.m.ContainerStatsRequest(container_id=self.id), self.m.ContainerStatsResponse).stats

    def log(self):
        """Lines as (stream, text): the kubelet's format is TIME STREAM TAG TEXT."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        return [tuple(line.split(" ", 3)[1::2]) for line in lines]
