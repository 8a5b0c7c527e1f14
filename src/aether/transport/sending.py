"""One dialled connection while it lives: written by its sender, read only to learn of its end.

Knows: senders, links, the heartbeat of the consensus lane.
Never: who is at the other end, dialling again.
"""

from __future__ import annotations

import trio

from aether.transport.counters import Counters
from aether.transport.handshake import BROKEN, words
from aether.transport.link import Link
from aether.transport.pulse import beat
from aether.transport.sender import Sender
from aether.wire.lane import Lane


async def send_until_end(sender: Sender, link: Link, counters: Counters) -> str:
    """Send what `sender` is given until the connection ends; why it did, in words."""
    reason = "it ended the connection"
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            nonlocal reason
            try:
                await sender.run()
            except BROKEN as error:
                reason = words(error)
                nursery.cancel_scope.cancel()

        nursery.start_soon(write)
        if sender.lane is Lane.CONSENSUS:
            nursery.start_soon(beat, sender.say_alive)
        try:
            if await link.receive():
                reason = "it sent on a lane that it should only read"
                counters.closed["unexpected-data"] += 1
        except BROKEN as error:
            reason = words(error)
        nursery.cancel_scope.cancel()
    return reason
