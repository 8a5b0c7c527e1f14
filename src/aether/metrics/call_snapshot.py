"""What one node tells the others of its calls, as bytes.

Knows: rows of methods and slow calls, their plain spelling, how much is told.
Never: clocks: ages travel, not times; who is told.
Holds: what comes from outside is checked before anybody adds it up; at most METHODS_TOLD_MAX methods and
       CALL_SNAPSHOT_BYTES_MAX are told, the rest as one row, so that sums are those of all calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import attrs

from aether.errors import BadInput
from aether.kv.packing import UNPACK_ERRORS, pack, unpack
from aether.metrics.method_counters import OTHER
from aether.metrics.slow_calls import SlowCall
from aether.model.artifact import Artifact
from aether.model.call_counts import NO_CALLS, CallCounts
from aether.model.limits import CALL_SNAPSHOT_BYTES_MAX, METHODS_TOLD_MAX, SLOW_CALLS_TOLD_MAX
from aether.model.sketch import COUNT_MAX, Sketch

METHOD_CHARS_MAX: Final = 200
SPAN_S_MIN: Final = 1e-3  # shorter ones would make rates that are no numbers any more
SPAN_S_MAX: Final = 86_400.0
_FORM: Final = 1
_SLOW_BYTES_MAX: Final = CALL_SNAPSHOT_BYTES_MAX // 4
_REST_BYTES_MAX: Final = 32 * 1024  # of one row whose sketches have all buckets, and of all that stands around rows

MethodKey = tuple[Artifact | None, str]
"""A version and its method; (None, OTHER) for all that are told as one."""


@attrs.frozen(kw_only=True)
class MethodRow:
    """One method as one node counted it. total  since its process started; recent  over the span of the snapshot"""

    key: MethodKey
    in_flight: int = 0
    slow: int = 0
    total: CallCounts = NO_CALLS
    recent: CallCounts = NO_CALLS


@attrs.frozen
class SlowRow:
    """One slow call of a method; its `at_s` is an age while it travels."""

    key: MethodKey
    call: SlowCall


@attrs.frozen(kw_only=True)
class CallSnapshot:
    """What one node counted. span_s  that `recent` covers; slow  the newest first"""

    span_s: float
    methods: Sequence[MethodRow] = ()
    slow: Sequence[SlowRow] = ()


def combined(rows: Iterable[MethodRow], key: MethodKey) -> MethodRow:
    """Several rows as one."""
    given = tuple(rows)
    return MethodRow(
        key=key,
        in_flight=sum(row.in_flight for row in given),
        slow=sum(row.slow for row in given),
        total=CallCounts.total(row.total for row in given),
        recent=CallCounts.total(row.recent for row in given),
    )


def encode_snapshot(snapshot: CallSnapshot) -> bytes:
    """As bytes, at most CALL_SNAPSHOT_BYTES_MAX: of many methods those called most."""
    slow = [pack([*_named(row.key), row.call.to_plain()]) for row in snapshot.slow[:SLOW_CALLS_TOLD_MAX]]
    while sum(map(len, slow)) > _SLOW_BYTES_MAX:
        slow.pop()
    room = CALL_SNAPSHOT_BYTES_MAX - _SLOW_BYTES_MAX - _REST_BYTES_MAX
    ordered = sorted(snapshot.methods, key=lambda row: -row.total.requests)
    told: list[bytes] = []
    for row in ordered[: METHODS_TOLD_MAX - 1]:
        raw = _packed(row)
        room -= len(raw)
        if room < 0:
            break
        told.append(raw)
    rest = ordered[len(told) :]
    if rest:
        told.append(_packed(rest[0] if len(rest) == 1 else combined(rest, (None, OTHER))))
    return pack([_FORM, snapshot.span_s, told, slow])


def decode_snapshot(raw: bytes) -> CallSnapshot:
    """Inverse of encode_snapshot. Raises BadInput for anything else."""
    if len(raw) > CALL_SNAPSHOT_BYTES_MAX:
        raise BadInput(f"a snapshot of calls of {len(raw)} bytes; at most {CALL_SNAPSHOT_BYTES_MAX} are told")
    form, span_s, methods, slow = _parts(_unpacked(raw), (int, float, tuple, tuple))
    if form != _FORM or not SPAN_S_MIN <= span_s <= SPAN_S_MAX:
        raise BadInput(f"a snapshot of calls in form {form} over {span_s} s is none that this version reads")
    if len(methods) > METHODS_TOLD_MAX or len(slow) > SLOW_CALLS_TOLD_MAX:
        raise BadInput(f"{len(methods)} methods and {len(slow)} slow calls are more than a snapshot of calls tells")
    return CallSnapshot(
        span_s=span_s,
        methods=tuple(_method(_unpacked(each)) for each in methods),
        slow=tuple(_slow(_unpacked(each)) for each in slow),
    )


def _packed(row: MethodRow) -> bytes:
    return pack([*_named(row.key), row.in_flight, row.slow, row.total.to_plain(), row.recent.to_plain()])


def _named(key: MethodKey) -> tuple[str, str]:
    artifact, method = key
    return "" if artifact is None else str(artifact), method[:METHOD_CHARS_MAX]


def _method(plain: object) -> MethodRow:
    artifact, method, in_flight, slow, total, recent = _parts(plain, (str, str, int, int, tuple, tuple))
    if not 0 <= in_flight <= COUNT_MAX or not 0 <= slow <= COUNT_MAX:
        raise BadInput(f"{in_flight} calls in flight, {slow} slow ones are no counts")
    return MethodRow(
        key=_key(artifact, method),
        in_flight=in_flight,
        slow=slow,
        total=CallCounts.from_plain(total),
        recent=CallCounts.from_plain(recent),
    )


def _slow(plain: object) -> SlowRow:
    artifact, method, call = _parts(plain, (str, str, tuple))
    return SlowRow(_key(artifact, method), SlowCall.from_plain(call))


def _key(artifact: str, method: str) -> MethodKey:
    if not method or len(method) > METHOD_CHARS_MAX or not method.isprintable():
        raise BadInput(f"{method!r:.80} is no name of a method")
    return (Artifact.parse(artifact) if artifact else None), method


def _unpacked(raw: object) -> object:
    if not isinstance(raw, bytes):
        raise BadInput(f"{raw!r:.80} are no packed calls")
    try:
        return unpack(raw)
    except UNPACK_ERRORS as error:
        raise BadInput("a snapshot of calls is malformed", (str(error),)) from error


def _parts(plain: object, types: Sequence[type]) -> tuple[Any, ...]:
    parts = cast("tuple[Any, ...]", plain) if isinstance(plain, tuple) else ()
    if [type(part) for part in parts] != list(types) or any(type(p) is float and not math.isfinite(p) for p in parts):
        raise BadInput(f"{plain!r:.80} is no part of a snapshot of calls")
    return parts


def packed_latencies(row: MethodRow) -> bytes:
    """The latencies of its total, small, to be kept."""
    return pack(row.total.latencies.to_plain())


def unpacked_latencies(raw: bytes) -> Sketch:
    """Inverse of packed_latencies."""
    return Sketch.from_plain(unpack(raw))
