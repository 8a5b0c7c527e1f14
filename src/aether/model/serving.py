"""Which routes and methods of a slice callers may use while two of its versions run.

Knows: the routes row, which holds what every version that became ACTIVE said of itself; desired and traffic rows.
Never: instances, requests.
Holds: a route that one version alone has is there exactly while that version gets calls. Of a route that several have,
       the version in force says how it is read, or, while that one gets no calls, the one with the most.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import attrs

from aether.model.limits import OPENAPI_BYTES_MAX
from aether.model.rows import DesiredRow, RouteRow, TrafficRow


def wanted_versions(desired: DesiredRow) -> tuple[str, ...]:
    """The version in force, then the one beside it."""
    beside = () if desired.beside is None else (str(desired.beside),)
    return (str(desired.artifact.version), *beside)


def with_version(known: RouteRow | None, new: RouteRow, wanted: Collection[str]) -> RouteRow:
    """The row when `new`, what one version says of itself, is added to `known`. wanted  versions that may run"""
    if known is None or known.version in ("", new.version):
        others = () if known is None else tuple(other for other in known.others if other.version != new.version)
        return attrs.evolve(new, others=_kept(others, new, wanted))
    versions = [known, *known.others]
    others = tuple(attrs.evolve(v, others=()) for v in versions if v.version != new.version)
    if next(iter(wanted), "") == new.version:  # in force: it speaks first
        return attrs.evolve(new, others=_kept(others, new, {*wanted, known.version}))  # that one still runs for a while
    first = attrs.evolve(known, others=())
    return attrs.evolve(first, others=_kept((*others[1:], attrs.evolve(new, others=())), first, wanted))


def _kept(others: Collection[RouteRow], first: RouteRow, wanted: Collection[str]) -> tuple[RouteRow, ...]:
    """Those that may run, without their documents where all together would be too long for a row."""
    kept: list[RouteRow] = []
    left = OPENAPI_BYTES_MAX - len(first.openapi)
    for other in sorted(others, key=lambda row: row.version):
        if other.version in wanted:
            left -= len(other.openapi)
            kept.append(other if left >= 0 else attrs.evolve(other, openapi=""))
    return tuple(kept)


def serving(row: RouteRow, desired: DesiredRow | None, traffic: TrafficRow | None) -> tuple[RouteRow, ...]:
    """What each version says that gets calls, the one that speaks first at the head; never empty."""
    by_version = {version.version: version for version in (row, *row.others)}
    order = [version for version in _in_order(desired, traffic) if version in by_version]
    return tuple(attrs.evolve(by_version[version], others=()) for version in order) or (attrs.evolve(row, others=()),)


def _in_order(desired: DesiredRow | None, traffic: TrafficRow | None) -> Iterator[str]:
    wanted = () if desired is None else wanted_versions(desired)
    if traffic is None:
        yield from wanted
        return
    weights = {version: weight for version, weight in traffic.weights.items() if weight > 0}
    ruled = set(traffic.rules.values())
    if not weights:
        yield from wanted
        yield from sorted(ruled - set(wanted))
        return
    heaviest = sorted(weights, key=lambda version: (version not in wanted[:1], -weights[version], version))
    yield from heaviest
    yield from sorted(ruled - set(heaviest))


def published(rows: Collection[RouteRow]) -> Iterator[RouteRow]:
    """`rows` of one slice as the route table shows them: a route that stands in several is the first one's."""
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(rows):
        routes = tuple(route for route in row.routes if (route.verb, route.template) not in seen)
        seen.update((route.verb, route.template) for route in routes)
        if routes or not number:
            yield attrs.evolve(row, routes=routes)
