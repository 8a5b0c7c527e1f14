"""What nodes tell each other about how they are doing, beside the log.

Knows: rows of figures and their age, snapshots of calls; the plain spelling of both.
Never: who leads, when something is told.
Holds: what comes from outside is checked before it is kept; of a row of another version as much is read as both know.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan
from typing import Any, Final, cast

import attrs

from aether.errors import BadInput
from aether.kv.packing import UNPACK_ERRORS, pack, unpack
from aether.metrics.figures import FIGURES
from aether.metrics.rings import Row, empty_row
from aether.model.ids import NodeId, is_name
from aether.model.limits import CALL_SNAPSHOT_BYTES_MAX, FIGURE_NODES_MAX, FIGURE_VALUES_MAX, FIGURES_TOLD_MAX

_WIDTH: Final = len(FIGURES)
_AGE_MS_MAX: Final = 86_400_000
_STAMP_MAX: Final = 2**63 - 1


@attrs.frozen
class NodeFigures:
    """One row of figures of one node.

    stamp  tells it from every other row of that node, later ones are higher: about milliseconds of its own clock
    age_s  since it was measured, as far as whoever tells it knows; no clock of two nodes is compared
    """

    node: NodeId
    stamp: int
    age_s: float
    row: Row


@attrs.frozen
class FiguresPing:
    """Leader to a node that tells nothing by itself: how others are doing. The answer is a FiguresPong.

    told  `spell_told` made it, once for all
    """

    told: bytes


@attrs.frozen
class FiguresPong:
    """How this node is doing, since it last told; of a voter, how those are doing of whom it heard."""

    told: bytes


@attrs.frozen
class SnapshotsTold:
    """What the calls of a node came to; of a voter, those of others too. Bytes as CallFigures makes them."""

    snapshots: tuple[tuple[NodeId, bytes], ...]


def spell_told(told: Sequence[NodeFigures]) -> bytes:
    """Rows as bytes; four for a figure and some 20 for a node."""
    return pack([[t.node, t.stamp, round(t.age_s * 1e3), _bytes_of(t.row)] for t in told])


def read_told(raw: bytes) -> tuple[NodeFigures, ...]:
    """Inverse of spell_told. Raises BadInput for anything else."""
    try:
        plain = unpack(raw)
    except UNPACK_ERRORS as error:
        raise BadInput("figures of nodes are malformed", (str(error),)) from error
    if not isinstance(plain, tuple) or len(cast("tuple[object, ...]", plain)) > FIGURES_TOLD_MAX:
        raise BadInput(f"figures of nodes are a list of at most {FIGURES_TOLD_MAX}")
    return tuple(map(_read_one, cast("tuple[object, ...]", plain)))


def _read_one(plain: object) -> NodeFigures:
    parts = list(cast("tuple[Any, ...]", plain)) if isinstance(plain, tuple) else []
    if [type(part) for part in parts] != [str, int, int, bytes]:
        raise BadInput(f"{plain!r:.80} are no figures of a node")
    node, stamp, age_ms, raw = parts
    if not is_name(node) or not 0 <= age_ms <= _AGE_MS_MAX or not 0 <= stamp <= _STAMP_MAX:
        raise BadInput(f"{plain!r:.80} are no figures of a node")
    return NodeFigures(NodeId(node), stamp, age_ms / 1e3, _row_of(raw))


def _bytes_of(row: Row) -> bytes:
    if sys.byteorder == "little":
        return row.tobytes()
    turned = array("f", row)
    turned.byteswap()
    return turned.tobytes()


def _row_of(raw: bytes) -> Row:
    if len(raw) % 4 or len(raw) > 4 * FIGURE_VALUES_MAX:
        raise BadInput(f"{len(raw)} bytes are no row of figures; each has 4, and there are {FIGURE_VALUES_MAX} at most")
    values = array("f", raw[: 4 * _WIDTH])
    if sys.byteorder == "big":
        values.byteswap()
    if len(values) < _WIDTH:
        values += empty_row(_WIDTH - len(values))
    if not all(map(isfinite, values)):
        values = array("f", [value if isfinite(value) else nan for value in values])
    return values


def encode_told(m: FiguresPing | FiguresPong) -> Sequence[object]:
    return [m.told]


def _told_in(fields: Sequence[object]) -> bytes:
    (raw,) = fields
    if not isinstance(raw, bytes):
        raise BadInput("figures of nodes are bytes")
    return raw


def decode_ping(fields: Sequence[object]) -> FiguresPing:
    return FiguresPing(_told_in(fields))


def decode_pong(fields: Sequence[object]) -> FiguresPong:
    return FiguresPong(_told_in(fields))


def encode_snapshots(m: SnapshotsTold) -> Sequence[object]:
    return [[[node, snapshot] for node, snapshot in m.snapshots]]


def decode_snapshots(fields: Sequence[object]) -> SnapshotsTold:
    (plain,) = fields
    if not isinstance(plain, list) or len(cast("list[object]", plain)) > FIGURE_NODES_MAX:
        raise BadInput(f"snapshots of calls are a list of at most {FIGURE_NODES_MAX}")
    return SnapshotsTold(tuple(map(_snapshot, cast("list[object]", plain))))


def _snapshot(plain: object) -> tuple[NodeId, bytes]:
    parts = cast("list[Any]", plain) if isinstance(plain, list) else []
    if [type(part) for part in parts] != [str, bytes] or not is_name(parts[0]):
        raise BadInput(f"{plain!r:.80} is no snapshot of calls")
    if len(parts[1]) > CALL_SNAPSHOT_BYTES_MAX:
        raise BadInput(f"a snapshot of calls of {len(parts[1])} bytes; at most {CALL_SNAPSHOT_BYTES_MAX} are told")
    return NodeId(parts[0]), parts[1]


Encode = Callable[[Any], Sequence[object]]
Decode = Callable[[Sequence[object]], object]
MESSAGES: Final[Mapping[int, tuple[type[Any], Encode, Decode]]] = {
    40: (FiguresPing, encode_told, decode_ping),
    41: (FiguresPong, encode_told, decode_pong),
    42: (SnapshotsTold, encode_snapshots, decode_snapshots),
}
