"""How many instances of two versions the members have room for, while one replaces the other.

Knows: `max_per_node`, singletons, labels and pins, who offers which version.
Never: where an instance goes (placement).
"""

from __future__ import annotations

from collections.abc import Iterable

from aether.model.rows import DesiredRow, MemberRow
from aether.model.version import Version


def places(desired: DesiredRow, new: Version, members: Iterable[MemberRow]) -> int | None:
    """For both versions together; None when nothing limits it.

    A member that offers only one of them counts as well: then the other one's instances take no place from it.
    """
    if desired.singleton:
        return 1
    if desired.max_per_node is None:
        return None
    both = {desired.artifact, desired.artifact.base.at(new)}
    return desired.max_per_node * sum(_takes(desired, m) and not both.isdisjoint(m.available) for m in members)


def _takes(desired: DesiredRow, member: MemberRow) -> bool:
    placing = desired.placing
    labelled = all(member.labels.get(name) == value for name, value in placing.labels.items())
    return labelled and not member.draining and (not placing.pin or member.node in placing.pin)
