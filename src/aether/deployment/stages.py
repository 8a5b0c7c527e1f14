"""How far an instance has come, as reconcile counts it.

Knows: which states count towards a wish, which step leads on or back, how long a failure rests.
Never: what is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from aether.deployment.orders import Move, View
from aether.model.lifecycle import SliceState, advanced
from aether.model.limits import FAILED_BACKOFF_MAX_S, FAILED_BACKOFF_MIN_S
from aether.model.rows import InstanceRow

S = SliceState

RANK: Final = {S.ACTIVE: 0, S.ACTIVATING: 1, S.ACTIVATE: 2, S.LOAD: 3, S.LOADED: 4, S.LOADING: 5}
"""The further an instance has come, the more it costs to give it up. One that is to load is likely to start by itself
before it could be called back, and shows LOADING when it is not; one that is LOADED can be called back at once.
"""

STOPPING: Final = frozenset({S.DEACTIVATE, S.DEACTIVATING})  # still there, and not to be counted on
GROW: Final = {S.LOADED: S.ACTIVATE}
SHRINK: Final = {S.LOADED: S.UNLOAD, S.ACTIVE: S.DEACTIVATE}


def occupies(row: InstanceRow) -> bool:
    """Whether it takes a place on its node."""
    return row.state in RANK or row.state in STOPPING


def backoff_s(attempt: int) -> float:
    """How long a FAILED instance stands before it is tried again; `attempt` counts from 0."""
    return min(FAILED_BACKOFF_MIN_S * 2.0 ** min(attempt, 30), FAILED_BACKOFF_MAX_S)


def is_due(row: InstanceRow, view: View) -> bool:
    """Whether a FAILED instance may be tried again: its pause is over, or the wish is newer than the failure."""
    if is_outdated(row, view):
        return True
    waited_s = view.now - row.since
    # A stamp far in the future is a clock that was set back: do not wait for it.
    return waited_s >= backoff_s(row.attempt) or waited_s < -FAILED_BACKOFF_MAX_S


def is_outdated(row: InstanceRow, view: View) -> bool:
    """Whether the wish was changed since this instance failed: what failed then may work now."""
    failed_at = view.failed_at.get(row.instance)
    return failed_at is not None and view.desired_at.get(row.artifact.base, 0) > failed_at


def next_attempt(row: InstanceRow, view: View) -> int:
    """The number of the attempt that follows this FAILED one."""
    return 0 if is_outdated(row, view) else row.attempt + 1


def each(rows: Iterable[InstanceRow], table: Mapping[SliceState, SliceState]) -> Iterator[Move]:
    """One step by `table` for each row that it names."""
    yield from (Move(row, table[row.state]) for row in rows if row.state in table)


def moved(row: InstanceRow, to: SliceState, reason: str, now: float) -> InstanceRow:
    """`row` at its next state. What served for long and fails begins with its first attempt."""
    lasted = row.state is S.ACTIVE and now - row.since >= FAILED_BACKOFF_MAX_S
    attempt = 0 if to is S.FAILED and lasted else row.attempt
    return attrs.evolve(row, state=advanced(row.state, to), reason=reason, attempt=attempt, since=now)
