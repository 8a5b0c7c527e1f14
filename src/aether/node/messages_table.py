"""Every message that crosses the wire, with its tag and lane. Tags are never reused.

Knows: the message tables of consensus, kv, invocation, figures, of joining and of certificates.
Never: what a message means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aether.consensus.messages import Heartbeat, SnapshotChunk, VoteReply, VoteRequest
from aether.consensus.spelling import MESSAGES as CONSENSUS
from aether.control.messages import MESSAGES as CONTROL
from aether.invocation.messages import MESSAGES as INVOCATION
from aether.kv.messages import MESSAGES as KV
from aether.metrics.figures_messages import MESSAGES as FIGURES
from aether.metrics.figures_messages import SnapshotsTold
from aether.model.ids import NodeId
from aether.node.join_messages import MESSAGES as JOINING
from aether.security.messages import MESSAGES as CERTIFICATES
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
    for tag, (join_cls, join_encode, join_decode) in {**JOINING, **CERTIFICATES}.items():
        table.register(tag, join_cls, Lane.CALLS, join_encode, join_decode)
    for tag, (figures_cls, figures_encode, figures_decode) in FIGURES.items():
        lane = Lane.BULK if figures_cls is SnapshotsTold else Lane.CALLS
        table.register(tag, figures_cls, lane, figures_encode, figures_decode)
    for tag, (control_cls, control_encode, control_decode) in CONTROL.items():
        table.register(tag, control_cls, Lane.BULK, control_encode, control_decode)
    for spec in INVOCATION:
        table.register(spec.tag, spec.cls, Lane[spec.lane], spec.encode, spec.decode)
    return table


def delivering(
    deliver: Callable[[NodeId, Any], None], messages: Mapping[int, tuple[type, object, object]]
) -> dict[type, Callable[[NodeId, Any, str], None]]:
    """Handlers that give every class in `messages` to `deliver`."""

    def hand_over(peer: NodeId, message: Any, _: str) -> None:
        deliver(peer, message)

    return {cls: hand_over for cls, _, _ in messages.values()}
