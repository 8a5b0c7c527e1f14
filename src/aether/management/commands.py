"""The mutations: a checked body becomes a call of the operator, its result an answer.

Knows: the answers of the original, and what was added; what a mutation is waited for.
Never: HTTP, how long to wait.
Holds: every answer of a mutation names the revision at which this node has applied it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import cast

import attrs

from aether.management.actors import Actors
from aether.management.facts import Answer, SliceFacts, slice_facts
from aether.management.view import ClusterView
from aether.model.artifact import ArtifactBase
from aether.model.ids import Revision
from aether.model.lifecycle import SliceState
from aether.model.rows import OverrideRow


@attrs.frozen
class Changed:
    """What a mutation came to. `?wait` waits for the slices `touched`, and until `missing()` is []."""

    answer: Answer
    revision: Revision
    touched: frozenset[ArtifactBase]
    missing: Callable[[], list[str]] = list

    def carried_out(self) -> Answer:
        """The answer once nothing is missing."""
        done: Answer = {"pending": []} if "pending" in self.answer else {}
        return self.answer | done


async def deploy(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    artifact = cast("str", body["artifact"])
    wish = await actors.operator.deploy(artifact, cast("int | None", body.get("instances")))
    shown: Answer = {"status": "deployed", "artifact": artifact, "instances": body.get("instances", 1)}
    if wish.row is not None:
        shown |= {"artifact": str(wish.row.artifact), "instances": wish.row.instances, "blueprint": wish.row.blueprint}
    return _changed(shown, wish.revision, wish.artifact)


async def scale(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    artifact, instances = cast("str", body["artifact"]), cast("int", body["instances"])
    wish = await actors.operator.scale(
        artifact,
        instances,
        by=cast("str", body.get("appliedBy", by)),
        for_s=cast("float", body.get("forSeconds", 0.0)),
        until=float(cast("float", body.get("until", 0.0))),
        reason=cast("str", body.get("reason", "")),
    )
    shown: Answer = {"status": "scaled", "artifact": artifact, "instances": instances}
    if wish.row is not None:
        shown |= {"artifact": str(wish.row.artifact), "instances": wish.row.instances, "wished": wish.row.wished}
    shown["override"] = None if wish.override is None else override_shown(wish.override)
    return _changed(shown, wish.revision, wish.artifact)


def override_shown(row: OverrideRow) -> Answer:
    """What holds against a blueprint's count, for people and programs."""
    return {
        "instances": row.instances,
        "owner": row.owner,
        "by": row.by,
        "at": row.at,
        "until": row.until,
        "reason": row.reason,
    }


async def undeploy(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    artifact = cast("str", body["artifact"])
    wish = await actors.operator.undeploy(artifact)
    shown: Answer = {"status": "undeployed", "artifact": artifact, "wasWanted": wish.changed}
    if wish.row is not None:  # another version than the one named: it stays
        shown["inForce"] = str(wish.row.artifact)
    return _changed(shown, wish.revision, wish.artifact)


def _changed(shown: Answer, revision: Revision, artifact: ArtifactBase) -> Changed:
    return Changed(shown | {"revision": revision}, revision, frozenset({artifact}))


def unmet(view: ClusterView, touched: frozenset[ArtifactBase]) -> list[str]:
    """What still differs from the wish for `touched`, a line each; [] when every instance stands as desired."""
    if not touched:
        return []
    return [line for s in slice_facts(view) if s.artifact.base in touched for line in _unmet(s)]


def _unmet(s: SliceFacts) -> Iterator[str]:
    if s.active < s.wanted:
        yield f"{s.artifact}: {s.active} of {s.wanted} instances ACTIVE"
        if s.unsatisfied is not None:
            yield f"{s.artifact}: {s.unsatisfied.missing} cannot be placed: {s.unsatisfied.reason}"
        for row in s.instances:
            if row.state is not SliceState.ACTIVE:
                because = f": {row.reason}" if row.reason else ""
                yield f"{s.artifact}: instance {row.instance} on {row.node} is {row.state}{because}"
        return
    leaving = [row for row in s.instances if row.state is not SliceState.FAILED]
    if len(leaving) > s.wanted:
        yield f"{s.artifact}: {len(leaving) - s.wanted} instances are still to go"
