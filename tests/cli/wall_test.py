"""What a guest must not reach: host files beside its mounts, other sandboxes."""
import os
import socket

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
