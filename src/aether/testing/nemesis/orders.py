"""What must be true of orders, whatever happened: acknowledged ones are never lost, none is there twice.

Knows: what placing, reading and cancelling one order does when nothing else happens; the rows of the order demo.
Never: HTTP, nodes, faults.
Holds: an order is one object, named by its idempotency key; its history must have an order of operations that explains
       every answer, and the copy of every node must agree with it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from aether.forge.audit import SOLD, Audit, audit
from aether.forge.load import OrderOutcome
from aether.testing.linearizability import Operation, Outcome
from aether.testing.linearizability.facts import NO_FACTS, Facts
from aether.testing.linearizability.models import State

CONFIRMED: Final = "CONFIRMED"
CANCELLED: Final = "CANCELLED"
SHOWN_MAX: Final = 5

Copies: TypeAlias = Mapping[str, tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Mapping[str, Any]]]]
"""Node -> its rows of the maps `orders` and `inventory`."""


class OrderModel:
    """One order, by its idempotency key.

    kind    argument   result
    place              (order id, status): the same id for ever, the status that the order has
    read               status, or None = there is no such order
    cancel             status: CANCELLED
    """

    initial: tuple[str | None, str | None] = (None, None)  # order id (None: nobody was told), status (None: not placed)

    def step(self, state: State, operation: Operation) -> State | None:
        order_id, status = cast("tuple[str | None, str | None]", state)
        match operation.kind:
            case "place":
                return _placed(order_id, status or CONFIRMED, operation)
            case "read":
                return state if operation.result == status else None
            case "cancel":
                if status is None or (operation.outcome is Outcome.OK and operation.result != CANCELLED):
                    return None
                return order_id, CANCELLED
            case other:
                raise AssertionError(f"an order has no {other!r}: {operation}")

    def only_reads(self, operation: Operation) -> bool:
        return operation.kind == "read"

    def unconditional(self, operation: Operation) -> Operation:
        return operation

    def facts(self, certain: Sequence[Operation], opened: Sequence[Operation]) -> Facts:
        return NO_FACTS

    def show(self, state: State) -> str:
        order_id, status = state
        return f"{order_id or 'an order that nobody was told of'}: {status or 'not placed'}"


def _placed(order_id: str | None, status: str, operation: Operation) -> State | None:
    if operation.outcome is not Outcome.OK:
        return order_id, status
    told, seen = cast("tuple[str, str]", operation.result)
    return (told, status) if order_id in (None, told) and seen == status else None


def unsettled(history: Sequence[Operation]) -> list[str]:
    """Keys of orders that somebody tried to place and nobody was told of, in the order of their keys."""
    tried = {o.key for o in history if o.kind == "place"}
    told = {o.key for o in history if o.kind == "place" and o.outcome is Outcome.OK}
    return sorted(tried - told)


def order_ids(history: Sequence[Operation]) -> dict[str, str]:
    """Key -> order id, of every order that was acknowledged. The first that was told, where they differ."""
    found: dict[str, str] = {}
    for operation in history:
        if operation.kind == "place" and operation.outcome is Outcome.OK:
            found.setdefault(operation.key, str(cast("tuple[str, str]", operation.result)[0]))
    return found


def wrong_copies(history: Sequence[Operation], copies: Copies, initial: int) -> list[str]:
    """What the rows of each node have against `history`, in words. initial  pieces of each product at the start."""
    problems: list[str] = []
    placed = order_ids(history)
    asked = {o.key for o in history if o.kind == "cancel"}
    done = {o.key for o in history if o.kind == "cancel" and o.outcome is Outcome.OK}
    kept = [_outcome(key, order_id) for key, order_id in placed.items() if key not in asked]
    for node, (orders, inventory) in copies.items():
        problems += _audited(audit(node, kept, orders, inventory, initial))
        for key in asked & placed.keys():
            row = orders.get(placed[key], {})
            good = {CANCELLED} if key in done else {CANCELLED, *SOLD}
            if row.get("key") != key or row.get("status") not in good:
                problems.append(f"{node}: order {placed[key]} of {key}, cancelled, is {dict(row) or 'not there'}")
    return problems + _differing(copies)


def _audited(found: Audit) -> list[str]:
    problems: list[str] = []
    for what, names in (
        ("acknowledged and lost", found.missing),
        ("idempotency keys with two orders", found.duplicated),
        ("orders without a decision", found.undecided),
    ):
        if names:
            problems.append(f"{found.node}: {len(names)} {what}: {', '.join(names[:SHOWN_MAX])}")
    if not found.taken == found.sold == found.reserved:
        said = f"taken {dict(found.taken)}, sold {dict(found.sold)}, reserved {dict(found.reserved)}"
        problems.append(f"{found.node}: pieces do not add up: {said}")
    return problems


def _differing(copies: Copies) -> list[str]:
    """Copies that no write reaches any more are the same on every node."""
    problems: list[str] = []
    named = list(copies.items())
    for (one, (orders, stock)), (other, (other_orders, other_stock)) in itertools.pairwise(named):
        for what, here, there in (("orders", orders, other_orders), ("inventory", stock, other_stock)):
            if here != there:
                differing = [key for key in {*here, *there} if here.get(key) != there.get(key)]
                problems.append(f"{one} and {other} differ in {len(differing)} rows of {what}: {sorted(differing)[:5]}")
    return problems


def _outcome(key: str, order_id: str) -> OrderOutcome:
    """As the audit of the order demo wants an acknowledged order."""
    answer: dict[str, object] = {"orderId": order_id}
    return OrderOutcome(key=key, order={}, sent_s=0.0, latency_s=0.0, repeats=0, status=200, answer=answer)


def counted(history: Sequence[Operation]) -> Counter[Hashable]:
    """How many operations of each kind ended how: (kind, outcome)."""
    return Counter((o.kind, o.outcome) for o in history)
