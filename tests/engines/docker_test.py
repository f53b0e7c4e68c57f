"""docker run --runtime=cofferdam, and what goes with it."""
import contextlib
import json
import time

from engines import check, equal, wait_for


@contextlib.contextmanager
def running(docker, *words, command=("sleep", "1000"), **more):
    done = docker.run("-d", *words, "box:local", *command, **more)
    equal(done.status, 0, f"run -d: {done}")
    container = done.out.strip()
    try:
        yield container
    finally:
        docker.command("rm", "-f", container)


def inspect(docker, container, what):
    return docker.command("inspect", "-f", "{{" + what + "}}", container).out.strip()


def test_run_and_exit_status(docker):
    done = docker.run("--rm", "box:local", "echo", "hello")
    equal((done.status, done.out), (0, "hello\n"), repr(done))
    done = docker.run("--rm", "box:local", "sh", "-c", "exit 7")
    equal(done.status, 7, repr(done))
    done = docker.run("--rm", "box:local", "sh", "-c", "kill -9 $$")
    check(done.status in (0, 137), repr(done))  # init is shielded from itself
    check("cofferdam" in docker.run("--rm", "box:local", "uname", "-r").out, "the kernel of the sandbox")


def test_missing_program(docker):
    done = docker.run("--rm", "box:local", "/no/such/program")
    equal(done.status, 127, repr(done))
    check("no such file or directory" in done.err, repr(done))
    done = docker.run("--rm", "box:local", "nosuchprogram")
    equal(done.status, 127, repr(done))
    done = docker.run("--rm", "box:local", "/etc")
    equal(done.status, 126, repr(done))


def test_detached_logs_and_wait(docker):
    with running(docker, command=("sh", "-c", "echo out; echo err >&2; exit 3")) as container:
        equal(docker.command("wait", container).out, "3\n")
        done = docker.command("logs", container)
        equal((done.out, done.err), ("out\n", "err\n"))
        equal(inspect(docker, container, ".State.Status"), "exited")


def test_exec(docker):
    with running(docker, "-e", "A=b", "-w", "/tmp") as container:
        done = docker.command("exec", container, "sh", "-c", "echo $A; pwd; cat /proc/1/comm")
        equal((done.status, done.out), (0, "b\n/tmp\nsleep\n"), repr(done))
        equal(docker.command("exec", container, "sh", "-c", "exit 9").status, 9)
        done = docker.command("exec", "-u", "user", "-e", "C=d", "-w", "/var", container, "sh", "-c", "id -u; echo $C; pwd")
        equal(done.out, "1000\nd\n/var\n", repr(done))
        check(docker.command("exec", container, "/no/such").status in (126, 127), "a program that is not there")
        with open(docker.place.archive(), "rb") as data:
            done = docker.command("exec", "-i", container, "sh", "-c", "wc -c", stdin=data)
        equal(int(done.out), docker.place.archive().stat().st_size, repr(done))


def test_exec_with_a_terminal(docker):
    with running(docker) as container:
        script = f"{docker.client} -H unix://{docker.socket} exec -it {container} sh -c 'tty; stty size; exit 4'"
        done = docker.place.run(["script", "-qec", script, "/dev/null"])
        check("/dev/pts/" in done.out, repr(done))
        equal(done.status, 4, repr(done))
        # Input reaches a shell that stays.
        lines = docker.place.path / "lines"
        lines.write_text("echo $((6 * 7))\nsleep 1\nexit 6\n")
        with open(lines, "rb") as keys:
            done = docker.place.run(["script", "-qec", f"{docker.client} -H unix://{docker.socket} exec -it {container} sh", "/dev/null"], stdin=keys)
        check("42" in done.out and done.status == 6, repr(done))


def test_run_with_a_terminal(docker):
    script = f"{docker.client} -H unix://{docker.socket} run --rm -it --runtime cofferdam --network none box:local sh -c 'tty; exit 5'"
    done = docker.place.run(["script", "-qec", script, "/dev/null"])
    check("/dev/pts/" in done.out or "/dev/console" in done.out, repr(done))
    equal(done.status, 5, repr(done))


def test_top_and_stats(docker):
    with running(docker, "-m", "100m", "--cpus", "1.5", "--pids-limit", "200") as container:
        done = docker.command("top", container)
        check(done.status == 0 and "cofferdam" in done.out, repr(done))
        line = docker.command("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", container).out
        check("100MiB" in line, line)
        equal(docker.command("exec", container, "sh", "-c", "grep MemTotal /proc/meminfo").out.split()[1], "102400")


def test_pause_and_unpause(docker):
    shared = docker.place.path / "counter"
    shared.mkdir(exist_ok=True)
    number = lambda: (shared / "n").stat().st_size if (shared / "n").exists() else 0
    with running(docker, "-v", f"{shared}:/data", command=("sh", "-c", "while :; do echo >> /data/n; done")) as container:
        wait_for(number, "the counter runs")
        equal(docker.command("pause", container).status, 0)
        equal(inspect(docker, container, ".State.Status"), "paused")
        time.sleep(0.2)
        first = number()
        time.sleep(0.5)
        equal(number(), first, "it stands still")
        check(docker.command("exec", container, "true").status != 0, "exec in a paused container")
        equal(docker.command("unpause", container).status, 0)
        equal(inspect(docker, container, ".State.Status"), "running")
        wait_for(lambda: number() > first, "the counter runs on")


def test_stop_kill_restart(docker):
    with running(docker, command=("sh", "-c", "trap 'exit 6' TERM; while :; do sleep 0.1; done")) as container:
        equal(docker.command("stop", "-t", "30", container).status, 0)
        equal(inspect(docker, container, ".State.ExitCode"), "6")
        equal(docker.command("start", container).status, 0)
        equal(docker.command("restart", "-t", "30", container).status, 0)
        equal(inspect(docker, container, ".State.Status"), "running")
        equal(docker.command("kill", container).status, 0)
        wait_for(lambda: inspect(docker, container, ".State.Status") == "exited", "killed")
        equal(inspect(docker, container, ".State.ExitCode"), "137")


def test_restart_policy(docker):
    with running(docker, "--restart", "on-failure:2", command=("sh", "-c", "echo again; exit 1")) as container:
        wait_for(lambda: inspect(docker, container, ".RestartCount") == "2" and inspect(docker, container, ".State.Status") == "exited", "two restarts")
        equal(docker.command("logs", container).out, "again\n" * 3)


def test_init(docker):
    done = docker.run("--rm", "--init", "box:local", "sh", "-c", "cat /proc/1/comm; echo $$")
    check(done.status == 0 and done.out.split()[0] in ("docker-init", "tini"), repr(done))


def test_volumes(docker):
    shared = docker.place.path / "shared"
    shared.mkdir(exist_ok=True)
    (shared / "in").write_text("from the host\n")
    done = docker.run("--rm", "-v", f"{shared}:/data", "box:local", "sh", "-c", "cat /data/in; echo back > /data/out")
    equal((done.status, done.out), (0, "from the host\n"), repr(done))
    equal((shared / "out").read_text(), "back\n")
    done = docker.run("--rm", "-v", f"{shared}:/data:ro", "box:local", "sh", "-c", "echo x > /data/no")
    check(done.status != 0 and "Read-only" in done.err, repr(done))
    done = docker.run("--rm", "-v", f"{shared}/in:/etc/one", "box:local", "cat", "/etc/one")
    equal(done.out, "from the host\n", repr(done))
    equal(docker.run("--rm", "-v", "named:/n", "box:local", "sh", "-c", "echo kept > /n/f").status, 0)
    equal(docker.run("--rm", "-v", "named:/n", "box:local", "cat", "/n/f").out, "kept\n")


def test_tmpfs_and_shm(docker):
    done = docker.run("--rm", "--tmpfs", "/scratch:size=64k,mode=1777", "--shm-size", "1m", "box:local", "sh", "-c",
                      "df -k /scratch /dev/shm | awk 'NR>1{print $2}'; echo x > /scratch/f && echo written")
    equal(done.out, "64\n1024\nwritten\n", repr(done))


def test_read_only(docker):
    done = docker.run("--rm", "--read-only", "--tmpfs", "/tmp", "box:local", "sh", "-c", "echo x > /f; echo x > /tmp/f && echo tmp")
    equal(done.out, "tmp\n", repr(done))
    check("Read-only" in done.err, repr(done))


def test_capabilities_and_users(docker):
    done = docker.run("--rm", "box:local", "grep", "CapEff", "/proc/self/status")
    equal(done.out.split()[1], "00000000a80425fb", "Docker's default set")
    done = docker.run("--rm", "--cap-drop", "ALL", "--cap-add", "CHOWN", "box:local", "grep", "CapEff", "/proc/self/status")
    equal(done.out.split()[1], "0000000000000001", repr(done))
    done = docker.run("--rm", "--user", "1000:1000", "--group-add", "5", "box:local", "id")
    check("uid=1000" in done.out and "5" in done.out, repr(done))
    done = docker.run("--rm", "--privileged", "box:local", "grep", "Seccomp:", "/proc/self/status")
    equal(done.out.split()[1], "0", repr(done))


def test_security_options(docker):
    done = docker.run("--rm", "box:local", "grep", "Seccomp:", "/proc/self/status")
    equal(done.out.split()[1], "2", "Docker's own profile is in force")
    check(docker.run("--rm", "box:local", "unshare", "-U", "true").status != 0, "Docker's profile forbids it")
    done = docker.run("--rm", "--security-opt", "no-new-privileges", "box:local", "grep", "NoNewPrivs", "/proc/self/status")
    equal(done.out.split()[1], "1", repr(done))
    profile = docker.place.path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}))
    done = docker.run("--rm", "--security-opt", f"seccomp={profile}", "box:local", "mkdir", "/x")
    check(done.status != 0 and "not permitted" in done.err, repr(done))
    done = docker.run("--rm", "box:local", "sh", "-c", "ls /proc/scsi /sys/firmware; echo 1 > /proc/sys/kernel/shmmax")
    check("Read-only" in done.err, f"paths of proc are protected: {done}")


def test_sysctl_and_ulimit(docker):
    done = docker.run("--rm", "--sysctl", "kernel.msgmax=4000", "--ulimit", "nofile=77:88", "box:local", "sh", "-c",
                      "cat /proc/sys/kernel/msgmax; ulimit -n; ulimit -Hn")
    equal(done.out, "4000\n77\n88\n", repr(done))


def test_hostname_environment_and_directory(docker):
    done = docker.run("--rm", "-h", "some-host", "-e", "X=y z", "-w", "/var/deep", "box:local", "sh", "-c", "hostname; echo $X; pwd; cat /etc/hostname")
    equal(done.out, "some-host\ny z\n/var/deep\nsome-host\n", repr(done))


def test_update(docker):
    with running(docker, "-m", "100m") as container:
        done = docker.command("update", "-m", "60m", "--memory-swap", "60m", container)
        equal(done.status, 0, repr(done))
        line = docker.command("stats", "--no-stream", "--format", "{{.MemUsage}}", container).out
        check("60MiB" in line, line)


def test_out_of_memory_is_the_guests(docker):
    with running(docker, "-m", "64m", "--memory-swap", "64m") as container:
        done = docker.command("exec", container, "sh", "-c", "head -c 200m /dev/zero | tail; echo status $?")
        check("status 137" in done.out, f"the eater is killed: {done}")
        equal(docker.command("exec", container, "echo", "alive").out, "alive\n", "the sandbox lives on")


def test_healthcheck(docker):
    with running(docker, "--health-cmd", "test -e /tmp/well", "--health-interval", "1s", "--health-retries", "2") as container:
        docker.command("exec", container, "touch", "/tmp/well")
        wait_for(lambda: inspect(docker, container, ".State.Health.Status") == "healthy", "healthy")
        docker.command("exec", container, "rm", "/tmp/well")
        wait_for(lambda: inspect(docker, container, ".State.Health.Status") == "unhealthy", "unhealthy")


def test_copy_and_diff(docker):
    with running(docker) as container:
        docker.command("exec", container, "sh", "-c", "echo made > /tmp/made")
        done = docker.place.run(["sh", "-c", f"{docker.client} -H unix://{docker.socket} cp {container}:/tmp/made - | tar -xO"])
        equal(done.out, "made\n", repr(done))
        check("A /tmp/made" in docker.command("diff", container).out, "diff")


def test_commit_and_bridge_network_start(docker):
    done = docker.run("--rm", "box:local", "echo", "bridged", network="bridge")
    equal((done.status, done.out), (0, "bridged\n"), repr(done))
    with running(docker, command=("sh", "-c", "echo layer > /layer; sleep 1000")) as container:
        wait_for(lambda: docker.command("exec", container, "test", "-s", "/layer").status == 0, "the layer")
        equal(docker.command("commit", container, "layer:local").status, 0)
    equal(docker.run("--rm", "layer:local", "cat", "/layer").out, "layer\n")


SERVE = ("sh", "-c", "mkdir /www; echo served > /www/page; httpd -f -p 80 -h /www")


def test_containers_reach_each_other_on_a_bridge(docker):
    with running(docker, command=SERVE, network="bridge") as server:
        address = inspect(docker, server, ".NetworkSettings.IPAddress")
        fetched = lambda: docker.run("--rm", "box:local", "wget", "-q", "-O-", f"http://{address}/page", network="bridge")
        wait_for(lambda: fetched().out == "served\n", "the page")


def test_published_port(docker):
    with running(docker, "-p", "18080:80", command=SERVE, network="bridge"):
        wait_for(lambda: docker.place.run(docker.place.inside("curl -s http://127.0.0.1:18080/page")).out == "served\n", "the page")


def test_engine_restart_leaves_nothing(docker):
    before = len(docker.command("ps", "-aq").out.split())
    for n in range(3):
        equal(docker.run("--rm", "box:local", "echo", str(n)).out, f"{n}\n")
    equal(len(docker.command("ps", "-aq").out.split()), before)


def test_build(docker):
    context = docker.place.path / "docker-context"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text("FROM box:local\nCOPY data /data\nRUN cat /data > /copied && uname -r > /kernel\nUSER user\nRUN id -u > /tmp/uid\n")
    (context / "data").write_text("data\n")
    done = docker.command("build", "--network", "none", "-t", "built:local", context, env={"DOCKER_BUILDKIT": "0"})
    equal(done.status, 0, repr(done))
    done = docker.run("--rm", "built:local", "cat", "/copied", "/kernel", "/tmp/uid")
    check(done.out.startswith("data\n") and "cofferdam" in done.out and done.out.endswith("\n1000\n"), repr(done))
