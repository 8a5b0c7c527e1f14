"""Every message that crosses the wire, with its tag and lane. Tags are never reused.

Knows: the message tables of consensus, kv, invocation, and of joining.
Never: what a message means.
"""

from __future__ import annotations

from typing import Final

from aether.consensus.messages import Heartbeat, SnapshotChunk, VoteReply, VoteRequest
from aether.consensus.spelling import MESSAGES as CONSENSUS
from aether.invocation.messages import MESSAGES as INVOCATION
from aether.kv.messages import MESSAGES as KV
from aether.node.join_messages import MESSAGES as JOINING
from aether.wire.lane import Lane
from aether.wire.table import MessageTable

_URGENT: Final = (Heartbeat, VoteRequest, VoteReply)
"""They say who leads, and bind no entries: waiting behind megabytes of those would end a healthy leadership."""


def messages_table() -> MessageTable:
    """A table that knows all messages of this version."""
    table = MessageTable()
    for tag, (cls, encode, decode) in CONSENSUS.items():
        lane = Lane.BULK if cls is SnapshotChunk else Lane.CONSENSUS
        table.register(tag, cls, lane, encode, decode, urgent=cls in _URGENT)
    for tag, (kv_cls, kv_encode, kv_decode) in KV.items():
        table.register(tag, kv_cls, Lane.CALLS, kv_encode, kv_decode)
    for tag, (join_cls, join_encode, join_decode) in JOINING.items():
        table.register(tag, join_cls, Lane.CALLS, join_encode, join_decode)
    for spec in INVOCATION:
        table.register(spec.tag, spec.cls, Lane[spec.lane], spec.encode, spec.decode)
    return table
