"""Maps: typed, replicated when hosted, in memory in a unit test, with the same operations and quotas.

Knows: keys and values as bytes, versions, compare-and-set; a backend of bytes carries the operations out.
Never: replication (hosting brings a backend over the replicated store), locks, clocks.
Holds: the version of an absent key is 0; an operation happens as a whole or not at all; values share nothing with
       the caller's.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import attrs
import msgpack

from aether.errors import BadInput, Conflict, QuotaExceeded
from aether.model.limits import (
    BATCH_OPERATIONS_MAX,
    KEY_BYTES_MAX,
    MAP_BYTES_MAX_DEFAULT,
    MAP_ENTRIES_MAX_DEFAULT,
    VALUE_BYTES_MAX,
)
from aether.slice_api.annotations import NoCodec, TypeOf
from aether.slice_api.codec import Form, codec_of
from aether.slice_api.map_keys import key_codec
from aether.slice_api.misfit import misfit

K = TypeVar("K")
V = TypeVar("V")

_MSGPACK: Final[Any] = msgpack

UPDATE_TRIES_MAX: Final = 32
ITEMS_MAX: Final = 1_000
"""Entries of one `items` call; ask for more with `after`."""


@attrs.frozen
class RawEntry:
    """One entry of a backend. version  of its last change, never 0"""

    key: bytes
    value: bytes
    version: int


class MapBackend(Protocol):
    """Bytes of one map. Hosting implements it over the replicated store; MemoryBackend in memory."""

    async def get(self, key: bytes) -> RawEntry | None:
        """The entry as it is after everything that was acknowledged before the call."""
        ...

    async def apply(self, changes: Mapping[bytes, bytes | None], if_versions: Mapping[bytes, int]) -> bool:
        """Make all `changes` (None deletes) when every version is as stated (0 = absent), else nothing and False.

        Raises QuotaExceeded before anything is changed.
        """
        ...

    async def scan(self, prefix: bytes, after: bytes | None, limit: int) -> Sequence[RawEntry]:
        """Up to `limit` entries whose keys start with `prefix` and are greater than `after`, in order."""
        ...

    async def count(self) -> int: ...


@attrs.frozen
class MapEntry(Generic[V]):
    """A value and the version of its last change; (None, 0) when the key is absent."""

    value: V | None
    version: int


class Map(Generic[K, V]):
    """A replicated map from K to V. Every method is atomic; reads see every write acknowledged before them.

    Keys are text, int, bytes, dates, enums or tuples of them; values anything with a codec.

    Errors of all methods: BadInput (a key or value that does not fit its type or its size limit), and for a replicated
    map NoQuorum and OutcomeUnknown. A cancelled write may have happened.
    """

    def __init__(self, key: TypeOf, value: TypeOf, backend: MapBackend, *, name: str = "map") -> None:
        self.name = name
        self._backend = backend
        self._keys = key_codec(key)
        self._values = codec_of(value, Form.WIRE)

    @staticmethod
    def check_types(key: TypeOf, value: TypeOf) -> None:
        """Raises NoCodec when `key` cannot be a key or `value` cannot be stored."""
        try:
            key_codec(key)
        except NoCodec as error:
            raise error.below(".key") from None
        try:
            codec_of(value, Form.WIRE)
        except NoCodec as error:
            raise error.below(".value") from None

    async def get(self, key: K) -> V | None:
        """The value of `key`; None when absent."""
        return (await self.entry(key)).value

    async def entry(self, key: K) -> MapEntry[V]:
        """The value of `key` with its version, for `compare_and_set` and `apply`; (None, 0) when absent."""
        found = await self._backend.get(self._raw_key(key))
        return MapEntry(None, 0) if found is None else MapEntry(self._value(found.value), found.version)

    async def put(self, key: K, value: V) -> None:
        """Store `value`, whatever was there. Raises QuotaExceeded."""
        await self._backend.apply({self._raw_key(key): self._raw_value(key, value)}, {})

    async def delete(self, key: K) -> None:
        """Remove `key`; nothing happens when it is absent."""
        await self._backend.apply({self._raw_key(key): None}, {})

    async def put_if_absent(self, key: K, value: V) -> bool:
        """Store `value` when `key` is absent; whether it was. Raises QuotaExceeded."""
        return await self.compare_and_set(key, value, 0)

    async def compare_and_set(self, key: K, value: V, version: int) -> bool:
        """Store `value` when `key` still has `version` (0 = absent); whether it did. Raises QuotaExceeded."""
        raw = self._raw_key(key)
        return await self._backend.apply({raw: self._raw_value(key, value)}, {raw: _version(self.name, version)})

    async def apply(self, changes: Mapping[K, V | None], if_versions: Mapping[K, int]) -> bool:
        """Make all `changes` (None deletes) when every key of `if_versions` still has its version (0 = absent).

        At most 1,024 keys together. False, and nothing changed, when a version differs. Raises QuotaExceeded.
        """
        size = len(changes.keys() | if_versions.keys())
        if size > BATCH_OPERATIONS_MAX:
            raise BadInput(f"map {self.name}: apply over {size} keys", (f"at most {BATCH_OPERATIONS_MAX} together",))
        raw = {self._raw_key(k): None if v is None else self._raw_value(k, v) for k, v in changes.items()}
        versions = {self._raw_key(k): _version(self.name, version) for k, version in if_versions.items()}
        return await self._backend.apply(raw, versions)

    async def update(self, key: K, function: Callable[[V | None], V | None]) -> V | None:
        """Replace the value of `key` by `function(value)`, and return the new one. None stands for an absent key.

        `function` may be called several times, when others change the key meanwhile. Raises Conflict after 32 tries in
        a row that others won, QuotaExceeded, and whatever `function` raises.
        """
        for _ in range(UPDATE_TRIES_MAX):
            before = await self.entry(key)
            after = function(before.value)
            if await self.apply({key: after}, {key: before.version}):
                return after
        raise Conflict(
            f"map {self.name}, key {key!r}", f"others changed it {UPDATE_TRIES_MAX} times in a row; repeat later"
        )

    async def items(self, *, prefix: Any = None, after: K | None = None, limit: int = ITEMS_MAX) -> list[tuple[K, V]]:
        """Up to `limit` (at most 1,000) entries in the order of their keys.

        prefix  beginning of text keys, or the first items of tuple keys as a tuple
        after   only keys behind this one: the last of the previous call continues it
        """
        if type(limit) is not int or not 1 <= limit <= ITEMS_MAX:
            raise BadInput(f"map {self.name}: limit={limit!r}", (f"give 1 to {ITEMS_MAX}, and continue with after=",))
        start = b"" if prefix is None else self._fit("prefix", self._keys.prefix, prefix)
        found = await self._backend.scan(start, None if after is None else self._raw_key(after), limit)
        return [(self._fit("key", self._keys.decode, e.key), self._value(e.value)) for e in found]

    async def count(self) -> int:
        """How many entries there are."""
        return await self._backend.count()

    def _raw_key(self, key: K) -> bytes:
        raw: bytes = self._fit("key", self._keys.encode, key)
        if len(raw) > KEY_BYTES_MAX:
            raise BadInput(f"map {self.name}: a key of {len(raw)} bytes", (f"at most {KEY_BYTES_MAX}",))
        return raw

    def _raw_value(self, key: K, value: V) -> bytes:
        if value is None:
            raise BadInput(f"map {self.name}, key {key!r}: None is no value", ("delete the key instead",))
        raw = pack(self._fit(f"value of {key!r}", self._values.encode, value))
        if len(raw) > VALUE_BYTES_MAX:
            raise BadInput(f"map {self.name}, key {key!r}: {len(raw)} bytes", (f"at most {VALUE_BYTES_MAX}",))
        return raw

    def _value(self, raw: bytes) -> V:
        value: V = self._fit("stored value", self._values.decode, unpack(raw))
        return value

    def _fit(self, what: str, convert: Callable[[Any], Any], value: Any) -> Any:
        try:
            return convert(value)
        except Exception as error:  # noqa: BLE001 - whatever a user's class raises is a problem of its value
            raise BadInput(f"map {self.name}", misfit(error).lines(what)) from None


class MemoryBackend:
    """A MapBackend in memory, with quotas. Not shared, not replicated, not durable."""

    def __init__(self, name: str, entries_max: int, bytes_max: int) -> None:
        self._name = name
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._entries: dict[bytes, RawEntry] = {}
        self._order: list[bytes] = []
        self._bytes = 0
        self._revision = 0

    async def get(self, key: bytes) -> RawEntry | None:
        return self._entries.get(key)

    async def apply(self, changes: Mapping[bytes, bytes | None], if_versions: Mapping[bytes, int]) -> bool:
        for key, version in if_versions.items():
            current = self._entries.get(key)
            if (current.version if current is not None else 0) != version:
                return False
        self._check_quota(changes)
        self._revision += 1
        for key, value in changes.items():
            self._change(key, value)
        return True

    async def scan(self, prefix: bytes, after: bytes | None, limit: int) -> Sequence[RawEntry]:
        found: list[RawEntry] = []
        first = bisect.bisect_left(self._order, prefix)
        if after is not None:
            first = max(first, bisect.bisect_right(self._order, after))
        for key in self._order[first : first + limit]:
            if not key.startswith(prefix):
                break
            found.append(self._entries[key])
        return found

    async def count(self) -> int:
        return len(self._entries)

    def _change(self, key: bytes, value: bytes | None) -> None:
        old = self._entries.pop(key, None)
        self._bytes -= _size(old)
        if value is not None:
            self._entries[key] = new = RawEntry(key, value, self._revision)
            self._bytes += _size(new)
        if old is None and value is not None:
            bisect.insort(self._order, key)
        elif old is not None and value is None:
            del self._order[bisect.bisect_left(self._order, key)]

    def _check_quota(self, changes: Mapping[bytes, bytes | None]) -> None:
        entries, size = len(self._entries), self._bytes
        for key, value in changes.items():
            old = self._entries.get(key)
            entries += (value is not None) - (old is not None)
            size += (0 if value is None else len(key) + len(value)) - _size(old)
        # A change that shrinks a map is never refused, even when the quota was lowered below what it holds.
        if entries > self._entries_max and entries > len(self._entries):
            raise QuotaExceeded(f"map {self._name}", self._entries_max, "entries")
        if size > self._bytes_max and size > self._bytes:
            raise QuotaExceeded(f"map {self._name}", self._bytes_max, "bytes")


class MemoryMap(Map[K, V]):
    """A Map in memory for unit tests: the same operations, versions, errors and quotas, one process only.

    A plainly constructed slice gets one for each `aether.map` field; make one yourself to share it between two slices:
    `aether.MemoryMap(str, Order, name="orders")`.
    """

    def __init__(
        self,
        key: type[K],
        value: type[V],
        *,
        name: str = "map",
        entries_max: int = MAP_ENTRIES_MAX_DEFAULT,
        bytes_max: int = MAP_BYTES_MAX_DEFAULT,
    ) -> None:
        super().__init__(key, value, MemoryBackend(name, entries_max, bytes_max), name=name)


def pack(plain: Any) -> bytes:
    """Plain data as msgpack."""
    packed: bytes = _MSGPACK.packb(plain)
    return packed


def unpack(raw: bytes) -> Any:
    """Inverse of `pack`."""
    return _MSGPACK.unpackb(raw)


def _size(entry: RawEntry | None) -> int:
    return 0 if entry is None else len(entry.key) + len(entry.value)


def _version(name: str, version: int) -> int:
    if type(version) is not int or version < 0:
        raise BadInput(f"map {name}: version {version!r}", ("give the version that `entry` returned; 0 = absent",))
    return version
