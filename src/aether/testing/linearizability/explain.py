"""A violation, cut down to what it needs.

Knows: that a shorter history may still be one that no order explains.
Never: how an order is searched for.
Holds: what is left out is not needed: reads are removed, and writes may happen at any time after their call, or not;
       the rest still has no order. Within a budget of steps; when it is spent, the shortest found so far is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from aether.testing.linearizability.models import Model
from aether.testing.linearizability.operation import Operation, Outcome
from aether.testing.linearizability.search import Budget, Found, Search

SHOWN_MAX = 40
REACHED_STEPS = 100_000
TRIAL_STEPS = 50_000


@attrs.frozen
class Violation:
    """No order of `operations` on `key` explains their results.

    operations  the smallest set found, by call; window_s  from the first call to the last return among them
    optional    unanswered operations whose effect was allowed for, and did not help
    why         the furthest state that some order of them reaches, and what cannot follow it
    """

    key: str
    operations: tuple[Operation, ...]
    optional: int
    why: str

    @property
    def window(self) -> tuple[float, float]:
        return self.operations[0].called, max(o.returned for o in self.operations)

    def __str__(self) -> str:
        shown = [f"  {o}" for o in self.operations[:SHOWN_MAX]]
        left = len(self.operations) - len(shown)
        rest = [f"  ... and {left} more"] if left > 0 else []
        begin, end = self.window
        allowed = f" ({self.optional} more writes were allowed for and do not help)" if self.optional else ""
        head = f"key {self.key!r}: no order explains these {len(self.operations)} operations{allowed}"
        return "\n".join([f"{head}, {begin:.6f} to {end:.6f}:", *shown, *rest, f"  {self.why}"])


def explain(key: str, operations: Sequence[Operation], model: Model, budget: Budget) -> Violation:
    """Why `operations`, all of `key` and without an order, have none."""
    few = Search(operations, model, budget).contradiction()
    shortest = _shrunk(list(few) or _prefix(operations, model, budget), model, budget)
    search = Search(shortest, model, Budget(REACHED_STEPS))
    search.run()
    certain = sorted((o for o in shortest if o.outcome is Outcome.OK), key=lambda o: o.called)
    stuck = search.reached.stuck[0] if search.reached.stuck else certain[-1]
    why = f"at best the state becomes {model.show(search.reached.state)}, and then this fits nowhere: {stuck}"
    optional = sum(o.outcome is Outcome.UNKNOWN for o in shortest)
    return Violation(key, tuple(certain), optional, why)


def _has_no_order(operations: Sequence[Operation], model: Model, budget: Budget) -> bool:
    """Within TRIAL_STEPS of `budget`: one hard question must not use up what many easy ones need."""
    trial = Budget(min(TRIAL_STEPS, budget.steps))
    before = trial.steps
    search = Search(operations, model, trial)
    is_refused = bool(search.contradiction()) or search.run() is Found.NONE
    budget.steps -= before - trial.steps
    return is_refused


def _prefix(operations: Sequence[Operation], model: Model, budget: Budget) -> list[Operation]:
    """The history up to the first return at which it has no order: what an order explains, it explains at any time."""
    ends = sorted(o.returned for o in operations if o.outcome is Outcome.OK)
    low, high = 0, len(ends) - 1
    while low < high and not budget.is_spent:
        middle = (low + high) // 2
        if _has_no_order(_until(operations, ends[middle], model), model, budget):
            high = middle
        else:
            low = middle + 1
    return _until(operations, ends[high], model)


def _until(operations: Sequence[Operation], end: float, model: Model) -> list[Operation]:
    cut: list[Operation] = []
    for operation in operations:
        if operation.called <= end and operation.outcome is not Outcome.FAILED:
            cut += [operation] if operation.returned <= end else _weakened([operation], model)
    return cut


def _shrunk(operations: list[Operation], model: Model, budget: Budget) -> list[Operation]:
    """Weaken ever smaller pieces as long as no order appears."""
    size = len(operations)
    while size >= 1:
        begin, changed = 0, False
        while begin < len(operations) and not budget.is_spent:
            piece = operations[begin : begin + size]
            weak = _weakened(piece, model)
            shorter = [*operations[:begin], *weak, *operations[begin + size :]]
            if weak != piece and _has_no_order(shorter, model, budget):
                operations, changed = shorter, True
                begin += len(weak)
            else:
                begin += size
        if not changed or size > 1:
            size //= 2
    return operations


def _weakened(piece: Sequence[Operation], model: Model) -> list[Operation]:
    """`piece` without its reads, and with writes that may happen at any time or never."""
    writes = [model.unconditional(o) for o in piece if not model.only_reads(o)]
    return [attrs.evolve(o, outcome=Outcome.UNKNOWN, result=None, returned=math.inf) for o in writes]
