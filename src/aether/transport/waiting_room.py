"""Where accepted connections stay until they have said who they are.

Knows: how many are in it, when the operator was told last that it is full.
Never: sockets, handshakes.
Holds: at most HANDSHAKES_MAX are in it; those inside the cluster already never wait here.
"""

from __future__ import annotations

import logging
from typing import Final

import trio

from aether.model.ids import NodeId
from aether.model.limits import HANDSHAKE_S, HANDSHAKES_MAX
from aether.transport.counters import Counters

_log: Final = logging.getLogger("aether.transport")


class WaitingRoom:
    """`enter` for each accepted connection; `leave` when it was let in or sent away."""

    def __init__(self, node: NodeId, counters: Counters) -> None:
        self._node, self._counters = node, counters
        self._inside = 0
        self._told_s = float("-inf")

    def enter(self, origin: str) -> bool:
        """False when it is full: close the connection from `origin`. Counted always, logged once in HANDSHAKE_S."""
        if self._inside < HANDSHAKES_MAX:
            self._inside += 1
            return True
        self._counters.closed["too-many-handshakes"] += 1
        if trio.current_time() - self._told_s >= HANDSHAKE_S:
            self._told_s = trio.current_time()
            _log.warning(
                "%s: closed %s unheard: %d strangers have not said who they are; look for a scan or a wrong client",
                self._node,
                origin,
                HANDSHAKES_MAX,
            )
        return False

    def leave(self) -> None:
        self._inside -= 1
