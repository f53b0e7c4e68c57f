"""Four clients at once create, start, exec, kill and delete, alone and in pods, while sentries, gofers, stand-ins and commands
are killed at random moments: no command hangs, and nothing is left."""
import contextlib
import os
import random
import signal
import subprocess
import threading
import time

import harness
from harness import check
from leak_test import settle, snapshot
from pod_test import annotated

CYCLES = int(os.environ.get("CHAOS_CYCLES", "32"))  # of all clients together
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.randrange(1 << 30)
CLIENTS = 4
COMMAND_SECONDS = 30
ARGUMENTS = [("/guest", "sleep"), ("/guest", "fork-and-sleep"), ("/guest", "spin"), ("/guest", "true")]


class Client(threading.Thread):
    def __init__(self, place, number, cycles):
        super().__init__()
        self.place, self.number, self.cycles = place, number, cycles
        self.choose = random.Random(SEED * CLIENTS + number)
        self.group = f"cofferdam-chaos-{os.getpid()}-{number}"
        self.failure, self.longest, self.kills = None, 0.0, 0
        self.bundles = {args: place.bundle(args, self.limited(str(n))) for n, args in enumerate(ARGUMENTS)}
        self.pod_bundles = {}

    def limited(self, name):
        def change(config):
            config["linux"]["cgroupsPath"] = f"/{self.group}/{name}"
            config["linux"]["resources"] = {"pids": {"limit": 500}}
        return change

    def run(self):
        try:
            for cycle in range(self.cycles):
                (self.pod if cycle % 4 == 3 else self.alone)(f"x{self.number}-{cycle}")
        except Exception as error:
            self.failure = error

    def command(self, *words):
        """Runs to its end, or is killed on its way; one that does neither in time hangs."""
        start = time.monotonic()
        process = subprocess.Popen(self.place.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if self.choose.random() < 0.15:
            time.sleep(self.choose.random() * 0.03)
            process.kill()
            self.kills += 1
        try:
            status = process.wait(COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{' '.join(map(str, words))}: does not end in {COMMAND_SECONDS} s") from None
        self.longest = max(self.longest, time.monotonic() - start)
        return status

    def kill_one_of(self, container):
        """The process that the record names, or a child of it or of nobody: sentry or stand-in, stub, gofer."""
        pid = self.place.status(container) and self.place.pid(container)
        if not pid:
            return
        children = [child for child, parent in harness.process_parents().items() if parent == pid]
        victim = self.choose.choice([pid, pid, *children])
        try:
            os.kill(victim, signal.SIGKILL)
            self.kills += 1
        except ProcessLookupError:
            pass

    def delete(self, *containers):
        """As an engine does: again until it has said that it is done."""
        for container in containers:
            for _ in range(20):
                if self.command("delete", "--force", container) == 0 and not (self.place.state / container).exists():
                    break
            else:
                raise AssertionError(f"{container} cannot be deleted")

    def steps(self, container):
        for step in self.choose.sample(["exec", "exec", "kill", "state", "pause", "resume", "ps", "victim", "update"], 5):
            if step == "exec":
                self.command("exec", container, "/guest", self.choose.choice(["true", "ids", "forks"]), "3")
            elif step == "victim":
                self.kill_one_of(container)
            elif step == "kill":
                self.command("kill", container, self.choose.choice(["TERM", "KILL", "USR1"]))
            elif step == "update":
                self.command("update", "--pids-limit", "400", container)
            else:
                self.command(step, container)

    def alone(self, container):
        self.start_one(container, self.bundles[self.choose.choice(ARGUMENTS)])
        self.steps(container)
        self.delete(container)

    def start_one(self, container, bundle):
        self.command("create", "--bundle", bundle, container)
        if self.choose.random() < 0.1:
            self.kill_one_of(container)
        self.command("start", container)

    def pod(self, name):
        sandbox, members = f"{name}-pod", [f"{name}-{n}" for n in range(2)]
        self.start_one(sandbox, self.place.bundle(("/guest", "sleep"), annotated("sandbox")))
        for n, member in enumerate(members):
            base, limit = annotated("container", sandbox), self.limited(f"member{n}")

            def change(config):
                base(config)
                limit(config)
            self.start_one(member, self.place.bundle(self.choose.choice(ARGUMENTS), change))
        for container in (*members, sandbox):
            if self.choose.random() < 0.7:
                self.steps(container)
        self.delete(*self.choose.sample([*members, sandbox], 3))


@contextlib.contextmanager
def parents(names):
    """Control groups of ours to put the containers' in, as an engine makes them; at the end nothing is left in them."""
    made = []
    for controller in os.listdir("/sys/fs/cgroup"):
        for name in names:
            path = f"/sys/fs/cgroup/{controller}/{name}"
            with contextlib.suppress(OSError):
                os.mkdir(path)
                made.append(path)
    yield
    end = time.monotonic() + 10
    while made and time.monotonic() < end:
        for path in list(made):
            with contextlib.suppress(OSError):
                os.rmdir(path)
                made.remove(path)
        time.sleep(0.05)
    left = {path: os.listdir(path) for path in made}
    check(not made, f"CHAOS_SEED={SEED}: control groups are left: { {p: [n for n in l if os.path.isdir(f'{p}/{n}')] for p, l in left.items()} }")


def test_four_clients(place):
    before = snapshot(place)
    clients = [Client(place, n, CYCLES // CLIENTS) for n in range(CLIENTS)]
    with parents([client.group for client in clients]):
        live(place, clients, before)


def live(place, clients, before):
    start = time.monotonic()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds, kills, longest = time.monotonic() - start, sum(c.kills for c in clients), max(c.longest for c in clients)
    if CYCLES > 100:
        print(f"{CYCLES} cycles in {seconds:.0f} s, {kills} kills, longest command {longest:.1f} s, seed {SEED}", flush=True)
    failures = [f"client {c.number}: {c.failure!r}" for c in clients if c.failure]
    check(not failures, f"CHAOS_SEED={SEED}: {failures}")
    before["cgroups"] = harness.cgroups()  # parents() looks at these
    try:
        settle(place, before, CYCLES)
    except AssertionError as error:
        raise AssertionError(f"CHAOS_SEED={SEED}: {error}") from None
