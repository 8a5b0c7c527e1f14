"""A network between local nodes that misbehaves on purpose: every connection of theirs passes through it.

Knows: TCP connections, what may be wrong with the way from one node to another.
Never: frames; bytes are bytes, and a connection may end inside a message.
Holds: buffers per connection are bounded; a stalled way stops reading, so the sender feels it as it would any silence.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeAlias

import attrs
import trio

Place: TypeAlias = tuple[str, int]
Way: TypeAlias = tuple[str, str]
"""From one node to another."""

CHUNK_BYTES = 16 * 1024
CHUNKS_MAX = 64
"""Held per connection and direction while they are delayed."""

BACKLOG = 64
_RESET = struct.pack("ii", 1, 0)
_ENDED = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@attrs.frozen(kw_only=True)
class WayFault:
    """What is wrong with one way.

    delay_s      every byte arrives so much later; bytes_per_s  the way carries no more than that
    is_stalled   nothing arrives, and connections stay open; is_refusing  new connections are reset at once
    """

    delay_s: float = 0.0
    bytes_per_s: float | None = None
    is_stalled: bool = False
    is_refusing: bool = False


SOUND = WayFault()


@attrs.define(eq=False)
class _Connection:
    """One connection that `dialler` made to `target`, as its two halves."""

    dialler: str
    target: str
    near: trio.SocketStream
    far: trio.SocketStream
    cut: set[Way] = attrs.field(factory=set[Way])  # ways that end inside the next piece
    is_half_open: bool = False

    def reset(self) -> None:
        for half in (self.near, self.far):
            reset(half)


class FaultyNetwork:
    """Entrances in front of nodes. A node is dialled at its entrance, and who dials is asked of `who`.

    targets  node -> where it really listens
    who      the node that owns the other end of an accepted connection; None = a stranger, who is reset
    """

    def __init__(self, targets: Mapping[str, Place], who: Callable[[Place, Place], str | None]) -> None:
        self._targets, self._who = dict(targets), who
        self._faults: dict[Way, WayFault] = {}
        self._connections: set[_Connection] = set()
        self._changed = trio.Event()

    # --- what is wrong now ------------------------------------------------------------------------------------------

    def fault(self, source: str, target: str) -> WayFault:
        return self._faults.get((source, target), SOUND)

    def set_fault(self, source: str, target: str, fault: WayFault) -> None:
        """From now on the way from `source` to `target` is like this, for open connections too."""
        self._faults[source, target] = fault
        self._changed.set()
        self._changed = trio.Event()

    def heal(self) -> None:
        """Every way is sound again; connections that were left half open are reset."""
        for way in list(self._faults):
            self.set_fault(*way, SOUND)
        for connection in list(self._connections):
            if connection.is_half_open:
                connection.reset()

    def reset(self, source: str, target: str) -> int:
        """End the connections that carry bytes from `source` to `target`, each inside its next piece; how many."""
        return self._each(source, target, lambda c: c.cut.add((source, target)))

    def half_open(self, source: str, target: str) -> int:
        """`target` loses the connections that `source` dialled, and `source` is not told; how many."""

        def lose(connection: _Connection) -> None:
            connection.is_half_open = True
            reset(connection.far)

        return self._each(source, target, lose)

    def _each(self, source: str, target: str, act: Callable[[_Connection], object]) -> int:
        found = [c for c in self._connections if (c.dialler, c.target) == (source, target)]
        for connection in found:
            act(connection)
        return len(found)

    # --- carrying ---------------------------------------------------------------------------------------------------

    async def run(
        self, entrances: Mapping[str, Place], *, task_status: trio.TaskStatus[Mapping[str, Place]]
    ) -> NoReturn:
        """Listen at `entrances` (port 0 = any) until cancelled; started with where it listens."""
        async with trio.open_nursery() as nursery:
            listening: dict[str, Place] = {}
            for node, place in entrances.items():
                listener = trio.socket.socket()
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                await listener.bind(place)
                listener.listen(BACKLOG)
                listening[node] = listener.getsockname()
                nursery.start_soon(self._accept, listener, node, nursery)
            task_status.started(listening)
            await trio.sleep_forever()

    async def _accept(self, listener: trio.socket.SocketType, target: str, nursery: trio.Nursery) -> NoReturn:
        with listener:
            while True:
                accepted, origin = await listener.accept()
                nursery.start_soon(self._carry, trio.SocketStream(accepted), origin, listener.getsockname(), target)

    async def _carry(self, near: trio.SocketStream, origin: Place, entrance: Place, target: str) -> None:
        dialler = self._who(origin, entrance)
        if dialler is None or self.fault(dialler, target).is_refusing:
            reset(near)
            return
        try:
            far = await trio.open_tcp_stream(*self._targets[target])
        except OSError:  # the node is down: its kernel would say the same
            reset(near)
            return
        connection = _Connection(dialler, target, near, far)
        self._connections.add(connection)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, connection, near, far, (dialler, target), nursery)
                nursery.start_soon(self._pump, connection, far, near, (target, dialler), nursery)
        finally:
            self._connections.discard(connection)
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(near)
                await trio.aclose_forcefully(far)

    async def _pump(
        self, connection: _Connection, source: trio.SocketStream, sink: trio.SocketStream, way: Way, both: trio.Nursery
    ) -> None:
        """Carry one direction. Its end is passed on; a break ends both, unless one half is to stay open."""
        pieces, arriving = trio.open_memory_channel[tuple[float, bytes]](CHUNKS_MAX)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take, source, pieces, way)
                async with arriving:
                    async for due, piece in arriving:
                        await trio.sleep_until(due)
                        await self._pass(connection, sink, way, piece)
                    await sink.send_eof()
        except* _ENDED:
            if connection.is_half_open and source is connection.near:
                await self._swallow(source)
            elif not connection.is_half_open:
                both.cancel_scope.cancel()

    async def _take(
        self, source: trio.SocketStream, pieces: trio.MemorySendChannel[tuple[float, bytes]], way: Way
    ) -> None:
        async with pieces:
            while piece := await source.receive_some(CHUNK_BYTES):
                await pieces.send((trio.current_time() + self.fault(*way).delay_s, piece))

    async def _pass(self, connection: _Connection, sink: trio.SocketStream, way: Way, piece: bytes) -> None:
        while self.fault(*way).is_stalled:
            await self._changed.wait()
        rate = self.fault(*way).bytes_per_s
        if rate is not None:
            await trio.sleep(len(piece) / rate)
        if way in connection.cut and len(piece) > 1:
            await sink.send_all(piece[: len(piece) // 2])
            connection.reset()
            raise trio.BrokenResourceError("cut on purpose")
        await sink.send_all(piece)

    async def _swallow(self, source: trio.SocketStream) -> None:
        """What is sent to somebody who is gone, when nobody says so."""
        try:
            while await source.receive_some(CHUNK_BYTES):
                pass
        except _ENDED:
            return


def reset(stream: trio.SocketStream) -> None:
    """Close with RST instead of FIN: the other side learns that what it sent may be lost."""
    try:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError as error:
        if error.errno != errno.EBADF:  # closed already
            raise
    stream.socket.close()
