"""Where accepted connections stay until they have said who they are.

Knows: how many are in it and from where, when the operator was told last that it is full.
Never: sockets, handshakes.
Holds: at most HANDSHAKES_MAX are in it; those inside the cluster already never wait here. When it is full, a newcomer
       takes the place of the oldest one of the host that holds the most, unless that is its own: no host fills it.
"""

from __future__ import annotations

import logging
from typing import Final

import trio

from aether.model.ids import NodeId
from aether.model.limits import HANDSHAKE_S, HANDSHAKES_MAX
from aether.model.origins import Origins
from aether.transport.address import split_address
from aether.transport.counters import Counters

_log: Final = logging.getLogger("aether.transport")


class WaitingRoom:
    """`enter` for each accepted connection; `leave` when it was let in or sent away."""

    def __init__(self, node: NodeId, counters: Counters) -> None:
        self._node, self._counters = node, counters
        self._inside: Origins[trio.CancelScope] = Origins()
        self._told_s = float("-inf")

    def enter(self, origin: str) -> trio.CancelScope | None:
        """The scope to hear the connection from `origin` (`host:port`) in: it is cancelled when its place is taken.

        None when it is full: close it. Whoever is sent away is counted always, and logged once in HANDSHAKE_S.
        """
        host = split_address(origin)[0]
        if len(self._inside) >= HANDSHAKES_MAX and not self._make_room(host):
            self._tell(origin)
            return None
        seat = trio.CancelScope()
        self._inside.add(seat, host)
        return seat

    def leave(self, seat: trio.CancelScope) -> None:
        """Nothing happens when its place was taken."""
        self._inside.drop(seat)

    def _make_room(self, host: str) -> bool:
        if not self._inside.may_displace(host):
            return False
        oldest = next(self._inside.of_greediest())
        self._tell(f"a connection from {self._inside.greediest}")
        self._inside.drop(oldest)
        oldest.cancel()
        return True

    def _tell(self, whom: str) -> None:
        self._counters.closed["too-many-handshakes"] += 1
        if trio.current_time() - self._told_s >= HANDSHAKE_S:
            self._told_s = trio.current_time()
            _log.warning(
                "%s: closed %s unheard: %d strangers have not said who they are; look for a scan or a wrong client",
                self._node,
                whom,
                HANDSHAKES_MAX,
            )
