"""Orders as changes of rows, and the rows on which each was decided.

Knows: which key each order touches, what must still stand there.
Never: proposes.
Holds: a new instance of a singleton is one batch with its token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from aether.deployment.orders import Assign, DropRoutes, Forget, Move, Order, Unsatisfied
from aether.kv import keys
from aether.kv.commands import Change, Delete, Put
from aether.kv.key_kinds import Key
from aether.model.artifact import ArtifactBase
from aether.model.rows import InstanceRow, SingletonRow


def guards(order: Order) -> Iterator[tuple[Key[Any], bool | None]]:
    """The rows on which `order` was decided, each with whether it must exist; None = as it was."""
    match order:
        case Assign(row, singleton):
            yield key_of(row), False
            yield keys.desired(row.artifact.base), True
            yield from _memory(singleton)
        case Move(row, _, singleton):
            yield key_of(row), True
            yield from _memory(singleton)
        case Forget(row):
            yield key_of(row), True
        case DropRoutes(base):
            yield keys.routes(base), True
            yield keys.desired(base), False
        case Unsatisfied():
            pass


def changes_of(order: Order, wall_s: float) -> Iterator[Change]:
    """What carrying out `order` writes."""
    match order:
        case Assign(row, singleton):
            yield Put(key_of(row), row)
            yield from _remembered(singleton)
        case Move(row, to, singleton):
            yield Put(key_of(row), attrs.evolve(row, state=to, since=wall_s, reason=""))
            yield from _remembered(singleton)
        case Forget(row):
            yield Delete(key_of(row))
        case DropRoutes(base):
            yield Delete(keys.routes(base))
        case Unsatisfied():
            pass


def base_of(order: Order) -> ArtifactBase:
    """Of which slice it is."""
    match order:
        case DropRoutes(base):
            return base
        case Unsatisfied(row):
            return row.artifact
        case _:
            return order.row.artifact.base


def key_of(row: InstanceRow) -> Key[InstanceRow]:
    """Where `row` stands."""
    return keys.instance(row.artifact.base, row.instance)


def _memory(row: SingletonRow | None) -> Iterator[tuple[Key[Any], bool | None]]:
    if row is not None:
        yield keys.singleton(row.artifact), None


def _remembered(row: SingletonRow | None) -> Iterator[Change]:
    if row is not None:
        yield Put(keys.singleton(row.artifact), row)
