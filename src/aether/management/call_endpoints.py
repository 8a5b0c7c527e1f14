"""One call of a slice's method for whoever has no code of it: arguments and result as JSON.

Knows: the shape of the answer.
Never: who carries the call; which slices there are.
Holds: a Fault of the slice is an answer, not a failure of this API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from aether.errors import BadInput
from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import NO_BODY, Endpoint
from aether.management.facts import Answer
from aether.management.schema import Field, Kind, Schema
from aether.model.access import Role
from aether.model.limits import CALL_DEADLINE_S, IDEMPOTENCY_KEY_CHARS_MAX


async def call(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    arguments = body.get("arguments", {})
    if not isinstance(arguments, dict):
        raise BadInput("the body does not fit", ("arguments: give an object, parameter to value",))
    came = await actors.calls.call(
        cast("str", body["slice"]),
        cast("str", body["method"]),
        cast("dict[str, object]", arguments),
        deadline_s=float(cast("float", body.get("deadlineSeconds", CALL_DEADLINE_S))),
        key=cast("str", body.get("key", "")),
    )
    answer: Answer = {"artifact": str(came.artifact), "method": came.method, "revision": came.revision}
    if came.fault is None:
        return Changed(answer | {"outcome": "done", "result": came.result}, came.revision, frozenset())
    return Changed(answer | {"outcome": "fault", "fault": dict(came.fault)}, came.revision, frozenset())


CALL_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/call",
        about="Call one method of a slice, with arguments as JSON.",
        role=Role.OPERATOR,
        is_act=True,
        query=NO_BODY,
        body=Schema(
            (
                Field(
                    "slice",
                    Kind.TEXT,
                    required=True,
                    also=("artifact",),
                    low=1,
                    high=512,
                    about="group:artifact, or the name of its class where only one is called so",
                ),
                Field("method", Kind.TEXT, required=True, low=1, high=200, about="of the slice's contract"),
                Field("arguments", Kind.ANY, about="an object, parameter to value; none unless given"),
                Field(
                    "deadlineSeconds",
                    Kind.SECONDS,
                    also=("deadline_s",),
                    low=0.001,
                    high=3600,
                    about="how long it may take",
                ),
                Field(
                    "key", Kind.TEXT, high=IDEMPOTENCY_KEY_CHARS_MAX, about="idempotency key: repeats do not run again"
                ),
            )
        ),
        change=call,
        is_secret=True,
    ),
)
