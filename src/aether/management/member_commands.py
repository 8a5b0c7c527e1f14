"""Changes of the membership: a checked body becomes a wish, the wish an answer.

Knows: the answers; what each change is waited for.
Never: HTTP, who votes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.view import MemberWish


async def add(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _changed("added", await actors.members.add(_node(body), cast("str", body["address"])))


async def remove(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _changed("removed", await actors.members.remove(_node(body), by))


async def promote(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _changed("promoted", await actors.members.promote(_node(body)))


async def demote(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _changed("demoted", await actors.members.demote(_node(body)))


async def transfer_leader(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _changed("transferred", await actors.members.transfer(cast("str", body.get("node", ""))))


def _node(body: Mapping[str, object]) -> str:
    return cast("str", body["node"])


def _changed(status: str, wish: MemberWish) -> Changed:
    """`pending` says what the leader has still to do; `?wait` waits for it."""
    answer: dict[str, object] = {
        "status": status,
        "node": wish.node,
        "pending": wish.missing(),
        "revision": wish.revision,
    }
    return Changed(answer, wish.revision, frozenset(), wish.missing)
