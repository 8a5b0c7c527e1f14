"""Connections, as they come: many in one turn of the loop, and under pressure the newest first.

Knows: a listening socket, the gate.
Never: what a connection says.
Holds: one connection per turn would be the limit of a loop whose turns are long, just when many come. While the gate is
       closed, what the kernel holds is taken in, since age cannot be seen there; then the newest whose client is still
       there is served, and the oldest are closed when more than HELD_MAX wait.
"""

from __future__ import annotations

import logging
import math
import select
import socket
from collections import deque
from typing import Final

import trio

from aether.model import limits
from aether.model.shortage import OUT_OF_FILES
from aether.web.pressure_service import PressureGate

_log: Final = logging.getLogger("aether.web")
OUT_OF_FILES_S: Final = 0.1  # until some may be free again
TOLD_S: Final = 60.0
TURN_MAX: Final = 64  # connections taken in one turn while the gate is open
HELD_MAX: Final = limits.HTTP_PRESSURE_HELD_MAX


class EagerListener(trio.abc.Listener[trio.SocketStream]):
    """A listener behind a gate."""

    def __init__(self, listener: trio.SocketListener, gate: PressureGate) -> None:
        self._listener = listener
        self._gate = gate
        self._waiting: deque[socket.socket] = deque()  # the newest at the end
        # A second handle of the same socket, for taking without waiting; trio keeps its own to itself.
        self._taker = socket.socket(fileno=socket.dup(listener.socket.fileno()))
        self._taker.setblocking(False)
        self._told_at = -math.inf

    async def accept(self) -> trio.SocketStream:
        """The next connection."""
        while True:
            await self._gate.may_accept()
            if not self._waiting:
                stream = await self._next()
                if not self._gate.closed:
                    self._take(TURN_MAX)
                    return stream
                self._take(HELD_MAX)
                if is_here(stream):
                    return stream
                await trio.aclose_forcefully(stream)
            elif self._gate.closed:
                self._take(HELD_MAX)
            while self._waiting:
                taken = self._waiting.pop()
                if not self._gate.closed or _is_here(taken.fileno()):
                    return trio.SocketStream(trio.socket.from_stdlib_socket(taken))
                taken.close()

    async def _next(self) -> trio.SocketStream:
        """The next one of trio's. Where no file may be opened any more, it waits until one may, and says so."""
        while True:
            try:
                return await self._listener.accept()
            except OSError as error:
                if error.errno not in OUT_OF_FILES:
                    raise
                if trio.current_time() - self._told_at >= TOLD_S:
                    self._told_at = trio.current_time()
                    _log.warning("no connection can be accepted for now: %s; see `ulimit -n`", error.strerror)
                await trio.sleep(OUT_OF_FILES_S)

    async def aclose(self) -> None:
        """Close it, and what nobody has served."""
        self._taker.close()
        while self._waiting:
            self._waiting.pop().close()
        await self._listener.aclose()

    def _take(self, count: int) -> None:
        for _ in range(count):
            try:
                taken, _ = self._taker.accept()
            except OSError:  # nobody waits, or whoever did has left; what is wrong for longer, trio's accept says
                return
            taken.setblocking(False)
            self._waiting.append(taken)
            if len(self._waiting) > HELD_MAX:
                self._waiting.popleft().close()


def is_here(stream: trio.abc.Stream) -> bool:
    """Whether the peer has not closed its side, as far as the kernel says."""
    return not isinstance(stream, trio.SocketStream) or _is_here(stream.socket.fileno())


def _is_here(fileno: int) -> bool:
    if not hasattr(select, "POLLRDHUP"):
        return True
    poll = select.poll()
    poll.register(fileno, select.POLLRDHUP)
    return not poll.poll(0)
