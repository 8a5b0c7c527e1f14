"""What the log is told of connections that were turned away: news, and not each knock at the door.

Knows: who was refused lately, with which words, and how often since the log heard of it.
Never: connections, the decision to refuse.
Holds: the same words for the same host at most once in REFUSAL_TOLD_S, with the number of those that were left out,
       and of one host no more than REFUSAL_WORDS_MAX different ones, then one line for all others: they may be made of
       what a stranger says. What REFUSALS_KEPT_MAX others have displaced is news again. All is counted, told or not.
"""

from __future__ import annotations

import logging
from typing import Final

import attrs
import trio

from aether.model.ids import NodeId
from aether.model.limits import REFUSAL_TOLD_S, REFUSAL_WORDS_MAX, REFUSALS_KEPT_MAX
from aether.model.origins import network_of
from aether.transport.counters import Counters
from aether.wire.session import Refused

_log: Final = logging.getLogger("aether.transport")
_OTHERS: Final = ""  # in place of all words of a host that says too many


@attrs.define
class _Told:
    at_s: float
    left_out: int = 0


class Refusals:
    """Of one node. `origin` is host:port of whoever dialled in."""

    def __init__(self, node: NodeId, counters: Counters) -> None:
        self._node, self._counters = node, counters
        self._told: dict[tuple[str, str], _Told] = {}  # the one seen last at the end

    def turned_away(self, origin: str, refused: Refused) -> None:
        self._counters.refused[refused.code.value] += 1
        again = self._news(origin, refused.reason)
        if again is not None:
            _log.warning("%s: refused %s: %s%s", self._node, origin, refused.reason, again)

    def broke_off(self, origin: str, how: str) -> None:
        self._counters.closed["broken-handshake"] += 1
        again = self._news(origin, how)
        if again is not None:
            _log.info("%s: %s broke off: %s%s", self._node, origin, how, again)

    def _news(self, origin: str, what: str) -> str | None:
        """What the line ends with; None when there is to be none."""
        host, now = network_of(origin.rpartition(":")[0].strip("[]")), trio.current_time()
        key = (host, what)
        if key not in self._told and self._words_of(host, now) >= REFUSAL_WORDS_MAX:
            key = (host, _OTHERS)
        told = self._told.pop(key, None)
        if told is not None and now - told.at_s < REFUSAL_TOLD_S:
            told.left_out += 1
            self._told[key] = told
            return None
        self._told[key] = _Told(now)
        if len(self._told) > REFUSALS_KEPT_MAX:
            del self._told[next(iter(self._told))]
        return f" (and {told.left_out} times before)" if told is not None and told.left_out else ""

    def _words_of(self, host: str, now: float) -> int:
        """How many different ones were told of `host` lately."""
        return sum(name == host and now - told.at_s < REFUSAL_TOLD_S for (name, _), told in self._told.items())
