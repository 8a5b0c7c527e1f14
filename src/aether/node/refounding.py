"""A new cluster out of what is left of an old one: a survivor's data directory, or a backup.

Knows: what the new cluster begins with (one voter, an identity of its own, revisions above all that were seen), and an
       exchange of files that may be interrupted anywhere.
Never: running a node; asking the operator.
Holds: the old cluster's nodes are strangers to the new one (another uuid, other founders, other store ids); until the
       exchange is complete no node starts on the directory, and afterwards the old files still lie beside the new.
Paper: Raft leaves the loss of a majority to the operator; so do we, with what they must know said first.
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections import Counter
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Final

import attrs

from aether.consensus.quorum import Configuration
from aether.consensus.values import HardState, Persisted, SnapshotMeta, StorageWrite
from aether.errors import BadInput, Conflict, StorageCorrupt, StorageFailed, StorageFull
from aether.kv.carried import REVISIONS_SKIPPED, carried_over
from aether.kv.snapshot import State, decode_state, encode_pieces
from aether.kv.store import Store
from aether.model.ids import ClusterUuid, LogIndex, NodeId, Revision, StoreId, Term
from aether.node.founders import FOUNDERS_FILE, write_founders
from aether.storage import files
from aether.storage.backup import read_backup
from aether.storage.directory import (
    IDENTITY_FILE,
    RECOVERY_DIRECTORY,
    SNAPSHOT_DIRECTORY,
    WAL_DIRECTORY,
    exclusive,
    read_identity,
    read_only,
    require_store,
)
from aether.storage.disk import DiskStorage
from aether.storage.examination import examine
from aether.storage.findings import StoreFacts
from aether.storage.snapshots import open_file

BEFORE: Final = "before-recovery-"
"""Names of the directories that keep the files of before; the operator deletes them."""
_AFTER: Final = "after"
_OLD: Final = "before"
_COMPLETE: Final = "complete"
_LEFT_OVER: Final = "recovery-done.tmp"
_EXCHANGED: Final = (WAL_DIRECTORY, SNAPSHOT_DIRECTORY, FOUNDERS_FILE, IDENTITY_FILE)


@attrs.frozen(kw_only=True)
class Refounded:
    """The new cluster. from_revision  the last one of the old; revision  where the new begins.

    kept, dropped  rows by kind; before  where the old files lie, None when there were none
    """

    cluster: str
    uuid: ClusterUuid
    node: NodeId
    store_id: StoreId
    from_revision: Revision
    revision: Revision
    term: Term
    kept: dict[str, int]
    dropped: dict[str, int]
    before: Path | None = None


def prospect(path: Path) -> StoreFacts:
    """What a recovery of the directory at `path` would begin with. Changes nothing.

    Raises DataDirectoryInUse, BadInput, StorageCorrupt when the directory is damaged.
    """
    try:
        with read_only(path):
            return _sound(path)
    except OSError as error:
        raise BadInput(f"{error.filename or path} cannot be read", (error.strerror or str(error),)) from error


def recover(path: Path) -> Refounded:
    """Make the data directory at `path` that of a new cluster whose only voter is its node. Blocks.

    All entries of its log are kept, also those not known as committed here: they may have been acknowledged. An
    interrupted recovery is completed. Raises DataDirectoryInUse, BadInput, StorageCorrupt, StorageFull, StorageFailed.
    """
    require_store(path)
    with exclusive(path), _failing(path):
        _finish_interrupted(path)
        facts = _sound(path)
        identity, persisted = facts.identity, facts.persisted
        assert identity is not None, "a sound store has one"
        assert persisted is not None, "a sound store can be loaded"
        return _refound(path, identity.cluster, identity.node, _state_of(path, persisted), facts.hard_state.term)


def restore(backup: Path, path: Path, node: NodeId, cluster: str = "") -> Refounded:
    """Make an empty directory that of a new cluster that begins with `backup`, `node` its only voter. Blocks.

    cluster  its name; that of the old one unless given
    Raises BadInput (no sound backup), Conflict (`path` holds something), StorageFull, StorageFailed.
    """
    read = read_backup(backup)
    state = decode_state((read.state,))
    if state.revision != read.header.revision:
        raise BadInput(f"{backup} is no sound backup", (f"its state is of revision {state.revision}, its header lies",))
    with _failing(path):
        with exclusive(path):
            _finish_interrupted(path)
            found = sorted(each.name for each in path.iterdir() if each.name != "lock")
            if found:
                what = f"it holds {', '.join(found[:5])}{' ...' if len(found) > 5 else ''}"
                raise Conflict(str(path), f"{what}; restore into a directory that is empty or does not exist")
            return _refound(path, cluster or read.header.cluster, node, state, read.header.term)


@contextlib.contextmanager
def _failing(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in files.NO_SPACE:
            raise StorageFull(str(path), 0) from error
        raise StorageFailed(str(error.filename or path), error.strerror or str(error)) from error


def _sound(path: Path) -> StoreFacts:
    facts = examine(path)
    for finding in facts.findings:
        if finding.is_damage:
            raise StorageCorrupt(finding.path, finding.offset, finding.what, f"Do: {finding.todo}")
    if facts.last == 0:
        raise BadInput(f"{path} holds no entry and no snapshot", ("there is nothing to recover; start a new node",))
    return facts


# --- the state to begin with ------------------------------------------------------------------------------------------


def _state_of(path: Path, persisted: Persisted) -> State:
    """After every entry of the log."""
    store = Store()
    snapshot = persisted.snapshot
    if snapshot is not None:
        reader = open_file(path / SNAPSHOT_DIRECTORY, snapshot)
        assert reader is not None, "a sound store holds the snapshot that it refers to"
        with contextlib.closing(reader):
            store.restore(reader.read(0, snapshot.total_bytes), snapshot.meta.index)
    store.apply([entry for entry in persisted.entries if entry.index > store.revision])
    return decode_state(store.freeze())


def _refound(path: Path, cluster: str, node: NodeId, state: State, term: int) -> Refounded:
    new_uuid = ClusterUuid(uuid.uuid4().hex)
    revision = Revision(state.revision + REVISIONS_SKIPPED)
    carried = carried_over(state, uuid=new_uuid, name=cluster, revision=revision)
    next_term = Term(term + 1)
    store_id = _stage(path / RECOVERY_DIRECTORY, cluster, node, carried, next_term)
    return Refounded(
        cluster=cluster,
        uuid=new_uuid,
        node=node,
        store_id=store_id,
        from_revision=Revision(state.revision),
        revision=revision,
        term=next_term,
        kept=_kinds(key for key in state.rows if key in carried.rows and key != "cluster"),
        dropped=_kinds(key for key in state.rows if key not in carried.rows),
        before=_exchange(path),
    )


def _kinds(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(name.partition("/")[0] for name in names).items()))


# --- files ------------------------------------------------------------------------------------------------------------


def _stage(recovery: Path, cluster: str, node: NodeId, state: State, term: Term) -> StoreId:
    """Write the new store beside the old, whole and durable. From the first moment on no node starts here."""
    after = recovery / _AFTER
    after.mkdir(mode=0o700, parents=True)
    files.sync_directory(recovery.parent)
    disk = DiskStorage(after, cluster, node)
    try:
        disk.load()
        _seed(disk, state, node, term)
        store_id = disk.store_id
    finally:
        disk.close()
    write_founders(after, (node,))
    files.replace_durably(recovery / _COMPLETE, (b"",))
    return store_id


def _seed(disk: DiskStorage, state: State, node: NodeId, term: Term) -> None:
    index = LogIndex(state.revision)
    disk.save_snapshot(SnapshotMeta(index, term, Configuration((node,))), encode_pieces(state), index)
    disk.write([StorageWrite(1, HardState(term, None, index))])


def _exchange(path: Path) -> Path | None:
    """Put the staged files in place of the old ones. May be interrupted and repeated. Where the old ones are now."""
    recovery = path / RECOVERY_DIRECTORY
    old = recovery / _OLD
    old.mkdir(exist_ok=True)
    for name in _EXCHANGED:
        staged = recovery / _AFTER / name
        if staged.exists():
            if (path / name).exists():
                (path / name).rename(old / name)
            staged.rename(path / name)
    files.sync_directory(old)
    before: Path | None = None
    if any(old.iterdir()):
        number = 1 + sum(1 for _ in path.glob(f"{BEFORE}*"))
        before = path / f"{BEFORE}{number}"
        old.rename(before)
    files.sync_directory(path)
    _remove(path)
    return before


def _remove(path: Path) -> None:
    """The staging directory goes by one rename; what is left of it afterwards means nothing."""
    left_over = path / _LEFT_OVER
    if left_over.exists():
        shutil.rmtree(left_over)
    (path / RECOVERY_DIRECTORY).rename(left_over)
    files.sync_directory(path)
    shutil.rmtree(left_over)


def _finish_interrupted(path: Path) -> None:
    """Complete an exchange that had begun; forget a staging that was not complete: the old files are all there."""
    recovery = path / RECOVERY_DIRECTORY
    if (path / _LEFT_OVER).exists():
        shutil.rmtree(path / _LEFT_OVER)
    if not recovery.exists():
        return
    if not (recovery / _COMPLETE).exists():
        _remove(path)
        return
    before = _exchange(path)
    identity = read_identity(path)
    kept = f"; the files of before lie in {before}" if before else ""
    raise Conflict(str(path), f"the interrupted command is completed: it is {identity} now{kept}. Start its node")
