"""What deploy/ holds: the installer of nodes on roots made for it, and manifests that say the same as the code."""
import os
import pathlib
import subprocess

from engines import COFFERDAM, ROOT, SHIM, check, equal


class Deploy:
    needs = ()

    def __init__(self, place):
        self.place, self.count = place, 0
        self.source = place.path / "node"
        self.source.mkdir()
        for path in (COFFERDAM, SHIM, ROOT / "deploy/node/install-node"):
            os.symlink(os.path.realpath(path), self.source / pathlib.Path(path).name)

    def stop(self):
        pass

    def node(self, *directories):
        self.count += 1
        root = self.place.path / f"node-root{self.count}"
        for directory in directories:
            (root / directory).mkdir(parents=True)
        return root

    def install(self, root, *words, **environment):
        return subprocess.run([self.source / "install-node", *words], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "HOST_ROOT": str(root), "RESTART": "echo restarted", "SOURCE": str(self.source), **environment})


def test_containerd(deploy):
    root = deploy.node("etc/containerd")
    config = root / "etc/containerd/config.toml"
    config.write_text('version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "x"\n')
    before = config.read_text()
    done = deploy.install(root)
    check(done.returncode == 0 and "restarted" in done.stdout, done)
    text = config.read_text()
    check(text.startswith(before) and 'runtime_type = "/opt/cofferdam/bin/containerd-shim-cofferdam-v1"' in text, text)
    for name in ("cofferdam", "containerd-shim-cofferdam-v1"):
        check(os.access(root / "opt/cofferdam/bin" / name, os.X_OK), name)
    done = deploy.install(root)
    check(done.returncode == 0 and "restarted" not in done.stdout, f"the second time nothing is to be done: {done}")
    done = deploy.install(root, "uninstall")
    check(done.returncode == 0 and "restarted" in done.stdout, done)
    equal(config.read_text(), before)
    check(not (root / "opt/cofferdam/bin").exists(), "the binaries are gone")


def test_the_new_binary_replaces_the_old(deploy):
    root = deploy.node("etc/containerd", "opt/cofferdam/bin")
    old = root / "opt/cofferdam/bin/cofferdam"
    old.write_text("old")
    with open(old) as held:
        equal(deploy.install(root).returncode, 0)
        equal(held.read(), "old", "whoever runs it keeps it")
    check(old.stat().st_size > 1_000_000, "the new one")


def test_crio(deploy):
    root = deploy.node("etc/crio")
    equal(deploy.install(root).returncode, 0)
    text = (root / "etc/crio/crio.conf.d/99-cofferdam.conf").read_text()
    check('runtime_path = "/opt/cofferdam/bin/cofferdam"' in text and "[crio.runtime.runtimes.cofferdam]" in text, text)
    equal(deploy.install(root, "uninstall").returncode, 0)


def test_rancher(deploy):
    for name in ("k3s", "rke2"):
        directory = f"var/lib/rancher/{name}/agent/etc/containerd"
        root = deploy.node(directory, "etc/containerd")
        equal(deploy.install(root).returncode, 0)
        text = (root / directory / "config.toml.tmpl").read_text()
        check(text.startswith('{{ template "base" . }}\n') and "/opt/cofferdam/bin/containerd-shim-cofferdam-v1" in text, text)
        shipped = (ROOT / "deploy/k3s-config.toml.tmpl").read_text()
        for line in text.splitlines():
            check(line.startswith("#") or line in shipped, f"{line} stands in the template that is shipped")


def test_what_is_not_there(deploy):
    done = deploy.install(deploy.node("etc"))
    check(done.returncode == 1 and "name one by ENGINE" in done.stderr, done)
    done = deploy.install(deploy.node("etc"), ENGINE="moon")
    check(done.returncode == 1 and "not known" in done.stderr, done)
    done = deploy.install(deploy.node("etc/containerd"), "dance")
    check(done.returncode == 1 and "is no command" in done.stderr, done)
    done = deploy.install(deploy.node("etc/containerd"), SOURCE="/nonexistent")
    check(done.returncode == 1 and "is not there" in done.stderr, done)


def test_the_script_has_no_slips(deploy):
    equal(subprocess.run(["sh", "-n", ROOT / "deploy/node/install-node"]).returncode, 0)
