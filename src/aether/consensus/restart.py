"""Whether what a store held at start can be true.

Knows: the rules that every correct node's durable state obeys.
Never: how it was read, how to repair it.
"""

from __future__ import annotations

from collections.abc import Iterator

from aether.consensus.config import RaftConfig
from aether.consensus.values import Persisted
from aether.errors import BadInput

_NEXT_STEP = (
    "do not start it as it is: remove this node from the cluster and add it anew, under a new id and with an "
    "empty directory; `aether wal verify` says more"
)


def check_persisted(config: RaftConfig, persisted: Persisted) -> None:
    """Raises BadInput that lists everything impossible in `persisted` and what to do."""
    problems = [*_hard_state(persisted), *_entries(persisted), *_snapshot(persisted)]
    if problems:
        raise BadInput(f"the stored log of node {config.node} contradicts itself", (*problems, _NEXT_STEP))


def _hard_state(persisted: Persisted) -> Iterator[str]:
    hard = persisted.hard_state
    snapshot_index = persisted.snapshot.meta.index if persisted.snapshot else 0
    last = persisted.entries[-1].index if persisted.entries else snapshot_index
    if hard.commit > max(last, snapshot_index):
        yield f"commit index {hard.commit} lies beyond the last entry, {last}"
    if hard.term < 0 or hard.commit < 0:
        yield f"term {hard.term} and commit index {hard.commit} must not be negative"
    if hard.vote is not None and hard.term == 0:
        yield f"a vote for {hard.vote} in term 0, in which nobody votes"


def _entries(persisted: Persisted) -> Iterator[str]:
    entries = persisted.entries
    if not entries:
        return
    snapshot_index = persisted.snapshot.meta.index if persisted.snapshot else 0
    if not 1 <= entries[0].index <= snapshot_index + 1:
        yield f"the log starts at {entries[0].index}, but the snapshot ends at {snapshot_index}"
    if entries[-1].index < snapshot_index:
        yield f"the log ends at {entries[-1].index}, before the snapshot ends, at {snapshot_index}"
    term = 1
    for offset, entry in enumerate(entries):
        if entry.index != entries[0].index + offset:
            yield f"entry {entry.index} stands where {entries[0].index + offset} belongs"
            return
        if entry.term < term:
            yield f"entry {entry.index} has term {entry.term} after one of term {term}"
            return
        term = entry.term
    if term > persisted.hard_state.term:
        yield f"entry {entries[-1].index} has term {term}, but the stored term is {persisted.hard_state.term}"


def _snapshot(persisted: Persisted) -> Iterator[str]:
    if persisted.snapshot is None:
        return
    meta = persisted.snapshot.meta
    if meta.index < 1 or meta.term < 1:
        yield f"a snapshot at index {meta.index} of term {meta.term}; both count from 1"
    if meta.configuration_index > meta.index or not meta.configuration.voters:
        yield f"the snapshot at {meta.index} has the configuration of entry {meta.configuration_index}, without voters"
    if meta.term > persisted.hard_state.term:
        yield f"the snapshot has term {meta.term}, but the stored term is {persisted.hard_state.term}"
    for entry in persisted.entries[: max(0, meta.index - persisted.entries[0].index + 1)] if persisted.entries else ():
        if entry.index == meta.index and entry.term != meta.term:
            yield f"entry {entry.index} has term {entry.term}, but the snapshot says {meta.term}"
