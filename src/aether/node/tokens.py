"""The admin token of a node: a file that only its user can read, and how tools on the same machine find it.

Knows: mode 0600, the data directory, the user's state directory.
Never: checking a token (room management).
Holds: a token is made once per data directory, with 256 bits from the operating system.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Generator
from pathlib import Path

TOKEN_FILE = "admin-token"  # noqa: S105 - the name of a file
TOKEN_CHARS_MAX = 256
TOKEN_CHARS_MIN = 32  # what is shorter is the rest of a file that was not written whole
OTHERS = 0o077


def state_directory() -> Path:
    """Where nodes of this user leave pointers: XDG_STATE_HOME/aether, else ~/.local/state/aether."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "aether"


def ensure_token(directory: Path | None) -> str:
    """The token of a data directory, made at the first call; without a directory a new one that nothing keeps."""
    if directory is None:
        return secrets.token_urlsafe(32)
    path = directory / TOKEN_FILE
    token = _kept(path)
    if token is None:
        token = secrets.token_urlsafe(32)
        _write_private(path, token)
    return token


def _kept(path: Path) -> str | None:
    """The token in `path`; None when there is none, when it is cut off, or when others could have read it."""
    try:
        shown = path.stat().st_mode & OTHERS
        token = path.read_text()[:TOKEN_CHARS_MAX].strip()
    except FileNotFoundError:
        return None
    return None if shown or len(token) < TOKEN_CHARS_MIN else token


@contextlib.contextmanager
def published(address: str, token: str) -> Generator[None]:
    """While the block runs, tools of this user find `token` by the management address `host:port`."""
    path = _pointer(address)
    with contextlib.suppress(OSError):  # a read-only home: tools then need --token
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_private(path, token)
    try:
        yield
    finally:
        if _read(path) == token:  # another node may have taken the address over
            path.unlink(missing_ok=True)


def find_token(address: str) -> str | None:
    """The token for `host:port`: AETHER_TOKEN, else what a running node of this user published; None when unknown."""
    if os.environ.get("AETHER_TOKEN"):
        return os.environ["AETHER_TOKEN"]
    return _read(_pointer(address))


def _read(path: Path) -> str | None:
    try:
        return path.read_text()[:TOKEN_CHARS_MAX].strip() or None
    except OSError:
        return None


def _pointer(address: str) -> Path:
    host, _, port = address.rpartition("://")[2].rstrip("/").rpartition(":")
    name = "127.0.0.1" if host in ("localhost", "[::1]", "0.0.0.0", "") else host.strip("[]").replace(":", "_")  # noqa: S104
    return state_directory() / "tokens" / f"{name}_{port}"


def _write_private(path: Path, text: str) -> None:
    """Write so that no other user can read it, not even for a moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    temporary.replace(path)
