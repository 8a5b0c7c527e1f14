"""Where the time of a call went: the tree of hops.

Knows: names, seconds, which hops were still running when the deadline came.
Never: clocks; callers bring the times.
Holds: a tree is bounded: at most CHILDREN_MAX children per hop and DEPTH_MAX levels cross the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeVar, cast

import attrs

from aether.errors import BadInput

E = TypeVar("E", bound=BaseException)

CHILDREN_MAX: Final = 32
DEPTH_MAX: Final = 16


@attrs.frozen
class Hop:
    """One call of the tree: `name` such as `Order.place`, the seconds it took, and the calls that it made.

    running   it had not answered when its caller's time ran out
    children  in the order in which they were made; the last CHILDREN_MAX
    """

    name: str
    spent_s: float
    running: bool = False
    children: tuple[Hop, ...] = ()


def describe(hop: Hop) -> str:
    """The tree as text, one hop per line, children indented; the innermost running hops are marked."""
    return "\n".join(_lines(hop, 0))


def path_text(hop: Hop) -> str:
    """The slow path on one line: `Order.place 1.00 s / Price.quote 0.70 s <- still running`."""
    lines = [f"{hop.name} {hop.spent_s:.2f} s" for hop in _path(hop)]
    last = list(_path(hop))[-1]
    return " / ".join(lines) + (" <- still running" if last.running else "")


def shown(hop: Hop) -> dict[str, object]:
    """The tree as JSON shows it: name, spentS, running, and calls when it made some."""
    calls = [shown(child) for child in hop.children[-CHILDREN_MAX:]]
    tree: dict[str, object] = {"name": hop.name, "spentS": round(hop.spent_s, 3), "running": hop.running}
    return {**tree, "calls": calls} if calls else tree


def tell(error: E, hop: Hop) -> E:
    """`error` with the tree as a note, and as its attribute `hops`, for whoever shows it to a client."""
    error.add_note(f"where the time went:\n{describe(hop)}")
    vars(error)["hops"] = shown(hop)
    return error


def _path(hop: Hop) -> Iterator[Hop]:
    yield hop
    if hop.children:
        slowest = max(hop.children, key=lambda child: (child.running, child.spent_s))
        if slowest.running:
            yield from _path(slowest)


def _lines(hop: Hop, level: int) -> Iterator[str]:
    mark = " <- still running" if hop.running and not any(child.running for child in hop.children) else ""
    yield f"{'  ' * level}{hop.name} {hop.spent_s:.2f} s{mark}"
    for child in hop.children:
        yield from _lines(child, level + 1)


def encode_hop(hop: Hop, depth: int = DEPTH_MAX) -> list[object]:
    """The tree as plain data, cut to its bounds."""
    children = [encode_hop(child, depth - 1) for child in hop.children[-CHILDREN_MAX:]] if depth > 1 else []
    return [hop.name, hop.spent_s, hop.running, children]


def decode_hop(plain: object, depth: int = DEPTH_MAX) -> Hop:
    """Inverse of encode_hop. Raises BadInput when the shape, a type or a bound does not fit."""
    match _parts(plain):
        case [str(name), float(spent_s), bool(running), [*children]] if depth > 0 and len(children) <= CHILDREN_MAX:
            return Hop(name, spent_s, running, tuple(decode_hop(child, depth - 1) for child in children))
        case _:
            raise BadInput(f"{plain!r:.80} is no hop of a call")


def _parts(plain: object) -> list[Any]:
    return list[Any](cast("Any", plain)) if isinstance(plain, list) else []
