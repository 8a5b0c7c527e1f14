"""What is kept of a call that is over, so that somebody can look where its time went.

Knows: spans, their plain form, how those of several nodes make one tree.
Never: clocks, the wire, which calls are kept for how long.
Holds: a record has at most TRACE_SPANS_MAX spans and DEPTH_MAX levels, from whatever node it comes; a span hangs below
       the one whose id its caller sent along, and what has no such one stands at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, cast

import attrs

from aether.errors import BadInput
from aether.invocation.hops import CHILDREN_MAX, DEPTH_MAX
from aether.invocation.span import Span
from aether.model.ids import NodeId
from aether.model.limits import TRACE_SPANS_MAX

_TEXT_CHARS_MAX: Final = 256
_SECONDS_MAX: Final = 1e12


@attrs.frozen(kw_only=True)
class TracedSpan:
    """One call. at  seconds since the epoch, by the clock of `node`; id  in the trace, "" when nobody asked for it

    outcome  what it came to, of the first span of a record; "" = not told
    """

    name: str
    node: NodeId
    instance: str
    id: str
    at: float
    spent_s: float
    running: bool
    outcome: str = ""
    children: tuple[TracedSpan, ...] = ()


@attrs.frozen(kw_only=True)
class TracedCall:
    """One call that a node made for somebody outside, or served for another node.

    above  id of the span that caused it; "" = it came from outside
    """

    request_id: str
    trace_id: str
    above: str
    top: TracedSpan


@attrs.frozen
class Placed:
    """One line of a waterfall. depth  below how many others it stands"""

    span: TracedSpan
    depth: int


# --- from spans -------------------------------------------------------------------------------------------------------


def prune(span: Span, spans_max: int = TRACE_SPANS_MAX) -> None:
    """Forget what is too deep or too much of a tree that is over: it is kept for a while."""
    left, level = spans_max - 1, [span]
    for _ in range(DEPTH_MAX):
        following: list[Span] = []
        for each in level:
            each.children = list(each.children)[-min(CHILDREN_MAX, left) :] if left and each.children else ()
            left -= len(each.children)
            following += each.children
        level = following
        if not level:
            return
    for each in level:
        each.children = ()


def traced(span: Span, node: NodeId, wall_of: Callable[[float], float], now_s: float, outcome: str = "") -> TracedSpan:
    """wall_of  seconds since the epoch of a time of the node's clock"""
    spent_s = (now_s if span.ended_s is None else span.ended_s) - span.began_s
    return TracedSpan(
        name=span.name,
        node=node,
        instance=span.instance,
        id="" if span.trace is None else span.trace.span_id,
        at=wall_of(span.began_s),
        spent_s=spent_s,
        running=span.running and span.ended_s is None,
        outcome=outcome,
        children=tuple(traced(child, node, wall_of, now_s) for child in span.children),
    )


# --- one tree ---------------------------------------------------------------------------------------------------------


def waterfall(calls: Iterable[TracedCall]) -> list[Placed]:
    """All spans of one request as they are shown: each above those that it caused, the earlier first."""
    below: dict[str, list[TracedSpan]] = {}
    calls = tuple(calls)
    ids = {span.id for call in calls for span in _all(call.top) if span.id}
    tops: list[TracedSpan] = []
    for call in calls:
        if call.above in ids and call.above != call.top.id:
            below.setdefault(call.above, []).append(call.top)
        else:
            tops.append(call.top)
    seen: set[int] = set()
    return [line for top in sorted(tops, key=_begin) for line in _lines(top, 0, below, seen)]


def _lines(span: TracedSpan, depth: int, below: dict[str, list[TracedSpan]], seen: set[int]) -> Iterator[Placed]:
    if id(span) in seen or depth > 2 * DEPTH_MAX:  # a peer may say that two calls caused each other
        return
    seen.add(id(span))
    yield Placed(span, depth)
    caused = [*span.children, *(below.get(span.id, ()) if span.id else ())]
    for child in sorted(caused, key=_begin):
        yield from _lines(child, depth + 1, below, seen)


def _all(span: TracedSpan) -> Iterator[TracedSpan]:
    yield span
    for child in span.children:
        yield from _all(child)


def _begin(span: TracedSpan) -> float:
    return span.at


# --- plain form -------------------------------------------------------------------------------------------------------


def call_to_plain(call: TracedCall) -> list[object]:
    return [call.request_id, call.trace_id, call.above, _to_plain(call.top)]


def call_from_plain(plain: object, node: NodeId) -> TracedCall:
    """A record of `node`, as it came. Raises BadInput."""
    if not isinstance(plain, list | tuple) or len(cast("Sequence[Any]", plain)) != 4:
        raise BadInput("a traced call has the wrong form")
    *texts, top = cast("Sequence[Any]", plain)
    if not all(isinstance(text, str) for text in texts):
        raise BadInput("a traced call has the wrong form")
    request_id, trace_id, above = map(_short, texts)
    span = _from_plain(top, node, 0, [TRACE_SPANS_MAX])
    return TracedCall(request_id=request_id, trace_id=trace_id, above=above, top=span)


def _to_plain(span: TracedSpan) -> list[object]:
    children = [_to_plain(child) for child in span.children]
    return [span.name, span.instance, span.id, span.at, span.spent_s, span.running, span.outcome, children]


def _from_plain(plain: object, node: NodeId, depth: int, left: list[int]) -> TracedSpan:
    left[0] -= 1
    if left[0] < 0 or depth > DEPTH_MAX:
        raise BadInput(f"a traced call with more than {TRACE_SPANS_MAX} spans, or deeper than {DEPTH_MAX}")
    if not isinstance(plain, list | tuple) or len(cast("Sequence[Any]", plain)) != 8:
        raise BadInput("a span of a traced call has the wrong form")
    name, instance, span_id, at, spent_s, running, outcome, below = cast("Sequence[Any]", plain)
    if not all(isinstance(text, str) for text in (name, instance, span_id, outcome)):
        raise BadInput("a span of a traced call has the wrong form")
    if type(running) is not bool or not isinstance(below, list | tuple):
        raise BadInput("a span of a traced call has the wrong form")
    if type(at) is not float or type(spent_s) is not float:
        raise BadInput("a span of a traced call has the wrong form")
    if not (abs(at) <= _SECONDS_MAX and 0 <= spent_s <= _SECONDS_MAX):
        raise BadInput("a traced call has a time that no clock shows")
    children = cast("Sequence[Any]", below)
    return TracedSpan(
        name=_short(name),
        node=node,
        instance=_short(instance),
        id=_short(span_id),
        at=at,
        spent_s=spent_s,
        running=running,
        outcome=_short(outcome),
        children=tuple(_from_plain(each, node, depth + 1, left) for each in children),
    )


def _short(text: str) -> str:
    return text[:_TEXT_CHARS_MAX]
