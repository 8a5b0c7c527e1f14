"""Who is there: the connections of each peer, and when they add up to `connected`.

Knows: node ids, lanes, directions, the identity behind each connection.
Never: how a connection is made or read.
Holds: a peer is connected while all its lanes are up in both directions, behind each the same process; so the end of
       any one is told, once, however many follow. Then we give up our own lanes to it too, so that nothing is sent
       into a connection whose end would not be told.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Final

import attrs

from aether.model.ids import NodeId
from aether.transport.counters import Counters
from aether.transport.values import NOBODY
from aether.wire.lane import Lane
from aether.wire.session import Identity

_log: Final = logging.getLogger("aether.transport")


class Direction(enum.Enum):
    OUT = "to"  # we dialled and send
    IN = "from"  # the peer dialled and we read


Key = tuple[Direction, Lane]
_NEEDED: Final = frozenset((direction, lane) for direction in Direction for lane in Lane)


@attrs.define
class _Peer:
    identities: dict[Key, Identity] = attrs.field(factory=dict[Key, Identity])  # handshake done
    usable: set[Key] = attrs.field(factory=set[Key])  # both sides know that it is done
    is_connected: bool = False
    was_connected: bool = False


class Presence:
    """Told of every connection that opens or closes; tells the handlers what that means."""

    def __init__(self, node: NodeId, counters: Counters, reset: Callable[[NodeId], None]) -> None:
        """`reset(peer)` gives up our connections to it; `send` to it is False when that returns."""
        self._node, self._counters, self._reset = node, counters, reset
        self.handlers = NOBODY
        self._peers: dict[NodeId, _Peer] = {}
        self.connected: frozenset[NodeId] = frozenset()

    def live(self, node: NodeId) -> Identity | None:
        """The process that now has a connection under the id `node`."""
        peer = self._peers.get(node)
        return next(iter(peer.identities.values()), None) if peer else None

    def has(self, node: NodeId, direction: Direction) -> bool:
        peer = self._peers.get(node)
        return peer is not None and any(key[0] is direction for key in peer.identities)

    def introduced(self, key: Key, identity: Identity) -> None:
        """The handshake of a connection is done on our side; it counts as live, not yet as usable."""
        self._peers.setdefault(identity.node, _Peer()).identities[key] = identity

    def opened(self, key: Key, identity: Identity) -> None:
        """A connection carries messages."""
        self.introduced(key, identity)
        peer = self._peers[identity.node]
        peer.usable.add(key)
        self._settle(identity.node, peer)

    def closed(self, key: Key, node: NodeId, reason: str, *, carried: bool = False) -> None:
        """A connection ended. Told as `disconnected` when the peer was connected, or when it `carried` messages."""
        peer = self._peers.get(node)
        if peer is None or key not in peer.identities:
            return
        del peer.identities[key]
        peer.usable.discard(key)
        if peer.is_connected or carried:
            self._lost(node, peer, f"the {key[1].name.lower()} lane {key[0].value} it: {reason}")
        self._settle(node, peer)

    def forget(self, node: NodeId, reason: str) -> None:
        """No connection of `node` counts any more."""
        peer = self._peers.pop(node, None)
        if peer is not None and peer.is_connected:
            self._lost(node, peer, reason)

    def _settle(self, node: NodeId, peer: _Peer) -> None:
        if peer.is_connected or not peer.usable >= _NEEDED:
            return
        if len({identity.incarnation for identity in peer.identities.values()}) > 1:
            return  # the lanes of two processes do not make one peer; the older process's are about to end
        peer.is_connected = True
        self.connected |= {node}
        self._counters.reconnects += peer.was_connected
        peer.was_connected = True
        identity = peer.identities[Direction.OUT, Lane.CONSENSUS]
        _log.info("%s: connected with %s, incarnation %s", self._node, identity.label, identity.incarnation)
        self.handlers.connected(node)

    def _lost(self, node: NodeId, peer: _Peer, reason: str) -> None:
        peer.is_connected = False
        self.connected -= {node}
        _log.info("%s: lost %s (%s)", self._node, node, reason)
        self._reset(node)
        self.handlers.disconnected(node)
