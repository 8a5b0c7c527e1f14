"""A look at everything in a data directory, without changing a byte.

Knows: every rule that a start would check, and goes on behind what a start would stop at.
Never: writing, locking (its caller holds the lock), words for people beyond those of the findings.
Holds: reads each file once; keeps no more entries for showing than it was asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aether.consensus.config import RaftConfig
from aether.consensus.entry import Entry, EntryKind
from aether.consensus.membership import decode_configuration
from aether.consensus.quorum import Configuration
from aether.consensus.restart import check_persisted
from aether.consensus.values import Persisted, StoredSnapshot
from aether.errors import BadInput, StorageCorrupt
from aether.model.ids import NodeId
from aether.storage import snapshots
from aether.storage.bodies import Position, Step, step_in
from aether.storage.directory import LOG_GONE, SNAPSHOT_DIRECTORY, WAL_DIRECTORY, Identity, read_identity
from aether.storage.findings import REPLACE, STARTS, EntryFacts, Finding, SegmentFacts, SnapshotFacts, StoreFacts
from aether.storage.record import Tail
from aether.storage.replay import NO_SNAPSHOT, Impossible, LogGap, Replay
from aether.storage.segment import PREAMBLE_BYTES, Segment, SegmentEnd, found_segments, scan

_TORN: Final = "the last record is cut short: the process or the machine stopped while it was written"
_NEVER_REFERRED: Final = "a snapshot that the log does not refer to: a crash came between the two"


def examine(path: Path, first: int | None = None, limit: int = 0) -> StoreFacts:
    """Everything in the data directory at `path`, checked.

    first, limit  which entries to show: up to `limit` from index `first` on; None = the last ones
    """
    return _Examination(path, first, limit).run()


class _Examination:
    def __init__(self, path: Path, first: int | None, limit: int) -> None:
        self._path = path
        self._first = first
        self._limit = limit
        self._findings: list[Finding] = []
        self._replay = Replay()
        self._replays = True
        self._shown: dict[int, EntryFacts] = {}
        self._configurations: list[tuple[int, Configuration]] = []
        self._snapshot: StoredSnapshot | None = None

    def run(self) -> StoreFacts:
        identity = self._identity()
        segments = list(self._segments(identity))
        in_force = self._replay.snapshot
        kept = list(self._snapshots())
        persisted = self._whole(identity.node) if self._replays and identity is not None else None
        replay = self._replay
        index, configuration = self._configuration()
        return StoreFacts(
            path=self._path,
            identity=identity,
            hard_state=replay.hard_state,
            snapshot=in_force,
            first=replay.entries[0].index if replay.entries else 0,
            last=replay.last_index,
            last_term=replay.entries[-1].term if replay.entries else in_force[1],
            configuration=configuration,
            configuration_index=index,
            segments=segments,
            snapshots=kept[::-1],
            entries=[self._shown[index] for index in sorted(self._shown)],
            findings=self._findings,
            persisted=persisted,
        )

    def _damage(self, error: StorageCorrupt, todo: str = REPLACE) -> None:
        self._findings.append(Finding(error.path, error.offset, error.what, todo))

    def _note(self, path: Path, offset: int, what: str) -> None:
        self._findings.append(Finding(str(path), offset, what, STARTS, is_damage=False))

    def _identity(self) -> Identity | None:
        try:
            identity = read_identity(self._path)
        except StorageCorrupt as error:
            self._damage(error)
            return None
        except BadInput as error:
            self._findings.append(Finding(str(self._path), 0, error.what, error.problems[0]))
            return None
        if identity is None:
            missing = "identity.json is missing: whose votes this log holds is not known any more"
            self._findings.append(Finding(str(self._path), 0, missing, REPLACE))
        return identity

    # --- the log ------------------------------------------------------------------------------------------------------

    def _segments(self, identity: Identity | None) -> Iterator[SegmentFacts]:
        directory = self._path / WAL_DIRECTORY
        segments = found_segments(directory) if directory.is_dir() else []
        kept = self._path / SNAPSHOT_DIRECTORY
        if not segments and (identity is None or identity.begun or (kept.is_dir() and snapshots.any_in(kept))):
            self._replays = False
            self._findings.append(Finding(str(directory), 0, LOG_GONE, REPLACE))
        chain: int | None = None
        before = 0
        for segment in segments:
            if before and segment.number != before + 1:
                what = f"segment {before + 1} of the write-ahead log is missing"
                self._damage(StorageCorrupt(str(directory), 0, what))
                self._replays, chain = False, None
            facts, chain = self._segment(segment, chain, identity, newest=segment is segments[-1])
            before = segment.number
            yield facts

    def _segment(
        self, segment: Segment, chain: int | None, identity: Identity | None, *, newest: bool
    ) -> tuple[SegmentFacts, int | None]:
        records, used, tail, size = 0, PREAMBLE_BYTES, "damaged", segment.path.stat().st_size
        entries: list[Entry] = []
        crc: int | None = None
        try:
            for found in scan(segment, chain, newest=newest, mark=identity.mark if identity else None):
                if isinstance(found, SegmentEnd):
                    tail, crc = found.tail.name.lower(), found.crc
                    if found.tail is Tail.TORN:
                        self._note(segment.path, found.offset, _TORN)
                else:
                    step = step_in(found, str(segment.path))
                    self._take(step, segment, used)
                    entries.extend(step.entries)
                    records, used = records + 1, found.end
        except StorageCorrupt as error:
            self._damage(error)
            self._replays = False
        facts = SegmentFacts(
            path=segment.path,
            number=segment.number,
            size_bytes=size,
            used_bytes=used,
            records=records,
            entries=len(entries),
            first=min((entry.index for entry in entries), default=0),
            last=max((entry.index for entry in entries), default=0),
            terms=tuple(sorted({entry.term for entry in entries})),
            tail=tail,
        )
        return facts, crc

    def _take(self, step: Step, segment: Segment, offset: int) -> None:
        if not self._replays:
            return
        try:
            self._replay.check(step)
            self._replay.apply(step)
        except (LogGap, Impossible) as error:
            self._damage(StorageCorrupt(str(segment.path), offset, str(error)))
            self._replays = False
            return
        if step.restart is not None:
            self._shown.clear()
        if step.entries:
            self._show(step.entries, segment, offset)

    def _show(self, entries: tuple[Entry, ...], segment: Segment, offset: int) -> None:
        start = entries[0].index
        if start in self._shown:  # a new leader's entries supersede these
            self._shown = {index: shown for index, shown in self._shown.items() if index < start}
        while self._configurations and self._configurations[-1][0] >= start:
            self._configurations.pop()
        for entry in entries:
            members = ""
            if entry.kind is EntryKind.CONFIGURATION:
                configuration = decode_configuration(entry.payload)
                self._configurations.append((entry.index, configuration))
                members = spelt(configuration)
            if self._wanted(entry.index):
                kind = entry.kind.name.lower()
                size = len(entry.payload)
                self._shown[entry.index] = EntryFacts(
                    entry.index, entry.term, kind, size, segment.number, offset, members
                )
        if self._first is None:
            while len(self._shown) > self._limit:
                del self._shown[next(iter(self._shown))]

    def _wanted(self, index: int) -> bool:
        return self._limit > 0 and (self._first is None or self._first <= index < self._first + self._limit)

    # --- snapshots ----------------------------------------------------------------------------------------------------

    def _snapshots(self) -> Iterator[SnapshotFacts]:
        directory = self._path / SNAPSHOT_DIRECTORY
        in_force = self._replay.snapshot
        known = snapshots.positions(directory) if directory.is_dir() else []
        if self._replays and in_force != NO_SNAPSHOT and in_force not in known:
            known = [in_force, *known]
        for position in reversed(known):  # the oldest first: it may have to stand in for the next
            path = snapshots.snapshot_path(directory, position)
            snapshot = self._loaded(directory, position)
            if snapshot is not None and position > in_force:
                self._note(path, 0, _NEVER_REFERRED)
            elif snapshot is not None and (position == in_force or self._replay.covers(position)):
                self._snapshot = snapshot
            size = path.stat().st_size if path.exists() else 0
            meta = snapshot.meta if snapshot is not None else None
            yield SnapshotFacts(path, position, size, meta, position == in_force)

    def _loaded(self, directory: Path, position: Position) -> StoredSnapshot | None:
        try:
            return snapshots.load(directory, position)
        except StorageCorrupt as error:
            if position != self._replay.snapshot:
                self._note(Path(error.path), error.offset, f"{error.what}; it is not in force")
            elif self._snapshot is not None:
                older = self._snapshot.meta.index
                self._note(Path(error.path), error.offset, f"{error.what}; the one of entry {older} stands in for it")
            else:
                self._damage(error)
                self._replays = False
        return None

    # --- all of it together -------------------------------------------------------------------------------------------

    def _whole(self, node: NodeId) -> Persisted | None:
        """What a start would load; None, and a finding, when it would refuse."""
        if self._snapshot is not None:
            self._replay.snapshot = (self._snapshot.meta.index, self._snapshot.meta.term)
        try:
            persisted = Persisted(self._replay.hard_state, self._snapshot, self._replay.tail())
            check_persisted(RaftConfig(node=node, voters=(), random=random.Random(0)), persisted)
        except LogGap as gap:
            self._damage(StorageCorrupt(str(self._path / WAL_DIRECTORY), 0, str(gap)))
        except BadInput as error:
            for problem in error.problems[:-1]:  # the last one says what to do, as the finding does
                self._damage(StorageCorrupt(str(self._path / WAL_DIRECTORY), 0, problem))
        else:
            return persisted
        return None

    def _configuration(self) -> tuple[int, str]:
        if self._configurations:
            index, configuration = self._configurations[-1]
            return index, spelt(configuration)
        if self._snapshot is not None:
            return self._snapshot.meta.configuration_index, spelt(self._snapshot.meta.configuration)
        return 0, ""


def spelt(configuration: Configuration) -> str:
    """A configuration for people."""
    parts = [f"voters {', '.join(configuration.voters)}"]
    if configuration.outgoing:
        parts.append(f"outgoing {', '.join(configuration.outgoing)}")
    if configuration.learners:
        parts.append(f"learners {', '.join(configuration.learners)}")
    return "; ".join(parts)
