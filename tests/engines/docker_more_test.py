"""docker, what people do beside the first steps: attach, follow, resize, networks of their own, restarts of the daemon."""
import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import time

from docker_test import SERVE, inspect, running
from engines import check, equal, wait_for


@contextlib.contextmanager
def on_a_terminal(docker, *words, rows=30, columns=100):
    """A client of docker on a terminal of its own: (the terminal's master, the process)."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen([docker.client, "-H", f"unix://{docker.socket}", *words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(slave)
    os.set_blocking(master, False)
    try:
        yield Screen(master), process
    finally:
        process.kill()
        process.wait()
        os.close(master)


class Screen:
    def __init__(self, master):
        self.master, self.text = master, ""

    def read(self):
        with contextlib.suppress(OSError):
            while part := os.read(self.master, 65536):
                self.text += part.decode(errors="replace")
        return self.text

    def until(self, text):
        wait_for(lambda: text in self.read(), f"{text!r} on the screen", 20)

    def type(self, text):
        os.write(self.master, text.encode())

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_a_shell_on_a_terminal(docker):
    with on_a_terminal(docker, "run", "--rm", "-it", "--runtime", "cofferdam", "--network", "none", "box:local", "sh") as (screen, process):
        screen.until("#")
        screen.type("stty size\r")
        screen.until("30 100")
        screen.resize(44, 120)
        time.sleep(0.5)
        screen.type("stty size\r")
        screen.until("44 120")
        screen.type("sleep 1000\r")
        time.sleep(0.3)
        screen.type("\x03")
        screen.type("echo after=$?\r")
        screen.until("after=130")
        screen.type("exit 12\r")
        equal(process.wait(20), 12)


def test_attach_and_detach(docker):
    done = docker.run("-dit", "--name", "attached", "box:local", "sh")
    equal(done.status, 0, repr(done))
    try:
        for word in ("one", "two"):
            with on_a_terminal(docker, "attach", "attached") as (screen, process):
                screen.type(f"echo {word}-$((1+1))\r")
                screen.until(f"{word}-2")
                screen.type("\x10\x11")
                process.wait(20)
                screen.until("read escape sequence")
        equal(inspect(docker, "attached", ".State.Status"), "running")
    finally:
        docker.command("rm", "-f", "attached")


def test_exec_on_a_terminal_is_resized(docker):
    with running(docker) as container:
        with on_a_terminal(docker, "exec", "-it", container, "sh") as (screen, process):
            screen.until("#")
            screen.resize(50, 90)
            time.sleep(0.5)
            screen.type("stty size\r")
            screen.until("50 90")
            screen.type("exit\r")
            equal(process.wait(20), 0)


def test_input_by_a_pipe(docker):
    with open(docker.place.archive(), "rb") as data:
        done = docker.run("--rm", "-i", "box:local", "wc", "-c", stdin=data)
    equal(int(done.out), docker.place.archive().stat().st_size, repr(done))


def test_logs_are_followed(docker):
    with running(docker, command=("sh", "-c", "for n in 1 2 3 4 5; do echo $n; sleep 0.2; done")) as container:
        done = docker.command("logs", "-f", container)
        equal(done.out.split(), list("12345"), repr(done))
        equal(docker.command("logs", "--tail", "2", container).out.split(), ["4", "5"])


def test_exec_in_the_background(docker):
    with running(docker) as container:
        equal(docker.command("exec", "-d", container, "sh", "-c", "echo there > /tmp/f; sleep 1000").status, 0)
        wait_for(lambda: docker.command("exec", container, "cat", "/tmp/f").out == "there\n", "it runs")


def test_cpu_limits(docker):
    with running(docker, "--cpus", "0.25", command=("sh", "-c", "while :; do :; done")) as container:
        time.sleep(1)
        stat = lambda: usage(docker, container)
        first, begin = stat(), time.monotonic()
        time.sleep(2)
        share = (stat() - first) / (time.monotonic() - begin)
        check(share < 0.35, f"it has {share:.2f} of a CPU")
    done = docker.run("--rm", "--cpuset-cpus", "0", "box:local", "sh", "-c", "nproc; grep Cpus_allowed_list /proc/self/status")
    equal(done.out.split()[0], "1", repr(done))


def usage(docker, container):
    """CPU seconds that the container's host processes have used."""
    root = int(inspect(docker, container, ".State.Pid"))
    total = 0
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            fields = open(f"/proc/{int(entry)}/stat").read().rpartition(")")[2].split()
            if int(entry) == root or int(fields[1]) == root:
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def test_pids_limit(docker):
    done = docker.run("--rm", "--pids-limit", "60", "box:local", "sh", "-c", "for n in $(seq 200); do sleep 3 & done; wait; echo done", timeout=100)
    check("fork" in done.err, repr(done))
    equal(docker.run("--rm", "box:local", "echo", "well").out, "well\n")


def test_mounts_by_name(docker):
    source = docker.place.path / "mounted"
    source.mkdir(exist_ok=True)
    (source / "f").write_text("there\n")
    done = docker.run("--rm", "--mount", "type=tmpfs,destination=/t,tmpfs-size=65536,tmpfs-mode=1770", "--mount", f"type=bind,source={source},target=/b,readonly",
                      "--mount", "type=volume,source=vol,target=/v", "box:local", "sh", "-c",
                      "stat -c %a /t; df -k /t | awk 'NR>1{print $2}'; cat /b/f; touch /b/x; touch /v/y && ls /v")
    equal(done.out.split(), ["1770", "64", "there", "y"], repr(done))
    check("Read-only" in done.err, repr(done))


def test_copy_into(docker):
    source = docker.place.path / "copied"
    source.write_text("copied\n")
    with running(docker) as container:
        equal(docker.command("cp", source, f"{container}:/tmp/f").status, 0)
        equal(docker.command("exec", container, "cat", "/tmp/f").out, "copied\n")


def test_stop_signal_and_name(docker):
    with running(docker, "--stop-signal", "USR1", "--name", "named", command=("sh", "-c", "trap 'exit 33' USR1; while :; do sleep 0.1; done")):
        equal(docker.command("rename", "named", "renamed").status, 0)
        equal(docker.command("stop", "-t", "30", "renamed").status, 0)
        equal(inspect(docker, "renamed", ".State.ExitCode"), "33")


def test_a_network_of_ones_own(docker):
    equal(docker.command("network", "create", "--subnet", "10.77.0.0/24", "own").status, 0)
    try:
        with running(docker, "--ip", "10.77.0.9", command=SERVE, network="own"):
            fetched = lambda: docker.run("--rm", "box:local", "wget", "-q", "-O-", "http://10.77.0.9/page", network="own")
            wait_for(lambda: fetched().out == "served\n", "the page")
            hosts = docker.run("--rm", "--add-host", "server:10.77.0.9", "box:local", "wget", "-q", "-O-", "http://server/page", network="own")
            equal(hosts.out, "served\n", repr(hosts))
    finally:
        docker.command("network", "rm", "own")


def test_names_on_a_network_of_ones_own(docker):
    equal(docker.command("network", "create", "names").status, 0)
    try:
        with running(docker, "--name", "the-server", command=SERVE, network="names"):
            fetched = lambda: docker.run("--rm", "box:local", "wget", "-q", "-O-", "http://the-server/page", network="names")
            wait_for(lambda: fetched().out == "served\n", "the page", 10)
    finally:
        docker.command("network", "rm", "names")


def test_the_network_of_another_container(docker):
    with running(docker, command=SERVE, network="bridge") as server:
        done = docker.run("--rm", "box:local", "wget", "-q", "-O-", "http://127.0.0.1/page", network=f"container:{server}")
        equal(done.out, "served\n", repr(done))


def test_udp_port(docker):
    ask = ("import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(1); s.sendto(b'datagram', ('127.0.0.1', 15000)); print(s.recv(100).decode())")
    with running(docker, "-p", "15000:5000/udp", command=("udp-echo", "5000"), network="bridge"):
        wait_for(lambda: docker.place.run(docker.place.inside(f'python3 -c "{ask}"')).out == "datagram\n", "the datagram comes back")


def test_by_the_shim_of_our_own(docker):
    runtime = "io.containerd.cofferdam.v1"
    if int(docker.command("version", "-f", "{{.Server.Version}}").out.split(".")[0]) < 23:
        return  # older ones know only runtimes that their configuration names
    done = docker.run("--rm", "box:local", "sh", "-c", "uname -r; exit 3", runtime=runtime)
    check(done.status == 3 and "cofferdam" in done.out, repr(done))
    with running(docker, "-m", "100m", runtime=runtime) as container:
        equal(docker.command("exec", container, "echo", "in").out, "in\n")
        check("100MiB" in docker.command("stats", "--no-stream", "--format", "{{.MemUsage}}", container).out, "stats")
        equal(docker.command("pause", container).status, 0)
        equal(docker.command("unpause", container).status, 0)
        check("sleep" in docker.command("top", container).out or "cofferdam" in docker.command("top", container).out, "top")
        equal(docker.command("stop", "-t", "1", container).status, 0)
        equal(inspect(docker, container, ".State.ExitCode"), "137")
    with on_a_terminal(docker, "run", "--rm", "-it", "--runtime", runtime, "--network", "none", "box:local", "sh") as (screen, process):
        screen.until("#")
        screen.type("stty size; exit 9\r")
        screen.until("30 100")
        equal(process.wait(20), 9)


def test_the_sandbox_dies(docker):
    with running(docker) as container:
        os.kill(int(inspect(docker, container, ".State.Pid")), signal.SIGKILL)
        wait_for(lambda: inspect(docker, container, ".State.Status") == "exited", "the engine notices")
        equal(inspect(docker, container, ".State.ExitCode"), "137")
        equal(docker.command("start", container).status, 0)
        equal(docker.command("exec", container, "echo", "again").out, "again\n")


def test_a_daemon_that_is_killed_and_comes_back(docker):
    """With live-restore, containers run on: also what they write meanwhile, and their ends."""
    with contextlib.ExitStack() as stack:
        steady = stack.enter_context(running(docker, "--restart", "always", command=("sh", "-c", "while :; do echo tick; sleep 0.2; done")))
        ending = stack.enter_context(running(docker, command=("sh", "-c", "sleep 2; exit 7")))
        pids = [inspect(docker, steady, ".State.Pid")]
        docker.kill()
        time.sleep(2.5)
        docker.start()
        equal([inspect(docker, steady, ".State.Pid")], pids, "the same process")
        equal(docker.command("exec", steady, "echo", "in").out, "in\n")
        wait_for(lambda: inspect(docker, ending, ".State.Status") == "exited", "the end of the other is known")
        count = len(docker.command("logs", steady).out.splitlines())
        wait_for(lambda: len(docker.command("logs", steady).out.splitlines()) > count, "its log goes on")
        os.kill(int(inspect(docker, steady, ".State.Pid")), signal.SIGKILL)
        wait_for(lambda: inspect(docker, steady, ".State.Status") == "running" and inspect(docker, steady, ".RestartCount") == "1", "it is started again")


def test_many_at_once(docker):
    runs = [subprocess.Popen([docker.client, "-H", f"unix://{docker.socket}", "run", "--rm", "--runtime", "cofferdam", "--network", "none", "box:local", "echo", str(n)],
                             stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) for n in range(16)]
    equal([r.communicate(timeout=100)[0] for r in runs], [f"{n}\n" for n in range(16)])
