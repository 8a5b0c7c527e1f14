"""The controller in the admin API, with the original's paths and fields; and why a slice has so many instances.

Knows: paths, fields in all spellings, the answers of the original.
Never: HTTP; decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, cast

from aether.control.spelling import TUNABLES, Tunable
from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import DRY_RUN, FRESH, Endpoint
from aether.management.facts import Answer
from aether.management.schema import Field, Kind, Schema
from aether.model.access import Role
from aether.web.request import Request, Response

RECORDING_TYPE: Final = "application/x-ndjson"
_KINDS: Final = {bool: Kind.FLAG, int: Kind.WHOLE, float: Kind.NUMBER, str: Kind.TEXT}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _field(tunable: Tunable) -> Field:
    spellings = {_snake(tunable.api), *tunable.also}
    if tunable.times == 1.0:
        spellings.add(tunable.name)
    text = tunable.kind is str
    low, high = (1, 63) if text else (tunable.low * tunable.times, tunable.high * tunable.times)
    also = tuple(sorted(spellings - {tunable.api}))
    return Field(tunable.api, _KINDS[tunable.kind], also=also, low=low, high=high, about=tunable.about)


_ARTIFACT: Final = Field("artifact", Kind.TEXT, low=1, high=512, about="group:artifact; of this slice alone")
_RESET: Final = Field("reset", Kind.FLAG, about="forget first what was set at run time")
_LIMIT: Final = Field("limit", Kind.WHOLE, low=1, high=1000, about="entries, 50 by default")


async def _config(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    return dict(actors.controller.config())


async def _configure(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    given = {name: value for name, value in body.items() if name not in ("artifact", "reset")}
    artifact, reset = cast("str", body.get("artifact", "")), bool(body.get("reset"))
    revision = await actors.controller.configure(given, by=by, artifact=artifact, reset=reset)
    answer: Answer = {"status": "updated", "config": dict(actors.controller.config()), "revision": revision}
    return Changed(answer, revision, frozenset())


async def _status(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    return dict(await actors.controller.status())


async def _evaluate(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _evaluated(actors, "evaluation_triggered", await actors.controller.evaluate())


async def _rehearse(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    return _evaluated(actors, "rehearsed", await actors.controller.evaluate(acts=False))


def _evaluated(actors: Actors, status: str, evaluation: Mapping[str, object]) -> Changed:
    revision = actors.controller.revision()
    return Changed({"status": status, **evaluation, "revision": revision}, revision, frozenset())


async def _history(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    limit, artifact = cast("int", query.get("limit", 50)), cast("str", query.get("artifact", ""))
    return {"decisions": list(actors.controller.history(artifact, limit)), "revision": actors.controller.revision()}


async def _explain(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    return {**await actors.controller.explain(variables["artifact"]), "revision": actors.controller.revision()}


async def _recording(
    actors: Actors, request: Request, query: Mapping[str, object], variables: Mapping[str, str]
) -> Response:
    return Response(200, (await actors.controller.recording()).encode(), RECORDING_TYPE, {"Cache-Control": "no-store"})


def _fields() -> Iterable[Field]:
    return (*map(_field, TUNABLES), _ARTIFACT, _RESET)


CONTROLLER_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/controller/config",
        about="Rules and thresholds of the controller that are in force.",
        role=Role.VIEWER,
        query=Schema(FRESH),
        ask=_config,
    ),
    Endpoint(
        path="/controller/status",
        about="What the controller does, and what the leader decided last.",
        role=Role.VIEWER,
        query=Schema(FRESH),
        ask=_status,
    ),
    Endpoint(
        path="/controller/history",
        about="The journal: every change that was decided, the newest first.",
        role=Role.VIEWER,
        query=Schema((*FRESH, _ARTIFACT, _LIMIT)),
        ask=_history,
    ),
    Endpoint(
        path="/controller/recording",
        about="What the leader saw and decided lately, as JSON lines for `aether controller replay`.",
        role=Role.VIEWER,
        query=Schema(),
        serve=_recording,
    ),
    Endpoint(
        path="/explain/{artifact}",
        about="Why a slice has so many instances: every word about its count, and what the controller says now.",
        role=Role.VIEWER,
        query=Schema(FRESH),
        ask=_explain,
    ),
    Endpoint(
        path="/controller/config",
        about="Change rules and thresholds, of all slices or of one, for the whole cluster.",
        role=Role.OPERATOR,
        query=Schema((DRY_RUN,)),
        body=Schema(tuple(_fields())),
        change=_configure,
    ),
    Endpoint(
        path="/controller/evaluate",
        about="Look and decide now, and answer with the decisions.",
        role=Role.OPERATOR,
        query=Schema((DRY_RUN,)),
        change=_evaluate,
        rehearse=_rehearse,
        is_act=True,
    ),
)
