"""Orders for single instances, where the cluster's manager places none by itself.

Knows: the answers; what an order is waited for.
Never: HTTP, moving instances.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import ARTIFACT, NODE, WAIT, Change, Endpoint, get
from aether.management.facts import Answer, Facts
from aether.management.schema import Field, Kind, Schema
from aether.management.view import PlacementAnswer
from aether.model.access import Role
from aether.model.ids import NAME_CHARS_MAX, NodeId


def placements(facts: Facts, query: Mapping[str, object]) -> Answer:
    """Every order in force. `clusterManager` is the leader's: another than `manual` takes no orders."""
    managers = {row.node: row.cluster_manager for row in facts.view.members()}
    found = [
        {"artifact": str(row.artifact), "order": order, "node": node}
        for row in facts.view.desired()
        for order, node in sorted(row.placed.items())
    ]
    return {
        "clusterManager": managers.get(NodeId(facts.leader), ""),
        "placements": found,
        "revision": facts.view.revision,
    }


async def place(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    artifact, node = cast("str", body["artifact"]), cast("str", body["node"])
    return _changed("placed", await actors.placements.place(artifact, node))


async def move(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    instance, node = cast("str", body["instance"]), cast("str", body["node"])
    return _changed("moved", await actors.placements.move(instance, node))


async def unplace(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    instance, force = cast("str", body["instance"]), bool(body.get("force"))
    return _changed("unplaced", await actors.placements.unplace(instance, force=force))


def _changed(status: str, placed: PlacementAnswer) -> Changed:
    answer: Answer = {
        "status": status,
        "artifact": str(placed.artifact),
        "instance": placed.instance,
        "node": placed.node,
        "placed": placed.count,
        "revision": placed.revision,
    }
    return Changed(answer, placed.revision, frozenset({placed.artifact.base}))


_INSTANCE: Final = Field(
    "instance", Kind.TEXT, required=True, also=("instanceId",), low=1, high=NAME_CHARS_MAX, about="id of an instance"
)
_FORCE: Final = Field("force", Kind.FLAG, about="also below min_available")


def _order(path: str, about: str, change: Change, *fields: Field) -> Endpoint:
    return Endpoint(path=path, about=about, role=Role.OPERATOR, query=WAIT, body=Schema(fields), change=change)


PLACEMENT_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    get("/placements", "Where instances were ordered, in a cluster that places none by itself.", placements),
    _order("/placements/place", "Order one more instance of a slice on a node.", place, ARTIFACT, NODE),
    _order("/placements/move", "Order an instance elsewhere; it goes when the new one serves.", move, _INSTANCE, NODE),
    _order("/placements/unplace", "Take the order for an instance back.", unplace, _INSTANCE, _FORCE),
)
