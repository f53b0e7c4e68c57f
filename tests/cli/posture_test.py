"""What docs/security.md promises of the processes of a sandbox, read from the host's /proc while one runs."""
import os
import pathlib

import harness
from harness import check, equal

NAMESPACES = ("user", "mnt", "pid", "ipc", "uts", "net", "cgroup")
CAPABILITIES = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_SETFCAP": 31}  # src/jail/privileges.cc
KEPT = sum(1 << n for n in CAPABILITIES.values())


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def sandbox(place):
    return place.running(("/guest", "fork-and-sleep"))


def processes(place, container):
    sentry = place.pid(container)
    stubs = place.wait_for(lambda: harness.stubs_of(sentry), "stubs")
    return sentry, stubs


def test_namespaces(place):
    with sandbox(place) as container:
        sentry, stubs = processes(place, container)
        for kind in NAMESPACES:
            check(namespace(sentry, kind) != namespace("self", kind), f"{kind} namespace is the host's")
            for stub in stubs:
                equal(namespace(stub, kind), namespace(sentry, kind), f"{kind} namespace of a stub")
        equal(harness.status_of(sentry)["NSpid"].split()[-1], "1", "the sentry is init of its pid namespace")


def test_id_maps(place):
    with sandbox(place) as container:
        sentry, _ = processes(place, container)
        for file in ("uid_map", "gid_map"):
            inside = pathlib.Path(f"/proc/{sentry}/{file}").read_text().split()
            equal(inside[0], inside[1], f"{file} is an identity map: {inside}")


def test_capabilities(place):
    with sandbox(place) as container:
        sentry, stubs = processes(place, container)
        for pid in [sentry, *stubs]:
            fields = harness.status_of(pid)
            for name in ("CapEff", "CapPrm", "CapBnd"):
                found = int(fields[name], 16)
                check(found & ~KEPT == 0, f"{name} of {fields['Name']} is {found:#x}, promised {KEPT:#x}")
            for name in ("CapInh", "CapAmb"):
                equal(int(fields[name], 16), 0, f"{name} of {fields['Name']}")


def test_no_new_privileges_and_seccomp(place):
    with sandbox(place) as container:
        sentry, stubs = processes(place, container)
        for pid in [sentry, *stubs]:
            fields = harness.status_of(pid)
            equal(fields["NoNewPrivs"], "1", f"NoNewPrivs of {fields['Name']}")
            equal(fields["Seccomp"], "2", f"Seccomp of {fields['Name']}")
            equal(fields["Seccomp_filters"], "1", f"Seccomp_filters of {fields['Name']}")


def test_every_thread_is_filtered(place):
    with sandbox(place) as container:
        sentry, _ = processes(place, container)
        for thread in os.listdir(f"/proc/{sentry}/task"):
            fields = harness.status_of(f"{sentry}/task/{thread}")
            equal((fields["Seccomp"], fields["NoNewPrivs"], int(fields["CapEff"], 16) & ~KEPT), ("2", "1", 0), f"thread {thread}")


def test_empty_read_only_root(place):
    with sandbox(place) as container:
        sentry, stubs = processes(place, container)
        for pid in [sentry, *stubs]:
            equal(os.listdir(f"/proc/{pid}/root"), [], "the root is empty")
            lines = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
            equal(len(lines), 1, f"one mount: {lines}")
            fields = lines[0].split()
            equal(fields[4], "/", "its place")
            for option in ("ro", "nosuid", "nodev", "noexec"):
                check(option in fields[5].split(","), f"{option} is missing: {lines[0]}")


def test_descriptors(place):
    """Nothing of the host's but what was donated: no directory outside the bundle, no socket to elsewhere."""
    with sandbox(place) as container:
        sentry, _ = processes(place, container)
        for fd in os.listdir(f"/proc/{sentry}/fd"):
            target = os.readlink(f"/proc/{sentry}/fd/{fd}")
            good = target.startswith(("/dev/null", "pipe:", "socket:", "anon_inode:", "/memfd:", "/dev/shm")) or target == "/" or \
                target.startswith("/proc") or target.isdigit() or "(deleted)" in target or not target.startswith("/")
            check(good or self_made(target), f"descriptor {fd} is {target}")


def self_made(target):
    # The donated root is the root of a detached mount: the kernel shows its path within that mount. The last three are the facts of
    # the hardware that docs/security.md names, opened read-only.
    return target in ("/", "/guest", "/tmp", "/dev", "/null", "/cpuinfo", "/kernel/mm/transparent_hugepage/enabled",
                      "/kernel/mm/transparent_hugepage/hpage_pmd_size")


def test_not_dumpable(place):
    """The files of a process that is not dumpable belong to the host's root, and nobody may read its memory or environment."""
    with sandbox(place) as container:
        sentry, _ = processes(place, container)
        found = pathlib.Path(f"/proc/{sentry}/limits").read_text()
        check(any(line.split()[:6] == ["Max", "core", "file", "size", "0", "0"] for line in found.splitlines()), "no core files")


def test_stubs_end_with_the_sentry(place):
    with sandbox(place) as container:
        sentry, stubs = processes(place, container)
        os.kill(sentry, 9)
        place.wait_for(lambda: not any(pathlib.Path(f"/proc/{p}").exists() for p in stubs), "every stub is gone", 5)


def test_memory_of_a_sandbox_that_sleeps(place):
    with place.running(("/guest", "sleep")) as container:
        sentry, stubs = processes(place, container)
        total = 0
        for pid in [sentry, *stubs]:
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        limit = 6144
        check(total <= limit, f"{total} KiB of PSS in {1 + len(stubs)} processes, promised at most {limit}")
