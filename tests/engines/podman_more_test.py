"""podman: networks, pods, builds, policies, and a monitor that dies."""
import json
import os
import signal
import time

from engines import check, equal, wait_for
from podman_test import running

SERVE = ("sh", "-c", "mkdir /www; echo served > /www/page; exec httpd -f -p 80 -h /www")


def inspect(podman, container, what):
    return podman.command("inspect", "-f", "{{" + what + "}}", container).out.strip()


def running_process(pid):
    return os.path.exists(f"/proc/{pid}") and ") Z " not in open(f"/proc/{pid}/stat").read()


def test_logs_attach_and_top(podman):
    with running(podman, command=("sh", "-c", "for n in 1 2 3 4; do echo $n; sleep 0.3; done; exit 3")) as container:
        done = podman.command("logs", "-f", container)
        equal(done.out.split(), list("1234"), repr(done))
        equal(podman.command("wait", container).out, "3\n")
    with running(podman, command=("sh", "-c", "sleep 1; echo late; exit 4")) as container:
        done = podman.command("attach", container)
        equal(done.out.strip(), "late", repr(done))
        equal(podman.command("wait", container).out, "4\n")
    with running(podman) as container:
        done = podman.command("top", container, "-o", "pid,args")  # by the image's own ps: there is no proc file system of the host's in a sandbox
        check(done.status == 0 and "sleep" in done.out, repr(done))


def test_a_terminal_of_a_run(podman):
    words = " ".join(f"{k}={v}" for k, v in podman.env.items())
    done = podman.place.run(["script", "-qec", f"env {words} podman run --rm -it --network none box:local sh -c 'tty; exit 5'", "/dev/null"])
    check("/dev/" in done.out and done.status == 5, repr(done))


def test_input(podman):
    with open(podman.place.archive(), "rb") as data:
        done = podman.run("--rm", "-i", "box:local", "wc", "-c", stdin=data)
    equal(int(done.out), podman.place.archive().stat().st_size, repr(done))
    with running(podman) as container:
        with open(podman.place.archive(), "rb") as data:
            done = podman.command("exec", "-i", container, "wc", "-c", stdin=data)
        equal(int(done.out), podman.place.archive().stat().st_size, repr(done))


def test_limits(podman):
    done = podman.run("--rm", "--cpuset-cpus", "0", "--ulimit", "nofile=77:88", "box:local", "sh", "-c", "nproc; ulimit -n")
    equal(done.out.split(), ["1", "77"], repr(done))
    done = podman.run("--rm", "--pids-limit", "60", "box:local", "sh", "-c", "for n in $(seq 200); do sleep 3 & done; wait", timeout=100)
    check("fork" in done.err, repr(done))
    with running(podman, "-m", "64m", "--memory-swap", "64m") as container:
        done = podman.command("exec", container, "sh", "-c", "head -c 200m /dev/zero | tail; echo status $?")
        check("status 137" in done.out, repr(done))
        equal(podman.command("update", "--memory", "90m", container).status if "update" in podman.command("--help").out else 0, 0)


def test_mounts_and_security(podman):
    done = podman.run("--rm", "--mount", "type=tmpfs,destination=/t,tmpfs-size=65536", "--mount", "type=volume,source=vol,target=/v", "--tmpfs", "/u:size=1m", "box:local",
                      "sh", "-c", "df -k /t /u | awk 'NR>1{print $2}'; touch /v/y && ls /v")
    equal(done.out.split(), ["64", "1024", "y"], repr(done))
    done = podman.run("--rm", "--security-opt", "no-new-privileges", "--user", "user", "box:local", "sh", "-c", "id -un; grep NoNewPrivs /proc/self/status")
    equal(done.out.split(), ["user", "NoNewPrivs:", "1"], repr(done))
    profile = podman.place.path / "podman-profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}))
    done = podman.run("--rm", "--security-opt", f"seccomp={profile}", "box:local", "mkdir", "/x")
    check(done.status != 0 and "not permitted" in done.err, repr(done))


def test_restart_policy(podman):
    with running(podman, "--restart", "on-failure:2", command=("sh", "-c", "echo again; exit 1")) as container:
        wait_for(lambda: podman.command("logs", container).out == "again\n" * 3, "two restarts")
        wait_for(lambda: inspect(podman, container, ".State.Status") == "exited", "it stays down")


def test_bridge_and_ports(podman):
    with running(podman, "-p", "18181:80", command=SERVE, network="podman") as container:
        address = inspect(podman, container, ".NetworkSettings.Networks.podman.IPAddress") or inspect(podman, container, ".NetworkSettings.IPAddress")
        fetched = lambda: podman.run("--rm", "box:local", "wget", "-q", "-O-", f"http://{address}/page", network="podman")
        wait_for(lambda: fetched().out == "served\n", "the page")
        wait_for(lambda: podman.place.run(["nsenter", f"--net=/run/netns/{podman.place.name}", "curl", "-s", "http://127.0.0.1:18181/page"]).out == "served\n", "the port")


def test_a_network_of_ones_own(podman):
    equal(podman.command("network", "create", "--subnet", "10.78.0.0/24", "own").status, 0)
    try:
        with running(podman, "--ip", "10.78.0.9", command=SERVE, network="own"):
            fetched = lambda: podman.run("--rm", "box:local", "wget", "-q", "-O-", "http://10.78.0.9/page", network="own")
            wait_for(lambda: fetched().out == "served\n", "the page")
    finally:
        podman.command("network", "rm", "-f", "own")


def test_names_on_a_network_of_ones_own(podman):
    equal(podman.command("network", "create", "names").status, 0)
    try:
        with running(podman, "--name", "the-server", command=SERVE, network="names"):
            fetched = lambda: podman.run("--rm", "box:local", "wget", "-q", "-O-", "http://the-server/page", network="names")
            wait_for(lambda: fetched().out == "served\n", "the page", 15)
    finally:
        podman.command("network", "rm", "-f", "names")


def test_build_with_run_steps(podman):
    context = podman.place.path / "podman-context"
    context.mkdir(exist_ok=True)
    (context / "Containerfile").write_text("FROM box:local\nARG WORD=x\nRUN echo $WORD > /word && uname -r > /kernel\nUSER user\nWORKDIR /tmp\nRUN id -u > uid\n")
    done = podman.command("build", "--isolation", "oci", "--network", "none", "--pull-never", "--signature-policy", podman.policy, "--build-arg", "WORD=built", "-t", "pbuilt:local", context)
    equal(done.status, 0, repr(done))
    done = podman.run("--rm", "pbuilt:local", "cat", "/word", "/kernel", "/tmp/uid")
    check(done.out.startswith("built\n") and "cofferdam" in done.out and done.out.endswith("1000\n"), repr(done))


def test_pod(podman):
    """Its infra container, a network, an IPC and a host name that the others share."""
    done = podman.command("pod", "create", "--name", "pod", "--network", "podman", "-p", "18282:80", "--hostname", "the-pod", "--infra-image", "box:local", "--infra-command", "sleep 1000000")
    equal(done.status, 0, repr(done))
    try:
        equal(podman.command("run", "-d", "--pod", "pod", "--name", "server", "box:local", *SERVE).status, 0)
        wait_for(lambda: podman.command("run", "--rm", "--pod", "pod", "box:local", "wget", "-q", "-O-", "http://127.0.0.1/page").out == "served\n", "localhost is one")
        equal(podman.command("run", "--rm", "--pod", "pod", "box:local", "hostname").out, "the-pod\n")
        wait_for(lambda: podman.place.run(["nsenter", f"--net=/run/netns/{podman.place.name}", "curl", "-s", "http://127.0.0.1:18282/page"]).out == "served\n", "the port")
        equal(podman.command("pod", "ps", "--format", "{{.Name}} {{.Status}}").out, "pod Running\n")
        equal(podman.command("pod", "stop", "-t", "1", "pod").status, 0)
        equal(inspect(podman, "server", ".State.Status"), "exited")
    finally:
        podman.command("pod", "rm", "-f", "-t", "0", "pod")


def test_the_monitor_dies(podman):
    with running(podman) as container:
        monitor = int(inspect(podman, container, ".State.ConmonPid"))
        sandbox = int(inspect(podman, container, ".State.Pid"))
        os.kill(monitor, signal.SIGKILL)
        time.sleep(0.3)
        check(running_process(sandbox), "the container does not die with it")
        podman.command("rm", "-f", "-t", "0", container)
        wait_for(lambda: not running_process(sandbox), "the sandbox ends")


def test_the_sandbox_dies(podman):
    with running(podman) as container:
        os.kill(int(inspect(podman, container, ".State.Pid")), signal.SIGKILL)
        wait_for(lambda: inspect(podman, container, ".State.Status") == "exited", "podman notices")
        equal(inspect(podman, container, ".State.ExitCode"), "137")
        equal(podman.command("start", container).status, 0)
        equal(podman.command("exec", container, "echo", "again").out, "again\n")


def test_checkpoint_is_refused(podman):
    with running(podman) as container:
        check(podman.command("container", "checkpoint", container).status != 0, "there are none")
        equal(podman.command("exec", container, "echo", "well").out, "well\n")


def test_play_kube(podman):
    file = podman.place.path / "kube.yaml"
    file.write_text("apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube\nspec:\n  restartPolicy: Never\n  containers:\n  - name: one\n    image: localhost/box:local\n    imagePullPolicy: Never\n"
                    "    command: [sh, -c, 'echo from kube; sleep 1000']\n")
    done = podman.command("play", "kube", "--network", "none", file)
    try:
        equal(done.status, 0, repr(done))
        wait_for(lambda: podman.command("logs", "kube-one").out == "from kube\n", "its log")
    finally:
        podman.command("play", "kube", "--down", file)
        podman.command("pod", "rm", "-f", "-t", "0", "kube")
