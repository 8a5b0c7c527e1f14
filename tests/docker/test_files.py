"""The Dockerfiles and the compose file: what can be said about them without building anything."""

import os
import re
import subprocess
import sys

import compose_spec
import pytest
from tests.docker.conftest import DOCKER, ROOT, environment, instructions, last_stage, words

from aether.cli.main import run
from aether.generate import compose
from aether.generate.setup import USER, Setup

IMAGES = ["aether-node", "aether-forge"]


def test_the_compose_file_is_what_the_command_writes():
    """One source: `aether generate docker -o docker --image aether-node --force` writes them again."""
    for file in compose.files(Setup(image="aether-node")):
        assert (DOCKER / file.path).read_text() == file.text
        assert os.access(DOCKER / file.path, os.X_OK) == file.is_script
    compose_spec.PyCompose.from_yaml((DOCKER / "docker-compose.yml").read_text()).validate()


def test_what_builds_stays_in_other_stages():
    """The last stage takes the finished folder, and installs nothing."""
    assert len([word for word, _ in instructions("aether-node") if word == "FROM"]) == 4
    runs = [rest for word, rest in last_stage("aether-node") if word == "RUN"]
    assert [re.findall(r"/steps/(\S+)", run) for run in runs] == [["user.sh"]]
    assert not [rest for _, rest in last_stage("aether-forge") if "RUN" in rest]


def test_the_node_is_process_1_and_not_root():
    stage = dict(last_stage("aether-node"))

    assert stage["USER"] == f"{USER}:{USER}"
    assert words("aether-node", "ENTRYPOINT") == ["/opt/aether/bin/aether"]
    assert words("aether-node", "CMD") == ["node"]
    assert words("aether-forge", "CMD") == ["demo", "--keep"]
    assert "USER" not in dict(last_stage("aether-forge"))  # that of the image below
    assert f":{USER}:" in (DOCKER / "steps" / "user.sh").read_text()


@pytest.mark.parametrize("image", IMAGES)
def test_health_is_asked_by_python(image):
    assert words(image, "HEALTHCHECK") == [*("/opt/aether/bin/python", "-E", "-s", "/opt/aether/healthcheck.py")]
    assert "curl" not in (DOCKER / image / "Dockerfile").read_text()


def test_the_steps_of_the_file_are_those_of_the_script():
    """What a test runs without an engine is what an engine would run."""
    named = {
        step for name in IMAGES for _, rest in instructions(name) for step in re.findall(r"/steps/(\w+\.sh)", rest)
    }
    script = (DOCKER / "rootfs.sh").read_text()

    assert named == {path.name for path in (DOCKER / "steps").glob("*.sh")}
    assert named - {"base.sh"} == set(re.findall(r"steps/(\w+\.sh)", script))
    assert "--include=python3 " in script  # base.sh, in the words of debootstrap
    assert re.search(r"install .*--no-install-recommends python3$", (DOCKER / "steps" / "base.sh").read_text(), re.M)


@pytest.mark.parametrize("script", [*DOCKER.glob("*.sh"), *DOCKER.glob("steps/*.sh")], ids=lambda path: path.name)
def test_scripts_are_sound_by_the_shell(script):
    subprocess.run(["sh", "-n", script], check=True)
    assert os.access(script, os.X_OK)


def test_no_host_is_written_down():
    """Where packages come from is the machine's own affair."""
    for path in DOCKER.rglob("*"):
        if path.is_file():
            assert not re.search(r"https?://(?!127\.0\.0\.1)", path.read_text()), path


def test_what_is_copied_is_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        source
        for word, rest in instructions("aether-node")
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    ]

    assert ignored[0] == "*"
    for source in copied:
        assert any(source.startswith(line.removeprefix("!")) for line in ignored if line.startswith("!")), source
        assert (ROOT / source).exists()


def check(state):
    line = [sys.executable, *words("aether-node", "HEALTHCHECK")[1:-1], DOCKER / "aether-node" / "healthcheck.py"]
    done = subprocess.run(
        line, env={"XDG_STATE_HOME": str(state)}, capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.process
def test_health_follows_the_node(tmp_path):
    """Nothing there, a node without a majority, a node that is ready."""
    state = tmp_path / "state"
    assert check(state) == (1, "no node has opened its management port yet")

    code, text = _while_it_runs(
        tmp_path, state, "--peers", "node-1:127.0.0.1:9,node-2:127.0.0.1:10,node-3:127.0.0.1:11"
    )
    assert code == 1
    assert "503 no majority of the voters answers" in text

    assert _while_it_runs(tmp_path, state, wanted=0) == (0, "ready")


@pytest.mark.process
def test_health_is_asked_with_tls_where_the_node_speaks_it(tmp_path):
    state, tls, authority = tmp_path / "state", tmp_path / "tls", str(tmp_path / "ca")
    assert run(["ca", "init", "--ca-dir", authority]) == 0
    assert run(["ca", "issue", "node-1", "--ca-dir", authority, "--out", str(tls)]) == 0

    assert _while_it_runs(tmp_path, state, "--bind", "0.0.0.0", "--tls", str(tls), wanted=0) == (0, "ready")
    pointers = state / "aether" / "tokens"
    assert list(pointers.glob("*")) == []  # gone with the node
    (pointers / "127.0.0.1_9").write_text("token")
    (pointers / "127.0.0.1_9.ca").write_text(f"{tmp_path}/no-such-file\n")
    code, text = check(state)
    assert (code, "127.0.0.1:9: " in text) == (1, True)


def _while_it_runs(tmp_path, state, *arguments, wanted=1):
    """The first check that ends with `wanted` after the node has opened its port."""
    line = [sys.executable, "-m", "aether", "node", "--port", "0", "--http-port", "0", "--management-port", "0"]
    data = tmp_path / f"data-{wanted}"
    process = subprocess.Popen(
        [*line, "--data-dir", data, *arguments], env={**os.environ, "XDG_STATE_HOME": str(state)}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.stdout.readline()  # its ports are open
        for _ in range(200):
            found = check(state)
            if found[0] == wanted:
                break
        return found
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def test_the_environment_finds_what_is_installed():
    found = environment("aether-node")

    assert found["PATH"].startswith("/opt/aether/bin:")
    assert found["XDG_STATE_HOME"].startswith("/tmp/")
