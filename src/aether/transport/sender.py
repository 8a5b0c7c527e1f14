"""The writing half of one lane: at once when messages are rare, in coalesced batches when they come close together.

Knows: a link, an outbox.
Never: messages, peers.
Holds: bytes leave in the order in which `put` took them, long frames aside; `put` writes only while `run` waits.
"""

from __future__ import annotations

from typing import Final, NoReturn

import trio

from aether.model.limits import FRAME_CHUNK_BYTES
from aether.transport.counters import Counters
from aether.transport.link import Link
from aether.transport.outbox import Outbox
from aether.wire.frames import encode_frame
from aether.wire.lane import Lane

EAGER_GAP_S: Final = 50e-6
"""A message this soon after the last write is one of many: joining them costs a task switch, and saves a system call
here and a wake-up of the peer for each. A caller in sequence never writes as often."""


class Sender:
    """Owns the outbox of one connection. `run` for as long as the connection lives."""

    def __init__(self, lane: Lane, link: Link, counters: Counters) -> None:
        self._lane, self._link, self._counters = lane, link, counters
        self._outbox = Outbox(drop_oldest=lane is Lane.CONSENSUS)
        self._rest = b""  # of a frame that was only partly written at once
        self._is_idle = False  # `run` waits for work: `put` may write
        self._wake = trio.lowlevel.ParkingLot()
        self._wrote_at = float("-inf")
        self.has_carried = False

    def put(self, payload: bytes) -> bool:
        """Send or queue `payload`; False when it is lost already. Never waits."""
        if self._is_idle and len(payload) <= FRAME_CHUNK_BYTES:
            now = trio.current_time()
            if now - self._wrote_at >= EAGER_GAP_S:
                self._wrote_at = now
                return self._write_now(payload)
        dropped = self._outbox.dropped
        accepted = self._outbox.put(payload)
        self._counters.dropped[self._lane] += self._outbox.dropped - dropped
        if accepted:
            self._count(payload)
            self._rouse()
        return accepted

    def _write_now(self, payload: bytes) -> bool:
        frame = encode_frame(payload)
        try:
            written = self._link.send_now(frame)
        except OSError:  # the reader of this link sees the same end and tells it
            self._counters.dropped[self._lane] += 1
            return False
        self._count(payload)
        if written < len(frame):
            self._rest = frame[written:]
            self._rouse()
        return True

    def _count(self, payload: bytes) -> None:
        self.has_carried = True
        self._counters.sent_frames[self._lane] += 1
        self._counters.sent_bytes[self._lane] += len(payload)

    def _rouse(self) -> None:
        if self._is_idle:
            self._is_idle = False
            self._wake.unpark()

    async def run(self) -> NoReturn:
        """Write what waits until cancelled. Raises OSError or trio.BrokenResourceError for a broken connection."""
        try:
            while True:
                while self._rest or self._outbox:
                    data, self._rest = self._rest or self._outbox.take(), b""
                    await self._link.send(data)
                    self._wrote_at = trio.current_time()
                self._is_idle = True
                await self._wake.park()
        finally:
            self._is_idle = False
            self._counters.dropped[self._lane] += len(self._outbox)
