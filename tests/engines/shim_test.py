"""containerd-shim-cofferdam-v1, spoken to as containerd speaks to it, and in ways in which containerd does not."""
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time

from engines import SHIM, check, equal, wait_for
from shim_client import CallError, Client

NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, UNIMPLEMENTED, INVALID = 5, 6, 9, 12, 3
UNKNOWN_ERROR = 2
SIGKILL_STATUS = 128 + signal.SIGKILL


def refused(code, call, *words):
    try:
        call(*words)
    except CallError as error:
        equal(error.code, code, error.message)
        return error.message
    raise AssertionError("it was not refused")


def children_of(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                text = pathlib.Path(f"/proc/{entry}/stat").read_text()
                if int(text[text.rindex(")") + 2:].split()[1]) == pid:
                    found.append(int(entry))
    return found


def test_life_of_a_task(shim):
    with shim.task(["sh", "-c", "echo out; echo err >&2; exit 5"]) as task:
        created = task.create()
        check(created.pid > 0, created)
        equal(task.state().status, shim.m.CREATED)
        equal(task.start().pid, created.pid)
        waited = task.wait()
        equal(waited.exit_status, 5)
        check(abs(waited.exited_at.seconds - time.time()) < 30, waited)
        equal((task.out(), task.err()), ("out\n", "err\n"))
        state = task.state()
        equal((state.status, state.exit_status, state.pid, state.bundle), (shim.m.STOPPED, 5, created.pid, str(task.bundle)))
        deleted = task.delete()
        equal((deleted.exit_status, deleted.pid), (5, created.pid))
        refused(NOT_FOUND, task.state)
        task.shutdown()
        equal(shim.topics(task.id), ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"])
        exits = [shim.m.TaskExit.FromString(v) for t, _, v, _ in shim.listener.events if t == "/tasks/exit"]
        equal([(e.id, e.exit_status, e.pid) for e in exits if e.container_id == task.id], [(task.id, 5, created.pid)])
        check(not os.path.ismount(task.bundle / "rootfs"), "its root is unmounted")


def test_a_container_that_cannot_be_made(shim):
    with shim.task(["/no/such"]) as task:
        message = refused(UNKNOWN_ERROR, task.create)
        check("OCI runtime create failed" in message and "no such file" in message, message)
        refused(NOT_FOUND, task.state)
        check(not os.path.ismount(task.bundle / "rootfs"), "its root is unmounted")
        equal(shim.records(), [])
        task.shutdown()  # it ends: nothing is left to look after


def test_names_of_events(shim):
    with shim.running() as task:
        task.exec("e", ["true"])
        task.call("Pause", shim.m.PauseRequest(id=task.id))
        task.call("Resume", shim.m.ResumeRequest(id=task.id))
        task.start("e")
        task.wait("e")
    types = {t: (kind, space) for t, kind, _, space in shim.listener.events}
    for topic, name in (("create", "Create"), ("start", "Start"), ("exit", "Exit"), ("delete", "Delete"), ("exec-added", "ExecAdded"),
                        ("exec-started", "ExecStarted"), ("paused", "Paused"), ("resumed", "Resumed")):
        equal(types[f"/tasks/{topic}"], (f"containerd.events.Task{name}", "tests"))


def test_both_versions_of_the_service_and_of_the_bootstrap(shim):
    for version in ("2", "3"):
        with shim.task(["sleep", "1000"], environment={"MAX_SHIM_VERSION": version}) as task:
            if version == "3":
                answer = json.loads(task.printed)
                equal((answer["version"], answer["protocol"]), (3, "ttrpc"))
            else:
                check(task.printed.startswith("unix:///"), task.printed)
            equal((task.bundle / "address").read_text(), f"unix://{task.socket}")
            for service in ("containerd.task.v2.Task", "containerd.task.v3.Task"):
                client = Client(task.socket, shim.m, service)
                connected = client.call("Connect", shim.m.ConnectRequest(id=task.id), shim.m.ConnectResponse)
                equal(pathlib.Path(f"/proc/{connected.shim_pid}/comm").read_text()[:10], "containerd")
                client.close()
            refused(UNIMPLEMENTED, Client(task.socket, shim.m, "containerd.task.v9.Task").call, "Connect", shim.m.ConnectRequest())
            refused(UNIMPLEMENTED, task.client.call, "NoSuch", shim.m.ConnectRequest())


def test_several_wait(shim):
    with shim.running() as task:
        clients = [Client(task.socket, shim.m) for _ in range(3)]
        request = shim.m.WaitRequest(id=task.id)
        streams = [(c, c.send("Wait", request)) for c in clients for _ in range(2)]
        clients[2].close()  # whoever goes away harms nobody
        task.kill(signal.SIGKILL)
        for client, stream in streams[:4]:
            equal(client.receive(stream, shim.m.WaitResponse).exit_status, SIGKILL_STATUS)
        equal(task.wait().exit_status, SIGKILL_STATUS)


def test_exec(shim):
    with shim.running() as task:
        task.exec("one", ["sh", "-c", "echo in; cat; exit 4"], input_=True)
        refused(ALREADY_EXISTS, task.exec, "one", ["true"])
        equal(task.state("one").status, shim.m.CREATED)
        pid = task.start("one").pid
        check(pid != task.state().pid, "a process of its own")
        refused(FAILED_PRECONDITION, task.start, "one")
        refused(FAILED_PRECONDITION, task.delete, "one")
        with task.typing("one") as keys:
            keys.write(b"typed\n")
        equal(task.state("one").status, shim.m.RUNNING)  # a writer that goes is no end of input
        task.call("CloseIO", shim.m.CloseIORequest(id=task.id, exec_id="one", stdin=True))
        equal(task.wait("one").exit_status, 4)
        equal(task.out("one"), "in\ntyped\n")
        equal(task.delete("one").exit_status, 4)
        refused(NOT_FOUND, task.state, "one")
        message = None
        task.exec("two", ["/no/such"])
        message = refused(UNKNOWN_ERROR, task.start, "two")
        check("OCI runtime exec failed" in message and "no such file" in message, message)
        equal(task.delete("two").exit_status, 255)
        equal(task.state().status, shim.m.RUNNING)


def test_exec_ends_when_it_is_killed(shim):
    with shim.running() as task:
        for number, status in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, SIGKILL_STATUS)):
            task.exec("e", ["sleep", "1000"])
            task.start("e")
            refused(NOT_FOUND, task.kill, signal.SIGTERM, "none")
            task.kill(number, "e")
            equal(task.wait("e").exit_status, status)
            task.delete("e")
            equal(shim.count_inside(task, "sleep"), 1, "only the container's own is left")


def test_exec_dies_with_the_container_and_before_it(shim):
    with shim.running() as task:
        for name in ("a", "b"):
            task.exec(name, ["sleep", "1000"])
            task.start(name)
        task.kill(signal.SIGKILL)
        task.wait()
        for name in ("a", "b"):
            equal(task.wait(name).exit_status, SIGKILL_STATUS)
        wait_for(lambda: shim.topics(task.id).count("/tasks/exit") == 3, "three ends are told")
        ends = [shim.m.TaskExit.FromString(v) for t, _, v, _ in shim.listener.events if t == "/tasks/exit"]
        equal([e.id for e in ends if e.container_id == task.id][-1], task.id, "the container's is the last")
        refused(FAILED_PRECONDITION, task.exec, "late", ["true"])


def test_kill_and_delete_in_every_state(shim):
    with shim.task(["sleep", "1000"]) as task:
        for call in (task.state, task.start, task.wait, task.delete, task.kill):
            refused(NOT_FOUND, call, *([signal.SIGTERM] if call == task.kill else []))
        task.create()
        refused(ALREADY_EXISTS, task.create)
        # Never started: its deletion is its end.
        equal(task.delete().exit_status, SIGKILL_STATUS)
    with shim.running() as task:
        refused(FAILED_PRECONDITION, task.delete)
        refused(FAILED_PRECONDITION, task.start)
        task.kill(signal.SIGKILL)
        task.wait()
        equal(refused(NOT_FOUND, task.kill, signal.SIGKILL), "process already finished: not found")


def test_kill_reaches_all(shim):
    lines = lambda task: shim.count_inside(task, "sleep")
    with shim.running(["sh", "-c", "trap : TERM; sleep 1000 & sleep 1000 & wait; tail -f /dev/null"]) as task:
        wait_for(lambda: lines(task) == 2, "the processes are there")
        task.call("Kill", shim.m.KillRequest(id=task.id, signal=signal.SIGTERM, all=True))
        wait_for(lambda: lines(task) == 0, "those that do not catch it have gone")
        equal(task.state().status, shim.m.RUNNING)
        task.call("Kill", shim.m.KillRequest(id=task.id, signal=signal.SIGKILL, all=True))
        equal(task.wait().exit_status, SIGKILL_STATUS)


def test_terminal(shim):
    with shim.task(["sh", "-c", "tty; read line; stty size; echo got $line; exit 6"], terminal=True) as task:
        task.create()
        task.call("ResizePty", shim.m.ResizePtyRequest(id=task.id, width=132, height=43))
        task.start()
        wait_for(lambda: "/dev/pts" in task.out(), "it writes")
        task.call("ResizePty", shim.m.ResizePtyRequest(id=task.id, width=90, height=33))
        time.sleep(0.2)
        with task.typing() as keys:
            keys.write(b"word\n")
        equal(task.wait().exit_status, 6)
        wait_for(lambda: "got word" in task.out(), "the end of its output")
        check("33 90" in task.out(), task.out())
        equal(task.err(), "")


def test_terminal_of_an_exec(shim):
    with shim.running() as task:
        task.exec("t", ["sh"], terminal=True)
        task.start("t")
        with task.typing("t") as keys:
            keys.write(b"echo $((6 * 7)); tty; exit 3\n")
        equal(task.wait("t").exit_status, 3)
        task.delete("t")
        check("42" in task.out("t") and "/dev/pts/" in task.out("t"), task.out("t"))
        refused(INVALID, task.call, "ResizePty", shim.m.ResizePtyRequest(id=task.id, width=1, height=1))


def test_a_terminal_that_nobody_reads_does_not_hold_the_shim(shim):
    with shim.running() as task:
        task.exec("t", ["sh", "-c", "yes | head -c 1000000; exit 2"], terminal=True, reader=False)
        task.start("t")
        time.sleep(0.5)
        equal(task.state("t").status, shim.m.RUNNING)
        before = task.cpu_ticks()
        time.sleep(0.5)
        check(task.cpu_ticks() - before <= 2, "the shim waits, it does not spin")
        task.kill(signal.SIGKILL, "t")
        task.wait("t")
        start = time.monotonic()
        task.delete("t")
        check(time.monotonic() - start < 10, "its deletion does not wait for readers")


def test_much_output_arrives_whole(shim):
    with shim.task(["sh", "-c", "seq 1 200000; seq 1 1000 >&2"]) as task:
        task.create()
        task.start()
        equal(task.wait().exit_status, 0)
        task.delete()
        equal(task.out(), "".join(f"{n}\n" for n in range(1, 200001)))
        equal(task.err(), "".join(f"{n}\n" for n in range(1, 1001)))


def test_input_of_the_container(shim):
    with shim.task(["sh", "-c", "wc -c; exit 1"], input_=True) as task:
        task.create()
        task.start()
        with task.typing() as keys:
            keys.write(b"x" * 300000)
        task.call("CloseIO", shim.m.CloseIORequest(id=task.id, stdin=True))
        equal(task.wait().exit_status, 1)
        equal(task.out(), "300000\n")


def test_output_to_a_file_and_to_a_program(shim):
    file = shim.place.path / "output"
    with shim.task(["sh", "-c", "echo to the file; echo and this >&2"], stdout=f"file://{file}", stderr=f"file://{file}") as task:
        task.create()
        task.start()
        equal(task.wait().exit_status, 0)
        equal(file.read_text(), "to the file\nand this\n")
    logger, taken = shim.place.path / "logger", shim.place.path / "logged"
    logger.write_text(f'#!/bin/sh\nexec 5>&-\n(cat <&4 >{taken}.err) &\necho "$CONTAINER_NAMESPACE $1=$2" >{taken}\ncat <&3 >>{taken}\nwait\ntouch {taken}.done\n')
    logger.chmod(0o755)
    with shim.task(["sh", "-c", "echo out; echo err >&2"], stdout=f"binary://{logger}?tag=a%20b", stderr=f"binary://{logger}?tag=a%20b") as task:
        task.create()
        task.start()
        task.wait()
        wait_for(lambda: pathlib.Path(f"{taken}.done").exists(), "the program has read to the end")
        equal((taken.read_text(), pathlib.Path(f"{taken}.err").read_text()), ("tests tag=a b\nout\n", "err\n"))
    with shim.task(["true"], stdout="nonsense://x") as task:
        check("nonsense" in refused(UNKNOWN_ERROR, task.create), "a scheme that is unknown")


def test_pause(shim):
    with shim.running(["sh", "-c", "while :; do echo tick; sleep 0.05; done"]) as task:
        wait_for(lambda: "tick" in task.out(), "it runs")
        task.call("Pause", shim.m.PauseRequest(id=task.id))
        equal(task.state().status, shim.m.PAUSED)
        time.sleep(0.2)
        before = task.out()
        time.sleep(0.3)
        equal(task.out(), before, "nothing runs")
        task.call("Resume", shim.m.ResumeRequest(id=task.id))
        equal(task.state().status, shim.m.RUNNING)
        wait_for(lambda: len(task.out()) > len(before), "it goes on")


def test_statistics_update_and_processes(shim):
    with shim.running(change=shim.limited(64 << 20)) as task:
        stats = task.call("Stats", shim.m.StatsRequest(id=task.id), shim.m.StatsResponse).stats
        check(stats.type_url in ("io.containerd.cgroups.v1.Metrics", "io.containerd.cgroups.v2.Metrics"), stats.type_url)
        kind = shim.metrics.V1 if "v1" in stats.type_url else shim.metrics.V2
        found = kind.FromString(stats.value)
        limit = lambda m: m.memory.usage.limit if kind is shim.metrics.V1 else m.memory.usage_limit
        equal(limit(found), 64 << 20)
        check(found.pids.current > 0 and (found.cpu.usage.total if kind is shim.metrics.V1 else found.cpu.usage_usec) > 0, found)
        resources = shim.m.Any(type_url="types.containerd.io/opencontainers/runtime-spec/1/LinuxResources",
                               value=json.dumps({"memory": {"limit": 96 << 20}}).encode())
        task.call("Update", shim.m.UpdateTaskRequest(id=task.id, resources=resources))
        stats = task.call("Stats", shim.m.StatsRequest(id=task.id), shim.m.StatsResponse).stats
        equal(limit(kind.FromString(stats.value)), 96 << 20)
        check(task.state().pid in task.pids(), "the sandbox is among its processes")
        resources.value = b"{nonsense"
        refused(UNKNOWN_ERROR, task.call, "Update", shim.m.UpdateTaskRequest(id=task.id, resources=resources))
        refused(UNIMPLEMENTED, task.call, "Checkpoint", shim.m.CheckpointTaskRequest(id=task.id))


def test_out_of_memory_is_told(shim):
    with shim.task(["sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M count=1; echo status $?"], change=shim.limited(64 << 20)) as task:
        task.create()
        task.start()
        task.wait()
        wait_for(lambda: "/tasks/oom" in shim.topics(task.id), "containerd hears of it")


def test_options(shim):
    runc = shim.m.RuncOptions(binary_name="/no/such/runtime")
    with shim.task(["true"], options=("containerd.runc.v1.Options", runc)) as task:
        message = refused(UNKNOWN_ERROR, task.create)
        check("/no/such/runtime" in message, message)
    log = shim.place.path / "strace"
    body = f'# ours\nstrace = true\ndebug_log = "{log}"  # there\noverlay = "memory"\nroot = "{shim.place.path}/other-root"\n'
    with shim.running(options=("runtimeoptions.v1.Options", shim.m.FileOptions(config_body=body.encode()))) as task:
        check((shim.place.path / "other-root/tests" / task.id).exists(), "its record is where the option says")
        wait_for(lambda: log.exists() and "brk(" in log.read_text(), "the option of the sandbox's kernel")
    file = shim.place.path / "options.toml"
    file.write_text("nonsense = true\n")
    options = ("runtimeoptions.v1.Options", shim.m.FileOptions(config_path=str(file)))
    done = shim.start_program(shim.make_bundle("refused", ["true"]), "refused", options=options)
    check(done.returncode == 1 and "line 1: 'nonsense' is no option" in done.stderr.decode(), done)


def test_containers_of_a_pod_share_a_shim(shim):
    label = {"io.containerd.cofferdam.v1.group": "some-pod"}
    with shim.running(change=shim.annotated(label)) as first:
        with shim.running(change=shim.annotated(label)) as second:
            equal(first.socket, second.socket)
            equal(first.shim_pid(), second.shim_pid())
            check(first.state().pid != second.state().pid, "two containers")
            second.kill(signal.SIGKILL)
            second.wait()
            second.delete()
            second.shutdown(ends=False)
            equal(first.state().status, shim.m.RUNNING)


def test_ports_of_a_pod_are_forwarded(shim):
    """What connects to localhost in the pod's namespace on the host, as containerd does, reaches localhost in the sandbox."""
    name = f"{shim.place.name[:12]}-pf"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    try:
        def change(config):
            config["annotations"] = {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": name}
            next(n for n in config["linux"]["namespaces"] if n["type"] == "network")["path"] = f"/run/netns/{name}"
            config["root"]["readonly"] = True
        with shim.running(["sh", "-c", "httpd -p 127.0.0.1:8080 -h /etc; exec sleep 1000"], change=change) as task:
            ask = ("import socket; s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'GET /passwd HTTP/1.0\\r\\n\\r\\n'); "
                   "d = b''.join(iter(lambda: s.recv(4096), b'')); print(d.decode())")
            asked = lambda port: shim.place.run(["nsenter", f"--net=/run/netns/{name}", "python3", "-c", ask.format(port=port)])
            wait_for(lambda: "root:x:0:0" in asked(8080).out, "the page, by the sandbox's own loopback")
            equal(asked(8081).out.strip(), "", "nobody listens there")
            equal(task.state().status, shim.m.RUNNING)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_a_root_that_cannot_be_mounted(shim):
    with shim.task(["true"], mounts=[("overlay", "overlay", ["lowerdir=/no/such:/nor/this"])]) as task:
        check("cannot mount overlay" in refused(UNKNOWN_ERROR, task.create), "said so")
        check(not os.path.ismount(task.bundle / "rootfs"), "nothing is mounted")


def test_a_root_of_many_layers(shim):
    layers = shim.place.path / "layers-in-a-directory-with-a-name-that-is-as-long-as-the-paths-of-a-snapshotter-are" / "snapshots"
    names = []
    for n in range(60):
        layer = layers / f"{n}/fs"
        layer.mkdir(parents=True)
        (layer / f"file{n}").write_text("x")
        names.append(str(layer))
    work, upper = shim.place.path / "layers-work", shim.place.path / "layers-upper"
    work.mkdir()
    upper.mkdir()
    options = [f"workdir={work}", f"upperdir={upper}", "lowerdir=" + ":".join([*names, str(layers / "base")])]
    check(len(options[2]) > 4096, "longer than a page")
    shim.layer_link(layers / "base")
    with shim.task(["sh", "-c", "ls -d /file* | wc -l"], mounts=[("overlay", "overlay", options)]) as task:
        task.create()
        task.start()
        equal(task.wait().exit_status, 0)
        equal(task.out(), "60\n")


def test_a_shim_that_was_killed_leaves_nothing_after_delete(shim):
    with shim.running() as task:
        task.exec("e", ["sleep", "1000"])
        task.start("e")
        sandbox = task.state().pid
        os.kill(task.shim_pid(), signal.SIGKILL)
        deleted = task.delete_command()
        equal((deleted.exit_status, deleted.pid), (SIGKILL_STATUS, sandbox))
        wait_for(lambda: not pathlib.Path(f"/proc/{sandbox}").exists() or "Z" in pathlib.Path(f"/proc/{sandbox}/stat").read_text(), "the sandbox has ended")
        check(not os.path.ismount(task.bundle / "rootfs"), "its root is unmounted")
        check(not os.path.exists(task.socket), "its socket is gone")
        equal(shim.records(), [])
        task.gone = True


def test_killed_while_it_creates(shim):
    for pause_ms in range(0, 60, 6):
        with shim.task(["sleep", "1000"]) as task:
            stream = task.send_create()
            time.sleep(pause_ms / 1000)
            os.kill(wait_for(task.shim_pid_from_proc, "the shim"), signal.SIGKILL)
            task.delete_command()
            check(not os.path.ismount(task.bundle / "rootfs"), "its root is unmounted")
            task.gone = True
    wait_for(lambda: shim.records() == [], "no record is left")
    wait_for(lambda: shim.sandboxes() == [], "no sandbox is left")


def test_a_broken_peer_harms_nobody(shim):
    with shim.running() as task:
        for bytes_ in (b"GET / HTTP/1.1\r\n\r\n" * 10, b"\xff" * 10, b"\0\0\0\x05\0\0\0\x01\x01\0\xff\xff\xff\xff\xff", b"\0\0\0\0\0\0\0\x02\x01\0", b"\0" * 9):
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(str(task.socket))
            peer.sendall(bytes_)
            peer.settimeout(0.2)
            with contextlib.suppress(OSError):
                peer.recv(1000)
            peer.close()
        equal(task.state().status, shim.m.RUNNING)


def test_ids_are_not_paths(shim):
    with shim.running() as task:
        for name in ("../x", "a/b", "", ".", ".hidden"):
            refused(INVALID, task.exec, name, ["true"])


def test_an_idle_shim_uses_no_cpu_and_little_memory(shim):
    with shim.running() as task:
        task.exec("e", ["cat"], input_=True)
        task.start("e")
        time.sleep(0.5)
        pid = task.shim_pid()
        time.sleep(0.2)
        switches = lambda: re.findall(r"ctxt_switches:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
        before = switches()
        time.sleep(2)
        equal(switches(), before, "it sleeps")
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        private = sum(int(n) for n in re.findall(r"^Private_Dirty:\s+(\d+)", rollup, re.M))
        check(private < 1000, f"{private} kB of its own")


def test_events_wait_for_a_containerd_that_restarts(shim):
    with shim.running() as task:
        wait_for(lambda: shim.topics(task.id) == ["/tasks/create", "/tasks/start"], "what has been so far is told")
        shim.listener.close()
        os.unlink(shim.events_path)
        task.exec("e", ["true"])
        task.start("e")
        task.wait("e")
        time.sleep(0.5)
        shim.listen()
        wait_for(lambda: shim.topics(task.id) == ["/tasks/exec-added", "/tasks/exec-started", "/tasks/exit"], "what happened meanwhile arrives, in order")


def test_information(shim):
    done = subprocess.run([SHIM, "-info"], input=b"", capture_output=True, timeout=30, check=True)
    info = shim.m.RuntimeInfo.FromString(done.stdout)
    equal(info.name, "io.containerd.cofferdam.v1")
    check("ociVersionMin" in json.loads(info.features.value), info)
    check("Version" in subprocess.run([SHIM, "-v"], capture_output=True, text=True, check=True).stdout, "-v")
    for words in (["start"], ["-namespace", "n", "start"], ["-nonsense"], ["-namespace", "n", "-id", "../x", "delete"], ["-namespace", "n", "nonsense"]):
        done = subprocess.run([SHIM, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
        check(done.returncode == 1 and done.stderr.startswith("containerd-shim-cofferdam-v1: "), done)


def test_random_kills_leave_nothing(shim):
    """Cycles of create, start, exec, kill and delete from four clients; shims, sandboxes and the commands that a shim runs are killed
    at random moments. No call hangs, and after the clean-up, which is containerd's, nothing is left."""
    seed = int(os.environ.get("CHAOS_SEED", "0")) or random.randrange(1 << 30)
    print(f"CHAOS_SEED={seed}", flush=True)
    rounds = int(os.environ.get("CHAOS_ROUNDS", "12"))
    failures, killed = [], {"nobody": 0, "shim": 0, "sandbox": 0, "command": 0}

    def client(number):
        chance = random.Random(seed + number)
        for _ in range(rounds):
            try:
                cycle(chance)
            except Exception as error:  # in a thread: told at the end
                failures.append(repr(error))

    def kill_later(task, shim_pid, whom, delay):
        time.sleep(delay)
        if whom == "shim":
            kill_quietly(shim_pid)
        for child in children_of(shim_pid) if whom in ("sandbox", "command") else []:
            with contextlib.suppress(OSError):
                sandbox = pathlib.Path(f"/proc/{child}/comm").read_text().startswith("cofferdam-")
                if sandbox == (whom == "sandbox"):
                    kill_quietly(child)

    def cycle(chance):
        whom = chance.choice(list(killed))
        killed[whom] += 1
        with shim.task(["sleep", "1000"]) as task:
            shim_pid = wait_for(task.shim_pid_from_proc, "the shim")
            killer = threading.Thread(target=kill_later, args=(task, shim_pid, whom, chance.random() * 0.2))
            killer.start()
            for call in (task.create, task.start, lambda: task.exec("e", ["sleep", "1000"]), lambda: task.start("e"),
                         *([lambda: task.kill(signal.SIGKILL, "e"), lambda: task.wait("e")] if chance.random() < 0.5 else []),
                         lambda: kill_for_sure(task), task.wait, task.delete):
                try:
                    call()
                except CallError:
                    pass  # whatever was killed, an answer comes
                except (EOFError, ConnectionError):
                    check(whom == "shim", "the shim lives")
                    break
                except TimeoutError:
                    raise AssertionError(f"a call hangs: {call}, task {task.id}, killed: {whom}, processes: {[describe(p) for p in (shim_pid, *children_of(shim_pid))]}") from None
            killer.join()
            if whom == "shim":
                kill_quietly(shim_pid)
                task.delete_command()
            else:
                with contextlib.suppress(CallError):
                    task.delete()  # of what could not be deleted at first
                refused(NOT_FOUND, task.state)
                task.shutdown()
            task.gone = True
            check(not os.path.ismount(task.bundle / "rootfs"), "its root is unmounted")

    threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [], f"killed: {killed}")
    wait_for(lambda: shim.records() == [] and shim.sandboxes() == [], "nothing is left")


def kill_for_sure(task):
    """Also when the command that carries the signal is killed itself."""
    for _ in range(3):
        with contextlib.suppress(CallError):
            task.kill(signal.SIGKILL)


def describe(pid):
    with contextlib.suppress(OSError):
        return pid, pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[-300:]
    return pid, "gone"


def kill_quietly(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
