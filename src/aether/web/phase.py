"""What one connection does at a moment.

Knows: the phases.
Never: their order, the time that each may take.
"""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """What a connection does now, and so what its deadline means."""

    IDLE = enum.auto()
    ARRIVED = enum.auto()  # idle no more, and nobody knows yet what it is
    HEADER = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()  # a handler is at work, or the stream of its answer
    SEND = enum.auto()
    CLOSING = enum.auto()
