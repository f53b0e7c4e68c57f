"""Bad bundles and wrong words: one clear line, a status that is not zero, nothing left behind."""
import json
import os

import harness
from harness import check, equal


def left(place):
    records = sorted(os.listdir(place.state)) if place.state.exists() else []
    return records, harness.sandbox_processes(place.state), harness.mounts_of(place), harness.cgroups()


def refused(place, *words, holds=()):
    before = left(place)
    done = place.run(*words)
    equal(done.status, 1, f"{words}: {done}")
    equal(len(done.err.strip().splitlines()), 1, f"{words}: lines on standard error: {done.err!r}")
    check(done.err.startswith("cofferdam: "), f"{words}: {done.err!r}")
    equal(done.out, "", f"{words}: standard output")
    for text in holds:
        check(text in done.err, f"{words}: '{text}' is not in {done.err!r}")
    place.wait_for(lambda: left(place) == before, f"{words}: nothing left behind: {left(place)} against {before}", 5)
    return done


def test_no_bundle(place):
    refused(place, "run", "--bundle", "/nonexistent", place.id(), holds=["/nonexistent"])


def test_no_config(place):
    (place.path / "empty").mkdir(exist_ok=True)
    refused(place, "run", "--bundle", place.path / "empty", place.id(), holds=["config.json", "No such file"])


def test_config_that_is_no_json(place):
    path = place.bundle()
    (path / "config.json").write_text('{"ociVersion": "1.0.2",\n "process": }')
    refused(place, "run", "--bundle", path, place.id(), holds=["config.json", "line 2"])
    (path / "config.json").write_text("[" * 100000)
    refused(place, "run", "--bundle", path, place.id(), holds=["config.json", "nested"])
    (path / "config.json").write_bytes(os.urandom(4096))
    refused(place, "run", "--bundle", path, place.id(), holds=["config.json"])
    (path / "config.json").write_text("")
    refused(place, "run", "--bundle", path, place.id(), holds=["config.json"])


def edit(*keys, to):
    def change(config):
        at = config
        for key in keys[:-1]:
            at = at[key]
        if to is None:
            del at[keys[-1]]
        else:
            at[keys[-1]] = to
    return change


WRONG = [
    (("ociVersion",), None, ["ociVersion", "missing"]),
    (("ociVersion",), "2.0.0", ["ociVersion", "2.0.0"]),
    (("process",), None, ["process", "missing"]),
    (("process", "args"), [], ["process.args"]),
    (("process", "args"), "sh", ["process.args", "expected a list"]),
    (("process", "args"), ["/guest", 7], ["process.args[1]", "expected a string"]),
    (("process", "args"), ["/guest", "a\0b"], ["process.args[1]", "NUL"]),
    (("process", "cwd"), None, ["process.cwd", "missing"]),
    (("process", "cwd"), "tmp", ["process.cwd", "absolute"]),
    (("process", "user"), {"uid": -1, "gid": 0}, ["process.user.uid", "out of range"]),
    (("process", "user"), {"uid": 2**32, "gid": 0}, ["process.user.uid", "out of range"]),
    (("process", "rlimits"), [{"type": "RLIMIT_X", "soft": 1, "hard": 1}], ["process.rlimits[0].type", "RLIMIT_X"]),
    (("process", "rlimits"), [{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}], ["process.rlimits[0]", "above"]),
    (("root",), None, ["root.path", "missing"]),
    (("root", "path"), "nowhere", ["root.path", "nowhere"]),
    (("root", "path"), "config.json", ["root.path", "not a directory"]),
    (("hostname",), 7, ["hostname", "expected a string"]),
    (("mounts",), [{"type": "proc"}], ["mounts[0].destination", "missing"]),
    (("mounts",), [{"destination": "/x", "type": "nofs", "source": "x"}], ["/x", "nofs"]),
    (("mounts",), [{"destination": "/x", "type": "bind", "source": "/nonexistent/x", "options": ["rbind"]}], ["/nonexistent/x"]),
    (("linux",), {"namespaces": [{"type": "moon"}]}, ["linux.namespaces[0].type", "moon"]),
    (("linux",), {"namespaces": [{"type": "pid"}, {"type": "pid"}]}, ["linux.namespaces[1]", "twice"]),
    (("linux",), {"devices": [{"type": "x", "path": "/dev/x"}]}, ["linux.devices[0].type"]),
    (("linux",), 5, ["linux", "expected an object"]),
    (("process", "args"), ["/no/such/program"], ["/no/such/program", "no such file"]),
    (("process", "args"), ["nosuchprogram"], ["nosuchprogram", "not found in $PATH"]),
    (("process", "args"), ["/proc"], ["/proc", "ermission"]),
    (("process", "cwd"), "/no/such/directory", ["/no/such/directory"]),
]


def test_wrong_values(place):
    for keys, to, holds in WRONG:
        refused(place, "run", "--bundle", place.bundle(change=edit(*keys, to=to)), place.id(), holds=holds)


def test_terminal_without_one(place):
    path = place.bundle(change=edit("process", "terminal", to=True))
    refused(place, "run", "--bundle", path, place.id(), holds=["terminal"])
    refused(place, "run", "--detach", "--bundle", path, place.id(), holds=["--console-socket"])
    refused(place, "run", "--bundle", path, "--console-socket", "/nonexistent/socket", place.id(), holds=["/nonexistent/socket"])
    refused(place, "run", "--bundle", place.bundle(), "--console-socket", "/x", place.id(), holds=["process.terminal"])


def test_wrong_words(place):
    for words in [(), ("nonsense",), ("run",), ("run", "a", "b"), ("run", "--nonsense", "a"), ("run", "../up"), ("run", "a/b"),
                  ("run", "."), ("start", "no-such"), ("state", "no-such"), ("kill", "no-such"), ("delete", "no-such"),
                  ("exec", "no-such", "/guest"), ("exec",), ("ps", "no-such"), ("list", "-f", "xml"), ("do",),
                  ("--platform", "moon", "do", "/guest"), ("--overlay", "moon", "do", "true"), ("--network", "moon", "do", "true"),
                  ("--log-format", "moon", "list"), ("do", "--root", "/nonexistent", "x"), ("do", "--volume", "x", "y"),
                  ("do", "--env", "x", "y"), ("do", "--cwd", "x", "y"), ("spec", "x")]:
        refused(place, *words)


def test_pid_file_that_cannot_be_written(place):
    refused(place, "run", "--pid-file", "/nonexistent/pid", "--bundle", place.bundle(), place.id(), holds=["/nonexistent/pid"])


def test_id_that_is_taken(place):
    with place.running() as container:
        refused(place, "run", "--bundle", place.bundle(), container, holds=["exists already"])
        equal(place.status(container), "running")


def test_hook_that_fails(place):
    for point in ("prestart", "createRuntime", "poststart"):
        path = place.bundle(("/guest", "sleep"), change=edit("hooks", to={point: [{"path": "/bin/false"}]}))
        refused(place, "run", "--bundle", path, place.id(), holds=[point, "/bin/false", "status 1"])


def test_log_gets_the_error_as_json(place):
    log = place.path / "log.json"
    done = place.run("--log", log, "--log-format", "json", "run", "--bundle", "/nonexistent", place.id())
    equal(done.status, 1)
    line = json.loads(log.read_text().splitlines()[-1])
    equal(line["level"], "error")
    check("/nonexistent" in line["msg"], line)
