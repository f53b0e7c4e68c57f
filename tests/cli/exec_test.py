"""exec: one more process in a container that runs."""
import json
import os
import pathlib
import signal
import subprocess

from harness import check, equal


def test_exec_gives_output_and_status(place):
    with place.running() as container:
        done = place.run("exec", container, "/guest", "echo", "hello")
        equal((done.status, done.out), (0, "hello\n"), repr(done))
        equal(place.run("exec", container, "/guest", "exit", "9").status, 9)
        done = place.run("exec", container, "nosuchprogram")
        check(done.status == 1 and "not found in $PATH" in done.err, repr(done))
        equal(place.status(container), "running")


def test_exec_options(place):
    with place.running() as container:
        done = place.run("exec", "--user", "7:8", "--cwd", "/tmp", "--env", "X=1", container, "/guest", "ids")
        check(done.out.startswith("uid 7 gid 8 ") and done.out.endswith("cwd /tmp\n"), repr(done))
        check("X=1" in place.run("exec", "-e", "X=1", container, "/guest", "env").out.split(), "environment")


def test_exec_process_file(place):
    process = {"args": ["/guest", "ids"], "cwd": "/dev", "user": {"uid": 3, "gid": 4}, "env": []}
    file = place.path / "process.json"
    file.write_text(json.dumps(process))
    with place.running() as container:
        done = place.run("exec", "--process", file, container)
        check(done.out.startswith("uid 3 gid 4 ") and done.out.endswith("cwd /dev\n"), repr(done))


def test_exec_passes_input(place):
    with place.running() as container:
        done = subprocess.run(place.command("exec", container, "/guest", "cat"), input="typed", capture_output=True, text=True, timeout=60)
        equal((done.returncode, done.stdout), (0, "typed"), done.stderr)


def test_exec_detached(place):
    with place.running() as container:
        pid_file = place.path / "exec-pid"
        equal(place.run("exec", "--detach", "--pid-file", pid_file, container, "/guest", "sleep").status, 0)
        stand_in = int(pid_file.read_text())
        check(pathlib.Path(f"/proc/{stand_in}").exists(), "a host process stands for it")
        equal(len(json.loads(place.run("ps", "-f", "json", container).out)), 3, "the sentry, and a host process for each of the two")
        place.run("delete", "--force", container)
        place.wait_for(lambda: not pathlib.Path(f"/proc/{stand_in}").exists()
                       or pathlib.Path(f"/proc/{stand_in}/stat").read_text().split(") ")[1][0] == "Z", "it ends with the sandbox")


def test_exec_passes_its_signals_on(place):
    with place.running() as container:
        run = place.start("exec", container, "/guest", "trap", stdout=subprocess.PIPE)
        equal(run.stdout.readline(), b"ready\n")
        run.terminate()
        equal(run.wait(20), 15)


def test_a_terminal(place):
    master, slave = os.openpty()
    with place.running() as container:
        run = subprocess.Popen(place.command("exec", "--tty", container, "/guest", "tty"), stdin=slave, stdout=slave, stderr=slave,
                               start_new_session=True)
        os.close(slave)
        equal(run.wait(20), 0)
        text = os.read(master, 4096).decode()
        check("tty 1 /dev/pts/" in text, text)
    os.close(master)


def test_exec_in_a_container_that_has_stopped(place):
    container = place.id()
    equal(place.run("run", "--keep", "--bundle", place.bundle(), container).status, 0)
    done = place.run("exec", container, "/guest", "true")
    check(done.status == 1 and "stopped" in done.err, repr(done))
    place.run("delete", container)


def test_exec_detached_is_killed_with_its_stand_in(place):
    with place.running() as container:
        pid_file = place.path / "exec-pid"
        equal(place.run("exec", "--detach", "--pid-file", pid_file, container, "/guest", "sleep").status, 0)
        inside = lambda: len(place.run("ps", container).out.splitlines()) - 1
        equal(inside(), 2)
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        place.wait_for(lambda: inside() == 1, "the process ends with the one that stands for it")
        equal(place.status(container), "running")
