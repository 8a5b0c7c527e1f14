"""What an examination of a data directory says: values for people and programs.

Knows: the words for each kind of damage, and what to do about it.
Never: files; how damage is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from aether.consensus.values import HardState, Persisted, SnapshotMeta
from aether.storage.bodies import Position
from aether.storage.directory import Identity

REPLACE: Final = (
    "keep a copy of the directory; while a majority of the others works, remove this node from the cluster and add it "
    "anew, under a new id and with an empty directory; after the loss of the majority restore a backup, or recover "
    "from another survivor"
)
STARTS: Final = "nothing: the next start mends it by itself"


@attrs.frozen
class Finding:
    """Something that is not as it was written. is_damage  a node refuses to start on it."""

    path: str
    offset: int
    what: str
    todo: str
    is_damage: bool = True

    def __str__(self) -> str:
        return f"{self.path} at byte {self.offset}: {self.what}"


@attrs.frozen
class SegmentFacts:
    """One segment. tail  clean, torn or damaged; first and last are log indexes of its entries, 0 for none."""

    path: Path
    number: int
    size_bytes: int
    used_bytes: int
    records: int
    entries: int
    first: int
    last: int
    terms: tuple[int, ...]
    tail: str


@attrs.frozen
class SnapshotFacts:
    """One snapshot file. meta is None when it cannot be read; in_force  the log refers to it as its newest."""

    path: Path
    position: Position
    size_bytes: int
    meta: SnapshotMeta | None
    in_force: bool


@attrs.frozen
class EntryFacts:
    """One entry of the log and where it lies. members  what a configuration entry says, for people; else "" """

    index: int
    term: int
    kind: str
    size_bytes: int
    segment: int
    offset: int
    members: str = ""


@attrs.frozen(kw_only=True)
class StoreFacts:
    """Everything that one look at a data directory found.

    first, last    log indexes that the segments hold, 0 for none
    configuration  in force at the end of the log, as text; its index is that of its entry, 0 when no entry says it
    entries        those asked for, in order; superseded ones are left out
    persisted      what a start would load; None when it would refuse
    """

    path: Path
    identity: Identity | None
    hard_state: HardState
    snapshot: Position
    first: int
    last: int
    last_term: int
    configuration: str
    configuration_index: int
    segments: Sequence[SegmentFacts]
    snapshots: Sequence[SnapshotFacts]
    entries: Sequence[EntryFacts]
    findings: Sequence[Finding]
    persisted: Persisted | None = attrs.field(repr=False)

    @property
    def is_sound(self) -> bool:
        """Whether a node may start on it."""
        return not any(finding.is_damage for finding in self.findings)
