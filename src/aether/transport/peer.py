"""One peer over TCP, and how it is dialled.

Knows: its addresses, what sends to it now, what was complained about.
Never: how a connection is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Final

import attrs
import trio

from aether.model.ids import NodeId
from aether.model.limits import RECONNECT_MAX_S, RECONNECT_MIN_S
from aether.transport.sender import Sender
from aether.wire.lane import Lane

COMPLAINTS_MAX: Final = 16


def back_off_s(failures: int, drawn: float) -> float:
    """How long to wait before an address is tried again. drawn  from [0, 1)"""
    longest: float = min(RECONNECT_MAX_S, RECONNECT_MIN_S * 2 ** min(failures, 16))
    return longest * (0.5 + drawn / 2)


@attrs.define(eq=False)
class Peer:
    """One peer, and how it is dialled.

    addresses  tried in turn: what it last advertised, what the cluster remembers, what we were configured with
    refusing   those of them whose host said at the last try that no process listens there
    listed     we were told of it; otherwise it dialled in, and is forgotten when it goes
    """

    node: NodeId
    configured: str = ""
    remembered: str = ""
    advertised: str = ""
    refusing: set[str] = attrs.field(factory=set[str])
    listed: bool = False
    senders: list[Sender | None] = attrs.field(factory=lambda: [None] * len(Lane))
    holds: dict[Lane, trio.CancelScope] = attrs.field(factory=dict[Lane, trio.CancelScope])
    nudge: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    complaints: set[str] = attrs.field(factory=set[str])  # reasons for not being connected, each told once

    def is_news(self, complaint: str) -> bool:
        if complaint in self.complaints:
            return False
        if len(self.complaints) >= COMPLAINTS_MAX:
            self.complaints.clear()
        self.complaints.add(complaint)
        return True

    @property
    def queued_bytes(self) -> int:
        """That wait for its connections."""
        return sum(sender.queued_bytes for sender in self.senders if sender is not None)

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(a for a in (self.advertised, self.remembered, self.configured) if a))

    @property
    def is_refusing(self) -> bool:
        """Whether no process listens at any of its addresses."""
        addresses = self.addresses
        return bool(addresses) and self.refusing.issuperset(addresses)

    @contextlib.contextmanager
    def trying(self, address: str) -> Generator[None]:
        """Around dialling `address`: what came of it tells whether a process listens there."""
        known = {a for a in self.refusing if a != address}
        try:
            yield
        except ConnectionRefusedError:
            known.add(address)
            raise
        finally:
            self.refusing = known.intersection(self.addresses)
