"""The admin token: made once, readable by its user alone, found by tools, taken back."""

import os

import pytest

from aether.node.tokens import TOKEN_CHARS_MIN, ensure_token, find_token, published


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
