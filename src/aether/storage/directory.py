"""A data directory: whose it is, and that nobody else uses it.

Knows: the lock file, the identity file (format version, cluster, node, random store id).
Never: what lies in the directory besides, but that a log without an identity is no new store.
Holds: a directory belongs to one node of one cluster for ever, and to one live process at a time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Final

import attrs

from aether.errors import BadInput, DataDirectoryInUse, IdentityMismatch, StorageCorrupt, StorageFailed
from aether.failpoints import Reach, nothing
from aether.model.ids import NodeId, StoreId
from aether.storage import files
from aether.storage.checked_file import read_fields, write_fields

FORMAT_VERSION: Final = 2
IDENTITY_FILE: Final = "identity.json"
WAL_DIRECTORY: Final = "wal"
LOG_GONE: Final = "the write-ahead log is gone, and with it this node's votes and what it acknowledged"
SNAPSHOT_DIRECTORY: Final = "snapshots"
RECOVERY_DIRECTORY: Final = "recovery"
"""Exists while `aether recover` exchanges the files of a directory: half of them would be of one cluster each."""
_LOCK: Final = "lock"
_WHAT: Final = "the identity of the store"
_FIELDS: Final = {"cluster": str, "node": str, "store_id": str, "begun": bool}


@attrs.frozen
class Identity:
    """Whose store it is. store_id is drawn once, when the directory is first used.

    begun  its log exists: should the log be missing later, that is a loss, and no first start
    """

    cluster: str
    node: NodeId
    store_id: StoreId
    begun: bool = False

    @property
    def mark(self) -> int:
        """What every segment of the store's log carries: one of another store is told by it."""
        return zlib.crc32(self.store_id.encode())


class DataDirectory:
    """The directory at `path`, created when missing, locked until `close`.

    Raises DataDirectoryInUse, IdentityMismatch, StorageCorrupt, StorageFull, StorageFailed, BadInput when the path
    cannot be used at all.
    """

    def __init__(self, path: Path, cluster: str, node: NodeId, reach: Reach = nothing) -> None:
        self.path = path
        self._lock_fd = _lock(path)
        try:
            found = read_identity(path)
            self.is_new: bool = found is None
            if found is None:
                reach("identity.before_create")
            self.identity: Identity = _check(path, found, cluster, node) if found else _create(path, cluster, node)
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """Note, once, that the log exists. Raises StorageFull, StorageFailed."""
        if not self.identity.begun:
            begun = attrs.evolve(self.identity, begun=True)
            write_identity(self.path, begun)
            self.identity = begun

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
    return _flock(path, fd, fcntl.LOCK_EX)


def _flock(path: Path, fd: int, kind: int) -> int:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            raise DataDirectoryInUse(str(path)) from error
        raise BadInput(f"{path} cannot be locked", (error.strerror or str(error),)) from error
    return fd


@contextlib.contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Hold the lock of the directory at `path`, created when missing, as a node does. Raises DataDirectoryInUse."""
    fd = _lock(path)
    try:
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def read_only(path: Path) -> Generator[None]:
    """Keep nodes from starting on `path` while it is read; nothing is created or changed, so a copy may be read-only.

    Raises DataDirectoryInUse when a node runs on it, BadInput when `path` is no data directory.
    """
    require_store(path)
    try:
        fd = os.open(path / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # a copy
        yield
        return
    except OSError as error:
        raise BadInput(f"{path} cannot be read", (error.strerror or str(error),)) from error
    fd = _flock(path, fd, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(fd)


def require_store(path: Path) -> None:
    """Raise BadInput unless something of a node's store is at `path`."""
    known = (IDENTITY_FILE, WAL_DIRECTORY, SNAPSHOT_DIRECTORY, RECOVERY_DIRECTORY)
    if not any((path / name).exists() for name in known):
        missing = "there is nothing at that path" if not path.exists() else f"it holds none of {', '.join(known)}"
        problems = (missing, "give the --data-dir of a node, by default aether-data/NODE-ID")
        raise BadInput(f"{path} is no data directory of a node", problems)


def _create(path: Path, cluster: str, node: NodeId) -> Identity:
    if any((path / WAL_DIRECTORY).glob("*.wal")):
        what = f"{_WHAT} is gone, but its write-ahead log is there: a new identity would hide whose votes these are"
        raise StorageCorrupt(str(path / IDENTITY_FILE), 0, what)
    identity = Identity(cluster, node, StoreId(secrets.token_hex(16)))
    write_identity(path, identity)
    try:
        files.sync_directory(path.parent)
    except OSError as error:
        raise StorageFailed(str(path.parent), error.strerror or str(error)) from error
    return identity


def _check(path: Path, found: Identity, cluster: str, node: NodeId) -> Identity:
    if (found.cluster, found.node) != (cluster, node):
        what = f"{path} holds node {found.node} of cluster {found.cluster}, not node {node} of cluster {cluster}"
        raise IdentityMismatch(
            what, f"Give {node} its own --data-dir, or start it as --node-id {found.node} --cluster {found.cluster}"
        )
    return found


def write_identity(path: Path, identity: Identity) -> None:
    """Put the identity file into the directory `path`. Raises StorageFull, StorageFailed."""
    write_fields(path / IDENTITY_FILE, attrs.asdict(identity), FORMAT_VERSION)


def read_identity(path: Path) -> Identity | None:
    """Whose store lies in the directory `path`; None when nobody's. Raises StorageCorrupt, BadInput."""
    if (path / RECOVERY_DIRECTORY).exists():
        fix = "run the same command again: it goes on where it stopped, and nothing is lost"
        raise BadInput(f"an `aether recover` of {path}, or an `aether restore` into it, was interrupted", (fix,))
    fields = read_fields(path / IDENTITY_FILE, _WHAT, FORMAT_VERSION)
    if fields is None:
        return None
    if {name: type(value) for name, value in fields.items()} != _FIELDS:
        raise StorageCorrupt(str(path / IDENTITY_FILE), 0, f"{_WHAT} has other fields than {', '.join(_FIELDS)}")
    return Identity(**fields)
