"""Container engines of this machine, started by hand in a place of their own: no service manager, no registry, no change of the
machine's network. Linux and Python's standard library only."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COFFERDAM = os.environ.get("COFFERDAM", str(ROOT / "build/release/cofferdam"))
# What the engines run containers by. With runc, the tests say what runc does.
RUNTIME = os.environ.get("ENGINES_RUNTIME", "cofferdam")
SHIM = str(pathlib.Path(COFFERDAM).with_name("containerd-shim-cofferdam-v1"))
TIMEOUT = 60
HUGETLB = "/sys/fs/cgroup/hugetlb"


UDP_ECHO = r"""
#include <arpa/inet.h>
#include <stdlib.h>
int main(int argc, char** argv) {
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 5000)};
  if (bind(s, (struct sockaddr*)&a, sizeof a) != 0) return 1;
  for (;;) {
    char data[2048];
    socklen_t size = sizeof a;
    ssize_t n = recvfrom(s, data, sizeof data, 0, (struct sockaddr*)&a, &size);
    if (n >= 0) sendto(s, data, n, 0, (struct sockaddr*)&a, size);
  }
}
"""


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}, out {self.out!r}, err {self.err!r}"


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(found, wanted, what=""):
    check(found == wanted, f"{what}: found {found!r}, wanted {wanted!r}")


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not in {seconds} s: {what}")


class Workplace:
    """A directory, a network namespace, and an image: busybox and nothing else."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="cofferdam-engines-", dir="/tmp"))
        self.path.chmod(0o711)
        self.name = self.path.name[-20:]
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)
        self.image_root = self.path / "image"
        self._make_image()

    def _make_image(self):
        for directory in ("bin", "etc", "tmp", "proc", "sys", "dev", "root", "var", "run"):
            (self.image_root / directory).mkdir(parents=True)
        (self.image_root / "tmp").chmod(0o1777)
        shutil.copy(shutil.which("busybox"), self.image_root / "bin/busybox")
        for name in subprocess.run(["busybox", "--list"], check=True, capture_output=True, text=True).stdout.split():
            if not (self.image_root / "bin" / name).exists():
                (self.image_root / "bin" / name).symlink_to("busybox")
        source = self.path / "udp-echo.c"
        source.write_text(UDP_ECHO)  # busybox has nothing that answers datagrams
        subprocess.run(["cc", "-static", "-Os", "-o", self.image_root / "bin/udp-echo", source], check=True)
        (self.image_root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n")
        (self.image_root / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")

    def archive(self):
        path = self.path / "image.tar"
        if not path.exists():
            subprocess.run(["tar", "-C", self.image_root, "-c", "-f", path, "."], check=True)
        return path

    def inside(self, command):
        """The words to run a shell command in the network namespace, with a hugetlb hierarchy of its own to make engines content."""
        prepare = f"mkdir -p {HUGETLB} 2>/dev/null; mountpoint -q {HUGETLB} || mount -t cgroup -o hugetlb cgroup {HUGETLB} 2>/dev/null; "
        return ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "-m", "--propagation", "private", "sh", "-c", prepare + command]

    def run(self, words, stdin=subprocess.DEVNULL, timeout=TIMEOUT, env=None):
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            done = subprocess.run([str(w) for w in words], stdin=stdin, stdout=out, stderr=err, timeout=timeout, env={**os.environ, **(env or {})})
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="surrogateescape"))
        return Result(done.returncode, *texts)

    def remove(self):
        subprocess.run(["ip", "netns", "delete", self.name], check=False)
        for line in reversed(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
            place = line.split()[4]
            if place.startswith(str(self.path)):
                subprocess.run(["umount", "-l", place], check=False, stderr=subprocess.DEVNULL)
        for base, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
            if f"/{self.name}" in base:  # the directory above those of its pods, which a kubelet would own
                with contextlib.suppress(OSError):
                    os.rmdir(base)
        shutil.rmtree(self.path, ignore_errors=True)


def sandboxes():
    """Host processes of sandboxes, zombies not counted."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                status = pathlib.Path(f"/proc/{entry}/status").read_text()
                words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if "Name:\tcofferdam-" in status and "State:\tZ" not in status:
                found[int(entry)] = words
    return found


class Daemon:
    """A process of ours that serves a socket."""

    def __init__(self, words, log, ready, what):
        self.log = log
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=open(log, "wb"), stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_for(lambda: self.process.poll() is not None or ready(), f"{what} serves", 60)
            check(self.process.poll() is None, f"{what} has ended: {pathlib.Path(log).read_text()[-2000:]}")
        except AssertionError:
            self.stop()
            raise

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Docker:
    needs = ("dockerd", "docker", "containerd", "containerd-shim-runc-v2", "iptables")

    def __init__(self, place):
        self.place = place
        base = place.path / "docker"
        base.mkdir()
        self.socket = base / "socket"
        config = {"data-root": str(base / "data"), "exec-root": str(base / "exec"), "pidfile": str(base / "pid"), "hosts": [f"unix://{self.socket}"],
                  "storage-driver": "vfs", "default-runtime": "cofferdam", "live-restore": True, "runtimes": {"cofferdam": {"path": COFFERDAM, "runtimeArgs": ["--debug-log", str(place.path / "docker-log")]}}}
        (base / "daemon.json").write_text(json.dumps(config))
        # Not the first `docker` of the path: some machines have a wrapper there.
        self.client = next(p for p in ("/usr/bin/docker", shutil.which("docker")) if p and os.path.exists(p))
        self.base, self.daemon = base, None
        self.start()
        done = self.command("import", "--change", "ENV PATH=/bin", "--change", 'CMD ["/bin/sh"]', str(place.archive()), "box:local")
        equal(done.status, 0, f"import: {done}")

    def start(self):
        # Its containerd looks for shims in its PATH.
        words = self.place.inside(f"PATH={os.path.dirname(SHIM)}:$PATH exec dockerd --config-file {self.base}/daemon.json")
        self.daemon = Daemon(words, self.base / "log", lambda: self.socket.exists() and self.command("version").status == 0, "dockerd")

    def kill(self):
        """The daemon, and the containerd that it has started."""
        for pid in [self.daemon.process.pid, int((self.base / "exec/containerd/containerd.pid").read_text())]:
            os.kill(pid, signal.SIGKILL)
        self.daemon.process.wait()

    def command(self, *words, **more):
        return self.place.run([self.client, "-H", f"unix://{self.socket}", *words], **more)

    def run(self, *words, network="none", runtime=RUNTIME, **more):
        return self.command("run", "--runtime", runtime, "--network", network, *words, **more)

    def stop(self):
        ids = self.command("ps", "-aq").out.split()
        if ids:
            self.command("rm", "-f", *ids)
        self.daemon.stop()


class Podman:
    needs = ("podman", "conmon")

    def __init__(self, place):
        self.place = place
        base = place.path / "podman"
        base.mkdir()
        (base / "containers.conf").write_text(
            '[containers]\ndefault_ulimits=["nofile=16384:16384","nproc=30000:30000"]\nlog_driver="k8s-file"\n'
            f'[engine]\ncgroup_manager="cgroupfs"\nevents_logger="file"\ntmp_dir="{base}/tmp"\nruntime="{RUNTIME}"\n'
            f'[engine.runtimes]\ncofferdam=["{base}/cofferdam"]\n')
        (base / "storage.conf").write_text(f'[storage]\ndriver="vfs"\nrunroot="{base}/run"\ngraphroot="{base}/root"\n')
        (base / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        (base / "cofferdam").write_text(f'#!/bin/sh\nexec {COFFERDAM} "$@"\n')
        (base / "cofferdam").chmod(0o755)
        self.env = {"CONTAINERS_CONF": str(base / "containers.conf"), "CONTAINERS_STORAGE_CONF": str(base / "storage.conf")}
        self.policy = base / "policy.json"
        done = self.command("import", "--change", "ENV=PATH=/bin", "--change", 'CMD=["/bin/sh"]', str(place.archive()), "box:local")
        equal(done.status, 0, f"import: {done}")

    def command(self, *words, **more):
        # In a network of the place's own; its mounts stay where each command finds them.
        return self.place.run(["nsenter", f"--net=/run/netns/{self.place.name}", "podman", *words], env=self.env, **more)

    def run(self, *words, network="none", **more):
        return self.command("run", "--network", network, *words, **more)

    def stop(self):
        self.command("rm", "-af", "-t", "0")


CRI_CONFIG = """
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause.local/pause:1"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{base}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"""

CNI_CONFIG = {"cniVersion": "0.4.0", "name": "tests", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]], "dataDir": "{base}/addresses"}},
    {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "loopback"}]}


class Containerd:
    needs = ("containerd", "ctr", "containerd-shim-runc-v2", "umoci", "skopeo")
    cri = False

    def __init__(self, place):
        self.place = place
        self.base = place.path / "containerd"
        (self.base / "cni").mkdir(parents=True)
        self.socket = self.base / "socket"
        disabled = '' if self.cri else 'disabled_plugins = ["io.containerd.grpc.v1.cri"]'
        config = f'version = 2\noom_score = 0\nroot = "{self.base}/root"\nstate = "{self.base}/state"\n{disabled}\n[grpc]\n  address = "{self.socket}"\n'
        if self.cri:
            config += CRI_CONFIG.format(base=self.base)
            (self.base / "cni/10-tests.conflist").write_text(json.dumps(CNI_CONFIG).replace("{base}", str(self.base)))
        (self.base / "config.toml").write_text(config)
        if self.cri:
            subprocess.run([COFFERDAM, "install", "--engine", "containerd", "--config", self.base / "config.toml"], check=True)
        self.daemon = None
        self.start()
        self.import_image(place.image_root, "box.local/box:1", ["--config.env", "PATH=/bin"])

    def start(self):
        # containerd looks for shims in its PATH.
        words = self.place.inside(f"PATH={os.path.dirname(SHIM)}:$PATH exec containerd --config {self.base}/config.toml")
        self.daemon = Daemon(words, self.base / "log", lambda: self.socket.exists() and self.command("version").status == 0, "containerd")

    def kill(self):
        """As it dies when memory is short."""
        self.daemon.process.kill()
        self.daemon.process.wait()

    def import_image(self, root, name, config):
        layout = self.base / ("layout-" + name.split(".")[0])
        archive = layout.with_suffix(".tar")
        for words in (["umoci", "init", "--layout", layout], ["umoci", "new", "--image", f"{layout}:1"], ["umoci", "insert", "--image", f"{layout}:1", root, "/"],
                      ["umoci", "config", "--image", f"{layout}:1", *config],
                      ["skopeo", "--insecure-policy", "copy", f"oci:{layout}:1", f"docker-archive:{archive}:{name}"]):
            done = self.place.run(words)
            equal(done.status, 0, f"{words}: {done}")
        done = self.command("images", "import", archive)
        equal(done.status, 0, f"import: {done}")

    def command(self, *words, **more):
        return self.place.run(["ctr", "--address", self.socket, *(("--namespace", "k8s.io") if self.cri else ()), *words], **more)

    def run(self, name, *words, options=(), runtime="io.containerd.cofferdam.v1", **more):
        return self.command("run", "--runtime", runtime, *options, "box.local/box:1", name, *words, **more)

    def stop(self):
        for name in self.command("containers", "list", "--quiet").out.split():
            self.command("tasks", "delete", "--force", name)
            self.command("containers", "delete", name)
        self.daemon.stop()
