"""Blueprints: validate, plan, apply, look at, roll back, delete.

Knows: the answers, what each mutation is waited for.
Never: HTTP; what a blueprint means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from aether.errors import NotFound
from aether.management import blueprint_queries
from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import BY, FRESH, NUMBER_MAX, WAIT, Endpoint, get
from aether.management.facts import Answer, Facts
from aether.management.schema import Field, Kind, Schema
from aether.management.view import BlueprintAnswer, BlueprintPlanned, SlicePlanned
from aether.model.access import Role
from aether.model.blueprint_toml import parse_blueprint
from aether.model.limits import HTTP_MANAGEMENT_BODY_BYTES_MAX
from aether.model.rows import BlueprintRow

_TOML: Final = Field(
    "toml",
    Kind.TEXT,
    required=True,
    also=("blueprint",),
    high=HTTP_MANAGEMENT_BODY_BYTES_MAX,
    about="the text of the blueprint",
)
_FORCE: Final = Field(
    "force", Kind.FLAG, about="also where it takes a completed update back, breaks callers, or others need what goes"
)
_IF_NUMBER: Final = Field(
    "ifNumber",
    Kind.WHOLE,
    also=("if_number",),
    high=NUMBER_MAX,
    about="only if the text of this number is in force; 0 = none is",
)


# --- changes ----------------------------------------------------------------------------------------------------------


async def validate(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    """Reads the text and nothing else: what members offer is a matter of the plan."""
    blueprint = parse_blueprint(_text(body))
    wishes = [str(wish) for wish in blueprint.slices]
    answer: Answer = {"status": "valid", "id": blueprint.id, "slices": len(wishes), "artifacts": wishes}
    return Changed(answer, await actors.blueprints.revision(), frozenset())


async def plan(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    planned = await actors.blueprints.plan(_text(body), force=bool(body.get("force")))
    return Changed(_planned(planned), await actors.blueprints.revision(), frozenset())


async def apply(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    applied = await actors.blueprints.apply(
        _text(body),
        cast("str", body.get("appliedBy", by)),
        force=bool(body.get("force")),
        if_number=cast("int | None", body.get("ifNumber")),
    )
    return _applied("applied", applied)


async def rollback(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    number = cast("int | None", body.get("number"))
    applied = await actors.blueprints.rollback(cast("str", body["id"]), number, cast("str", body.get("appliedBy", by)))
    return _applied("rolled back", applied)


async def delete(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    identity = cast("str", body["id"])
    deleted = await actors.blueprints.delete(identity, by, force=bool(body.get("force")))
    artifacts = [str(artifact) for artifact in deleted.slices]
    answer: Answer = {"status": "deleted", "id": identity, "slices": len(artifacts), "artifacts": artifacts}
    touched = frozenset(artifact.base for artifact in deleted.slices)
    return Changed(answer | {"revision": deleted.revision}, deleted.revision, touched)


def _text(body: Mapping[str, object]) -> str:
    """Without the byte order mark that some editors write before it."""
    return cast("str", body["toml"]).removeprefix("\ufeff")


def _applied(status: str, applied: BlueprintAnswer) -> Changed:
    answer: Answer = {
        "status": status,
        "blueprint": f"{applied.id}:{applied.number}",
        "id": applied.id,
        "number": applied.number,
        "slices": len(applied.slices),
        "artifacts": [str(artifact) for artifact in applied.slices],
        "updates": {str(base): update for base, update in applied.rollouts.items()},
        "warnings": list(applied.warnings),
        "revision": applied.revision,
    }
    return Changed(answer, applied.revision, frozenset(a.base for a in applied.slices), applied.missing)


def _planned(planned: BlueprintPlanned) -> Answer:
    return {
        "id": planned.id,
        "number": planned.number,
        "changes": planned.changes_something,
        "slices": [_slice(each) for each in planned.slices],
        "warnings": list(planned.warnings),
    }


def _slice(each: SlicePlanned) -> Answer:
    before, after = each.instances
    return {
        "artifact": str(each.artifact),
        "action": str(each.action),
        "oldVersion": None if each.old is None else str(each.old.version),
        "newVersion": None if each.new is None else str(each.new.version),
        "oldInstances": before,
        "newInstances": after,
        "changes": list(each.changes),
        "update": each.rollout or None,
        "takesBack": each.taken_back or None,
        "isDependency": each.is_dependency,
    }


# --- reads ------------------------------------------------------------------------------------------------------------


def history(facts: Facts, query: Mapping[str, object], identity: str) -> Answer:
    rows = sorted(facts.view.blueprint_history(identity), key=lambda row: -row.number)
    if not rows:
        raise NotFound("blueprint", identity, "see /blueprints")
    watched = next((row for row in facts.view.applies() if row.id == identity), None)
    return {
        "id": identity,
        "number": rows[0].number,
        "history": [_revision(row) for row in rows],
        "watched": None
        if watched is None
        else {"number": watched.number, "state": str(watched.state), "reason": watched.reason},
        "revision": facts.view.revision,
    }


def _revision(row: BlueprintRow) -> Answer:
    return {
        "number": row.number,
        "appliedBy": row.applied_by,
        "appliedAt": row.applied_at,
        "reason": row.reason,
        "artifacts": [str(artifact) for artifact in row.slices],
    }


# --- the table --------------------------------------------------------------------------------------------------------

BLUEPRINT_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    get("/blueprints", "The blueprints in force.", blueprint_queries.blueprints),
    Endpoint(
        path="/blueprints/{id}",
        about="One blueprint with its text.",
        role=Role.VIEWER,
        query=Schema(
            (*FRESH, Field("number", Kind.WHOLE, low=1, high=NUMBER_MAX, about="an earlier one of the same id"))
        ),
        read=lambda facts, query, variables: blueprint_queries.blueprint(facts, query, variables["id"]),
    ),
    Endpoint(
        path="/blueprints/{id}/history",
        about="Every text that is kept, with who applied it, when and why.",
        role=Role.VIEWER,
        query=Schema(FRESH),
        read=lambda facts, query, variables: history(facts, query, variables["id"]),
    ),
    Endpoint(
        path="/blueprint",
        about="Put a blueprint in force.",
        role=Role.OPERATOR,
        query=WAIT,
        body=Schema((_TOML, BY, _FORCE, _IF_NUMBER)),
        change=apply,
        rehearse=plan,
        toml=True,
    ),
    Endpoint(
        path="/blueprint/validate",
        about="Read a blueprint and say everything that is wrong with it.",
        role=Role.PROPOSER,
        query=WAIT,
        body=Schema((_TOML,)),
        change=validate,
        toml=True,
    ),
    Endpoint(
        path="/blueprint/plan",
        about="Say what applying a blueprint would change, and change nothing.",
        role=Role.PROPOSER,
        query=WAIT,
        body=Schema((_TOML, _FORCE)),
        change=plan,
        toml=True,
    ),
    Endpoint(
        path="/blueprints/{id}/rollback",
        about="Put an earlier text back, as a new number.",
        role=Role.OPERATOR,
        query=WAIT,
        body=Schema(
            (Field("number", Kind.WHOLE, low=1, high=NUMBER_MAX, about="which; the one before, unless said"), BY)
        ),
        change=rollback,
    ),
    Endpoint(
        path="/blueprints/{id}/delete",
        about="Want nothing of a blueprint any more, and forget its texts.",
        role=Role.OPERATOR,
        query=WAIT,
        body=Schema((_FORCE,)),
        change=delete,
    ),
)
