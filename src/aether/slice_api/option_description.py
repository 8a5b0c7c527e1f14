"""The options of `@aether.slice` as plain data: what a slice says of itself, for nodes without its class.

Knows: which options there are, and their bounds.
Never: which of them a blueprint or an override outweighs.
Holds: options that this release does not know are left alone; one out of bounds is refused, whatever the others say.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import attrs

from aether.errors import BadInput
from aether.model.hosts import IN_PROCESS, host_problem
from aether.model.limits import CALL_DEADLINE_S, INSTANCES_MAX, SLICE_CONCURRENCY_DEFAULT, SLICE_QUEUE_DEFAULT
from aether.model.scale import Scale
from aether.slice_api.contract import SliceOptions
from aether.slice_api.plain_reader import PlainReader

_READ: Final = PlainReader("malformed options of a slice")
_ELSEWHERE: Final = ("artifact", "json_case")  # a description says these itself


def plain_options(options: SliceOptions) -> dict[str, Any]:
    """As JSON or msgpack spell them."""
    return {name: value for name, value in attrs.asdict(options).items() if name not in _ELSEWHERE}


def read_options(plain: object, json_case: str = "snake") -> SliceOptions:
    """Inverse of `plain_options`, for data from outside. Raises BadInput that names the first that does not fit."""
    part = _READ.table(plain, "options")
    if json_case not in ("snake", "camel"):
        raise _READ.misfit("json_case", "snake or camel", json_case)
    host, memory_mb = part.get("host", IN_PROCESS), part.get("memory_mb")
    problem = host_problem(host, memory_mb)
    if problem:
        raise BadInput("malformed options of a slice", (f"host={host!r:.60}, memory_mb={memory_mb!r:.60}: {problem}",))
    scale = _scale(part.get("scale"))
    singleton = _READ.flag({"singleton": False, **part}, "singleton")
    most = 1 if singleton else INSTANCES_MAX
    if scale is not None and scale.max > most:
        raise _READ.misfit("scale.max", f"at most {most}", scale.max)
    return SliceOptions(
        instances=_READ.count({"instances": 1, **part}, "instances", 1, most),
        concurrency=_READ.count({"concurrency": SLICE_CONCURRENCY_DEFAULT, **part}, "concurrency", 1),
        queue=_READ.count({"queue": SLICE_QUEUE_DEFAULT, **part}, "queue", 0),
        json_case="camel" if json_case == "camel" else "snake",
        deadline_s=read_seconds(part.get("deadline_s", CALL_DEADLINE_S)),
        host=str(host),
        memory_mb=memory_mb if isinstance(memory_mb, int) else None,
        scale=scale,
        singleton=singleton,
    )


def _scale(plain: object) -> Scale | None:
    if plain is None:
        return None
    part = _READ.table(plain, "scale")
    given = {name: part[name] for name in ("min", "max", "idle_s") if name in part}
    if not {"min", "max"} <= given.keys():
        raise _READ.misfit("scale", "min and max", part)
    return Scale(**given)


def read_seconds(value: object) -> float:
    """A deadline. Raises BadInput unless it is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise _READ.misfit("deadline_s", "seconds above 0", value)
    return float(value)
