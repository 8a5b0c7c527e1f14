"""The directory that holds the certificates of one node or client: names, modes, whole writes.

Knows: files.
Never: what is in them.
Holds: a private key is written with mode 0600, and is refused when others could have read it; a file is replaced in one
       step, so nobody ever reads half of one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aether.errors import BadInput

AUTHORITIES: Final = "ca.pem"
AUTHORITY_KEY: Final = "ca.key"
REVOKED: Final = "crl.pem"
NODE: Final = "node"
CLIENT: Final = "client"
_BYTES_MAX: Final = 1024 * 1024
_OTHERS: Final = 0o077


def certificate_file(directory: Path, owner: str) -> Path:
    """owner  NODE or CLIENT"""
    return directory / f"{owner}.pem"


def key_file(directory: Path, owner: str) -> Path:
    return directory / f"{owner}.key"


def read_file(path: Path) -> bytes:
    """Raises BadInput: absent, unreadable, too long."""
    return _read(path)[0]


def _read(path: Path) -> tuple[bytes, int]:
    """What is in a file, and the mode of that very file."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput(f"cannot read {path}", (error.strerror or str(error),)) from error
    if len(content) > _BYTES_MAX:
        raise BadInput(f"{path} is longer than {_BYTES_MAX} bytes; is it the right file?")
    return content, mode


def read_optional(path: Path) -> bytes | None:
    """As read_file; None when there is none."""
    return read_file(path) if path.exists() else None


def read_key(path: Path) -> bytes:
    """A private key. Raises BadInput also when others may read it."""
    key, mode = _read(path)
    if mode & _OTHERS:
        raise BadInput(f"others may read the private key {path}", (f"chmod 600 {path}",))
    return key


def write_file(path: Path, content: bytes, *, private: bool = False) -> None:
    """Replace `path` in one step; the directory is made when it is missing. Raises BadInput."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write {path}", (error.strerror or str(error),)) from error


def marks(paths: Mapping[str, Path]) -> dict[str, tuple[int, int, int]]:
    """What tells that a file was changed or replaced; files that are missing are left out."""
    found: dict[str, tuple[int, int, int]] = {}
    for name, path in paths.items():
        try:
            facts = path.stat()
        except OSError:
            continue
        found[name] = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    return found
