"""What a slice says of itself, and what it counts for.

Knows: the options of a contract, and which of them stand in a desired row.
Never: where a contract is known from: a class, a tree, or a row that another node has written.
Holds: an override outweighs the blueprint, and the blueprint the slice: who says how many outweighs both the slice's
       count and its bounds. A slice that says it runs once does so, whatever else is said; one whose contract nobody
       knows gets one instance and no bounds.
"""

from __future__ import annotations

from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.artifact import Artifact
from aether.model.rows import DesiredRow
from aether.slice_api.contract import SliceOptions
from aether.slice_api.description import ContractDescription

UNKNOWN: Final = SliceOptions()
"""Of a slice whose contract is not known here, or says nothing of its options."""


def defaults_of(contract: ContractDescription | None) -> SliceOptions | None:
    """What a slice says of itself; None while nobody here knows it."""
    return None if contract is None else contract.options


def own_row(row: DesiredRow, defaults: SliceOptions | None) -> DesiredRow:
    """`row` as the slice itself would have it, where nobody says how many."""
    own = UNKNOWN if defaults is None else defaults
    row = attrs.evolve(row, instances=own.instances, wished=own.instances, singleton=row.singleton or own.singleton)
    if own.scale is None:
        return row
    return attrs.evolve(row, instances_min=own.scale.min, instances_max=own.scale.max, idle_s=own.scale.idle_s)


def counted_row(row: DesiredRow, defaults: SliceOptions | None, count: int) -> DesiredRow:
    """`row` where somebody says how many. Raises BadInput: more than one of a slice that runs once."""
    once = row.singleton or (defaults is not None and defaults.singleton)
    if once and count > 1:
        raise BadInput("more than one of a singleton", (too_many(row.artifact, count),))
    return attrs.evolve(row, instances=count, wished=count, singleton=once)


def made_once(row: DesiredRow, own: SliceOptions | None) -> DesiredRow:
    """`row` for an update to a version whose slice says `own`: one that runs once does so from the beginning, or two
    versions of it would run beside each other.
    """
    if own is None or not own.singleton or row.singleton:
        return row
    return attrs.evolve(row, singleton=True, instances=min(1, row.instances), wished=min(1, row.wished_count))


def too_many(artifact: Artifact, count: int) -> str:
    """`artifact: what is wrong` with `count` instances of a singleton."""
    return f"{artifact}: it is a singleton by its class, and {count} instances are asked for; leave the count out"
