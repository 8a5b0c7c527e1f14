"""The admin token of a node: a file that only its user can read, and how tools on the same machine find it.

Knows: mode 0600, the data directory, the user's state directory.
Never: checking a token (room management).
Holds: a token is made once per data directory, with 256 bits from the operating system. What is published is locked by
       its node, so that nobody brings the token of a node that was killed to whoever has its port by now; nor that of
       a node on 127.0.0.1 to whoever listens on the same port of ::1.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Generator
from pathlib import Path

TOKEN_FILE = "admin-token"  # noqa: S105 - the name of a file
TOKEN_CHARS_MAX = 256
TOKEN_CHARS_MIN = 32  # what is shorter is the rest of a file that was not written whole
OTHERS = 0o077
_FAMILIES = ("127.0.0.1", "[::1]")
_LOOPBACK_OF = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - looked up, never bound
NO_HOME = Path("/nonexistent")  # Debian's word for it


def state_directory() -> Path:
    """Where nodes of this user leave pointers: XDG_STATE_HOME/aether, else ~/.local/state/aether."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else _home() / ".local" / "state") / "aether"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a number without an account, as in containers: nothing is left there, and nothing found
        return NO_HOME


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
    """The token in `path`; None: there is none, it is cut off, or others could have read it or put it there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if facts.st_mode & OTHERS or facts.st_uid != os.geteuid():
                return None
            token = file.read(TOKEN_CHARS_MAX).decode("ascii").strip()
    except (FileNotFoundError, PermissionError, UnicodeDecodeError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
    return None if len(token) < TOKEN_CHARS_MIN else token


@contextlib.contextmanager
def published(address: str, token: str, authorities: Path | None = None) -> Generator[None]:
    """While the block runs, tools of this user find `token` by the management address `host:port`.

    authorities  file of those that its certificates come from, when it speaks TLS
    """
    path = _pointer(address)
    beside = _beside(path)
    lock: int | None = None
    with contextlib.suppress(OSError):  # a read-only home: tools then need --token
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _write_locked(path, token)
        if authorities is None:
            beside.unlink(missing_ok=True)
        else:
            _write_private(beside, str(authorities.absolute()))
    try:
        yield
    finally:
        if _beginning(path) == token:  # another node may have taken the address over
            with contextlib.suppress(OSError):  # read-only by now: the token in it opens nothing any more
                path.unlink(missing_ok=True)
                beside.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def find_authorities(address: str) -> Path | None:
    """The authorities of a running node of this user at `host:port`; None: it does not speak TLS, or is not known."""
    pointer = _held_pointer(address)
    found = _beginning(_beside(pointer)) if pointer is not None else None
    return Path(found) if found else None


def _beside(pointer: Path) -> Path:
    return pointer.with_name(f"{pointer.name}.ca")


def find_token(address: str) -> str | None:
    """The token for `host:port`: AETHER_TOKEN, else what a running node of this user published; None when unknown."""
    if os.environ.get("AETHER_TOKEN"):
        return os.environ["AETHER_TOKEN"]
    pointer = _held_pointer(address)
    return _beginning(pointer) if pointer is not None else None


def dialled(address: str) -> str:
    """`address`, with the IP address of the running node of this user instead of `localhost`.

    A name may resolve to several addresses, and on each of them another user may listen.
    """
    scheme, host, port = _parts(address)
    for each in _FAMILIES if host == "localhost" else ():
        if _is_held(_pointer(f"{each}:{port}")):
            return f"{scheme}{each}:{port}"
    return address


def _is_held(path: Path) -> bool:
    """Whether the node that wrote `path` lives: the kernel takes its lock back however it ends."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks cannot tell
        return True
    finally:
        os.close(descriptor)
    return False


def _beginning(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(TOKEN_CHARS_MAX).decode("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _held_pointer(address: str) -> Path | None:
    pointer = _pointer(dialled(address))
    return pointer if _is_held(pointer) else None


def _pointer(address: str) -> Path:
    _, host, port = _parts(address)
    name = _LOOPBACK_OF.get(host, host).strip("[]").replace(":", "_").replace("/", "_")
    return state_directory() / "tokens" / f"{name}_{port}"


def _parts(address: str) -> tuple[str, str, str]:
    """Scheme with its slashes, host, port."""
    scheme, slashes, where = address.rpartition("://")
    host, _, port = where.rstrip("/").rpartition(":")
    return scheme + slashes, host, port


def _write_private(path: Path, text: str) -> None:
    """Write so that no other user can read it, not even for a moment."""
    os.close(_write_locked(path, text))


def _write_locked(path: Path, text: str) -> int:
    """As _write_private; the file is locked from its first moment until the descriptor is closed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with os.fdopen(descriptor, "w", closefd=False) as file:
            file.write(text + "\n")
        temporary.replace(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
