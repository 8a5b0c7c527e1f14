"""The admin token: made once, readable by its user alone, found by tools, taken back."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from aether.node import tokens
from aether.node.tokens import TOKEN_CHARS_MIN, dialled, ensure_token, find_authorities, find_token, published


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("AETHER_TOKEN", raising=False)


def mode(path):
    return path.stat().st_mode & 0o777


def test_a_token_is_made_once_and_only_its_user_can_read_it(tmp_path):
    token = ensure_token(tmp_path)

    assert ensure_token(tmp_path) == token
    assert mode(tmp_path / "admin-token") == 0o600


@pytest.mark.parametrize("left", ["", "\n", "short"])
def test_what_a_crash_left_of_a_token_is_no_token(tmp_path, left):
    """An empty or cut-off file would be a password that anybody can guess."""
    (tmp_path / "admin-token").write_text(left)

    token = ensure_token(tmp_path)

    assert len(token) >= TOKEN_CHARS_MIN
    assert ensure_token(tmp_path) == token


def test_a_token_that_others_can_read_is_replaced(tmp_path):
    """Somebody may have read it already; closing the file again would not take that back."""
    token = ensure_token(tmp_path)
    (tmp_path / "admin-token").chmod(0o644)

    assert ensure_token(tmp_path) != token
    assert mode(tmp_path / "admin-token") == 0o600


def test_a_waiting_link_is_not_written_through(tmp_path):
    """Another user must not be able to have a file of ours overwritten."""
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / f".admin-token.{os.getpid()}").symlink_to(target)

    ensure_token(tmp_path)

    assert target.read_text() == "mine"


def test_a_published_token_is_found_by_address_and_taken_back():
    with published("127.0.0.1:8080", "secret"):
        assert find_token("localhost:8080") == "secret"
        assert find_token("http://127.0.0.1:8080/") == "secret"
        assert find_token("127.0.0.1:8081") is None
    assert find_token("127.0.0.1:8080") is None


@pytest.mark.parametrize("authorities", [None, "ca.pem"])
def test_the_token_of_a_node_that_was_killed_is_brought_to_nobody(tmp_path, authorities):
    """Its port is free by then, and whoever takes it would be handed the key of the node's next start."""
    script = f"""
        import os, signal, sys
        from pathlib import Path
        from aether.node.tokens import published
        with published("127.0.0.1:8080", "secret", {authorities and f"Path({authorities!r})"}):
            print("up", flush=True)
            sys.stdin.read(1)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    node = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert node.stdin is not None
    assert node.stdout is not None
    with node:
        assert node.stdout.readline() == b"up\n"
        assert find_token("127.0.0.1:8080") == "secret"
        assert (find_authorities("127.0.0.1:8080") is not None) == (authorities is not None)
        node.stdin.write(b"x")
        node.stdin.flush()
        assert node.wait(20) == -signal.SIGKILL

    assert (tmp_path / "state" / "aether" / "tokens" / "127.0.0.1_8080").exists()
    assert find_token("127.0.0.1:8080") is None
    assert find_authorities("127.0.0.1:8080") is None


def test_a_node_takes_back_its_own_token_only():
    """A home directory may be shared by machines, and a successor may already listen at the same address."""
    with published("127.0.0.1:8080", "old"):
        with published("127.0.0.1:8080", "new"):
            pass
        with published("127.0.0.1:8081", "other"):
            assert find_token("127.0.0.1:8081") == "other"

    first = published("127.0.0.1:8080", "old")
    first.__enter__()
    second = published("127.0.0.1:8080", "new")
    second.__enter__()
    first.__exit__(None, None, None)
    assert find_token("127.0.0.1:8080") == "new"
    second.__exit__(None, None, None)
    assert find_token("127.0.0.1:8080") is None


def test_a_home_that_cannot_be_written_is_no_reason_not_to_start(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))

    with published("127.0.0.1:8080", "secret"):
        assert find_token("127.0.0.1:8080") is None


def test_a_user_without_a_home_publishes_nothing(tmp_path, monkeypatch):
    """A number without an account, as in containers. As root the folder could be made: another one stands in."""

    def none(*_):
        raise RuntimeError("Could not determine home directory.")

    (tmp_path / "taken").write_text("a file, in which no folder can be made")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    monkeypatch.setattr(tokens, "NO_HOME", tmp_path / "taken")
    with published("127.0.0.1:8080", "t" * 43):
        assert find_token("127.0.0.1:8080") is None


def test_a_file_that_holds_no_text_is_no_token(tmp_path):
    (tmp_path / "admin-token").write_bytes(b"\xff" * 100)
    (tmp_path / "admin-token").chmod(0o600)

    assert len(ensure_token(tmp_path)) >= TOKEN_CHARS_MIN
    with published("127.0.0.1:8080", "secret"):
        (place,) = (tmp_path / "state" / "aether" / "tokens").iterdir()
        place.write_bytes(b"\xff" * 100)
        assert find_token("127.0.0.1:8080") is None


V4 = ("127.0.0.1:8080", "8080", "http://127.0.0.1:8080/", "0.0.0.0:8080")
V6 = ("[::1]:8080", "http://[::1]:8080/")
EITHER = ("localhost:8080", "http://localhost:8080/")


@pytest.mark.parametrize(
    ("bound", "asked", "others"),
    [("0.0.0.0", V4, V6), ("127.0.0.1", V4, V6), ("[::]", V6, V4), ("[::1]", V6, V4), ("10.1.2.3", (), V4 + V6)],
)
def test_tools_find_a_token_by_every_name_of_where_its_node_listens_and_by_no_other(bound, asked, others):
    """On the same port of the other family another user may listen."""
    with published(f"{bound}:8080", "secret"):
        assert {find_token(each) for each in (f"{bound}:8080", *asked, *(EITHER if asked else ()))} == {"secret"}
        assert {find_token(each) for each in others} == {None}


@pytest.mark.parametrize(("bound", "loopback"), [("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]"), ("[::1]", "[::1]")])
def test_localhost_is_where_the_node_of_this_user_listens(bound, loopback):
    with published(f"{bound}:8080", "secret"):
        assert dialled("localhost:8080") == f"{loopback}:8080"
        assert dialled("http://localhost:8080/") == f"http://{loopback}:8080"
        assert dialled("localhost:8081") == "localhost:8081"
        assert dialled("http://example.org:8080") == "http://example.org:8080"
    assert dialled("localhost:8080") == "localhost:8080"


def test_an_address_names_no_other_folder(tmp_path):
    (tmp_path / "state" / "aether" / "tokens").mkdir(parents=True)
    (tmp_path / "state" / "aether" / "secret_1").write_text("of something else")

    assert find_token("../secret:1") is None


def test_a_token_that_another_put_there_is_replaced(tmp_path):
    """Behind a link stands a file whose author knows what is in it."""
    planted = tmp_path / "planted"
    planted.write_text("x" * TOKEN_CHARS_MIN)
    planted.chmod(0o600)
    home = tmp_path / "home"
    home.mkdir()
    (home / "admin-token").symlink_to(planted)

    assert ensure_token(home) != "x" * TOKEN_CHARS_MIN
    assert not (home / "admin-token").is_symlink()
    assert planted.read_text() == "x" * TOKEN_CHARS_MIN


def test_a_token_of_another_user_is_replaced(tmp_path, monkeypatch):
    """In a directory that others may write to, it would be theirs, and a node of root reads it all the same."""
    token = ensure_token(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    assert ensure_token(tmp_path) != token
