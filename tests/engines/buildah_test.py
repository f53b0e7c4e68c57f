"""buildah run and RUN steps of a build, by this runtime."""
from engines import check, equal

NEEDS = ("buildah",)


def buildah(podman, *words):
    return podman.place.run(["buildah", *words], env={**podman.env, "BUILDAH_ISOLATION": "oci", "BUILDAH_RUNTIME": str(podman.place.path / "podman/cofferdam")})


def test_run_in_a_working_container(podman):
    container = buildah(podman, "from", "--pull-never", "--signature-policy", podman.policy, "box:local").out.strip()
    check(container, "a working container")
    try:
        done = buildah(podman, "run", "--network", "none", container, "sh", "-c", "uname -r; echo made > /made")
        equal(done.status, 0, repr(done))
        check("cofferdam" in done.out, repr(done))
        equal(buildah(podman, "run", "--network", "none", container, "cat", "/made").out, "made\n")
        equal(buildah(podman, "run", "--network", "none", container, "sh", "-c", "exit 5").status, 5)
    finally:
        buildah(podman, "rm", container)


def test_build(podman):
    context = podman.place.path / "context"
    context.mkdir(exist_ok=True)
    (context / "Containerfile").write_text("FROM box:local\nCOPY data /data\nRUN cat /data > /copied && uname -r > /kernel\n")
    (context / "data").write_text("data\n")
    done = buildah(podman, "build", "--network", "none", "--pull-never", "--signature-policy", podman.policy, "-t", "built:local", context)
    equal(done.status, 0, repr(done))
    done = podman.run("--rm", "built:local", "cat", "/copied", "/kernel")
    check(done.out.startswith("data\n") and "cofferdam" in done.out, repr(done))
