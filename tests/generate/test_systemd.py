"""The unit: by systemd's own judgement; the settings by a node's; the scripts by running them."""

import contextlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys

import attrs
import pytest
from tests.generate.conftest import read_settings, written

from aether.cli.exits import Exit
from aether.errors import BadInput
from aether.generate.setup import Setup
from aether.generate.systemd import files, machines, settings_text, unit_text

THREE = Setup(name="shop", hosts=("10.0.0.1", "10.0.0.2", "10.0.0.3"), apps=("shop:Cart",), drain_s=40)
ALONE = Setup(name="shop")
OPEN = Setup(name="shop", hosts=("10.0.0.1", "10.0.0.2", "10.0.0.3"), tls=False)
EXPOSURE_MAX = 20  # of 100, by systemd's own count
judged = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")


def unit_file(setup, tmp_path):
    path = tmp_path / f"{setup.name}.service"
    path.write_text(unit_text(setup))
    return path


@judged
@pytest.mark.process
@pytest.mark.parametrize("setup", [THREE, ALONE, OPEN])
def test_systemd_finds_nothing_wrong_with_the_unit(setup, tmp_path):
    """With a program that exists: the others are installed where the unit is."""
    path = unit_file(attrs.evolve(setup, program=shutil.which("env")), tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=50, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


@judged
@pytest.mark.process
def test_systemd_would_tell_of_a_wrong_key(tmp_path):
    path = unit_file(Setup(program=shutil.which("env")), tmp_path)
    path.write_text(path.read_text().replace("WatchdogSec", "WatchdogSek"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=50, check=False
    )

    assert "WatchdogSek" in done.stderr


@judged
@pytest.mark.process
def test_systemd_counts_the_exposure_as_low(tmp_path):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", unit_file(THREE, tmp_path)],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def value(setup, key):
    (found,) = re.findall(rf"^{key}=(.*)$", unit_text(setup), re.M)
    return found


def test_the_unit_is_of_a_node_that_tells_when_it_is_ready():
    assert value(THREE, "Type") == "notify"
    assert value(THREE, "TimeoutStartSec") == "infinity"  # the first machine waits for the second
    assert value(THREE, "KillMode") == "mixed"  # workers drain with their node, not by a signal of their own
    assert int(value(THREE, "TimeoutStopSec")) >= THREE.drain_s + 10
    assert value(THREE, "ExecStart") == "/opt/aether/bin/aether node --config /etc/shop/aether.toml --app shop:Cart"


def test_what_no_restart_can_mend_is_not_started_again():
    assert value(THREE, "RestartPreventExitStatus") == f"{Exit.USAGE:d} {Exit.REFUSED:d}"


def test_insecure_is_said_only_where_it_is_wanted():
    assert "--insecure" not in unit_text(THREE) + unit_text(ALONE)
    assert "--insecure" in value(OPEN, "ExecStart")


@pytest.mark.parametrize("setup", [THREE, ALONE, OPEN])
def test_each_machine_would_start_with_its_settings(setup):
    insecure = "--insecure" in unit_text(setup)
    found = [read_settings(settings_text(setup, node), insecure=insecure) for node in machines(setup)]

    assert [config.bind for config in found] == list(setup.hosts or ("127.0.0.1",))
    assert {config.voters for config in found} == {tuple(sorted(machines(setup)))}
    assert {config.drain_s for config in found} == {setup.drain_s}
    assert [config.node for config in found if config.ca_key] == (["node-1"] if setup is THREE else [])
    assert {config.tls is not None for config in found} == {setup is THREE}


def test_a_fourth_machine_joins():
    setup = Setup(hosts=("a", "b", "c", "d"))
    fourth = read_settings(settings_text(setup, "node-4"))

    assert fourth.join == ("a:8090", "b:8090", "c:8090")


def test_loopback_beside_other_machines_is_refused():
    with pytest.raises(BadInput, match="loopback"):
        machines(Setup(hosts=("127.0.0.1", "10.0.0.2")))


@pytest.mark.process
def test_certificates_are_made_for_each_machine(tmp_path, shell):
    folder = written(files(THREE), tmp_path / "out")
    for _ in range(2):
        subprocess.run(["sh", "certificates.sh"], cwd=folder, env=shell, check=True, capture_output=True, timeout=60)
        made = {path.parent.name: path.read_bytes() for path in folder.glob("tls/*/node.pem")}

    assert set(made) == {"node-1", "node-2", "node-3"}
    assert {path.parent.name for path in folder.glob("tls/*/authority.key")} == {"node-1"}
    assert stat.S_IMODE((folder / "tls/node-1/authority.key").stat().st_mode) == 0o600


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="installing needs root and unshare")
def test_a_machine_is_installed_as_the_unit_expects_it(tmp_path, shell):
    """In a name space of mounts with an empty /var/lib and /etc: nothing of it stays on this machine."""
    folder = written(files(THREE), tmp_path / "out")
    subprocess.run(["sh", "certificates.sh"], cwd=folder, env=shell, check=True, capture_output=True, timeout=60)
    script = f"""
set -eu
mount -t tmpfs none /var/lib
mount -t overlay overlay -o lowerdir=/etc,upperdir={tmp_path}/layer/etc,workdir={tmp_path}/layer/work /etc
mkdir -p /etc/systemd/system
cd {folder}
./install.sh node-1 && ./install.sh node-1
stat -c '%U %a %n' /var/lib/shop /var/lib/shop/tls/node.key /var/lib/shop/authority/ca.key /etc/shop/aether.toml
ls /etc/systemd/system/shop.service
"""
    layer = tmp_path / "layer"
    layer.mkdir()
    inside = ["unshare", "--mount", "sh", "-c"]
    prepare = f"mount -t tmpfs none {layer} && mkdir {layer}/etc {layer}/work && {script}"
    done = subprocess.run([*inside, prepare], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-5:] == [
        "shop 700 /var/lib/shop",
        "shop 600 /var/lib/shop/tls/node.key",
        "shop 600 /var/lib/shop/authority/ca.key",
        "root 640 /etc/shop/aether.toml",
        "/etc/systemd/system/shop.service",
    ]


class Machine:
    """What systemd would run on one: the generated settings, and the socket that it listens at."""

    def __init__(self, folder, node, environment):
        self.settings = folder / f"{node}.toml"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / f"{node}.socket"))
        self.socket.settimeout(50)
        self.environment = {**environment, "NOTIFY_SOCKET": self.socket.getsockname()}
        self.log = folder / f"{node}.log"
        self.process = None

    def start(self):
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aether", "node", "--config", self.settings],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def wait_until(self, field):
        try:
            while field not in self.socket.recv(4096).decode().split("\n"):
                pass
        except TimeoutError:
            pytest.fail(f"{field} never came\n{self.log.read_text()}")

    def stop(self):
        self.process.terminate()
        assert self.process.wait(50) == 0, self.log.read_text()

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.socket.close()


@pytest.mark.process
@pytest.mark.timeout(240)
def test_machines_become_a_cluster_and_are_restarted_one_after_the_other(tmp_path, shell):
    """With the generated certificates and settings, each on its own address; a start ends when the node is ready."""
    first, second = divmod(os.getpid(), 250)
    setup = Setup(name="shop", hosts=tuple(f"127.{first % 250 + 1}.{second}.{n}" for n in (2, 3, 4)))
    folder = written(files(setup), tmp_path / "out")
    subprocess.run(["sh", "certificates.sh"], cwd=folder, env=shell, check=True, capture_output=True, timeout=60)
    with contextlib.ExitStack() as stack:
        nodes = {}
        for node in machines(setup):
            state = tmp_path / node
            shutil.copytree(folder / "tls" / node, state / "tls")
            if (state / "tls/authority.key").exists():
                (state / "authority").mkdir()
                (state / "tls/authority.key").rename(state / "authority/ca.key")
            settings = folder / f"{node}.toml"
            settings.write_text(settings.read_text().replace("/var/lib/shop", str(state)))
            nodes[node] = Machine(folder, node, shell)
            stack.callback(nodes[node].close)
        for machine in nodes.values():
            machine.start()
        for machine in nodes.values():
            machine.wait_until("READY=1")
        for machine in reversed(nodes.values()):
            machine.stop()
            machine.start()
            machine.wait_until("STOPPING=1")
            machine.wait_until("READY=1")  # this is when `systemctl restart` returns, and the next may go

        asked = [sys.executable, "-m", "aether", "-c", f"{setup.hosts[0]}:8080", "nodes", "-o", "jsonl"]
        for _ in range(30):  # ready with one peer connected, it may see the other a moment later
            done = subprocess.run(asked, env=shell, capture_output=True, text=True, timeout=50, check=False)
            assert done.returncode == 0, done.stderr
            states = [json.loads(line)["state"] for line in done.stdout.splitlines()]
            if states == ["ON_DUTY"] * 3:
                break
        assert states == ["ON_DUTY"] * 3
