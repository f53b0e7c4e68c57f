"""Pods and containers by containerd's CRI, as a kubelet makes them, with `runtimeClassName: cofferdam`."""
import json
import os
import signal
import time

from cri_place import HANDLER, RESIZE, STATUS, STDERR, STDIN, STDOUT
from engines import check, equal, wait_for


def test_a_container_in_a_pod(cri):
    with cri.pod() as pod:
        equal(pod.status().status.runtime_handler, HANDLER)
        container = pod.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
        equal(container.wait(), 3)
        equal(sorted(container.log()), [("stderr", "err"), ("stdout", "out")])
        equal("cofferdam" in pod.run(["sleep", "1000"]).out("uname", "-r"), HANDLER == "cofferdam", "the kernel of the sandbox")


def test_containers_share_localhost_a_volume_and_the_host_name(cri):
    volume = cri.place.path / "volume"
    volume.mkdir(exist_ok=True)
    with cri.pod(hostname="the-pod") as pod:
        server = pod.run(["sh", "-c", "mkdir /www; echo from the server > /www/f; exec httpd -f -p 8080 -h /www"], mounts=[(volume, "/shared")])
        client = pod.run(["sleep", "1000"], mounts=[(volume, "/shared")])
        wait_for(lambda: client.exec("wget", "-qO-", "http://127.0.0.1:8080/f").stdout == b"from the server\n", "localhost is one")
        server.out("sh", "-c", "echo word > /shared/file")
        equal(client.out("cat", "/shared/file"), "word\n")
        equal((volume / "file").read_text(), "word\n")
        equal((client.out("hostname"), server.out("hostname")), ("the-pod\n", "the-pod\n"))
        check(client.exec("ls", "/www").exit_code != 0, "roots are separate")
        equal(client.out("cat", "/proc/1/comm"), "sleep\n")


def test_exec(cri):
    with cri.pod() as pod:
        container = pod.run(["sleep", "1000"], environment={"A": "b"})
        done = container.exec("sh", "-c", "echo $A; echo err >&2; exit 5")
        equal((done.exit_code, done.stdout, done.stderr), (5, b"b\n", b"err\n"))
        stream = container.open_exec("sh", "-c", "read line; echo got $line; echo err >&2; exit 7", stdin=True)
        stream.send(STDIN, b"word\n")
        found = stream.collect()
        equal((found.get(STDOUT), found.get(STDERR)), (b"got word\n", b"err\n"))
        check(b'"7"' in found[STATUS], found)
        stream = container.open_exec("sh", "-c", "tty; read x; stty size; exit 2", tty=True, stdin=True)
        stream.until(STDOUT, b"/dev/pts/")
        stream.send(RESIZE, json.dumps({"Width": 101, "Height": 37}).encode())
        time.sleep(0.3)
        stream.send(STDIN, b"\r")
        found = stream.collect()
        check(b"37 101" in found[STDOUT] and b'"2"' in found[STATUS], found)


def test_an_exec_that_takes_too_long_is_ended(cri):
    with cri.pod() as pod:
        container = pod.run(["sleep", "1000"])
        start = time.monotonic()
        try:
            container.exec("sleep", "777", timeout=1)
            raise AssertionError("it is told that time is over")
        except Exception as error:
            check("DEADLINE" in str(error).upper(), error)
        check(time.monotonic() - start < 20, "soon")
        check("777" not in container.out("ps"), "it is gone inside")


def test_attach(cri):
    with cri.pod() as pod:
        container = pod.run(["sh", "-c", "while read line; do echo got $line; done; exit 4"], stdin=True)
        stream = container.open_attach()
        stream.send(STDIN, b"one\n")
        stream.until(STDOUT, b"got one\n")
        stream.close()
        again = container.open_attach()
        again.send(STDIN, b"two\n")
        again.until(STDOUT, b"got two\n")
        again.close()
        equal([text for _, text in container.log()], ["got one", "got two"])


def test_logs_are_rotated(cri):
    with cri.pod() as pod:
        container = pod.run(["sh", "-c", "while :; do echo line; sleep 0.05; done"])
        wait_for(lambda: container.log(), "it logs")
        os.rename(container.log_path, f"{container.log_path}.1")
        cri.call("ReopenContainerLog", cri.m.ReopenContainerLogRequest(container_id=container.id))
        wait_for(lambda: container.log(), "it logs to the new file")


def test_stats_limits_and_update(cri):
    with cri.pod() as pod:
        container = pod.run(["sh", "-c", "x=$(head -c 20000000 /dev/zero | tr '\\0' x); sleep 1000"], memory=128 << 20)
        wait_for(lambda: container.stats().memory.working_set_bytes.value > 15_000_000, "what it uses is told")
        check(container.stats().cpu.usage_core_nano_seconds.value > 0, "its CPU time is told")
        resources = cri.m.LinuxContainerResources(memory_limit_in_bytes=200 << 20)
        cri.call("UpdateContainerResources", cri.m.UpdateContainerResourcesRequest(container_id=container.id, linux=resources))


def test_out_of_memory(cri):
    with cri.pod() as pod:
        quiet = pod.run(["sleep", "1000"])
        container = pod.run(["sh", "-c", "exec dd if=/dev/zero of=/dev/null bs=300M count=1"], memory=64 << 20)
        equal(container.wait(), 128 + signal.SIGKILL)
        equal(container.status().reason, "OOMKilled")
        equal(quiet.status().state, cri.m.CONTAINER_RUNNING)


def test_host_port(cri):
    with cri.pod(ports=[(8080, 18080)]) as pod:
        pod.run(["sh", "-c", "mkdir /www; echo by the port > /www/f; exec httpd -f -p 8080 -h /www"])
        def get(host, port):
            with cri.dial(host, port) as connection:
                connection.sendall(b"GET /f HTTP/1.0\r\n\r\n")
                data = b""
                while part := connection.recv(4096):
                    data += part
                return data
        wait_for(lambda: b"by the port" in attempt(lambda: get(pod.ip, 8080)), "the pod's address answers")
        check(b"by the port" in attempt(lambda: get("10.88.0.1", 18080)), "the host's port is the container's")


def attempt(call):
    try:
        return call()
    except Exception as error:  # also of gRPC
        return repr(error).encode()


def test_port_forward(cri):
    with cri.pod() as pod:
        pod.run(["sh", "-c", "mkdir /www; echo forwarded > /www/f; exec httpd -f -p 8080 -h /www"])
        time.sleep(0.5)
        stream = pod.forward(8080)
        data, error = 0, 1
        stream.receive(), stream.receive()  # each channel begins with its port
        stream.send(data, b"GET /f HTTP/1.0\r\n\r\n")
        found = stream.collect()
        check(b"forwarded" in found.get(data, b""), found)


def test_restarts(cri):
    with cri.pod() as pod:
        for attempt_number in range(3):
            container = pod.run(["sh", "-c", "echo again; exit 1"], name="same", attempt=attempt_number)
            equal(container.wait(), 1)
            container.remove()
        survivor = pod.run(["sleep", "1000"], name="same", attempt=9)
        equal(survivor.status().state, cri.m.CONTAINER_RUNNING)


def test_containers_are_stopped(cri):
    with cri.pod() as pod:
        polite = pod.run(["sh", "-c", "trap 'exit 8' TERM; while :; do sleep 0.1; done"])
        deaf = pod.run(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])
        polite.stop(30)
        equal(polite.status().exit_code, 8)
        start = time.monotonic()
        deaf.stop(1)
        check(0.9 < time.monotonic() - start < 10, "after its time")
        equal(deaf.status().exit_code, 128 + signal.SIGKILL)


def test_a_pod_is_deleted_with_what_runs_in_it(cri):
    with cri.pod() as pod:
        container = pod.run(["sleep", "1000"])
        pod.stop()
        equal(container.status().state, cri.m.CONTAINER_EXITED)
        equal(pod.status().status.state, cri.m.SANDBOX_NOTREADY)


def test_security(cri):
    with cri.pod() as pod:
        container = pod.run(["sleep", "1000"], read_only=True, drop=["ALL"], user=1000)
        equal(container.out("id", "-u"), "1000\n")
        check("0000000000000000" in container.out("grep", "CapEff", "/proc/self/status"), "no capabilities")
        check(container.exec("touch", "/x").exit_code != 0, "its root is read-only")


def test_sysctls(cri):
    with cri.pod(sysctls={"kernel.msgmax": "4000"}) as pod:
        equal(pod.run(["sleep", "1000"]).out("cat", "/proc/sys/kernel/msgmax"), "4000\n")


def test_a_shared_pid_namespace(cri):
    with cri.pod(namespaces={"pid": 0}) as pod:
        one, two = pod.run(["sleep", "1111"]), pod.run(["sleep", "2222"])
        listed = two.out("ps")
        check("sleep 1111" in listed and "pause" in listed, listed)
        one.out("sh", "-c", "kill -9 $(pidof sleep | tr ' ' '\\n' | sort -n | tail -1)")
        wait_for(lambda: cri.m.CONTAINER_EXITED in (one.status().state, two.status().state), "a signal reaches the other container")


def test_containerd_restarts_under_a_pod(cri):
    with cri.pod() as pod:
        container = pod.run(["sh", "-c", "while :; do echo tick; sleep 0.1; done"])
        cri.kill()
        cri.start()
        wait_for(lambda: attempt(lambda: container.status().state) == cri.m.CONTAINER_RUNNING, "it runs on")
        equal(container.out("echo", "again"), "again\n")
        before = len(container.log())
        wait_for(lambda: len(container.log()) > before, "its log goes on")
