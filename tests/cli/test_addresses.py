"""Whom a command asks: what was typed, what a file says, which of them wins."""

import pytest

from aether.cli.addresses import address_in, host_and_port
from aether.cli.exits import CommandFailed, Exit
from aether.cli.main import aether, run
from aether.cli.options import settings


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("h", "h:8080"),
        ("h:81", "h:81"),
        ("81", "127.0.0.1:81"),
        ("127.0.0.1", "127.0.0.1:8080"),
        ("::1", "[::1]:8080"),
        ("[::1]", "[::1]:8080"),
        ("[::1]:81", "[::1]:81"),
        ("https://h:81/", "https://h:81"),
    ],
)
def test_an_address_is_taken_as_people_type_it(typed, address):
    """The original printed its usage for a host without a port."""
    assert host_and_port(typed) == address


@pytest.mark.parametrize(
    "typed", ["", "h:", "h:x", "h:0", "h:65536", "h:8²", "a b:1", "[x]:1", "[::1]:", "a:b:1", "h/p"]
)
def test_what_is_no_address_is_said(typed):
    with pytest.raises(CommandFailed, match="HOST:PORT") as caught:
        host_and_port(typed)
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("[ports]\nmanagement = 9000\n", "127.0.0.1:9000"),
        ("[cluster.ports]\nmanagement = 9001\n", "127.0.0.1:9001"),
        ("[node]\nid = 'n'\n", "127.0.0.1:8080"),
        ("", "127.0.0.1:8080"),
    ],
)
def test_the_file_of_a_node_says_where_it_is(tmp_path, text, address):
    file = tmp_path / "aether.toml"
    file.write_text(text)
    assert address_in(file) == address


@pytest.mark.parametrize("text", ["[ports]\nmanagement = 0\n", "[ports]\nmanagement = true\n", "[ports\n", b"\xff"])
def test_a_file_that_says_no_address_is_no_reason_to_ask_another_node(tmp_path, text, capsys):
    """A default would be somebody else's cluster."""
    file = tmp_path / "aether.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())

    assert run(["--config", str(file), "status"]) == 2
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environment", "address"),
    [
        ([], "", "127.0.0.1:8080"),
        ([], "env:1", "env:1"),
        (["--config", "FILE"], "env:1", "127.0.0.1:9000"),
        (["--config", "FILE", "-c", "typed:1"], "env:1", "typed:1"),
        (["-c", "typed:1"], "env:1", "typed:1"),
    ],
)
def test_what_is_typed_outweighs_the_file_and_the_file_the_environment(
    tmp_path, monkeypatch, arguments, environment, address
):
    file = tmp_path / "aether.toml"
    file.write_text("[ports]\nmanagement = 9000\n")
    monkeypatch.setenv("AETHER_CONNECT", environment)
    words = [str(file) if word == "FILE" else word for word in arguments]
    outer = aether.make_context("aether", [*words, "status"])
    status = aether.get_command(outer, "status")

    assert settings(status.make_context("status", [], parent=outer)).connect == address
    inner = status.make_context("status", ["-c", "near:2"], parent=outer)
    assert settings(inner).connect == "near:2"


def test_the_keys_of_the_original_open_the_door(port, monkeypatch):
    """Its scripts say `-k`, or AETHER_API_KEY; AETHER_TOKEN is the newer name and wins."""
    run(["status", "-c", port.address, "-k", "a"])
    run(["status", "-c", port.address, "--api-key", "b"])
    monkeypatch.setenv("AETHER_API_KEY", "c")
    run(["status", "-c", port.address])
    monkeypatch.setenv("AETHER_TOKEN", "d")
    run(["status", "-c", port.address])

    assert port.tokens == [f"Bearer {token}" for token in "abcd"]
