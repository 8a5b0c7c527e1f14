"""The compose file: by the rules of the specification, of a node, and of whoever is careful."""

import os
import stat
import subprocess

import compose_spec
import pytest
import yaml
from tests.generate.conftest import SHAPES, read_settings, written

from aether.cli.main import run
from aether.generate.compose import certificates_text, compose_text, files, settings_text
from aether.generate.setup import Setup
from aether.security.certificates import read_certificate


def services(setup):
    return yaml.safe_load(compose_text(setup))["services"]


def nodes(setup):
    return {name: service for name, service in services(setup).items() if name.startswith("node-")}


@pytest.mark.parametrize("setup", SHAPES)
def test_the_file_is_valid_by_the_specification(setup):
    """By a parser of the whole specification, that knows every key and follows every reference."""
    compose_spec.PyCompose.from_yaml(compose_text(setup)).validate()


def test_the_parser_would_tell_of_a_wrong_key():
    """It is no test if it takes everything."""
    with pytest.raises(ValueError, match="cap_dorp"):
        compose_spec.PyCompose.from_yaml(compose_text(Setup()).replace("cap_drop", "cap_dorp"))


@pytest.mark.parametrize("setup", SHAPES)
def test_each_node_would_start_with_what_it_is_given(setup):
    """TLS, or the word that says what is risked: never neither."""
    for name, service in nodes(setup).items():
        assert ("--insecure" in service["command"]) == (not setup.tls)
        config = read_settings(settings_text(setup), service["environment"], insecure=not setup.tls)
        assert config.node == name
        assert config.advertise == service["hostname"] == name
        assert config.cluster == setup.name
        assert (config.tls is not None) == setup.tls
        assert config.plain_http == setup.plain_http
        assert config.drain_s == setup.drain_s


@pytest.mark.parametrize("setup", SHAPES)
def test_some_found_the_cluster_and_the_others_join_it(setup):
    found = [
        read_settings(settings_text(setup), s["environment"], insecure=not setup.tls) for s in nodes(setup).values()
    ]

    founders = [config for config in found if not config.join]
    assert len(founders) == setup.founders
    assert {config.voters for config in founders} == {tuple(sorted(config.node for config in founders))}


@pytest.mark.parametrize("setup", SHAPES)
def test_ports_are_published_on_loopback_and_each_once(setup):
    published = [port for service in nodes(setup).values() for port in service["ports"]]

    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published) == 2 * setup.nodes


@pytest.mark.parametrize("setup", SHAPES)
def test_nodes_get_no_right_that_they_do_not_need(setup):
    for service in nodes(setup).values():
        assert service["cap_drop"] == ["ALL"]
        assert "cap_add" not in service
        assert "user" not in service  # that of the image: not root
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("setup", SHAPES)
def test_a_node_may_drain_before_it_is_killed(setup):
    for service in nodes(setup).values():
        assert int(service["stop_grace_period"].removesuffix("s")) >= setup.drain_s + 10


def test_the_key_of_the_authority_is_mounted_in_one_node_alone():
    with_key = [n for n, s in nodes(Setup(nodes=5)).items() if any(v.startswith("authority:") for v in s["volumes"])]

    assert with_key == ["node-1"]


def certificates(tmp_path, shell):
    script = tmp_path / "certificates.sh"
    text = certificates_text(Setup(name="shop"))
    if os.geteuid() != 0:
        text = text.replace("chown -R", ": chown -R")  # who is not root cannot give files away
    script.write_text(text)
    places = {"AUTHORITY": str(tmp_path / "authority"), "NODES": str(tmp_path / "nodes")}
    subprocess.run(["sh", script], env={**shell, **places}, check=True, capture_output=True, timeout=60)
    return {node: tmp_path / "nodes" / node / "tls" for node in ("node-1", "node-2", "node-3")}


@pytest.mark.process
def test_certificates_are_made_once_and_signed_anew_later(tmp_path, shell):
    first = {node: (folder / "node.pem").read_bytes() for node, folder in certificates(tmp_path, shell).items()}
    key = (tmp_path / "nodes/node-2/tls/node.key").read_bytes()
    for node, folder in certificates(tmp_path, shell).items():
        read = read_certificate((folder / "node.pem").read_bytes())
        assert read.shown.identity.uri == f"aether://shop/node/{node}"
        assert node in read.hosts
        assert read.shown.serial != read_certificate(first[node]).shown.serial
        assert stat.S_IMODE((folder / "node.key").stat().st_mode) == 0o600
        if os.geteuid() == 0:
            assert (folder / "node.key").stat().st_uid == 10001

    assert (tmp_path / "nodes/node-2/tls/node.key").read_bytes() == key


@pytest.mark.process
def test_a_start_that_was_cut_off_is_no_obstacle(tmp_path, shell):
    """A key without its certificate is half of a start; `aether ca issue` alone would refuse the directory."""
    half = tmp_path / "nodes/node-3/tls"
    half.mkdir(parents=True)
    (half / "node.key").write_text("cut off")

    assert read_certificate((certificates(tmp_path, shell)["node-3"] / "node.pem").read_bytes())


def test_files_that_are_there_stay_unless_force_says_otherwise(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["generate", "docker", "-o", str(out)]) == 0
    assert "docker compose up -d" in capsys.readouterr().out
    (out / "aether.toml").write_text("mine")

    assert run(["generate", "docker", "-o", str(out), "--nodes", "5"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (out / "aether.toml").read_text() == "mine"

    assert run(["generate", "docker", "-o", str(out), "--nodes", "5", "--force"]) == 0
    assert (out / "docker-compose.yml").read_text() == compose_text(Setup(nodes=5, image="aether-node:" + version()))
    assert stat.S_IMODE((out / "certificates.sh").stat().st_mode) == 0o755


def version():
    from aether.cli.main import version

    return version()


def test_what_is_wrong_writes_nothing(tmp_path, capsys):
    assert run(["generate", "docker", "-o", str(tmp_path / "out"), "--name", "A B"]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("setup", SHAPES)
def test_scripts_are_sound_by_the_shell(setup, tmp_path):
    folder = written(files(setup), tmp_path / "out")
    for script in folder.glob("*.sh"):
        subprocess.run(["sh", "-n", script], check=True)
