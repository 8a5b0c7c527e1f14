"""One running call as seen by the task that runs it: when it began, and the calls that it made.

Knows: names and times given to it; it turns into a Hop when somebody asks where the time went.
Never: clocks, the wire.
"""

from __future__ import annotations

import functools
import math
from typing import TypeAlias

from aether.invocation.hops import CHILDREN_MAX, Hop
from aether.model.trace import TraceContext

TraceSource: TypeAlias = tuple[str, int]
"""Request id and number of a call that nobody else caused: both of its nodes make the same ids of them."""


class Span:
    """Mutable twin of Hop while the call runs. Touched only by tasks of the call."""

    __slots__ = (
        "began_s", "children", "ended_s", "instance", "made_of", "name", "outcome", "outer", "remote", "request_id",
        "running", "said", "trace", "until",
    )  # fmt: skip

    def __init__(self, name: str, began_s: float, outer: Span | None = None) -> None:
        self.name: str = name
        self.began_s: float = began_s
        self.outer: Span | None = outer  # of the call that made this one, on the same node
        self.instance: str = ""
        self.trace: TraceContext | None = None  # its place in a trace, once somebody asked
        self.made_of: TraceSource | None = None  # what its place is made of, if another node makes the same of it
        self.said: TraceContext | TraceSource | str | None = None  # that of whoever called from elsewhere, as it came
        self.ended_s: float | None = None
        self.running: bool = True
        self.remote: Hop | None = None  # what the callee's node reported
        self.until: float = math.inf  # when its time is over, whatever scope of trio is in force
        self.children: list[Span] | tuple[()] = ()  # a list once there is one: most calls make none
        self.request_id: str = ""  # once it is kept, and what it came to
        self.outcome: str = ""

    def child(self, name: str, began_s: float) -> Span:
        """A call made by this one. Only the last CHILDREN_MAX are sure to be kept."""
        span = Span(name, began_s, self)
        children = self.children or []
        children.append(span)
        if len(children) > 2 * CHILDREN_MAX:
            del children[:CHILDREN_MAX]
        self.children = children
        return span

    def close(self, now_s: float, *, answered: bool) -> None:
        """The task goes on without this call; unless `answered`, the callee was still running."""
        self.ended_s = now_s
        self.running = not answered

    def hop(self, now_s: float) -> Hop:
        """The tree as it stands."""
        spent_s = (now_s if self.ended_s is None else self.ended_s) - self.began_s
        if self.remote is not None:
            return Hop(self.remote.name, spent_s, self.running, self.remote.children)
        children = tuple(child.hop(now_s) for child in self.children[-CHILDREN_MAX:])
        return Hop(self.name, spent_s, self.running, children)


@functools.lru_cache(maxsize=1_024)
def call_name(artifact: str, method: str) -> str:
    """`place-order`, `place` -> `PlaceOrder.place`: how a caller that only knows coordinates names a hop."""
    return "".join(part.capitalize() for part in artifact.split("-")) + "." + method
