"""conmon and the runtime's command line, as CRI-O calls them. (Debian 12 has conmon, and no CRI-O.)"""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

from engines import COFFERDAM, check, equal, sandboxes, wait_for


class Crio:
    needs = ("conmon",)

    def __init__(self, place):
        self.place, self.count = place, 0
        self.base = place.path / "crio"
        for name in ("exits", "attach", "bundles", "logs", "root"):
            (self.base / name).mkdir(parents=True)

    def runtime(self, *words, stdin=subprocess.DEVNULL):
        return self.place.run([COFFERDAM, f"--root={self.base}/root", *words], stdin=stdin)

    @contextlib.contextmanager
    def container(self, words, **more):
        self.count += 1
        container = Container(self, f"{self.place.name}-{self.count}", words, **more)
        try:
            yield container
        finally:
            self.runtime("delete", "--force", container.id)

    def stop(self):
        pass


class Container:
    def __init__(self, crio, name, words, terminal=False, stdin=False, kind="container", change=None):
        self.crio, self.id = crio, name
        self.bundle, self.log = crio.base / "bundles" / name, crio.base / "logs" / f"{name}.log"
        self.bundle.mkdir()
        subprocess.run([COFFERDAM, "spec", "--bundle", self.bundle], check=True)
        config = json.loads((self.bundle / "config.json").read_text())
        config["process"].update(args=words, terminal=terminal, env=["PATH=/bin"])
        config["root"] = {"path": str(crio.place.image_root), "readonly": True}
        config["linux"]["cgroupsPath"] = f"/{crio.place.name}/{name}"
        config["annotations"] = {"io.kubernetes.cri-o.ContainerType": "sandbox", "io.kubernetes.cri-o.SandboxID": name, "io.kubernetes.cri-o.Name": name}
        if change:
            change(config)
        (self.bundle / "config.json").write_text(json.dumps(config))
        words = [*self._common(), "-b", self.bundle, "-l", self.log, "-P", self.bundle / "conmon-pidfile", "-p", self.bundle / "pidfile", "--persist-dir", self.bundle]
        if terminal:
            words.append("-t")
        elif stdin:
            words += ["-i", "--leave-stdin-open"]
        self.conmon, answer = self._run(words)
        self.pid = answer["pid"]
        check(self.pid > 0, answer)

    def _common(self):
        base = self.crio.base
        return ["conmon", "-c", self.id, "-u", self.id, "-n", f"k8s_{self.id}", "-r", COFFERDAM, "--runtime-arg", f"--root={base}/root", "--exit-dir", base / "exits",
                "--socket-dir-path", base / "attach", "--log-level", "info", "--sync"]

    def _run(self, words):
        """conmon tells by a pipe what it has made, and waits by another until it may go on."""
        sync_read, sync_write = os.pipe()
        start_read, start_write = os.pipe()
        with open(self.crio.base / "conmon.err", "ab") as errors:
            process = subprocess.Popen([str(w) for w in words], pass_fds=(sync_write, start_read), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, cwd=self.bundle,
                                       env={**os.environ, "_OCI_SYNCPIPE": str(sync_write), "_OCI_STARTPIPE": str(start_read)})
        os.close(sync_write)
        os.close(start_read)
        os.write(start_write, b"\0")
        os.close(start_write)
        with os.fdopen(sync_read) as answers:
            line = answers.readline()
        check(line, f"conmon says nothing: {(self.crio.base / 'conmon.err').read_text()[-500:]}")
        return process, json.loads(line)

    def start(self):
        done = self.crio.runtime("start", self.id)
        equal(done.status, 0, repr(done))

    def exec_sync(self, *words, timeout=0):
        """As ExecSync: conmon runs it to its end, and its log has the output. (status, output by stream)"""
        spec, log = self.bundle / "exec.json", self.bundle / "exec.log"
        log.unlink(missing_ok=True)
        spec.write_text(json.dumps({"args": list(words), "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}))
        limit = ["-T", str(timeout)] if timeout else []
        process, answer = self._run([*self._common(), "-b", self.bundle, "-l", log, "-p", self.bundle / "exec-pid", "-e", "--exec-process-spec", spec, *limit])
        process.wait(60)
        return answer, self._streams(log)

    @staticmethod
    def _streams(log):
        lines = [line.split(" ", 3) for line in log.read_text().splitlines()] if log.exists() else []
        return {name: "".join(f"{text}\n" for _, stream, _, text in lines if stream == name) for name in ("stdout", "stderr")}

    def streams(self):
        return self._streams(self.log)

    def exit_status(self):
        file = self.crio.base / "exits" / self.id
        return int(wait_for(lambda: file.exists() and file.read_text(), "conmon tells of its end"))

    def state(self):
        return json.loads(self.crio.runtime("state", self.id).out)["status"]

    @contextlib.contextmanager
    def attached(self):
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        directory = os.open(self.crio.base / "attach" / self.id, os.O_PATH)
        peer.connect(f"/proc/self/fd/{directory}/attach")
        os.close(directory)
        peer.settimeout(20)
        try:
            yield peer
        finally:
            peer.close()


def test_life(crio):
    with crio.container(["sh", "-c", "echo out; echo err >&2; exit 3"]) as c:
        equal(c.state(), "created")
        c.start()
        equal(c.exit_status(), 3)
        equal(c.streams(), {"stdout": "out\n", "stderr": "err\n"})
        equal(c.state(), "stopped")
        c.conmon.wait(20)
        equal(crio.runtime("delete", c.id).status, 0)
        check(crio.runtime("state", c.id).status != 0, "it is gone")


def test_exec_sync(crio):
    with crio.container(["sleep", "1000"]) as c:
        c.start()
        answer, streams = c.exec_sync("sh", "-c", "echo in; echo err >&2; exit 7")
        equal((answer["exit_code"], streams), (7, {"stdout": "in\n", "stderr": "err\n"}))
        answer, _ = c.exec_sync("/no/such")
        check(answer.get("exit_code", -1) != 0, answer)
        begin = time.monotonic()
        answer, _ = c.exec_sync("sleep", "777", timeout=1)
        check(time.monotonic() - begin < 20, "its time is over")
        wait_for(lambda: "777" not in crio.runtime("exec", c.id, "ps").out, "it is gone inside")


def test_exec_as_a_stream(crio):
    """The runtime itself, with pipes: `exec --process`."""
    with crio.container(["sleep", "1000"]) as c:
        c.start()
        spec = c.bundle / "stream.json"
        spec.write_text(json.dumps({"args": ["sh", "-c", "read x; echo got $x; exit 4"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}))
        done = subprocess.run([COFFERDAM, f"--root={crio.base}/root", "exec", "--process", spec, c.id], input="word\n", capture_output=True, text=True, timeout=60)
        equal((done.returncode, done.stdout), (4, "got word\n"), done.stderr)


def test_terminal_and_attach(crio):
    with crio.container(["sh"], terminal=True) as c:
        c.start()
        with c.attached() as peer:
            peer.send(b"stty size; echo $((6*7)); exit 5\n")
            equal(c.exit_status(), 5)
        check("42" in c.streams()["stdout"], c.streams())


def test_input_by_attach(crio):
    with crio.container(["sh", "-c", "while read x; do echo got $x; done"], stdin=True) as c:
        c.start()
        for word in ("one", "two"):
            with c.attached() as peer:
                peer.send(f"{word}\n".encode())
                wait_for(lambda: f"got {word}" in c.streams()["stdout"], "it answers")
        equal(c.state(), "running")


def test_stop_pause_and_update(crio):
    with crio.container(["sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.1; done"]) as c:
        c.start()
        equal(crio.runtime("pause", c.id).status, 0)
        equal(c.state(), "paused")
        equal(crio.runtime("resume", c.id).status, 0)
        resources = c.bundle / "resources.json"
        resources.write_text(json.dumps({"memory": {"limit": 80 << 20}}))
        with open(resources, "rb") as text:
            done = crio.runtime("update", "--resources", "-", c.id, stdin=text)
        equal(done.status, 0, repr(done))
        equal(crio.runtime("kill", c.id, "15").status, 0)
        equal(c.exit_status(), 9)


def test_out_of_memory_is_told_by_conmon(crio):
    limit = lambda config: config["linux"].update(resources={"memory": {"limit": 64 << 20}})
    with crio.container(["dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1"], change=limit) as c:
        c.start()
        equal(c.exit_status(), 128 + signal.SIGKILL)
        wait_for(lambda: (c.bundle / "oom").exists(), "conmon says why")


def test_the_runtime_is_asked_what_it_can(crio):
    features = json.loads(crio.runtime("features").out)
    check("ociVersionMin" in features and "mountOptions" in features, features)
    check(crio.runtime("--version").out.startswith("cofferdam version"), "its version")


def test_conmon_dies(crio):
    with crio.container(["sleep", "1000"]) as c:
        c.start()
        c.conmon.kill()
        c.conmon.wait()
        equal(c.state(), "running")
        equal(crio.runtime("delete", "--force", c.id).status, 0)
        wait_for(lambda: not any(c.id in words for words in sandboxes().values()), "nothing is left")
        check(not pathlib.Path(f"{crio.base}/root/{c.id}").exists(), "no record")
