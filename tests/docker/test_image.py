"""The image without an engine: a root file system by the same steps, a node in it as a container would run it.

Process 1 of a name space of its own, user 10001, a read-only root, a network of its own; with what the Dockerfiles say.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.docker.conftest import DOCKER, ROOT, environment, last_stage, words

from aether.generate import compose
from aether.generate.setup import Setup

NEEDS = ("debootstrap", "unshare", "nsenter", "chroot", "ip")
missing = [name for name in NEEDS if not shutil.which(name)]
pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("AETHER_E2E") != "all", reason="builds a root file system: AETHER_E2E=all"),
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap and chroot need root"),
    pytest.mark.skipif(bool(missing), reason=f"not installed here: {', '.join(missing)}"),
    pytest.mark.skipif(
        sys.version_info[:2] != (3, 11), reason="wheels are made for the Python of Debian bookworm, 3.11"
    ),
]
USERSPEC = "--userspec=10001:10001"
WORKDIR = dict(last_stage("aether-node"))["WORKDIR"]
READY_TRIES = 100
SAID_S = 120


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The root. AETHER_ROOTFS_BASE names one that debootstrap filled before: for whoever works on these tests."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    given = {"PYTHON": sys.executable}
    if base := os.environ.get("AETHER_ROOTFS_BASE"):
        given["BASE"] = base
    done = subprocess.run(
        [DOCKER / "rootfs.sh", folder / "root", wheel],
        env={**os.environ, **given}, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    yield folder / "root"
    shutil.rmtree(folder / "root")


class Container:
    """What `docker run --read-only` would start. Everything in it ends with it."""

    def __init__(self, image, folder, arguments, *, mounts=None, name="aether-node", user=USERSPEC, entry=None):
        self.image, self.user = image, user
        self.environment = environment("aether-node")
        folder.mkdir(exist_ok=True)
        state = folder / "state"
        if not state.exists():
            state.mkdir(mode=0o700)
            os.chown(state, 10001, 10001)
        mounts = {state: "/var/lib/aether"} if mounts is None else mounts
        binds = "".join(f"mount --bind {source} {image}{target}\n" for source, target in mounts.items())
        line = [*(entry or words("aether-node", "ENTRYPOINT")), *arguments]
        script = (
            f"set -e\nip link set lo up\nmount --bind {image} {image}\n{binds}"
            f"mount -o remount,bind,ro {image}\nmount -t tmpfs -o mode=1777 none {image}/tmp\n"
            f'mount -t proc none {image}/proc\nexec chroot {user} {image} env -C {WORKDIR} "$@"\n'
        )
        self.outside = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", *line],
            env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._lines, self._ended, self._changed = [], False, threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        while not self._children() and self.outside.poll() is None:
            pass  # until unshare has started process 1

    def _read(self):
        for line in self.outside.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, text):
        with self._changed:
            self._changed.wait_for(lambda: text in self.said() or self._ended, SAID_S)
        assert text in self.said(), self.said()

    def end(self):
        for process in self._children() if self.outside.poll() is None else ():
            os.kill(int(process), signal.SIGKILL)  # process 1, and so everything in its name space
        self.outside.wait()
        self._reader.join()
        self.outside.stdout.close()

    def _children(self):
        return Path(f"/proc/{self.outside.pid}/task/{self.outside.pid}/children").read_text().split()

    @property
    def inside(self):
        """Process 1, by the number that it has out here."""
        children = self._children()
        assert children, self.said()
        return int(children[0])

    def run(self, *line, user=None):
        """What `docker exec` would do."""
        enter = ["nsenter", f"--target={self.inside}", "--mount", "--net", "--pid"]
        return subprocess.run(
            [*enter, "chroot", user or self.user, self.image, "env", "-C", WORKDIR, *line],
            env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def check(self):
        return self.run(*words("aether-node", "HEALTHCHECK"))

    def wait_healthy(self):
        self.wait_for("is ready, incarnation")
        for _ in range(READY_TRIES):
            assert self.outside.poll() is None, self.said()
            last = self.check()
            if last.returncode == 0:
                return
        pytest.fail(f"never healthy: {last.stdout}\n{self.said()}")

    def stop(self):
        """SIGTERM to process 1, as an engine sends it; the exit code."""
        os.kill(self.inside, signal.SIGTERM)
        code = self.outside.wait(60)
        self._reader.join()
        return code

    def said(self):
        return "".join(self._lines)


@pytest.fixture
def container(image, tmp_path):
    with contextlib.ExitStack() as stack:

        def start(arguments, folder="one", **options):
            started = Container(image, tmp_path / folder, arguments, **options)
            stack.callback(started.end)
            return started

        yield start


def test_nothing_that_builds_is_in_the_image(image):
    programs = {
        path.name for folder in ("usr/bin", "usr/sbin", "opt/aether/bin") for path in (image / folder).iterdir()
    }
    libraries = {path.name for path in (image / "opt/aether").glob("lib/python*/site-packages/*")}

    assert not {"pip", "pip3", "gcc", "cc", "make", "curl", "wget", "git"} & programs
    assert not {name for name in libraries if re.match(r"(pip|setuptools|wheel|hatchling)\b", name)}
    assert not (image / "wheels").exists()
    assert {"trio", "cryptography", "rich", "httptools", "msgspec", "aether"} <= libraries


def test_a_node_starts_serves_drains_and_starts_again(container):
    """As `docker run`, `docker stop`, `docker start`."""
    node = container(words("aether-node", "CMD"))
    node.wait_healthy()
    facts = Path(f"/proc/{node.inside}/status").read_text()
    assert re.search(r"^Uid:\s+10001\s+10001\s+10001\s+10001$", facts, re.M)
    assert re.search(r"^NSpid:\s+\d+\s+1$", facts, re.M)
    shown = node.run("/opt/aether/bin/aether", "nodes", "-o", "json")
    assert '"node-1"' in shown.stdout, shown.stderr
    wrote = node.run("/opt/aether/bin/aether", "kv", "put", "maps/names/greeting", "hello", "--text")
    assert wrote.returncode == 0, wrote.stderr  # the admin token is found by itself

    assert node.stop() == 0
    assert "node-1 drains for at most 10 s" in node.said()
    assert "Traceback" not in node.said()

    again = container(words("aether-node", "CMD"))
    again.wait_healthy()
    assert "hello" in again.run("/opt/aether/bin/aether", "kv", "get", "maps/names/greeting").stdout


def test_process_1_buries_what_it_inherits(container):
    node = container(["node"])
    node.wait_healthy()
    orphan = "import os, sys\nif os.fork() == 0:\n    sys.exit(0 if os.fork() else 7)\nos.wait()"
    assert node.run("/opt/aether/bin/python", "-c", orphan).returncode == 0

    for _ in range(READY_TRIES):
        states = re.findall(r"^State:\s+(\w)", _statuses(node), re.M)
        if "Z" not in states:
            break
        node.check()  # time passes
    assert "Z" not in states
    assert node.stop() == 0


def _statuses(node):
    """Of every child of process 1."""
    children = Path(f"/proc/{node.inside}/task/{node.inside}/children").read_text().split()
    return "".join(Path(f"/proc/{child}/status").read_text() for child in children)


def test_sigterm_before_the_node_hears_signals_ends_it_all_the_same(container):
    """The kernel keeps from process 1 what it does not handle; an engine would wait, and kill it."""
    node = container(["node"])
    while not Path(f"/proc/{node.inside}/cmdline").read_bytes().startswith(b"/opt/aether/bin/python"):
        pass
    while not _hears(node):
        assert node.outside.poll() is None, node.said()
    assert node.stop() in (0, 128 + signal.SIGTERM)


def _hears(node):
    """Whether process 1 handles SIGTERM, by the kernel's word."""
    (mask,) = re.findall(r"^SigCgt:\s+(\w+)$", Path(f"/proc/{node.inside}/status").read_text(), re.M)
    return int(mask, 16) >> (signal.SIGTERM - 1) & 1


def test_the_generated_compose_service_runs_with_tls(container, tmp_path):
    """Its one-shot service makes the certificates as root without a network; the node is then healthy over TLS."""
    folder = tmp_path / "files"
    folder.mkdir()
    setup = Setup(name="shop", nodes=1)
    for file in compose.files(setup):
        (folder / file.path).write_text(file.text)
    node_volume, authority = tmp_path / "node-1", tmp_path / "authority"
    node_volume.mkdir()
    authority.mkdir()
    places = {node_volume: "/mnt", authority: "/srv", folder: "/media"}
    script = (
        "mkdir -p /tmp/nodes; ln -s /mnt /tmp/nodes/node-1; AUTHORITY=/srv NODES=/tmp/nodes sh /media/certificates.sh"
    )
    script += "; chown -R 10001:10001 /mnt"  # what stands behind the link, as behind a mount
    once = container(["-c", script], "once", mounts=places, user="--userspec=0:0", entry=["/bin/sh"])
    assert once.outside.wait(60) == 0, once.said()
    assert (node_volume / "tls/node.key").stat().st_uid == 10001
    assert (authority / "ca.key").stat().st_mode & 0o777 == 0o600

    mounts = {node_volume: "/var/lib/aether", authority: "/srv", folder: "/etc/aether"}
    node = container(["node", "--config", "/etc/aether/aether.toml", "--ca-key", "/srv/ca.key"], "two", mounts=mounts)
    node.wait_healthy()
    shown = node.run("/opt/aether/bin/aether", "ca", "show", "/var/lib/aether/tls")
    assert "aether://shop/node/node-1" in shown.stdout
    assert node.run("/opt/aether/bin/aether", "status").returncode == 0
    assert node.stop() == 0


def test_the_forge_image_keeps_its_demo_up(container):
    forge = container([*words("aether-forge", "CMD"), "--seconds", "2", "--rate", "4", "--kill", "none"], "forge")
    forge.wait_for("The cluster stays up")
    for _ in range(READY_TRIES):
        last = forge.check()
        if last.returncode == 0:
            break
    assert (last.returncode, last.stdout.strip()) == (0, "ready"), forge.said()

    assert forge.stop() == 0, forge.said()
    assert "success" in forge.said()
