"""Duties of nodes: drain, activate, shut down; in this project's paths and in the original's.

Knows: the answers; how a duty is worded; what each word is waited for.
Never: HTTP, moving instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, cast

from aether.errors import NotFound
from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import DRY_RUN, FRESH, WAIT_S_MAX, Change, Endpoint, get
from aether.management.facts import Answer, Facts
from aether.management.schema import Field, Kind, Schema
from aether.management.view import DutyAnswer
from aether.model.access import Role
from aether.model.duty import NEXT_DUTY, Duty, DutyRow
from aether.model.ids import NodeId

_DONE: Final = {Duty.DRAINING: "draining", Duty.ON_DUTY: "activated", Duty.SHUTTING_DOWN: "shutting down"}


async def drain(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _changed(await actors.duties.drain(_node(body), by=by, force=bool(body.get("force"))))


async def activate(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _changed(await actors.duties.activate(_node(body), by=by))


async def shutdown(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _changed(await actors.duties.shutdown(_node(body), by=by, force=bool(body.get("force"))))


def _node(body: Mapping[str, object]) -> str:
    return cast("str", body["id"])


def _changed(wish: DutyAnswer) -> Changed:
    answer: Answer = {
        "status": _DONE[wish.duty] if wish.changed else f"already {_DONE[wish.duty]}",
        "node": wish.node,
        "nodeId": wish.node,
        "pending": wish.missing(),
        "revision": wish.revision,
    }
    return Changed(answer, wish.revision, frozenset(), wish.missing)


# --- reads ------------------------------------------------------------------------------------------------------------


def lifecycles(facts: Facts, query: Mapping[str, object]) -> Answer:
    """Every member with its duty, who said it and what it may become."""
    return {"nodes": list(_lifecycles(facts)), "revision": facts.view.revision}


def lifecycle(facts: Facts, query: Mapping[str, object], node: str) -> Answer:
    found = {str(each["nodeId"]): each for each in _lifecycles(facts)}
    if node not in found:
        raise NotFound("node", node, f"there are {', '.join(found)}")
    return found[node] | {"revision": facts.view.revision}


def _lifecycles(facts: Facts) -> Iterable[Answer]:
    said: Mapping[NodeId, DutyRow] = {row.node: row for row in facts.view.duties()}
    for node, duty in facts.duties().items():
        row = said.get(node)
        yield {
            "nodeId": node,
            "state": duty.value,
            "next": sorted(each.value for each in NEXT_DUTY[duty]),
            "by": row.by if row is not None else "",
            "since": row.at if row is not None else 0.0,
        }


# --- the table --------------------------------------------------------------------------------------------------------

_WAIT: Final = Schema(
    (Field("wait", Kind.SECONDS, high=WAIT_S_MAX, about="answer when it is so, or 504 with what it waits for"), DRY_RUN)
)
_FORCE: Final = Field("force", Kind.FLAG, about="without regard to min_available, capacity and majority")


def _asked(path: str, about: str, change: Change, *fields: Field) -> Endpoint:
    return Endpoint(path=path, about=about, role=Role.OPERATOR, query=_WAIT, body=Schema(fields), change=change)


def _words(path: str, also: str = "") -> tuple[Endpoint, ...]:
    return (
        _asked(path.format("drain"), f"Let a node give its instances away; it stays a member{also}.", drain, _FORCE),
        _asked(path.format("activate"), f"Let a node that drains, or is empty, work again{also}.", activate),
        _asked(path.format("shutdown"), f"Let the process of a node drain and end{also}.", shutdown, _FORCE),
    )


DUTY_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    get("/nodes/lifecycle", "The duty of every member.", lifecycles),
    *_words("/nodes/{{id}}/{}"),
    Endpoint(
        path="/node/lifecycle/{id}",
        about="The duty of one member.",
        role=Role.VIEWER,
        query=Schema(FRESH),
        read=lambda facts, query, variables: lifecycle(facts, query, variables["id"]),
    ),
    *_words("/node/{}/{{id}}", ", in the original's spelling"),
)
