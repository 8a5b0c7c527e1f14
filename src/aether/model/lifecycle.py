"""The life of a slice instance, as a table.

Knows: the states, who may move to which, how long each transition may take.
Never: who performs a transition.
Holds: a move that is absent from NEXT is illegal; rows leave the store only in DOWNWARD, or with their node.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import attrs

from aether.errors import AetherError
from aether.model import limits


class SliceState(enum.StrEnum):
    """Where an instance stands. LOAD, ACTIVATE, DEACTIVATE and UNLOAD are orders; the rest are reports."""

    LOAD = "LOAD"
    LOADING = "LOADING"
    LOADED = "LOADED"
    ACTIVATE = "ACTIVATE"
    ACTIVATING = "ACTIVATING"
    ACTIVE = "ACTIVE"
    DEACTIVATE = "DEACTIVATE"
    DEACTIVATING = "DEACTIVATING"
    UNLOAD = "UNLOAD"
    UNLOADING = "UNLOADING"
    FAILED = "FAILED"


S = SliceState
NEXT: Final[Mapping[SliceState, frozenset[SliceState]]] = {
    S.LOAD: frozenset({S.LOADING, S.FAILED}),
    S.LOADING: frozenset({S.LOADED, S.FAILED}),
    S.LOADED: frozenset({S.ACTIVATE, S.UNLOAD}),
    S.ACTIVATE: frozenset({S.ACTIVATING, S.FAILED}),
    S.ACTIVATING: frozenset({S.ACTIVE, S.FAILED}),
    S.ACTIVE: frozenset({S.DEACTIVATE, S.FAILED}),
    S.DEACTIVATE: frozenset({S.DEACTIVATING, S.FAILED}),
    S.DEACTIVATING: frozenset({S.LOADED, S.FAILED}),
    S.UNLOAD: frozenset({S.UNLOADING, S.FAILED}),
    S.UNLOADING: frozenset({S.FAILED}),  # and gone
    S.FAILED: frozenset({S.UNLOAD}),
}
assert NEXT.keys() == set(SliceState)

UPWARD: Final = (S.LOAD, S.LOADING, S.LOADED, S.ACTIVATE, S.ACTIVATING, S.ACTIVE)
"""From an order to an instance that serves."""

DOWNWARD: Final = (S.DEACTIVATE, S.DEACTIVATING, S.LOADED, S.UNLOAD, S.UNLOADING)
"""From an order to the last that is seen of an instance."""

TIMEOUTS_S: Final[Mapping[SliceState, float]] = {
    S.LOADING: limits.LOADING_S,
    S.ACTIVATING: limits.ACTIVATING_S,
    S.DEACTIVATING: limits.DEACTIVATING_S,
    S.UNLOADING: limits.UNLOADING_S,
}


@attrs.define(eq=False)
class IllegalTransition(AetherError):
    """A row was moved against the table: a bug of whoever moved it."""

    current: SliceState
    wanted: SliceState

    def __str__(self) -> str:
        allowed = ", ".join(sorted(NEXT[self.current])) or "nothing"
        return f"an instance is {self.current} and cannot become {self.wanted}; allowed: {allowed}"


def advance(current: SliceState, wanted: SliceState) -> SliceState:
    """`wanted`, when the table allows it from `current`. Raises IllegalTransition."""
    if wanted not in NEXT[current]:
        raise IllegalTransition(current, wanted)
    return wanted


def advanced(current: SliceState, wanted: SliceState) -> SliceState:
    """`wanted`, when the table allows it from `current`, or by way of what lies between in UPWARD or DOWNWARD."""
    for way in (UPWARD, DOWNWARD):
        if current in way and wanted in way:
            for step in way[way.index(current) + 1 : way.index(wanted)]:
                current = advance(current, step)
    return advance(current, wanted)
