"""Bytes to values and back: frames, the table of messages, the handshake.

Knows: errors and model; frame layout, msgpack limits, who may join whom.
Never: sockets or clocks; which messages exist (the table is filled by the assembly).
"""

from aether.wire.frames import FrameDecoder, FrameTooLarge, encode_frame, split_frame
from aether.wire.lane import Lane
from aether.wire.session import (
    ANYBODY,
    AcceptingSession,
    DiallingSession,
    Hello,
    Identity,
    Refused,
    RefusedCode,
    Welcome,
)
from aether.wire.table import MessageTable

__all__ = [
    "ANYBODY",
    "AcceptingSession",
    "DiallingSession",
    "FrameDecoder",
    "FrameTooLarge",
    "Hello",
    "Identity",
    "Lane",
    "MessageTable",
    "Refused",
    "RefusedCode",
    "Welcome",
    "encode_frame",
    "split_frame",
]
