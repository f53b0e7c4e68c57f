"""A shim without containerd: bundles, FIFOs and calls as containerd makes them."""
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import threading
import time

import shim_client
from engines import COFFERDAM, SHIM, equal, sandboxes, wait_for


class Fifo:
    """A FIFO that somebody reads, into memory, as it comes."""

    def __init__(self, path, reader=True):
        self.data, self.fd = bytearray(), -1
        os.mkfifo(path)
        if reader:
            self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            self.thread = threading.Thread(target=self._read, daemon=True)
            self.lock, self.closed = threading.Lock(), False
            self.thread.start()

    def _read(self):
        while not self.closed:
            select.select([self.fd], [], [], 0.1)
            if not self.text(raw=True):
                time.sleep(0.01)  # nobody writes yet, or any more

    def text(self, raw=False):
        """What has come so far."""
        if self.fd < 0:
            return ""
        with self.lock:
            before = len(self.data)
            with contextlib.suppress(BlockingIOError):
                while part := os.read(self.fd, 1 << 16):
                    self.data += part
            return len(self.data) > before if raw else self.data.decode()

    def close(self):
        if self.fd >= 0:
            self.closed = True
            self.thread.join()
            os.close(self.fd)


class Task:
    """One container, from the start of its shim to its end."""

    def __init__(self, shim, name, words, terminal=False, input_=False, stdout=None, stderr=None, change=None, options=None, mounts=None, environment=None):
        self.shim, self.m, self.id, self.terminal = shim, shim.m, name, terminal
        self.gone, self.fifos, self.inputs = False, {}, {}
        self.options, self.mounts = options, mounts or [("overlay", "overlay", shim.overlay_options(name))]
        self.bundle = shim.make_bundle(name, words, terminal, change)
        done = shim.start_program(self.bundle, name, environment, options)
        equal(done.returncode, 0, done)
        self.printed = done.stdout.decode()
        address = json.loads(self.printed)["address"] if self.printed.startswith("{") else self.printed
        self.socket = address.removeprefix("unix://")
        self.client = shim_client.Client(self.socket, self.m)
        self.paths = self._fifos("", input_, terminal, stdout, stderr)

    def _fifos(self, exec_id, input_, terminal, stdout=None, stderr=None, reader=True):
        base = self.shim.place.path / "fifos" / f"{self.id}-{exec_id}"
        base.parent.mkdir(exist_ok=True)
        paths = {"stdin": "", "stdout": stdout or f"{base}-out", "stderr": stderr or ("" if terminal else f"{base}-err")}
        for key in ("stdout", "stderr"):
            if paths[key].startswith("/"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(paths[key])
                self.fifos[exec_id, key] = Fifo(paths[key], reader)
        if input_ or terminal:
            paths["stdin"] = f"{base}-in"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(paths["stdin"])
            os.mkfifo(paths["stdin"])
            self.inputs[exec_id] = paths["stdin"]
        return paths

    def call(self, method, request, answer=None):
        return self.client.call(method, request, answer)

    def send_create(self):
        request = self.m.CreateTaskRequest(id=self.id, bundle=str(self.bundle), terminal=self.terminal, **self.paths)
        for kind, source, options in self.mounts:
            request.rootfs.add(type=kind, source=source, options=options)
        if self.options:
            request.options.type_url, request.options.value = self.options[0], self.options[1].SerializeToString()
        return self.client.send("Create", request)

    def create(self):
        return self.client.receive(self.send_create(), self.m.CreateTaskResponse)

    def start(self, exec_id=""):
        return self.call("Start", self.m.StartRequest(id=self.id, exec_id=exec_id), self.m.StartResponse)

    def state(self, exec_id=""):
        return self.call("State", self.m.StateRequest(id=self.id, exec_id=exec_id), self.m.StateResponse)

    def wait(self, exec_id=""):
        return self.call("Wait", self.m.WaitRequest(id=self.id, exec_id=exec_id), self.m.WaitResponse)

    def kill(self, number, exec_id=""):
        return self.call("Kill", self.m.KillRequest(id=self.id, exec_id=exec_id, signal=number))

    def delete(self, exec_id=""):
        return self.call("Delete", self.m.DeleteRequest(id=self.id, exec_id=exec_id), self.m.DeleteResponse)

    def exec(self, exec_id, words, terminal=False, input_=False, reader=True):
        paths = self._fifos(exec_id, input_, terminal, reader=reader)
        process = {"args": words, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, "terminal": terminal}
        spec = self.m.Any(type_url="types.containerd.io/opencontainers/runtime-spec/1/Process", value=json.dumps(process).encode())
        return self.call("Exec", self.m.ExecProcessRequest(id=self.id, exec_id=exec_id, terminal=terminal, spec=spec, **paths))

    def pids(self):
        return [p.pid for p in self.call("Pids", self.m.PidsRequest(id=self.id), self.m.PidsResponse).processes]

    def shim_pid(self):
        return self.call("Connect", self.m.ConnectRequest(id=self.id), self.m.ConnectResponse).shim_pid

    def shim_pid_from_proc(self):
        """Without a call. By its command line: it ends with "-id ID -address …"."""
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0") if entry.isdigit() else []
                if words and words[0].endswith(b"containerd-shim-cofferdam-v1") and self.id.encode() in words and str(self.shim.address).encode() in words:
                    return int(entry)
        return None

    def cpu_ticks(self):
        fields = pathlib.Path(f"/proc/{self.shim_pid()}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def out(self, exec_id=""):
        return self.fifos[exec_id, "stdout"].text()

    def err(self, exec_id=""):
        return self.fifos[exec_id, "stderr"].text() if (exec_id, "stderr") in self.fifos else ""

    @contextlib.contextmanager
    def typing(self, exec_id=""):
        with open(self.inputs[exec_id], "wb", buffering=0) as keys:
            yield keys

    def shutdown(self, ends=True):
        pid = self.shim_pid()
        self.call("Shutdown", self.m.ShutdownRequest(id=self.id))
        if ends:
            wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists() or ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text(), "the shim ends")
        self.gone = True

    def delete_command(self):
        """As containerd cleans up after a shim that has gone."""
        done = self.shim.program(["-id", self.id, "-bundle", str(self.bundle), "delete"], self.bundle)
        equal(done.returncode, 0, done)
        return self.m.DeleteResponse.FromString(done.stdout)

    def end(self):
        """Whatever state it is in."""
        if not self.gone:
            with contextlib.suppress(shim_client.CallError, EOFError, OSError):
                self.kill(9)
                self.wait()
            with contextlib.suppress(shim_client.CallError, EOFError, OSError):
                self.delete()
            with contextlib.suppress(EOFError, OSError):
                self.call("Shutdown", self.m.ShutdownRequest(id=self.id))
        self.client.close()
        for fifo in self.fifos.values():
            fifo.close()


class Shim:
    needs = ("protoc",)

    def __init__(self, place):
        self.place, self.count = place, 0
        self.address = place.path / "containerd.sock"
        self.events_path = place.path / "containerd.sock.ttrpc"
        self.layer = place.image_root
        modules = place.path / "modules"
        modules.mkdir()
        found = shim_client.messages(modules)
        self.m, self.metrics = found["task"], found["metrics"]
        self.root = place.path / "records-of-shims"
        self.listen()

    def listen(self):
        self.listener = shim_client.EventListener(self.events_path, self.m)

    def topics(self, container):
        """Of one container's events, in order."""
        kinds = {"create": "TaskCreate", "start": "TaskStart", "exit": "TaskExit", "delete": "TaskDelete", "oom": "TaskOOM", "exec-added": "TaskExecAdded",
                 "exec-started": "TaskExecStarted", "paused": "TaskPaused", "resumed": "TaskResumed"}
        return [t for t, _, value, _ in list(self.listener.events) if getattr(self.m, kinds[t.split("/")[2]]).FromString(value).container_id == container]

    def overlay_options(self, name):
        for part in ("upper", "work"):
            (self.place.path / part / name).mkdir(parents=True)
        return [f"lowerdir={self.layer}", f"upperdir={self.place.path}/upper/{name}", f"workdir={self.place.path}/work/{name}"]

    def layer_link(self, path):
        shutil.copytree(self.layer, path, symlinks=True)

    def make_bundle(self, name, words, terminal=False, change=None):
        bundle = self.place.path / "bundles" / name
        bundle.mkdir(parents=True)
        subprocess.run([COFFERDAM, "spec", "--bundle", bundle], check=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"].update(args=words, terminal=terminal, env=["PATH=/bin"])
        config["root"] = {"path": "rootfs", "readonly": False}
        if change:
            change(config)
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def limited(self, memory_bytes):
        self.count += 1
        path = f"/{self.place.name}-{self.count}"
        return lambda config: config["linux"].update(cgroupsPath=path, resources={"memory": {"limit": memory_bytes}})

    @staticmethod
    def annotated(annotations):
        return lambda config: config.update(annotations=annotations)

    def program(self, words, bundle, environment=None, options=None):
        given = b""
        if options:
            given = self.m.Any(type_url=options[0], value=options[1].SerializeToString()).SerializeToString()
        common = [SHIM, "-namespace", "tests", "-address", str(self.address), "-publish-binary", "/bin/false"]
        return subprocess.run([*common, *words], cwd=bundle, input=given, capture_output=True, timeout=60,
                              env={**os.environ, "TTRPC_ADDRESS": str(self.events_path), **(environment or {})})

    def start_program(self, bundle, name, environment=None, options=None):
        return self.program(["-id", name, "start"], bundle, environment, options)

    @contextlib.contextmanager
    def task(self, words, **more):
        self.count += 1
        # The records of these tests stand in a directory of their own.
        if "options" not in more:
            more["options"] = ("runtimeoptions.v1.Options", self.m.FileOptions(config_body=f'root = "{self.root}"\n'.encode()))
        task = Task(self, f"{self.place.name}-{self.count}", words, **more)
        try:
            yield task
        finally:
            task.end()

    @contextlib.contextmanager
    def running(self, words=("sleep", "1000"), **more):
        with self.task(list(words), **more) as task:
            task.create()
            task.start()
            yield task

    def count_inside(self, task, command):
        """Processes inside whose command line begins so."""
        done = subprocess.run([COFFERDAM, "--root", f"{self.root}/tests", "ps", task.id], capture_output=True, text=True, check=True, timeout=30)
        return sum(command in line for line in done.stdout.splitlines())

    def records(self):
        directory = self.root / "tests"
        return sorted(os.listdir(directory)) if directory.exists() else []

    def sandboxes(self):
        return [words for words in sandboxes().values() if str(self.place.path) in words]

    def stop(self):
        self.listener.close()
