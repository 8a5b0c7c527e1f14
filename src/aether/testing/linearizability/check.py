"""The verdict over a whole history, key by key.

Knows: that an object is linearizable when each of its keys is (locality), and how much effort it may spend.
Never: what the operations do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import attrs

from aether.testing.linearizability.explain import Violation, explain
from aether.testing.linearizability.models import Model, Register
from aether.testing.linearizability.operation import Operation
from aether.testing.linearizability.search import Budget, Found, Search

STEPS_MAX = 2_000_000
"""Calls of the model for one key: some seconds."""

EXPLAINED_MAX = 8
"""Violations that are cut down and shown; further keys are only named."""


@attrs.frozen
class Undecided:
    """A key for which the search gave up, and why."""

    key: str
    reason: str

    def __str__(self) -> str:
        return f"key {self.key!r}: undecided: {self.reason}"


@attrs.frozen
class Verdict:
    """What a history turned out to be. `is_linearizable` only when every key has an order."""

    operations: int
    keys: int
    violations: tuple[Violation, ...] = ()
    undecided: tuple[Undecided, ...] = ()
    further: tuple[str, ...] = ()

    @property
    def is_linearizable(self) -> bool:
        return not self.violations and not self.undecided

    def __str__(self) -> str:
        if self.is_linearizable:
            return f"linearizable: {self.operations} operations on {self.keys} keys"
        lines = [str(each) for each in (*self.violations, *self.undecided)]
        if self.further:
            lines.append(f"{len(self.further)} more keys have no order: {', '.join(self.further[:SHOWN_KEYS])}")
        return "\n".join(lines)


SHOWN_KEYS = 20


def check(history: Iterable[Operation], model: Model | None = None, *, steps_max: int = STEPS_MAX) -> Verdict:
    """Whether `history` is linearizable over one `model` (Register) per key. Never raises for what it finds.

    steps_max  effort per key, in calls of the model; beyond it the key is undecided. Explaining may cost as much again.
    """
    model = model or Register()
    by_key: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        by_key[operation.key].append(operation)
    violations: list[Violation] = []
    undecided: list[Undecided] = []
    further: list[str] = []
    for key, operations in by_key.items():
        search = Search(operations, model, Budget(steps_max))
        found = Found.NONE if search.contradiction() else search.run()
        if found is Found.GAVE_UP:
            reason = f"no order of its {len(operations)} operations was found in {steps_max} steps"
            undecided.append(Undecided(key, f"{reason}; use more keys with fewer operations each, or more steps"))
        elif found is Found.NONE and len(violations) < EXPLAINED_MAX:
            violations.append(explain(key, operations, model, Budget(steps_max)))
        elif found is Found.NONE:
            further.append(key)
    total = sum(map(len, by_key.values()))
    return Verdict(total, len(by_key), tuple(violations), tuple(undecided), tuple(further))
