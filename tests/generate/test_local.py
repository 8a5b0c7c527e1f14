"""Scripts for this machine, run as they are."""

import os
import re
import subprocess

import pytest
from tests.generate.conftest import written

from aether.forge.ports import free_ports
from aether.generate.local import files, nodes_text
from aether.generate.setup import Setup


def with_free_ports(folder, nodes):
    """The same scripts on ports that nobody else on this machine has: those of the page are for people."""
    script = folder / "nodes.sh"
    text = script.read_text()
    ports = iter(free_ports(3 * nodes))
    cluster, http, management = ([next(ports) for _ in range(nodes)] for _ in range(3))

    def cases(numbers):
        return "$(set -- " + " ".join(map(str, numbers)) + '; eval "echo \\${$n}")'

    for number in range(nodes):
        text = text.replace(f"127.0.0.1:{8090 + number}", f"127.0.0.1:{cluster[number]}")
    text = text.replace("echo $((8080 + 100 * ($1 - 1)))", f"n=$1; echo {cases(management)}")
    text = text.replace("$((8090 + $1 - 1))", cases(cluster)).replace("$((8081 + 100 * ($1 - 1)))", cases(http))
    script.write_text(text.replace("start_node() {\n", "start_node() {\n  n=$1\n"))


@pytest.mark.process
@pytest.mark.timeout(240)
def test_three_nodes_are_started_looked_at_and_stopped(tmp_path, shell):
    folder = written(files(Setup(name="shop")), tmp_path / "out")
    with_free_ports(folder, 3)

    def script(name, code=0):
        done = subprocess.run(
            [folder / name],
            env=shell,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        logs = "".join(path.read_text() for path in folder.glob("log/*"))
        assert done.returncode == code, done.stdout + done.stderr + logs
        return done.stdout

    try:
        started = script("start.sh")
        assert re.findall(r"^(node-\d) +ON_DUTY", started, re.M) == ["node-1", "node-2", "node-3"]
        ids = {path.name: path.read_text() for path in folder.glob("run/*.pid")}
        script("start.sh")
        assert {path.name: path.read_text() for path in folder.glob("run/*.pid")} == ids  # what runs is left alone
    finally:
        stopped = script("stop.sh")

    assert stopped.splitlines() == ["node-3 is down", "node-2 is down", "node-1 is down"]
    assert script("status.sh", code=3) == ""
    for number in (1, 2, 3):
        assert "drains for at most" in (folder / f"log/node-{number}.log").read_text()


@pytest.mark.process
def test_a_stranger_that_has_the_number_by_now_is_left_alone(tmp_path, shell):
    folder = written(files(Setup()), tmp_path / "out")
    (folder / "run").mkdir()
    (folder / "run/node-1.pid").write_text(str(os.getpid()))

    subprocess.run([folder / "stop.sh"], env=shell, check=True, timeout=30, capture_output=True)


def test_nothing_but_loopback_is_spoken_of():
    text = nodes_text(Setup(nodes=7, apps=("shop",)))

    assert "--bind" not in text
    assert set(re.findall(r"\d+\.\d+\.\d+\.\d+", text)) == {"127.0.0.1"}
