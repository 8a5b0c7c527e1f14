"""A data directory: whose it is, and that nobody else uses it.

Knows: the lock file, the identity file (format version, cluster, node, random store id).
Never: what lies in the directory besides.
Holds: a directory belongs to one node of one cluster for ever, and to one live process at a time.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import zlib
from pathlib import Path
from typing import Any, Final

import attrs

from aether.errors import BadInput, DataDirectoryInUse, IdentityMismatch, StorageCorrupt
from aether.model.ids import NodeId, StoreId
from aether.storage import files

FORMAT_VERSION: Final = 1
_LOCK: Final = "lock"
_IDENTITY: Final = "identity.json"
_IDENTITY_BYTES_MAX: Final = 64 * 1024


@attrs.frozen
class Identity:
    """Whose store it is. store_id is drawn once, when the directory is first used."""

    cluster: str
    node: NodeId
    store_id: StoreId


class DataDirectory:
    """The directory at `path`, created when missing, locked until `close`.

    Raises DataDirectoryInUse, IdentityMismatch, StorageCorrupt, BadInput when the path cannot be used at all.
    """

    def __init__(self, path: Path, cluster: str, node: NodeId) -> None:
        self.path = path
        self._lock_fd = _lock(path)
        try:
            found = _read_identity(path / _IDENTITY)
            self.is_new: bool = found is None
            self.identity: Identity = _check(path, found, cluster, node) if found else _create(path, cluster, node)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def _lock(path: Path) -> int:
    """flock, not lockf: it is held by the open file, so a second node in the same process is refused as well."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadInput(f"{path} cannot be a data directory", (error.strerror or str(error),)) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            raise DataDirectoryInUse(str(path)) from error
        raise BadInput(f"{path} cannot be locked", (error.strerror or str(error),)) from error
    return fd


def _create(path: Path, cluster: str, node: NodeId) -> Identity:
    identity = Identity(cluster, node, StoreId(secrets.token_hex(16)))
    files.replace_durably(path / _IDENTITY, (encode_identity(identity),))
    files.sync_directory(path.parent)
    return identity


def _check(path: Path, found: Identity, cluster: str, node: NodeId) -> Identity:
    if (found.cluster, found.node) != (cluster, node):
        what = f"{path} holds node {found.node} of cluster {found.cluster}, not node {node} of cluster {cluster}"
        raise IdentityMismatch(
            what, f"Give {node} its own --data-dir, or start it as --node-id {found.node} --cluster {found.cluster}"
        )
    return found


def encode_identity(identity: Identity) -> bytes:
    """JSON, for operators to read, with a checksum of its own fields."""
    fields = {"format": FORMAT_VERSION, **attrs.asdict(identity)}
    return json.dumps({**fields, "crc32": _checksum(fields)}, indent=1, sort_keys=True).encode() + b"\n"


def _checksum(fields: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(fields, sort_keys=True).encode())


def _read_identity(path: Path) -> Identity | None:
    try:
        with path.open("rb") as file:
            raw = file.read(_IDENTITY_BYTES_MAX)
    except FileNotFoundError:
        return None
    try:
        fields: Any = json.loads(raw)
        if fields.pop("crc32") != _checksum(fields):
            raise StorageCorrupt(str(path), 0, "the identity of the store does not match its checksum")
        if fields.pop("format") != FORMAT_VERSION:
            raise StorageCorrupt(str(path), 0, f"written by another release; this one reads format {FORMAT_VERSION}")
        return Identity(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StorageCorrupt(str(path), 0, f"the identity of the store is unreadable: {error!r}") from error
