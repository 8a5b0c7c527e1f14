"""The writing half of one lane: at once when messages are rare, in coalesced batches when they come close together.

Knows: a link, an outbox.
Never: messages, peers.
Holds: bytes leave in the order in which `put` took them, as far as the outbox keeps it; `put` writes only while `run`
       waits.

The first message of a turn is written at once: whoever waits for it loses no task switch. Those after it wait for the
turn of `run`, with all that come until then; after a turn that found several, so does the first, until a turn finds at
most one. Joining them saves a system call here and a wake-up of the peer for each. What is rare is told by turns of the
loop and not by time, for a busy loop of a slow machine is as far apart as callers in sequence of a fast one. A full
batch does not wait for the turn: the peer works on it while this loop makes the next.
"""

from __future__ import annotations

import contextlib
from typing import Final, NoReturn

import trio

from aether.model.limits import FRAME_CHUNK_BYTES
from aether.transport.counters import Counters
from aether.transport.link import Link
from aether.transport.outbox import Outbox
from aether.wire.frames import encode_frame
from aether.wire.lane import Lane

EAGER_BATCH: Final = 32
"""Messages that are worth a system call and a wake-up of the peer, a microsecond for each."""


class Sender:
    """Owns the outbox of one connection. `run` for as long as the connection lives."""

    def __init__(self, lane: Lane, link: Link, counters: Counters) -> None:
        self.lane: Lane = lane
        self._link, self._counters = link, counters
        self._outbox = Outbox(drop_oldest=lane is Lane.CONSENSUS, in_order=lane is Lane.CONSENSUS)
        self._rest = b""  # of what was only partly written at once
        self._is_writing = True  # `run` has not begun, has ended, or waits for the link: `put` may not write
        self._is_crowded = False  # until a turn of `run` finds no more than one message
        self._has_begun = False  # a message was written at once, and `run` has had no turn since
        self._parked: trio.lowlevel.Task | None = None
        self.has_carried: bool = False

    def put(self, payload: bytes, *, urgent: bool = False) -> bool:
        """Send or queue `payload`, an urgent one in front of all others; False when it is lost already. Never waits."""
        may_write = not (self._is_writing or self._rest)
        outbox = self._outbox
        if may_write and not (self._has_begun or self._is_crowded or outbox) and len(payload) <= FRAME_CHUNK_BYTES:
            return self._write_one(payload)
        dropped = outbox.dropped
        accepted = outbox.put(payload, urgent=urgent)
        self._counters.dropped[self.lane] += outbox.dropped - dropped
        if accepted:
            self._count(payload)
            if may_write and len(outbox) >= EAGER_BATCH:
                self._write_batch()
            else:
                self._rouse()
        return accepted

    @property
    def queued_bytes(self) -> int:
        """That wait for the connection."""
        return self._outbox.queued_bytes + len(self._rest)

    def say_alive(self) -> None:
        """An empty frame, when nothing else is being written that would tell as much."""
        if not (self._is_writing or self._rest or self._outbox):
            with contextlib.suppress(OSError):  # the reader of this link sees the same end and tells it
                self._write_now(encode_frame(b""))

    def _write_one(self, payload: bytes) -> bool:
        try:
            self._write_now(encode_frame(payload))
        except OSError:  # the reader of this link sees the same end and tells it
            self._counters.dropped[self.lane] += 1
            return False
        self._has_begun = True
        self._rouse()
        self._count(payload)
        return True

    def _write_batch(self) -> None:
        batch = self._outbox.take()
        try:
            self._write_now(batch)
        except OSError:
            self._rest = batch  # `run` meets the same error, and ends by it
            self._rouse()

    def _write_now(self, data: bytes) -> None:
        written = self._link.send_now(data)
        if written < len(data) or self._link.has_unsent:
            self._rest = data[written:]
            self._rouse()

    def _count(self, payload: bytes) -> None:
        self.has_carried = True
        self._counters.sent_frames[self.lane] += 1
        self._counters.sent_bytes[self.lane] += len(payload)

    def _rouse(self) -> None:
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)

    async def run(self) -> NoReturn:
        """Write what waits until cancelled. Raises OSError or trio.BrokenResourceError for a broken connection."""
        try:
            while True:
                self._is_crowded = len(self._outbox) > 1
                self._is_writing = True
                while self._rest or self._outbox or self._link.has_unsent:
                    data, self._rest = self._rest or self._outbox.take(), b""
                    await self._link.send(data)
                self._is_writing = self._has_begun = False
                self._parked = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort)
        finally:
            self._is_writing = True
            self._counters.dropped[self.lane] += len(self._outbox)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED
