"""A stream while it counts as a call under way, and as one that ended well or not.

Knows: the load of the instance that serves it, the counter of its method.
Never: items, beyond the first of an answer over HTTP: its status.
Holds: a stream is counted as answered when it opens; it fails at most once, and not after its reader has left it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from aether.invocation.balance import Load
from aether.invocation.reply import BROKEN_STATUS, Faulted, Outcome, is_broken
from aether.invocation.streaming import Opened, Opening
from aether.metrics.method_counters import MethodCounter


class WatchedStream:
    """One try to open a stream. `opening` goes in the place of the one given.

    http  its first item is the head of an answer over HTTP
    """

    def __init__(self, opening: Opening, load: Load, counter: MethodCounter, *, http: bool) -> None:
        self._load = load
        self._counter = counter
        self._opened: Opened | None = None
        self._early = False  # it broke before this side heard that it was open, as a short one in this process may
        self._decode = opening.decode
        decode = self._head if http else opening.decode
        self.opening: Opening = attrs.evolve(opening, decode=decode, broke=self._broke)

    def opened(self, result: Opened) -> Opened:
        """It is open."""
        self._opened = result
        if self._early:
            self._failed()
        return attrs.evolve(result, left=self._left)

    def _left(self) -> None:
        self._opened, self._early = None, False
        self._load.left()
        self._counter.in_flight -= 1

    def _broke(self, final: Outcome) -> None:
        if not isinstance(final, Faulted) or final.fault.status >= BROKEN_STATUS:
            self._early = self._opened is None
            self._failed()

    def _failed(self) -> None:
        if self._opened is not None:
            self._opened = None
            self._counter.broke()

    def _head(self, item: Any) -> Any:
        decode: Callable[[Any], Any] | None = self._decode
        if self._opened is not None:
            if is_broken(item):
                self._failed()
            else:
                self._opened.stream.decoded(decode or _plain)
        return item if decode is None else decode(item)


def _plain(item: Any) -> Any:
    return item
