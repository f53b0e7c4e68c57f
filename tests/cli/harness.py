"""What the tests of the command line share: a bundle with one small static program, runs of cofferdam and runc, and a look
at what is left on the host. Linux and Python's standard library only."""
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
RUNC = shutil.which("runc")
CRUN = shutil.which("crun")
TIMEOUT = float(os.environ.get("CLI_TEST_TIMEOUT", "60"))
PROGRAM = pathlib.Path(__file__).with_name("guest.c")


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


class Workplace:
    """A temporary directory with a state root and the compiled guest program."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="cofferdam-cli-"))
        self.state = self.path / "state"
        self.program = self.path / "guest"
        subprocess.run(["cc", "-static", "-O1", "-o", self.program, PROGRAM], check=True)
        self.count = 0
        self._runtimes = None

    def remove(self):
        for pid in sandbox_processes(self.state):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.path, ignore_errors=True)

    def bundle(self, args=("/guest", "true"), change=None, name=None):
        """A directory with config.json and rootfs/guest. change(config) may edit the configuration."""
        self.count += 1
        path = self.path / (name or f"bundle{self.count}")
        (path / "rootfs").mkdir(parents=True)
        for directory in ("proc", "dev", "sys", "tmp"):
            (path / "rootfs" / directory).mkdir()
        shutil.copy(self.program, path / "rootfs/guest")
        capabilities = ["CAP_KILL", "CAP_CHOWN"]
        config = {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False,
                "user": {"uid": 0, "gid": 0},
                "args": [str(a) for a in args],
                "env": ["PATH=/", "HOME=/"],
                "cwd": "/",
                "capabilities": {k: capabilities for k in ("bounding", "effective", "permitted")},
                "noNewPrivileges": True,
            },
            "root": {"path": "rootfs", "readonly": False},
            "hostname": "inside",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            ],
            "linux": {"namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")]},
        }
        if change:
            change(config)
        (path / "config.json").write_text(json.dumps(config))
        return path

    def id(self):
        self.count += 1
        return f"c{os.getpid()}-{self.count}"

    def command(self, *words, runtime=None):
        return [runtime or COFFERDAM, "--root", str(self.state if runtime is None else self.path / "runc-state"), *map(str, words)]

    def run(self, *words, runtime=None, stdin=subprocess.DEVNULL, env=None, timeout=TIMEOUT):
        # Files, not pipes: a container that outlives its command keeps them open.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            done = subprocess.run(self.command(*words, runtime=runtime), stdin=stdin, stdout=out, stderr=err, timeout=timeout,
                                  env={**os.environ, **(env or {})})
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="surrogateescape"))
        return Result(done.returncode, *texts)

    def runtimes(self):
        """Ours (None), and those of the other runtimes that can run a container on this machine at all."""
        if self._runtimes is None:
            self._runtimes = [None]
            for peer in (RUNC, CRUN):
                if peer and self.run("run", "--bundle", self.bundle(), self.id(), runtime=peer).status == 0:
                    self._runtimes.append(peer)
        return self._runtimes

    def start(self, *words, **more):
        return subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, **more)

    def status(self, container):
        found = self.run("state", container)
        return json.loads(found.out)["status"] if found.status == 0 else None

    def pid(self, container):
        return json.loads(self.run("state", container).out)["pid"]

    def wait_for(self, condition, what, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"not in {seconds} s: {what}")

    @contextlib.contextmanager
    def running(self, args=("/guest", "sleep"), change=None):
        """A detached container that runs."""
        container = self.id()
        done = self.run("run", "--detach", "--bundle", self.bundle(args, change), container)
        equal(done.status, 0, f"run --detach: {done}")
        try:
            yield container
        finally:
            self.run("delete", "--force", container)


def process_parents():
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                text = pathlib.Path(f"/proc/{entry}/stat").read_text()
                parents[int(entry)] = int(text[text.rindex(")") + 2:].split()[1])
    return parents


def status_of(pid):
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        fields[key] = value.strip()
    return fields


def sandbox_processes(state):
    """Every sentry, stub and gofer of the sandboxes under this state root, zombies not counted."""
    found, parents = set(), process_parents()
    for pid in parents:
        # The sandbox is a fork of its command and keeps its command line; a stub has none, but its parent is the sentry.
        with contextlib.suppress(OSError):
            if not status_of(pid)["Name"].startswith("cofferdam-") or status_of(pid)["State"].startswith("Z"):
                continue
            words = b"".join(pathlib.Path(f"/proc/{p}/cmdline").read_bytes() for p in (pid, parents.get(pid, pid)))
            if str(state).encode() in words:
                found.add(pid)
    return found


def stubs_of(sentry):
    return sorted(child for child, parent in process_parents().items() if parent == sentry)


def mounts_of(place):
    """The host's mounts; those that other programs make elsewhere meanwhile are not ours to judge."""
    return [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(place.path) in line]


def cgroups():
    """Those that the tests of this process name; others run tests on the same machine."""
    found = set()
    for base, directories, _ in os.walk("/sys/fs/cgroup"):
        found.update(os.path.join(base, d) for d in directories if "cofferdam" in d and f"-{os.getpid()}" in d)
    return found
