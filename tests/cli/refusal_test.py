"""Fields of config.json that this runtime does not carry out: each is refused by its name, with one clear line."""
from bundle_test import refused

REFUSED = [
    (("linux", "intelRdt"), {"closID": "x"}, ["linux.intelRdt", "not supported"]),
    (("linux", "netDevices"), {"eth0": {}}, ["linux.netDevices", "not supported"]),
    (("linux", "memoryPolicy"), {"mode": "MPOL_BIND"}, ["linux.memoryPolicy", "not supported"]),
    (("process", "execCPUAffinity"), {"initial": "0"}, ["process.execCPUAffinity", "not supported"]),
    (("linux", "rootfsPropagation"), "shared", ["linux.rootfsPropagation", "host"]),
    (("linux", "rootfsPropagation"), "moon", ["linux.rootfsPropagation", "moon"]),
    (("linux", "sysctl"), {"kernel.hostname": "x"}, ["linux.sysctl", "kernel.hostname"]),
    (("linux", "sysctl"), {"vm.swappiness": "1"}, ["linux.sysctl", "vm.swappiness"]),
    (("linux", "sysctl"), {"kernel.shmmax": "many"}, ["linux.sysctl", "kernel/shmmax", "many"]),
    (("linux", "sysctl"), {"kernel.sem": "1 2"}, ["linux.sysctl", "kernel/sem"]),
    (("linux", "personality"), {"domain": "MOON"}, ["linux.personality.domain", "MOON"]),
    (("linux", "timeOffsets"), {"realtime": {"secs": 1}}, ["linux.timeOffsets", "realtime"]),
    (("linux", "namespaces"), [{"type": "pid", "path": "/proc/1/ns/pid"}], ["linux.namespaces", "cannot be joined"]),
    (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_MOON"}, ["linux.seccomp.defaultAction", "SCMP_ACT_MOON"]),
    (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]},
     ["linux.seccomp.syscalls[0].action", "SCMP_ACT_NOTIFY"]),
    (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO"}]},
     ["linux.seccomp.syscalls[0].names"]),
    (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]},
     ["linux.seccomp.syscalls[0].args[0].index"]),
    (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_MOON"]}, ["linux.seccomp.flags[0]", "MOON"]),
    (("process", "oomScoreAdj"), 1001, ["process.oomScoreAdj", "1001"]),
    (("process", "scheduler"), {"policy": "SCHED_DEADLINE"}, ["process.scheduler.policy", "SCHED_DEADLINE"]),
    (("process", "ioPriority"), {"class": "MOON"}, ["process.ioPriority.class", "MOON"]),
    (("mounts",), [{"destination": "/x", "type": "tmpfs", "options": ["rshared"]}], ["mounts[0].options[0]", "rshared"]),
    (("mounts",), [{"destination": "/x", "type": "bind", "source": "/etc", "options": ["rbind", "idmap"]}], ["mounts[0].options[1]", "idmap"]),
    (("mounts",), [{"destination": "/x", "type": "tmpfs", "options": ["size=many"]}], ["/x"]),
    (("linux", "resources"), {"devices": [{"allow": False, "type": "z"}]}, ["linux.resources.devices[0].type", "z"]),
    (("linux", "resources"), {"rdma": {"mlx5": {"hcaHandles": 1}}}, ["linux.resources.rdma"]),
]


def test_refused_by_name(place):
    for keys, to, holds in REFUSED:
        def change(config):
            at = config
            for key in keys[:-1]:
                at = at[key]
            at[keys[-1]] = to
        refused(place, "run", "--bundle", place.bundle(change=change), place.id(), holds=holds)


def test_labels_that_the_host_does_not_have(place):
    import os
    for field, there in (("apparmorProfile", "/sys/module/apparmor"), ("selinuxLabel", "/sys/fs/selinux/enforce")):
        if not os.path.exists(there):
            def change(config):
                config["process"][field] = "some_label"
            refused(place, "run", "--bundle", place.bundle(change=change), place.id(), holds=[f"process.{field}", "some_label"])
