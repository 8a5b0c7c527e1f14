"""What a newcomer and a member say to each other before the newcomer belongs to the group.

Knows: two messages and their spelling.
Never: who answers, and how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import attrs

from aether.errors import BadInput
from aether.model.ids import NodeId, is_name
from aether.model.limits import PEERS_MAX

ROW_BYTES_MAX: Final = 64 * 1024
_REASON_CHARS_MAX: Final = 2_048


@attrs.frozen
class JoinRequest:
    """Take me in. row  the sender's member row, as it is stored."""

    row: bytes


@attrs.frozen
class JoinReply:
    """refused  why not, for ever, as far as the member knows; "" = recorded, and the leader will take the sender in.

    is_removed  the id was removed; peers  id and address of all members, for the newcomer to dial
    """

    refused: str
    is_removed: bool
    peers: tuple[tuple[NodeId, str], ...]


def _encode_request(message: JoinRequest) -> Sequence[object]:
    return [message.row]


def _decode_request(fields: Sequence[object]) -> JoinRequest:
    if len(fields) != 1 or type(fields[0]) is not bytes or len(fields[0]) > ROW_BYTES_MAX:
        raise BadInput("malformed JoinRequest", ("one row of bytes is expected",))
    return JoinRequest(fields[0])


def _encode_reply(message: JoinReply) -> Sequence[object]:
    return [message.refused[:_REASON_CHARS_MAX], message.is_removed, [list(peer) for peer in message.peers]]


def _decode_reply(fields: Sequence[object]) -> JoinReply:
    if len(fields) != 3 or type(fields[0]) is not str or type(fields[1]) is not bool:
        raise BadInput("malformed JoinReply", ("a reason, a flag and a list of peers are expected",))
    peers = _sequence(fields[2])
    if len(fields[0]) > _REASON_CHARS_MAX or len(peers) > PEERS_MAX:
        raise BadInput("malformed JoinReply", (f"{len(fields[0])} characters, {len(peers)} peers",))
    return JoinReply(fields[0], fields[1], tuple([_peer(_sequence(peer)) for peer in peers]))


def _peer(plain: Sequence[object]) -> tuple[NodeId, str]:
    if len(plain) == 2:
        node, address = plain
        if isinstance(node, str) and is_name(node) and isinstance(address, str):
            return NodeId(node), address
    raise BadInput("malformed JoinReply", (f"{plain!r:.80} is no id with an address",))


def _sequence(plain: object) -> Sequence[object]:
    if not isinstance(plain, list | tuple):
        raise BadInput("malformed JoinReply", (f"{plain!r:.80} is no list",))
    return cast("Sequence[object]", plain)


_Spelling = tuple[type[Any], Callable[[Any], Sequence[object]], Callable[[Sequence[object]], Any]]

MESSAGES: Final[dict[int, _Spelling]] = {
    90: (JoinRequest, _encode_request, _decode_request),
    91: (JoinReply, _encode_reply, _decode_reply),
}
"""tag -> (class, encode to plain msgpack values, decode: BadInput when malformed). Tags 90 to 99 belong to node."""
