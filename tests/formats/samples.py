"""One value of any type that crosses the wire or stands in a row: made from its annotations, the same each time."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import attrs

from aether.consensus.entry import Entry, EntryKind, encode_entry
from aether.consensus.messages import SnapshotChunk
from aether.consensus.quorum import Configuration
from aether.invocation.trace_messages import TraceReply
from aether.kv import key_parts
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import InstanceId, LogIndex, NodeId, Term
from aether.model.rows import TrafficRow
from aether.model.version import Version

ARTIFACT = Artifact.parse("shop:cart:1.2.3")
ENTRY = Entry(8, 7, EntryKind.COMMAND, b"\x01\x02")
SIMPLE = {bool: True, int: 7, float: 0.5, str: "a", bytes: encode_entry(ENTRY), object: 1, type(None): None}
CONFIGURATION = Configuration(voters=(NodeId("a"), NodeId("b")), learners=(NodeId("c"),))
BY_TYPE = {
    Artifact: ARTIFACT,
    ArtifactBase: ARTIFACT.base,
    Version: Version(1, 2, 3),
    Entry: ENTRY,
    Configuration: CONFIGURATION,
    SnapshotChunk: SnapshotChunk(
        term=Term(7), index=LogIndex(7), snapshot_term=Term(7), configuration=CONFIGURATION,
        configuration_index=LogIndex(3), offset=7, total_bytes=9, checksum=7, chunk=b"\x01\x02",
    ),
    TraceReply: TraceReply(7, [1]),
    TrafficRow: TrafficRow(
        artifact=ARTIFACT.base, weights={"1.2.3": 90, "1.3.0": 10}, rules={"header:x-beta=yes": "1.3.0"}, update="u1"
    ),
}  # fmt: skip
PARTS = {
    key_parts.NAME: "a", key_parts.NODE: NodeId("a"), key_parts.BASE: ARTIFACT.base, key_parts.COUNT: 7,
    key_parts.INSTANCE: InstanceId("i1"), key_parts.VERSION: Version(1, 2, 3), key_parts.USER_KEY: b"k",
}  # fmt: skip


def sample(kind: Any, within: tuple[Any, ...] = ()) -> Any:
    """within  the classes that this value stands in: one that holds itself ends there. Raises TypeError: a new sort."""
    if isinstance(kind, typing.NewType):
        return sample(kind.__supertype__, within)
    if kind is Any:
        return 1
    for table in (BY_TYPE, SIMPLE):
        if isinstance(kind, type) and kind in table:
            return table[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is not None:
        return _of_generic(kind, origin, inner, within)
    if kind in within:
        raise _Endless
    if issubclass(kind, enum.Enum):
        return next(iter(kind))
    if attrs.has(kind):
        hints = typing.get_type_hints(kind)
        given = {each.alias: sample(hints[each.name], (*within, kind)) for each in attrs.fields(kind) if each.init}
        return kind(**given)
    if hasattr(kind, "_fields"):
        hints = typing.get_type_hints(kind)
        return kind(*(sample(hints[name], (*within, kind)) for name in kind._fields))
    raise TypeError(f"{kind!r}: no sample")


class _Endless(Exception):
    """A class inside itself: whatever may be empty is."""


def _of_generic(kind: Any, origin: Any, inner: tuple[Any, ...], within: tuple[Any, ...]) -> Any:
    if origin is typing.Literal:
        return inner[0]
    if origin in (typing.Union, types.UnionType):
        try:
            return sample(inner[0], within)
        except _Endless:
            return sample(inner[-1], within)
    if origin is tuple and inner[1:] != (Ellipsis,):
        return tuple(sample(each, within) for each in inner)
    if origin in (tuple, list, Sequence):
        return _one(inner[0], within)
    if origin in (dict, Mapping):
        return dict(zip(_one(inner[0], within), _one(inner[1], within), strict=False))
    if origin in (frozenset, set, AbstractSet, Collection):
        return frozenset(_one(inner[0], within))
    if attrs.has(origin):
        return sample(origin, within)
    raise TypeError(f"{kind!r}: no sample")


def _one(kind: Any, within: tuple[Any, ...]) -> tuple[Any, ...]:
    try:
        return (sample(kind, within),)
    except _Endless:
        return ()
