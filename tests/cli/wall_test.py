"""What a guest must not reach: host files beside its mounts, other sandboxes."""
import ctypes
import itertools
import os
import socket
import threading

from harness import check, equal


def test_paths_stay_within_their_mounts(place):
    outside = place.path / "outside"
    shared = outside / "shared"
    shared.mkdir(parents=True)
    (outside / "secret").write_text("the host's")
    os.symlink(outside / "secret", shared / "to-secret")
    os.symlink("..", shared / "to-parent")
    os.symlink("/", shared / "to-root")

    def bind(config):
        config["mounts"].append({"destination": "/shared", "type": "bind", "source": str(shared), "options": ["bind", "rw"]})

    bundle = place.bundle(("/guest", "escape", "/shared"), bind)
    done = place.run("run", "--bundle", bundle, place.id(), timeout=120)
    equal((done.status, done.err), (0, ""), "nothing outside the mount was found")
    check((shared / "a").is_dir(), "the guest wrote where it may")


def tree_state(path):
    """Everything that a change of what is below a directory would show."""
    found = {}
    for directory, _, names in os.walk(path):
        for name in [".", *names]:
            at = os.path.join(directory, name)
            st = os.lstat(at)
            text = open(at).read() if os.path.isfile(at) and not os.path.islink(at) else ""
            times = () if name == "." else (st.st_mtime_ns, st.st_ctime_ns)
            found[at] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, text, times)
    return found


def test_renames_on_the_host_do_not_lead_out_of_a_mount(place):
    outside = place.path / "race"
    shared, private = outside / "shared", outside / "private"
    for directory in (shared / "swapped", shared / "deep/moved", private / "directory2", private / "moved"):
        directory.mkdir(parents=True)
    for directory in (private, private / "moved"):
        for name in ("file", "file2"):
            (directory / name).write_text("private")
    for directory in (shared, shared / "swapped", shared / "deep/moved"):
        (directory / "file").write_text("inside")
    # Each is exchanged with what stands in its way out: links to the host's directory and file, by both kinds of path.
    os.symlink(private, shared / "link")
    os.symlink("../private/file", shared / "file-link")
    os.symlink("../../private/moved", shared / "deep/link")
    before = tree_state(private)
    libc, stop, swaps = ctypes.CDLL(None, use_errno=True), threading.Event(), itertools.count()

    def exchange(one, other):
        while not stop.is_set():
            done = libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2)
            check(done == 0, f"exchange of {one}: errno {ctypes.get_errno()}")
            next(swaps)

    def move_out_and_in():
        while not stop.is_set():
            for name in ("moved", "link"):  # whichever is the directory now
                at = shared / "deep" / name
                if at.is_dir() and not at.is_symlink():
                    try:
                        os.rename(at, outside / "elsewhere")
                        os.rename(outside / "elsewhere", at)
                    except OSError:
                        pass

    pairs = [(shared / "swapped", shared / "link"), (shared / "file", shared / "file-link")]
    threads = [threading.Thread(target=exchange, args=pair) for pair in pairs] + [threading.Thread(target=move_out_and_in)]
    for thread in threads:
        thread.start()

    def bind(config):
        config["mounts"].append({"destination": "/shared", "type": "bind", "source": str(shared), "options": ["bind", "rw"]})

    try:
        done = place.run("run", "--bundle", place.bundle(("/guest", "race", "/shared"), bind), place.id(), timeout=120)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    equal((done.status, done.out, done.err), (0, "inside 1 private 0 other 0\n", ""), "what the guest read")
    check(next(swaps) > 100, "names were exchanged meanwhile")
    equal(tree_state(private), before, "the host's directory beside the mount")


def test_sandboxes_do_not_see_each_other(place):
    # The same names on the host, too.
    with socket.socket(socket.AF_UNIX) as host, place.running(("/guest", "make")) as container:
        host.bind("\0cofferdam-wall")
        host.listen()
        made = place.path / f"bundle{place.count}" / "rootfs/tmp/found"
        place.wait_for(made.exists, "the first sandbox has made its file")
        done = place.run("run", "--bundle", place.bundle(("/guest", "look")), place.id())
        equal((done.status, done.out), (0, "socket 0\nmemory 0\nfile 0\n"), "another sandbox")
        # It is there for who is in the same sandbox.
        done = place.run("exec", container, "/guest", "look")
        check("socket 1\nmemory 1\nfile 1\n" in done.out, f"exec in the same sandbox: {done}")
