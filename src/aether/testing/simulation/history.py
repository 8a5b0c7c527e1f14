"""What clients asked and were told, for the linearizability checker.

Knows: appends to lists and reads of them, as operations of one key each.
Never: nodes, consensus.
Holds: an append that nobody answered stays open-ended: it may take effect at any time after it was asked.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import reduce
from typing import cast

from aether.testing.linearizability import Operation, Outcome, check
from aether.testing.linearizability.facts import NO_FACTS, Facts

KEYS = ("x", "y")
_STEPS_MAX = 200_000

ListState = tuple[int, int]
"""Length and checksum of a list: equal for equal lists."""


def summary(values: Sequence[str]) -> ListState:
    """A list as the model knows it."""
    return len(values), reduce(lambda chain, value: zlib.crc32(value.encode(), chain), values, 0)


class ListModel:
    """append value -> position; read -> summary."""

    initial: ListState = (0, 0)

    def step(self, state: ListState, operation: Operation) -> ListState | None:
        if operation.kind == "read":
            return state if operation.result == state else None
        count, chain = state
        if operation.outcome is Outcome.OK and operation.result != count + 1:
            return None
        return count + 1, zlib.crc32(cast("str", operation.argument).encode(), chain)

    def only_reads(self, operation: Operation) -> bool:
        return operation.kind == "read"

    def unconditional(self, operation: Operation) -> Operation:
        return operation

    def facts(self, certain: Sequence[Operation], opened: Sequence[Operation]) -> Facts:
        return NO_FACTS  # few operations are concurrent here: there is little to search

    def show(self, state: ListState) -> str:
        return f"{state[0]} values"


class History:
    """Every operation of one run."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []

    def appended(
        self, client: int, key: str, value: str, asked_us: int, answered_us: int | None, position: int
    ) -> None:
        """A client's request; answered_us is None, and position anything, when nobody answered."""
        outcome = Outcome.UNKNOWN if answered_us is None else Outcome.OK
        self._operations.append(
            Operation(
                process=f"client {client}",
                key=key,
                kind="append",
                argument=value,
                result=position,
                called=asked_us,
                returned=answered_us,
                outcome=outcome,
            )
        )

    def read(self, reader: int, lists: dict[str, list[str]], asked_us: int, answered_us: int) -> None:
        """A reader saw all lists at once."""
        for key in KEYS:
            self._operations.append(
                Operation(
                    process=f"reader {reader}",
                    key=key,
                    kind="read",
                    result=summary(lists.get(key, ())),
                    called=asked_us,
                    returned=answered_us,
                )
            )

    def audit(self) -> None:
        """Assert that some order of all operations explains what everybody was told."""
        verdict = check(self._operations, ListModel(), steps_max=_STEPS_MAX)
        assert not verdict.violations, f"I10 Linearizability: {verdict}"
