"""What a register's history tells before any search: which writes are awaited by whom, and which by nobody.

Knows: values that were written once only, and the versions that operations name.
Never: times, orders.
Holds: every fact is a necessary condition: using it never changes a verdict, only the way to it.
Paper: Gibbons & Korach 1997: with values written once, what each read saw is known, and the search nearly vanishes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import attrs


@attrs.frozen(kw_only=True)
class Seen:
    """One operation in terms of values. None: it leaves or finds none, or an absent one.

    compares    the version that it expects; missed  it found another one
    overwrites  it does the same whatever it finds
    """

    leaves: Hashable = None
    left_version: int | None = None
    finds: Hashable = None
    found_version: int | None = None
    compares: int | None = None
    missed: bool = False
    overwrites: bool = False


@attrs.frozen
class Facts:
    """readers  value -> places (in the certain operations) of all that found it, for values that only one write left
    writers   value -> place of the one write that left it; those of unknown outcome are counted from -1 downwards
    settled   values whose readers are all of them, and certain
    blind     places of writes whose value nobody found and nobody can have missed: when they come does not matter
    versions  place -> version that the write there was told
    missed    places of those that did not find the version that they expected
    phantoms  places of those that found a value that nobody wrote
    opened    for each write of unknown outcome what is known of it; empty = nothing
    """

    readers: Mapping[Hashable, tuple[int, ...]]
    writers: Mapping[Hashable, int]
    settled: frozenset[Hashable]
    blind: frozenset[int]
    versions: Mapping[int, int]
    missed: frozenset[int] = frozenset()
    phantoms: tuple[int, ...] = ()
    opened: tuple[OpenWrite, ...] = ()


@attrs.frozen
class OpenWrite:
    """readers  places of all that found its value; None = cannot be told; empty = nobody did
    overwrites  it does the same whatever it finds
    """

    readers: frozenset[int] | None
    overwrites: bool

    @property
    def is_idle(self) -> bool:
        """It can only ever be an excuse for who missed what it expected; and for that all such writes are alike."""
        return self.overwrites and self.readers is not None and not self.readers


NO_FACTS = Facts({}, {}, frozenset(), frozenset(), {})


def facts_of(certain: Sequence[Seen], opened: Sequence[Seen]) -> Facts:
    """The facts of one key. `opened` are writes of unknown outcome."""
    written = Counter(s.leaves for s in (*certain, *opened) if s.leaves is not None)
    named = _named(certain)
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, seen in enumerate(certain):
        value = _found(seen, named)
        if value is not None and written[value] == 1:
            found[value].append(place)
    readers = {value: tuple(places) for value, places in found.items()}
    places = (*enumerate(certain), *((-1 - i, seen) for i, seen in enumerate(opened)))
    writers = {s.leaves: i for i, s in places if s.leaves is not None and written[s.leaves] == 1}
    versions = {i: s.left_version for i, s in enumerate(certain) if s.left_version is not None}
    missed = frozenset(i for i, s in enumerate(certain) if s.missed)
    phantoms = tuple(i for i, s in enumerate(certain) if s.finds is not None and not written[s.finds])
    compared = [s.compares for s in (*certain, *opened) if s.compares]
    if any(named.get(version) is None for version in compared):  # by a version that says nothing, anything may be meant
        unknown = tuple(OpenWrite(None, s.overwrites) for s in opened)
        return Facts(readers, writers, frozenset(), frozenset(), versions, missed, phantoms, unknown)
    maybe = {named[s.compares] for s in opened if s.compares}
    blind = frozenset[int]() if missed else _blind(certain, readers.keys() | maybe)
    open_writes = tuple(_open_write(s, readers, written, maybe) for s in opened)
    settled = frozenset(value for value, times in written.items() if times == 1 and value not in maybe)
    return Facts(readers, writers, settled, blind, versions, missed, phantoms, open_writes)


def _open_write(
    seen: Seen,
    readers: Mapping[Hashable, tuple[int, ...]],
    written: Mapping[Hashable, int],
    maybe: AbstractSet[Hashable],
) -> OpenWrite:
    if seen.leaves is None or written[seen.leaves] > 1 or seen.leaves in maybe:
        return OpenWrite(None, seen.overwrites)
    return OpenWrite(frozenset(readers.get(seen.leaves, ())), seen.overwrites)


def _named(certain: Sequence[Seen]) -> dict[int, Hashable]:
    """Version -> the value that some operation saw with it; None when two saw different ones."""
    named: dict[int, Hashable] = {}
    for seen in certain:
        for version, value in ((seen.left_version, seen.leaves), (seen.found_version, seen.finds)):
            if version is not None:
                named[version] = value if named.get(version, value) == value else None
    return named


def _found(seen: Seen, named: Mapping[int, Hashable]) -> Hashable:
    if seen.compares is not None:
        return None if seen.missed else named.get(seen.compares)
    return seen.finds


def _blind(certain: Sequence[Seen], awaited: AbstractSet[Hashable]) -> frozenset[int]:
    return frozenset(
        place
        for place, seen in enumerate(certain)
        if seen.overwrites and seen.leaves is not None and seen.leaves not in awaited and seen.left_version is None
    )
