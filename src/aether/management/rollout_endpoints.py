"""Updates in the admin API: /rollouts, and the original's /rolling-update with its own words.

Knows: paths, fields, both spellings.
Never: HTTP, how an update is carried out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

from aether.errors import BadInput
from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import ARTIFACT, DRY_RUN, FRESH, INSTANCES, WAIT_S_MAX, Endpoint
from aether.management.facts import Answer
from aether.management.rollout_wish import RolloutAnswer, Rollouts, plan_of, shown, shown_health
from aether.management.schema import Field, Kind, Schema
from aether.model.access import Role
from aether.model.gate_presets import PRESETS
from aether.model.limits import INSTANCES_MAX, ROLLOUT_FIGURE_MAX, ROLLOUT_HOLD_S_MAX
from aether.model.ratio import check_parts, parse_ratio
from aether.model.rollout import Strategy

_Wish = Callable[[Rollouts, str], Awaitable[RolloutAnswer]]


def _start(strategy: Strategy) -> Callable[[Actors, Mapping[str, object], str], Awaitable[Changed]]:
    async def start(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
        artifact, version = cast("str", body["artifact"]), cast("str", body.get("version", ""))
        plan = plan_of(body, strategy)
        return _changed(await actors.rollouts.start(artifact, version, plan, cast("str", body.get("by", by))))

    return start


async def _route(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _changed(await actors.rollouts.route(cast("str", body["id"]), *_shares(body)))


def _shares(body: Mapping[str, object]) -> tuple[int, int]:
    """From `routing: "new:old"`, or from newWeight and oldWeight. Raises BadInput."""
    text, new, old = body.get("routing"), body.get("newWeight"), body.get("oldWeight")
    if (text is None) == (new is None and old is None):
        raise BadInput("the body does not fit", ('routing: give "new:old", or newWeight and oldWeight',))
    if text is not None:
        return parse_ratio(cast("str", text))
    if new is None or old is None:
        raise BadInput("the body does not fit", ("newWeight, oldWeight: give both",))
    return check_parts(cast("int", new), cast("int", old))


def _wish(ask: _Wish) -> Callable[[Actors, Mapping[str, object], str], Awaitable[Changed]]:
    async def change(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
        return _changed(await ask(actors.rollouts, cast("str", body["id"])))

    return change


async def _rollback(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _changed(await actors.rollouts.rollback(cast("str", body["id"]), cast("str", body.get("by", by))))


def _changed(update: RolloutAnswer) -> Changed:
    answer = shown(update) | {"changed": update.changed}
    return Changed(answer, update.revision, frozenset(), update.missing)


async def _list(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    listed = [shown(update) for update in await actors.rollouts.known()]
    return {"updates": listed, "rollouts": listed}


async def _get(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    return shown(await actors.rollouts.get(variables["id"]))


async def _health(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    update, health = await actors.rollouts.health(variables["id"])
    return shown_health(update, health, update.row.updated_at)


_WAIT: Final = Schema(
    (
        Field(
            "wait",
            Kind.SECONDS,
            high=WAIT_S_MAX,
            about="answer when the update is over or waits for a person, or 504 with where it stands",
        ),
        DRY_RUN,
    )
)
_SECONDS: Final = ROLLOUT_HOLD_S_MAX
_FIGURE: Final = ROLLOUT_FIGURE_MAX
_START: Final = Schema(
    (
        ARTIFACT,
        Field("version", Kind.TEXT, also=("newVersion",), low=1, high=200, about="the new one, unless artifact has it"),
        Field("strategy", Kind.TEXT, high=40, about="immediate, rolling, canary, blue_green, ab or manual"),
        INSTANCES,
        Field("steps", Kind.ANY, about="of a canary: percentages, as a list or text with commas; of ab one share"),
        Field("holdS", Kind.SECONDS, also=("hold_s",), high=_SECONDS, about="how long each step stands"),
        Field("batch", Kind.WHOLE, low=1, high=INSTANCES_MAX, about="instances that are replaced at a time (rolling)"),
        Field("rules", Kind.ANY, about="of ab: `header:NAME=VALUE`, `cookie:NAME=VALUE` or `key=VALUE`"),
        Field("sticky", Kind.TEXT, high=200, about="the parameter whose value decides the version of a call"),
        Field("gates", Kind.TEXT, high=40, about=f"{', '.join(PRESETS)}; single gates say otherwise"),
        Field("maxErrorRate", Kind.NUMBER, also=("error_rate",), high=1, about="gate: share of calls that may fail"),
        Field("maxLatencyMs", Kind.NUMBER, also=("p99_ms",), high=_FIGURE, about="gate: p99 in milliseconds"),
        Field(
            "againstOld",
            Kind.NUMBER,
            also=("against_old",),
            low=1,
            high=_FIGURE,
            about="gate: times the old version's figures",
        ),
        Field("requestsMin", Kind.WHOLE, also=("requests_min",), low=1, high=_FIGURE, about="fewer calls say nothing"),
        Field("requireManualApproval", Kind.FLAG, also=("manual_approval",), about="each step waits for `approve`"),
        Field("cleanupPolicy", Kind.TEXT, also=("cleanup",), high=40, about="IMMEDIATE, GRACE_PERIOD or MANUAL"),
        Field("graceS", Kind.SECONDS, also=("grace_s",), high=_SECONDS, about="of GRACE_PERIOD, 300 by default"),
        Field("force", Kind.FLAG, about="even if it breaks live callers"),
        Field("by", Kind.TEXT, high=200, about="who began it, for the record"),
    )
)
_BY: Final = Schema((Field("by", Kind.TEXT, high=200, about="who wants it, for the record"),))
_ROUTING: Final = Schema(
    (
        Field("routing", Kind.TEXT, also=("ratio",), high=40, about="new:old as parts of the traffic"),
        Field("newWeight", Kind.ANY, also=("new_weight",), about="the same in two fields"),
        Field("oldWeight", Kind.ANY, also=("old_weight",), about="the same in two fields"),
    )
)


def _paths(listed: str, one: str, strategy: Strategy, also: str) -> tuple[Endpoint, ...]:
    def asked(word: str, about: str, ask: _Wish) -> Endpoint:
        return Endpoint(
            path=f"{one}/{{id}}/{word}", about=f"{about}{also}.", role=Role.OPERATOR, query=_WAIT, change=_wish(ask)
        )

    return (
        Endpoint(
            path=listed,
            about=f"The updates that are known, the newest first{also}.",
            role=Role.VIEWER,
            query=Schema(FRESH),
            ask=_list,
        ),
        Endpoint(
            path=f"{one}/start",
            about=f"Begin to update a slice; {strategy} unless `strategy` says otherwise{also}.",
            role=Role.OPERATOR,
            query=_WAIT,
            body=_START,
            change=_start(strategy),
        ),
        Endpoint(
            path=f"{one}/{{id}}",
            about=f"One update, by id, artifact, or `current`{also}.",
            role=Role.VIEWER,
            query=Schema(FRESH),
            ask=_get,
        ),
        Endpoint(
            path=f"{one}/{{id}}/health",
            about=f"How the calls to both versions went{also}.",
            role=Role.VIEWER,
            query=Schema(FRESH),
            ask=_health,
        ),
        Endpoint(
            path=f"{one}/{{id}}/routing",
            about=f"Share the traffic by hand{also}.",
            role=Role.OPERATOR,
            query=_WAIT,
            body=_ROUTING,
            change=_route,
        ),
        asked("approve", "Let the step that waits go on", lambda rollouts, name: rollouts.approve(name)),
        asked("complete", "Put the new version in force for good", lambda rollouts, name: rollouts.complete(name)),
        Endpoint(
            path=f"{one}/{{id}}/rollback",
            about=f"Take an update back{also}.",
            role=Role.OPERATOR,
            query=_WAIT,
            body=_BY,
            change=_rollback,
        ),
        asked("pause", "Let an update stand still", lambda rollouts, name: rollouts.pause(name)),
        asked("resume", "Let a paused update go on", lambda rollouts, name: rollouts.resume(name)),
    )


ROLLOUT_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *_paths("/rollouts", "/rollouts", Strategy.ROLLING, ""),
    *_paths("/rolling-updates", "/rolling-update", Strategy.MANUAL, ", in the original's spelling"),
)
