"""The fields of config.json: what the container sees of each. Every test runs with the other runtimes of the machine, too, so
that it tests the specification and not us."""
import errno
import json
import os
import pathlib
import subprocess
import time

import harness
from harness import check, equal

GETPPID, PERSONALITY, GETCPU, UNAME, MKDIR, GETPID = 110, 135, 309, 63, 83, 39


def setter(*keys, to):
    def change(config):
        at = config
        for key in keys[:-1]:
            at = at.setdefault(key, {})
        at[keys[-1]] = to
    return change


def everywhere(place, args, change, wanted, without=(), status=0):
    """Runs it with each runtime; wanted: the output, or a check of the result."""
    for runtime in place.runtimes():
        if runtime in without:
            continue
        done = place.run("run", "--bundle", place.bundle(args, change), place.id(), runtime=runtime)
        name = os.path.basename(runtime or "cofferdam")
        if callable(wanted):
            wanted(name, done)
        else:
            equal((done.status, done.out), (status, wanted), f"{name}: {done}")


def seccomp(default, *rules, **more):
    return setter("linux", "seccomp", to={"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": list(rules), **more})


def rule(names, action, *args, **more):
    conditions = [{"index": i, "value": v, "valueTwo": w, "op": op} for i, op, v, w in args]
    return {"names": names, "action": action, "args": conditions, **more}


def test_seccomp_errno(place):
    allow, errno_ = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
    everywhere(place, ("/guest", "call", GETPPID), seccomp(allow, rule(["getppid"], errno_)), f"errno {errno.EPERM}\n")
    everywhere(place, ("/guest", "call", GETPID), seccomp(allow, rule(["getpid"], errno_, errnoRet=38)), "errno 38\n")
    everywhere(place, ("/guest", "call", GETPID), seccomp(allow, rule(["getppid", "no_such_call"], errno_)), "result positive\n")


def test_seccomp_conditions(place):
    most = 2**64 - 1
    cases = [("SCMP_CMP_EQ", 5, 0, {5: True, 6: False, 2**32 + 5: False}),
             ("SCMP_CMP_NE", 5, 0, {5: False, 6: True, 2**32 + 5: True}),
             ("SCMP_CMP_LT", 2**32 + 5, 0, {5: True, 2**32 + 4: True, 2**32 + 5: False, 2**33: False}),
             ("SCMP_CMP_LE", 2**32 + 5, 0, {5: True, 2**32 + 5: True, 2**32 + 6: False, 2**33: False}),
             ("SCMP_CMP_GT", 2**32 + 5, 0, {7: False, 2**32 + 5: False, 2**32 + 6: True, 2**33: True, most: True}),
             ("SCMP_CMP_GE", 2**32 + 5, 0, {7: False, 2**32 + 4: False, 2**32 + 5: True, 2**33: True}),
             ("SCMP_CMP_MASKED_EQ", 0xF0000000F, 0x500000003, {0x500000003: True, 0x5000000F3: True, 0x400000003: False, 3: False})]
    for op, value, second, arguments in cases:
        # The second argument of getppid, which takes none: any value may stand there.
        change = seccomp("SCMP_ACT_ALLOW", rule(["getppid"], "SCMP_ACT_ERRNO", (1, op, value, second), errnoRet=99))
        for argument, matches in arguments.items():
            for runtime in place.runtimes():
                done = place.run("run", "--bundle", place.bundle(("/guest", "call", GETPPID, 0, argument), change), place.id(),
                                 runtime=runtime)
                check((done.out == "errno 99\n") == matches, f"{runtime} {op} {value:#x} of {argument:#x}: {done}")


def test_seccomp_two_conditions_must_both_hold(place):
    both = rule(["getppid"], "SCMP_ACT_ERRNO", (0, "SCMP_CMP_EQ", 1, 0), (1, "SCMP_CMP_EQ", 2, 0), errnoRet=99)
    for arguments, wanted in (((1, 2), "errno 99\n"), ((1, 3), "result 0\n"), ((0, 2), "result 0\n")):
        everywhere(place, ("/guest", "call", GETPPID, *arguments), seccomp("SCMP_ACT_ALLOW", both), wanted)


def test_seccomp_two_conditions_on_one_argument_are_alternatives(place):
    either = rule(["getppid"], "SCMP_ACT_ERRNO", (0, "SCMP_CMP_EQ", 1, 0), (0, "SCMP_CMP_EQ", 2, 0), errnoRet=99)
    for argument, wanted in ((1, "errno 99\n"), (2, "errno 99\n"), (3, "result 0\n")):
        everywhere(place, ("/guest", "call", GETPPID, argument), seccomp("SCMP_ACT_ALLOW", either), wanted)


def test_seccomp_signals(place):
    for action, wanted in (("SCMP_ACT_KILL", "signal 31\n"), ("SCMP_ACT_KILL_PROCESS", "signal 31\n"), ("SCMP_ACT_KILL_THREAD", "signal 31\n"),
                           ("SCMP_ACT_TRAP", "signal 31\n"), ("SCMP_ACT_LOG", "exit 0\n"), ("SCMP_ACT_ALLOW", "exit 0\n")):
        everywhere(place, ("/guest", "calls", GETPPID), seccomp("SCMP_ACT_ALLOW", rule(["getppid"], action)), wanted)
    everywhere(place, ("/guest", "call", GETPPID), seccomp("SCMP_ACT_ALLOW", rule(["getppid"], "SCMP_ACT_TRACE")), f"errno {errno.ENOSYS}\n")


def test_seccomp_default_denies(place):
    needed = ["execve", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlink", "readlinkat", "getrandom",
              "mprotect", "mmap", "munmap", "newfstatat", "fstat", "write", "writev", "exit_group", "exit", "futex", "close", "fcntl", "epoll_ctl",
              "epoll_pwait", "nanosleep", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "read", "openat", "openat2", "sched_yield", "tgkill",
              "gettid", "getpid", "capset", "capget", "setgroups", "setgid", "setuid", "prctl", "chdir", "fchdir", "getcwd", "statx", "sigaltstack",
              "fstatfs", "faccessat", "faccessat2", "getdents64", "pipe2", "clone", "clone3", "lseek", "pread64", "dup3", "fchown", "umask",
              "setresuid", "setresgid", "keyctl", "close_range", "epoll_create1", "eventfd2", "setsid", "ioctl", "statfs", "sendmsg", "recvmsg",
              "connect", "socket", "madvise", "personality", "execveat", "poll", "stat", "lstat", "access", "dup", "dup2", "open"]
    change = seccomp("SCMP_ACT_ERRNO", rule(needed, "SCMP_ACT_ALLOW"))
    everywhere(place, ("/guest", "call", UNAME, 0), change, f"errno {errno.EPERM}\n")
    everywhere(place, ("/guest", "echo", "works"), change, "works\n")


def test_seccomp_holds_for_children_and_exec(place):
    change = seccomp("SCMP_ACT_ALLOW", rule(["getppid"], "SCMP_ACT_ERRNO"))
    everywhere(place, ("/guest", "line", "/proc/self/status", "Seccomp:"), change, "Seccomp:\t2\n")
    for runtime in place.runtimes():
        container = place.id()
        done = place.run("run", "--detach", "--bundle", place.bundle(("/guest", "sleep"), change), container, runtime=runtime)
        equal(done.status, 0, repr(done))
        try:
            done = place.run("exec", container, "/guest", "call", GETPPID, runtime=runtime)
            equal(done.out, f"errno {errno.EPERM}\n", f"{runtime}: {done}")
        finally:
            place.run("delete", "--force", container, runtime=runtime)


def test_no_seccomp_no_filter(place):
    everywhere(place, ("/guest", "line", "/proc/self/status", "Seccomp:"), None, "Seccomp:\t0\n")


def test_sysctl(place):
    for name, value in (("kernel.shmmax", "1048576"), ("kernel.msgmax", "4096"), ("fs.mqueue.msg_max", "20"),
                        ("net.ipv4.ip_local_port_range", "4000\t5000"), ("net.ipv4.ip_unprivileged_port_start", "80"),
                        ("kernel.sem", "250\t32000\t32\t128")):
        everywhere(place, ("/guest", "cat", "/proc/sys/" + name.replace(".", "/")),
                   setter("linux", "sysctl", to={name: value}), value + "\n")
    everywhere(place, ("/guest", "machine"), setter("linux", "sysctl", to={"kernel.domainname": "some.where"}), "x86_64 inside some.where\n")


def test_sysctl_takes_effect(place):
    limit = setter("linux", "sysctl", to={"kernel.shmmax": "65536"})
    everywhere(place, ("/guest", "shmget", 65536), limit, "ok\n")
    everywhere(place, ("/guest", "shmget", 65537), limit, f"errno {errno.EINVAL}\n")
    everywhere(place, ("/guest", "shmget", 4096), setter("linux", "sysctl", to={"kernel.shmmni": "0"}), f"errno {errno.ENOSPC}\n")


def with_paths(config):
    config["linux"]["readonlyPaths"] = ["/proc/sys", "/data/locked", "/not/there", "/data/file"]
    config["linux"]["maskedPaths"] = ["/data/secret", "/data/hidden", "/not/there", "/proc/sched_debug"]


def bundle_with_data(place, args, change):
    path = place.bundle(args, change)
    for name in ("locked", "hidden"):
        (path / "rootfs/data" / name).mkdir(parents=True)
        (path / "rootfs/data" / name / "inner").write_text("inner\n")
    (path / "rootfs/data/secret").write_text("secret\n")
    (path / "rootfs/data/file").write_text("file\n")
    return path


def test_readonly_and_masked_paths(place):
    for args, wanted in ((("write", "/data/locked/inner"), errno.EROFS), (("write", "/data/locked/new"), errno.EROFS),
                         (("write", "/data/file"), errno.EROFS), (("write", "/data/free"), 0), (("write", "/proc/sys/kernel/shmmax"), errno.EROFS),
                         (("write", "/data/hidden/new"), errno.EROFS)):
        for runtime in place.runtimes():
            done = place.run("run", "--bundle", bundle_with_data(place, ("/guest", *args), with_paths), place.id(), runtime=runtime)
            equal(done.status, wanted, f"{runtime} {args}: {done}")
    for args, wanted in ((("cat", "/data/secret"), ""), (("cat", "/data/locked/inner"), "inner\n"), (("cat", "/data/file"), "file\n"),
                         (("open", "/data/hidden/inner"), f"errno {errno.ENOENT}\n")):
        for runtime in place.runtimes():
            done = place.run("run", "--bundle", bundle_with_data(place, ("/guest", *args), with_paths), place.id(), runtime=runtime)
            equal((done.status, done.out), (0, wanted), f"{runtime} {args}: {done}")


def test_umask(place):
    change = setter("process", "user", "umask", to=0o077)
    everywhere(place, ("/guest", "line", "/proc/self/status", "Umask:"), change, "Umask:\t0077\n")
    everywhere(place, ("/guest", "line", "/proc/self/status", "Umask:"), None, "Umask:\t0022\n")


def test_oom_score_adj(place):
    everywhere(place, ("/guest", "cat", "/proc/self/oom_score_adj"), setter("process", "oomScoreAdj", to=123), "123\n")
    with place.running(change=setter("process", "oomScoreAdj", to=321)) as container:
        equal(pathlib.Path(f"/proc/{place.pid(container)}/oom_score_adj").read_text(), "321\n", "the sandbox on the host")


def test_personality(place):
    def linux32(config):
        config["linux"]["personality"] = {"domain": "LINUX32"}
    # runc before 1.2 does not know the field.
    everywhere(place, ("/guest", "machine"), linux32, lambda name, done: check(done.out.startswith("i686 "), f"{name}: {done}"),
               without=(harness.RUNC,))


def test_time_offsets(place):
    def shifted(config):
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {"monotonic": {"secs": 86400}, "boottime": {"secs": 172800, "nanosecs": 5}}

    def ahead(name, done):
        monotonic, boot = map(int, done.out.split())
        check(abs(monotonic - time.clock_gettime(time.CLOCK_MONOTONIC) - 86400) < 60, f"{name}: {done}")
        check(abs(boot - time.clock_gettime(time.CLOCK_BOOTTIME) - 172800) < 60, f"{name}: {done}")
    everywhere(place, ("/guest", "clocks"), shifted, ahead, without=(harness.RUNC, harness.CRUN))  # newer than these


def test_start_container_hook(place):
    def hooked(config):
        config["hooks"] = {"startContainer": [{"path": "/guest", "args": ["guest", "append", "/log", "one"], "env": ["A=b"]},
                                              {"path": "/guest", "args": ["guest", "save", "/state"]}]}
    for runtime in place.runtimes():
        path = place.bundle(("/guest", "append", "/log", "two"), hooked)
        container = place.id()
        done = place.run("create", "--bundle", path, container, runtime=runtime)
        equal(done.status, 0, f"{runtime}: {done}")
        check(not (path / "rootfs/log").exists(), f"{runtime}: the hook ran before start")
        equal(place.run("start", container, runtime=runtime).status, 0)
        place.wait_for(lambda: (path / "rootfs/log").exists() and "two" in (path / "rootfs/log").read_text(), f"{runtime}: init has run")
        # In the container's namespaces, before the program, and not as process 1.
        equal((path / "rootfs/log").read_text(), "one 0 0\ntwo 1 0\n", str(runtime))
        state = json.loads((path / "rootfs/state").read_text())
        equal(state["id"], container, f"{runtime}: {state}")
        check(runtime == harness.CRUN or state["status"] == "created", f"{runtime}: {state}")
        place.run("delete", "--force", container, runtime=runtime)


def test_start_container_hook_that_fails(place):
    def hooked(config):
        config["hooks"] = {"startContainer": [{"path": "/guest", "args": ["guest", "exit", "3"]}]}
    for runtime in place.runtimes():
        path = place.bundle(("/guest", "append", "/log", "two"), hooked)
        done = place.run("run", "--bundle", path, place.id(), runtime=runtime)
        check(done.status != 0, f"{runtime}: {done}")
        check(not (path / "rootfs/log").exists(), f"{runtime}: the program ran")


def test_missing_program_is_reported_by_create(place):
    for args, holds in ((("/no/such/program",), "no such file"), (("nosuchprogram",), "not found in $PATH"), (("/proc",), "permission denied")):
        for runtime in place.runtimes():
            container = place.id()
            done = place.run("create", "--bundle", place.bundle(args), container, runtime=runtime)
            check(done.status != 0, f"{runtime} {args}: {done}")
            check(holds.lower() in done.err.lower() or runtime == harness.CRUN, f"{runtime} {args}: {done}")
            check(place.run("state", container, runtime=runtime).status != 0, f"{runtime}: nothing is left")


def test_a_hook_may_bring_the_program(place):
    path = place.bundle(("/late", "echo", "here"))
    config = json.loads((path / "config.json").read_text())
    config["hooks"] = {"createRuntime": [{"path": "/bin/cp", "args": ["cp", str(path / "rootfs/guest"), str(path / "rootfs/late")]}]}
    (path / "config.json").write_text(json.dumps(config))
    done = place.run("run", "--bundle", path, place.id())
    equal((done.status, done.out), (0, "here\n"), repr(done))


def test_user_namespace(place):
    def mapped(config):
        config["linux"]["namespaces"].append({"type": "user"})
        config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 200000, "size": 1000}]
        config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 300000, "size": 1000}]

    def prepare(args):
        path = place.bundle(args, mapped)
        place.path.chmod(0o711)
        for base, directories, files in os.walk(path / "rootfs"):
            for name in [base] + [os.path.join(base, n) for n in directories + files]:
                os.chown(name, 200000, 300000)
        return path
    for runtime in place.runtimes():
        path = prepare(("/guest", "owner", "/guest"))
        done = place.run("run", "--bundle", path, place.id(), runtime=runtime)
        equal((done.status, done.out), (0, "0 0 755\n"), f"{runtime}: {done}")
        path = prepare(("/guest", "write", "/new"))
        done = place.run("run", "--bundle", path, place.id(), runtime=runtime)
        equal(done.status, 0, f"{runtime}: {done}")
        made = (path / "rootfs/new").stat()
        equal((made.st_uid, made.st_gid), (200000, 300000), f"{runtime}: owner on the host")
        path = prepare(("/guest", "cat", "/proc/self/uid_map"))
        done = place.run("run", "--bundle", path, place.id(), runtime=runtime)
        equal(done.out.split(), ["0", "200000", "1000"], f"{runtime}: {done}")


def test_devices(place):
    def with_device(config):
        config["linux"]["devices"] = [{"type": "c", "path": "/dev/again", "major": 1, "minor": 5, "fileMode": 0o644, "uid": 5, "gid": 6}]
        config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "r"}]}
    everywhere(place, ("/guest", "owner", "/dev/again"), with_device, "5 6 644\n")
    everywhere(place, ("/guest", "open", "/dev/null", "rw"), with_device, "ok\n")
    everywhere(place, ("/guest", "open", "/dev/again", "r"), with_device, "ok\n")


def test_mount_options(place):
    recursive = ""

    def with_mounts(config):
        config["mounts"] += [{"destination": "/scratch", "type": "tmpfs", "source": "tmpfs",
                              "options": [recursive + word for word in ("nosuid", "nodev", "noexec", "noatime")] + ["rprivate", "mode=0750", "size=64k"]}]
    everywhere(place, ("/guest", "owner", "/scratch"), with_mounts, "0 0 750\n")

    def flags(name, done):
        line = next(l for l in done.out.splitlines() if l.split()[1] == "/scratch")
        for word in ("nosuid", "nodev", "noexec", "noatime"):
            check(word in line.split()[3].split(","), f"{name}: {line}")
    everywhere(place, ("/guest", "cat", "/proc/mounts"), with_mounts, flags)
    recursive = "r"  # others know these words for bind mounts alone
    everywhere(place, ("/guest", "cat", "/proc/mounts"), with_mounts, flags, without=(harness.RUNC, harness.CRUN))


def test_rlimits_and_capabilities(place):
    change = setter("process", "rlimits", to=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}])
    everywhere(place, ("/guest", "line", "/proc/self/limits", "Max open files"), change,
               lambda name, done: equal(done.out.split()[3:5], ["100", "200"], f"{name}: {done}"))
    everywhere(place, ("/guest", "line", "/proc/self/status", "CapEff:"), None, "CapEff:\t0000000000000021\n")
    everywhere(place, ("/guest", "line", "/proc/self/status", "NoNewPrivs:"), None, "NoNewPrivs:\t1\n")


def test_annotations_are_in_the_state(place):
    change = setter("annotations", to={"org.example.key": "value", "empty": ""})
    for runtime in place.runtimes():
        container = place.id()
        done = place.run("create", "--bundle", place.bundle(("/guest", "sleep"), change), container, runtime=runtime)
        equal(done.status, 0, repr(done))
        equal(json.loads(place.run("state", container, runtime=runtime).out)["annotations"],
              {"org.example.key": "value", "empty": ""}, str(runtime))
        place.run("delete", "--force", container, runtime=runtime)


def test_scheduler_and_io_priority(place):
    def nice(config):
        config["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
        config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    done = place.run("run", "--bundle", place.bundle(("/guest", "cat", "/proc/self/stat"), nice), place.id())
    fields = done.out[done.out.rindex(")") + 2:].split()
    equal((fields[16], fields[38]), ("5", "3"), f"nice and policy: {done}")  # fields 19 and 41 of proc(5)


def test_features_are_true(place):
    features = json.loads(place.run("features").out)
    equal(set(features["hooks"]), {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"})
    check(features["linux"]["seccomp"]["enabled"], features)
    theirs = None
    for runtime in place.runtimes():
        if runtime == harness.RUNC:
            theirs = json.loads(place.run("features", runtime=runtime).out)
    # Every option that it names is taken.
    for option in features["mountOptions"]:
        def change(config, option=option):
            kind = "tmpfs" if option != "rbind" and option != "bind" else "bind"
            config["mounts"].append({"destination": "/m", "type": kind, "source": "/etc" if kind == "bind" else "tmpfs", "options": [option]})
        done = place.run("run", "--bundle", place.bundle(change=change), place.id())
        equal(done.status, 0, f"{option}: {done}")
    if theirs:
        missing = set(theirs["mountOptions"]) - set(features["mountOptions"]) - {"shared", "rshared", "remount", "tmpcopyup"}
        equal(missing, set(), "mount options of runc")


def test_all_memory_calls_approved(place):
    done = place.run("--mm-approval", "all", "run", "--bundle", place.bundle(("/guest", "eat", "8")), place.id())
    equal((done.status, done.out), (0, "exit 0\n"), repr(done))
    done = place.run("--mm-approval", "moon", "run", "--bundle", place.bundle(), place.id())
    check(done.status == 1 and "--mm-approval" in done.err, repr(done))


def test_host_hooks_get_arguments_environment_and_state(place):
    for point, status in (("prestart", "creating"), ("createRuntime", "creating"), ("createContainer", "creating"), ("poststart", "running"),
                          ("poststop", "stopped")):
        out = place.path / f"hook-{point}"
        script = f'echo "$0 $1 $A" > {out}; cat >> {out}'

        def hooked(config, point=point, script=script):
            config["hooks"] = {point: [{"path": "/bin/sh", "args": ["sh", "-c", script, "a-name-that-is-long-enough", "and-an-argument"], "env": ["A=b"]}]}
        for runtime in place.runtimes():
            container = place.id()
            done = place.run("run", "--bundle", place.bundle(change=hooked), container, runtime=runtime)
            equal(done.status, 0, f"{runtime} {point}: {done}")
            line, _, state = out.read_text().partition("\n")
            equal(line, "a-name-that-is-long-enough and-an-argument b", f"{runtime} {point}")
            equal(json.loads(state)["id"], container, f"{runtime} {point}")
            if runtime is None or (runtime == harness.RUNC and point != "poststart"):  # runc says "created" there
                equal(json.loads(state)["status"], status, f"{runtime} {point}")
            out.unlink()
