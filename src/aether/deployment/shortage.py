"""Why an instance has no place, in words.

Knows: what each member could offer, and what stands against it.
Never: what to do about it.
Holds: no times in a reason, so that a row is written only when something changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from aether.model.artifact import Artifact
from aether.model.placing import Kind, Placing
from aether.model.rows import DesiredRow, InstanceRow

if TYPE_CHECKING:
    from aether.deployment.fleet import Fleet

_NAMES_SHOWN_MAX: Final = 4


@attrs.frozen
class Shortage:
    """So many of `artifact` have no place.

    to_come  places that become free by themselves; reason  "" = why_short says it
    """

    artifact: Artifact
    missing: int
    to_come: int
    reason: str = ""


def why_short(fleet: Fleet, desired: DesiredRow, artifact: Artifact, held: Sequence[InstanceRow]) -> str:
    """What would have to change. held  instances that must stay where they should not, for the sake of the budget."""
    offering = fleet.offering(artifact)
    if not offering:
        versions = fleet.offered_versions(artifact)
        other = f"; versions offered: {few(a.version for a in versions)}" if versions else ""
        return f"no live node offers {artifact}{other}"
    fitting = [s for s in offering if s.fits(desired.placing)]
    if not fitting:
        return f"no node that offers it has {_wish(desired.placing)}: {few(s.node for s in offering)}"
    able = [s for s in fitting if s.takes]
    if not able:
        where = f"the nodes that offer it are draining or do not answer: {few(s.node for s in fitting)}"
        return where + _kept(desired, held)
    full = [s for s in able if not s.has_room()]
    if len(full) == len(able):
        return f"the capacity of {few(s.node for s in full)} is used up" + _kept(desired, held)
    limit = f"max_per_node = {desired.max_per_node} is reached on {few(s.node for s in able if s.has_room())}"
    limit = f"{limit}; the capacity of {few(s.node for s in full)} is used up" if full else limit
    return limit + _kept(desired, held)


def _kept(desired: DesiredRow, held: Sequence[InstanceRow]) -> str:
    where = few(sorted({row.node for row in held}))
    return f"; min_available = {desired.min_available} keeps what runs on {where}" if held else ""


def _wish(placing: Placing) -> str:
    wishes = [f"label {name} = {value}" for name, value in sorted(placing.labels.items())]
    if placing.pin:
        wishes.append(f"an id of pin = {few(placing.pin)}")
    if placing.kind is not Kind.ANY:
        wishes.append(f"kind = {placing.kind}")
    return ", ".join(wishes)


def few(names: Iterable[object]) -> str:
    """The first few, and how many more there are."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - _NAMES_SHOWN_MAX} more" if len(texts) > _NAMES_SHOWN_MAX else ""
    return ", ".join(texts[:_NAMES_SHOWN_MAX]) + more
