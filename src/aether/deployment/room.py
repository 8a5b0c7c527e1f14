"""How many instances of a slice the members can hold.

Knows: who offers it, labels, pins, `max_per_node`, who is draining.
Never: places anything (placement); what else runs there.
"""

from __future__ import annotations

from collections.abc import Iterable

from aether.model.rows import DesiredRow, MemberRow

_NAMES_SHOWN_MAX = 4


def room_for(row: DesiredRow, members: Iterable[MemberRow]) -> int | None:
    """None when nothing limits it."""
    able = _able(row, members)
    if not able:
        return 0
    if row.singleton:
        return 1
    return None if row.max_per_node is None else row.max_per_node * len(able)


def shortage(row: DesiredRow, members: Iterable[MemberRow]) -> str:
    """Why not all of `row.instances` find a place; "" when they do."""
    known = tuple(members)
    room = room_for(row, known)
    if room is None or room >= row.instances:
        return ""
    return f"{row.instances - room} of {row.instances} instances of {row.artifact} find no place: {_why(row, known)}"


def _why(row: DesiredRow, members: tuple[MemberRow, ...]) -> str:
    offering = [m for m in members if row.artifact in m.available]
    if not offering:
        return "no member offers it"
    fitting = [m for m in offering if _fits(row, m)]
    if not fitting:
        return f"none of the members that offer it ({_few(offering)}) fits its placement"
    able = [m for m in fitting if not m.draining]
    if not able:
        return f"the members that may take it are draining: {_few(fitting)}"
    if row.singleton:
        return "a singleton has one"
    return f"max_per_node = {row.max_per_node} on {len(able)} that may take it: {_few(able)}"


def _able(row: DesiredRow, members: Iterable[MemberRow]) -> list[MemberRow]:
    return [m for m in members if row.artifact in m.available and not m.draining and _fits(row, m)]


def _fits(row: DesiredRow, member: MemberRow) -> bool:
    placing = row.placing
    labelled = all(member.labels.get(name) == value for name, value in placing.labels.items())
    return labelled and (not placing.pin or member.node in placing.pin)


def _few(members: list[MemberRow]) -> str:
    more = f" and {len(members) - _NAMES_SHOWN_MAX} more" if len(members) > _NAMES_SHOWN_MAX else ""
    return ", ".join(m.node for m in members[:_NAMES_SHOWN_MAX]) + more
