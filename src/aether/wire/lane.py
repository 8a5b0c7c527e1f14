"""Which of a peer's connections carries a message.

Knows: the three lanes. Numbers are part of the protocol and never reused.
Never: how a lane is connected or written.
"""

from __future__ import annotations

import enum


class Lane(enum.IntEnum):
    """One connection per lane keeps a long transfer from delaying a heartbeat."""

    CONSENSUS = 0  # loses its oldest when full: Raft repeats
    CALLS = 1  # refuses at the sender when full
    BULK = 2  # snapshots, artifacts; refuses when full
