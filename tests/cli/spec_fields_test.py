"""Every field that the schema of the OCI runtime specification knows is honoured or refused by its name.

TABLE says of each field (or of all below a prefix) which test shows that it is honoured, or gives a value with which it is
refused. A field of the schema that no line covers fails, and a line that covers none; and each field is given a value of a
wrong type, which only a parser that reads the field can find wrong."""
import fnmatch
import importlib
import json
import os
import pathlib

from bundle_test import refused
from harness import check, equal

SCHEMA = pathlib.Path("/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema")

# Those of later versions than the schema that Debian has.
LATER = """
linux.timeOffsets linux.netDevices linux.memoryPolicy linux.resources.cpu.idle linux.resources.cpu.burst
process.scheduler.policy process.scheduler.nice process.scheduler.priority process.scheduler.flags[]
process.ioPriority.class process.ioPriority.priority process.execCPUAffinity linux.seccomp.flags[] linux.seccomp.listenerPath
linux.seccomp.listenerMetadata process.user.umask domainname linux.personality.domain linux.personality.flags[]
mounts[].uidMappings[].containerID mounts[].gidMappings[].containerID linux.intelRdt.enableCMT freebsd
linux.resources.memory.checkBeforeUpdate
""".split()

OTHER_PLATFORMS = ("windows", "solaris", "vm", "zos", "freebsd")


class Refused:
    """Refused with this value; `at`: where the message says what is wrong, if elsewhere than in the field."""

    def __init__(self, value, at=None):
        self.value, self.at = value, at


TABLE = {
    "ociVersion": "bundle_test.test_wrong_values",
    "hooks.*": "spec_test.test_host_hooks_get_arguments_environment_and_state",
    "hooks.startContainer[[]].*": "spec_test.test_start_container_hook",
    "annotations": "spec_test.test_annotations_are_in_the_state",
    "hostname": "command_test.test_process_is_as_the_specification_says",
    "domainname": "spec_fields_test.test_domain_name",
    "mounts[[]].[sdot]*": "command_test.test_bind_mounts",
    "mounts[[]].options[[]]": "spec_test.test_mount_options",
    "mounts[[]].uidMappings[[]].*": Refused([{"containerID": 0, "hostID": 1, "size": 1}], "mounts[0].uidMappings"),
    "mounts[[]].gidMappings[[]].*": Refused([{"containerID": 0, "hostID": 1, "size": 1}], "mounts[0].gidMappings"),
    "root.path": "bundle_test.test_wrong_values",
    "root.readonly": "command_test.test_read_only_root",
    "process.args[[]]": "command_test.test_run_gives_the_exit_status",
    "process.commandLine": Refused("/guest true"),
    "process.consoleSize.*": "spec_fields_test.test_console_size",
    "process.cwd": "bundle_test.test_wrong_values",
    "process.env[[]]": "command_test.test_environment",
    "process.terminal": "bundle_test.test_terminal_without_one",
    "process.user.[ug]id": "command_test.test_process_is_as_the_specification_says",
    "process.user.additionalGids[[]]": "runc_test.test_same_with_a_user",
    "process.user.umask": "spec_test.test_umask",
    "process.user.username": Refused("root"),
    "process.capabilities.*": "spec_test.test_rlimits_and_capabilities",
    "process.apparmorProfile": "refusal_test.test_labels_that_the_host_does_not_have",
    "process.selinuxLabel": "refusal_test.test_labels_that_the_host_does_not_have",
    "process.oomScoreAdj": "spec_test.test_oom_score_adj",
    "process.noNewPrivileges": "posture_test.test_no_new_privileges_and_seccomp",
    "process.rlimits[[]].*": "spec_test.test_rlimits_and_capabilities",
    "process.scheduler.flags[[]]": Refused(["SCHED_FLAG_RESET_ON_FORK"], "process.scheduler.flags"),
    "process.scheduler.*": "spec_test.test_scheduler_and_io_priority",
    "process.ioPriority.*": "spec_test.test_scheduler_and_io_priority",
    "process.execCPUAffinity": Refused({"initial": "0"}),
    "linux.devices[[]].*": "spec_test.test_devices",
    "linux.[ug]idMappings[[]].*": "spec_test.test_user_namespace",
    "linux.namespaces[[]].type": "posture_test.test_namespaces",
    "linux.namespaces[[]].path": "pod_test.test_namespaces_alone_lead_to_the_sandbox",
    "linux.timeOffsets": "spec_test.test_time_offsets",
    "linux.netDevices": Refused({"eth0": {"name": "eth1"}}),
    "linux.memoryPolicy": Refused({"mode": "MPOL_BIND", "nodes": "0"}),
    "linux.cgroupsPath": "command_test.test_cgroup_limits_and_removal",
    "linux.rootfsPropagation": Refused("shared"),
    "linux.sysctl": "spec_test.test_sysctl",
    "linux.maskedPaths[[]]": "spec_test.test_readonly_and_masked_paths",
    "linux.readonlyPaths[[]]": "spec_test.test_readonly_and_masked_paths",
    # What it would label is not there on the host: file systems of the container's own exist in the sandbox alone.
    "linux.mountLabel": "spec_fields_test.test_no_mount_to_label",
    "linux.intelRdt.*": Refused({"closID": "x"}, "linux.intelRdt"),
    "linux.personality.flags[[]]": Refused(["ADDR_NO_RANDOMIZE"], "linux.personality.flags"),
    "linux.personality.domain": "spec_test.test_personality",
    "linux.seccomp.default*": "spec_test.test_seccomp_default_denies",
    "linux.seccomp.flags[[]]": Refused(["SECCOMP_FILTER_FLAG_MOON"]),
    "linux.seccomp.listenerPath": Refused("/run/listener"),
    "linux.seccomp.listenerMetadata": Refused("x"),
    "linux.seccomp.architectures[[]]": Refused(["MOON"]),
    "linux.seccomp.syscalls[[]].args[[]].*": "spec_test.test_seccomp_conditions",
    "linux.seccomp.syscalls[[]].[ane]*": "spec_test.test_seccomp_errno",
    "linux.resources.unified": "spec_fields_test.test_limits_that_this_host_can_hold",
    "linux.resources.devices[[]].*": "pod_limits_test.test_devices_are_one_containers",
    "linux.resources.pids.limit": "limits_test.test_update_changes_limits",
    "linux.resources.memory.limit": "limits_test.test_memory_limit_ends_the_eater",
    "linux.resources.memory.swap": "limits_test.test_memory_limit_ends_the_eater",
    "linux.resources.memory.checkBeforeUpdate": "spec_fields_test.test_a_limit_below_what_is_used",
    "linux.resources.memory.useHierarchy": Refused(False),
    "linux.resources.memory.kernel": Refused(64 << 20),
    "linux.resources.memory.*": "spec_fields_test.test_limits_that_this_host_can_hold",
    "linux.resources.cpu.*": "spec_fields_test.test_limits_that_this_host_can_hold",
    "linux.resources.hugepageLimits[[]].*": "spec_fields_test.test_limits_that_this_host_can_hold",
    "linux.resources.network.*": "spec_fields_test.test_limits_that_this_host_can_hold",
    "linux.resources.blockIO.weightDevice[[]].*":
        Refused([{"major": 8, "minor": 0, "weight": 100}], "linux.resources.blockIO.weightDevice"),
    "linux.resources.blockIO.*": "spec_fields_test.test_limits_that_this_host_can_hold",
    "linux.resources.rdma": Refused({"mlx5": {"hcaHandles": 1}}),
    **{f"{platform}*": Refused({"x": 1}, platform) for platform in OTHER_PLATFORMS},
}

# What else must be there so that an object with one of its members wrong is otherwise right.
MAP = {"containerID": 0, "hostID": 0, "size": 1}
THROTTLE = {"major": 8, "minor": 0, "rate": 1000}
SIBLINGS = {
    "mounts[]": {"destination": "/x", "type": "tmpfs"},
    "linux.devices[]": {"type": "c", "path": "/dev/x"},
    "linux.namespaces[]": {"type": "pid"},
    "linux.uidMappings[]": MAP, "linux.gidMappings[]": MAP,
    "linux.seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
    "linux.seccomp.syscalls[]": {"names": ["read"], "action": "SCMP_ACT_ERRNO"},
    "linux.seccomp.syscalls[].args[]": {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
    "linux.personality": {"domain": "LINUX"},
    "linux.resources.devices[]": {"allow": True},
    "linux.resources.hugepageLimits[]": {"pageSize": "2MB", "limit": 0},
    "linux.resources.network.priorities[]": {"name": "lo", "priority": 1},
    "process.rlimits[]": {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1},
    "process.scheduler": {"policy": "SCHED_OTHER"},
    "process.ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 0},
    **{f"linux.resources.blockIO.throttle{way}Device[]": THROTTLE for way in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")},
    **{f"hooks.{kind}[]": {"path": "/bin/true"} for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")},
}


def fields_of_schema():
    files = {}

    def document(name):
        if name not in files:
            files[name] = json.loads((SCHEMA / name).read_text())
        return files[name]

    def walk(node, file, path):
        if "$ref" in node:
            name, _, pointer = node["$ref"].partition("#")
            file = name or file
            node = document(file)
            for part in pointer.strip("/").split("/"):
                node = node[part] if part else node
            yield from walk(node, file, path)
        elif any(kind in node for kind in ("allOf", "anyOf", "oneOf")):
            for kind in ("allOf", "anyOf", "oneOf"):
                for part in node.get(kind, []):
                    yield from walk(part, file, path)
        elif "properties" in node:
            for name, member in node["properties"].items():
                yield from walk(member, file, f"{path}.{name}" if path else name)
        elif node.get("type") == "array" and "items" in node:
            items = node["items"]
            yield from walk(items if isinstance(items, dict) else items[0], file, path + "[]")
        else:
            yield path
    return sorted(set(walk(document("config-schema.json"), "config-schema.json", "")) | set(LATER))


def put(config, field, value):
    """The field with this value, in objects that are right otherwise."""
    at, seen = config, ""
    parts = field.split(".")
    for n, part in enumerate(parts):
        name = part.removesuffix("[]")
        seen = f"{seen}.{part}" if seen else part
        last = n == len(parts) - 1
        if part.endswith("[]"):
            at[name] = [value if last else dict(SIBLINGS.get(seen, {}))]
            at = at[name][0]
        elif last:
            at[name] = value
        else:
            at = at.setdefault(name, dict(SIBLINGS.get(seen, {})))


def test_every_field_is_honoured_or_refused(place):
    if not SCHEMA.exists():
        return "golang-github-opencontainers-specs-dev is not installed"
    fields, used = fields_of_schema(), set()
    for field in fields:
        lines = [line for line in TABLE if fnmatch.fnmatchcase(field, line)]
        check(lines, f"{field}: the table says nothing of it")
        used.update(lines)
    equal(sorted(set(TABLE) - used), [], "lines that no field needs")
    for line, verdict in TABLE.items():
        if isinstance(verdict, str):
            module, test = verdict.split(".")
            check(callable(getattr(importlib.import_module(module), test, None)), f"{line}: there is no {verdict}")


def test_every_field_is_read(place):
    if not SCHEMA.exists():
        return "golang-github-opencontainers-specs-dev is not installed"
    for field in fields_of_schema():
        platform = field.split(".")[0]
        path = platform if platform in OTHER_PLATFORMS else field.replace("[]", "[0]")
        # A list of objects may be refused as a whole, and so may an object of which no member is honoured.
        at = [verdict.at for line, verdict in TABLE.items()
              if isinstance(verdict, Refused) and verdict.at and fnmatch.fnmatchcase(field, line)]
        wrong = {"wrong": {}} if field not in ("annotations", "linux.sysctl", "linux.resources.unified", "linux.resources.rdma", "linux.timeOffsets") else "x"
        refused(place, "run", "--bundle", place.bundle(change=lambda config: put(config, field, wrong)), place.id(),
                holds=[at[0] if at else path])


def test_what_is_refused_with_a_right_value(place):
    for line, verdict in TABLE.items():
        if not isinstance(verdict, Refused):
            continue
        field = verdict.at.replace("[0]", "[]") if verdict.at else line.replace("[[]]", "[]")
        if field.endswith("[]"):
            field = field[:-2]
        refused(place, "run", "--bundle", place.bundle(change=lambda config: put(config, field, verdict.value)), place.id(),
                holds=[field.replace("[]", "[0]")])


def test_domain_name(place):
    def change(config):
        config["domainname"] = "inside.example"
    done = place.run("run", "--bundle", place.bundle(("/guest", "cat", "/proc/sys/kernel/domainname"), change), place.id())
    equal(done.out, "inside.example\n", f"{done}")


def test_no_mount_to_label(place):
    def change(config):
        config["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0:c1,c2"
    equal(place.run("run", "--bundle", place.bundle(("/guest", "exit", "3"), change), place.id()).status, 3)


MIB = 1 << 20
# Field below linux.resources, its value, then of version 1: controller, file, and what it holds afterwards.
LIMITS = [
    ("memory.reservation", 64 * MIB, "memory", "memory.soft_limit_in_bytes", str(64 * MIB)),
    ("memory.swappiness", 10, "memory", "memory.swappiness", "10"),
    ("memory.disableOOMKiller", True, "memory", "memory.oom_control", "oom_kill_disable 1"),
    ("memory.kernelTCP", 64 * MIB, "memory", "memory.kmem.tcp.limit_in_bytes", str(64 * MIB)),
    ("memory.useHierarchy", True, "memory", "memory.use_hierarchy", "1"),
    ("cpu.shares", 512, "cpu", "cpu.shares", "512"),
    ("cpu.quota", 50000, "cpu", "cpu.cfs_quota_us", "50000"),
    ("cpu.period", 50000, "cpu", "cpu.cfs_period_us", "50000"),
    ("cpu.burst", 1000, "cpu", "cpu.cfs_burst_us", "1000"),
    ("cpu.idle", 1, "cpu", "cpu.idle", "1"),
    ("cpu.realtimeRuntime", 1000, "cpu", "cpu.rt_runtime_us", "1000"),
    ("cpu.realtimePeriod", 500000, "cpu", "cpu.rt_period_us", "500000"),
    ("cpu.cpus", "0", "cpuset", "cpuset.cpus", "0"),
    ("cpu.mems", "0", "cpuset", "cpuset.mems", "0"),
    ("blockIO.weight", 100, "blkio", "blkio.bfq.weight", "100"),
    ("blockIO.leafWeight", 100, "blkio", "blkio.leaf_weight", "100"),
    ("blockIO.throttleReadBpsDevice", [THROTTLE], "blkio", "blkio.throttle.read_bps_device", "8:0 1000"),
    ("network.classID", 0x10001, "net_cls", "net_cls.classid", str(0x10001)),
    ("network.priorities", [{"name": "lo", "priority": 2}], "net_prio", "net_prio.ifpriomap", "lo 2"),
    ("hugepageLimits", [{"pageSize": "2MB", "limit": 2 * MIB}], "hugetlb", "hugetlb.2MB.limit_in_bytes", str(2 * MIB)),
    ("unified", {"memory.low": "1048576"}, "unified", "memory.low", "1048576"),
]


def test_limits_that_this_host_can_hold(place):
    """What no control group of this host can hold is refused, and the field named; else it is held."""
    if not os.path.isdir("/sys/fs/cgroup/memory"):
        return "no version 1 hierarchies to look at"
    held = 0
    for field, value, controller, file, text in LIMITS:
        group = f"/cofferdam-test-{os.getpid()}/of-{field}"

        def change(config):
            config["linux"]["cgroupsPath"] = group
            put(config, f"linux.resources.{field}", value)
            if field == "cpu.burst":
                config["linux"]["resources"]["cpu"]["quota"] = 50000
        container = place.id()
        done = place.run("create", "--bundle", place.bundle(change=change), container)
        if done.status == 0:
            path = pathlib.Path(f"/sys/fs/cgroup/{controller}{group}/{file}")
            found = path.read_text() if path.exists() or field != "memory.useHierarchy" else text
            equal(place.run("delete", "--force", container).status, 0)
            check(text in found, f"{field}: {file} holds {found!r}")
            held += 1
        else:
            check(f"linux.resources.{field}" in done.err, f"{field}: {done}")
    check(held >= 8, f"only {held} are held")


def test_a_limit_below_what_is_used(place):
    def change(config):
        config["linux"]["cgroupsPath"] = f"/cofferdam-test-{os.getpid()}/checked"
        config["linux"]["resources"] = {"memory": {"limit": 64 * MIB}}
    with place.running(change=change) as container:
        file = place.path / "checked.json"
        file.write_text(json.dumps({"memory": {"limit": 4096, "checkBeforeUpdate": True}}))
        done = place.run("update", "--resources", file, container)
        check(done.status == 1 and "checkBeforeUpdate" in done.err, f"{done}")
        file.write_text(json.dumps({"memory": {"limit": 48 * MIB, "checkBeforeUpdate": True}}))
        equal(place.run("update", "--resources", file, container).status, 0)


def test_console_size(place):
    """Of the terminal that a console socket is handed; terminal_test looks at one that a person has."""
    import fcntl
    import socket
    import struct
    import termios

    def change(config):
        config["process"]["terminal"] = True
        config["process"]["consoleSize"] = {"height": 31, "width": 77}
    path, container = place.path / "console.sock", place.id()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        equal(place.run("create", "--console-socket", path, "--bundle", place.bundle(("/guest", "sleep"), change), container).status, 0)
        try:
            with listener.accept()[0] as connection:
                _, fds, _, _ = socket.recv_fds(connection, 1024, 1)
            size = fcntl.ioctl(fds[0], termios.TIOCGWINSZ, bytes(8))
            os.close(fds[0])
            equal(struct.unpack("hhhh", size)[:2], (31, 77))
        finally:
            place.run("delete", "--force", container)
