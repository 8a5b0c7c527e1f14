"""Room for connections: how many there may be, and who makes way for a newcomer.

Knows: connections and TLS handshakes by the network that they come from.
Never: sockets; it asks connections to close, and they do it.
Holds: idle connections make way first, those of the network that holds the most before others. A network that holds
       over half of all the room gives way to others with what its clients keep waiting or open; a request that is at
       work never does.
"""

from __future__ import annotations

from typing import Final, Protocol

import trio

from aether.model import limits
from aether.model.origins import Origins

HANDSHAKES_SHARE: Final = 4  # at most a quarter of the room is for those who have not finished their handshake


class Seated(Protocol):
    """What a connection is asked."""

    @property
    def may_be_cut(self) -> bool: ...
    def close_if_idle(self) -> bool: ...
    def cut(self) -> None: ...


class Room:
    """Of one listener."""

    def __init__(self, connections_max: int) -> None:
        self.connections_max: int = connections_max
        self._handshakes_max = max(1, min(limits.HTTP_HANDSHAKES_MAX, connections_max // HANDSHAKES_SHARE))
        self._connections: dict[Seated, None] = {}  # a set in the order of arrival
        self._origins: Origins[Seated] = Origins()
        self._handshakes: Origins[trio.CancelScope] = Origins()

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def handshakes(self) -> int:
        """Under way."""
        return len(self._handshakes)

    def begin_handshake(self, client: str) -> trio.CancelScope | None:
        """The scope of a handshake with the client at this address: cancelled when another one has its place.

        None when there is no room.
        """
        if len(self._connections) + len(self._handshakes) >= self.connections_max and not self._make_room(client):
            return None
        if len(self._handshakes) >= self._handshakes_max:
            if not self._handshakes.may_displace(client):
                return None
            oldest = next(self._handshakes.of_greediest())
            self._handshakes.drop(oldest)
            oldest.cancel()
        seat = trio.CancelScope()
        self._handshakes.add(seat, client)
        return seat

    def end_handshake(self, seat: trio.CancelScope) -> None:
        self._handshakes.drop(seat)

    def enter(self, connection: Seated, client: str) -> bool:
        """Count `connection` in, until it leaves; False when there is no room for it: turn it away."""
        has_room = len(self._connections) < self.connections_max or self._make_room(client)
        self._connections[connection] = None
        self._origins.add(connection, client)
        return has_room

    def leave(self, connection: Seated) -> None:
        self._connections.pop(connection, None)
        self._origins.drop(connection)

    def _make_room(self, client: str) -> bool:
        """Close one connection, if any may be: a crowd, or one host, must not lock others out."""
        fair = self._origins.may_displace(client)
        if fair and any(connection.close_if_idle() for connection in self._origins.of_greediest()):
            return True
        if any(connection.close_if_idle() for connection in self._connections):
            return True
        if fair and self._origins.most * 2 > self.connections_max:
            for connection in self._origins.of_greediest():
                if connection.may_be_cut:
                    connection.cut()
                    return True
        return False
