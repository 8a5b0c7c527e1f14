"""What nodes say to each other about proposals, and the table that registers it.

Knows: a forwarded proposal and the refusal of one; the hash of a state, and that it differs; how far a node applied.
Never: the answer of an applied proposal: every node reads that from its own log.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

import attrs

from aether.errors import BadInput
from aether.model.ids import NodeId, Revision
from aether.model.limits import PROPOSAL_BYTES_MAX

_INT_MAX: Final = 2**63 - 1
_HASH_BYTES_MAX: Final = 64


class Refusal(enum.IntEnum):
    """Why a proposal was not taken. Numbers are part of the format."""

    NOT_LEADER = 1
    OVERLOADED = 2
    MALFORMED = 3


@attrs.frozen
class ProposeRequest:
    """Follower to leader: put this command into the log.

    number   the sender's own count of its requests, for the refusal
    command  encoded command, without a stamp: the leader stamps it
    """

    number: int
    command: bytes


@attrs.frozen
class ProposeRequests:
    """Follower to leader: several requests that came close together. Each is taken or refused for itself."""

    requests: tuple[ProposeRequest, ...]


@attrs.frozen
class ProposeReply:
    """It was not taken, and never will be by this sending. There is no reply to a taken one: the log is the reply.

    leader  who may take it, as far as the refusing node knows; detail  for the user, when it is malformed
    """

    number: int
    refusal: Refusal
    leader: NodeId | None = None
    detail: str = ""


@attrs.frozen
class StateReport:
    """Node to leader: after the entry at `revision` my state has this hash."""

    revision: Revision
    state_hash: bytes


@attrs.frozen
class StateVerdict:
    """Leader to node: your state at `revision` is not that of the majority; stop."""

    revision: Revision


@attrs.frozen
class AskApplied:
    """Any node to any: tell me once you have applied `revision`."""

    revision: Revision


@attrs.frozen
class HasApplied:
    """The answer: I have applied everything up to `revision`."""

    revision: Revision


def _encode_request(message: ProposeRequest) -> Sequence[object]:
    return (message.number, message.command)


def _decode_request(fields: Sequence[object]) -> ProposeRequest:
    match fields:
        case (int(number), bytes(command)) if 0 <= number <= _INT_MAX and len(command) <= PROPOSAL_BYTES_MAX:
            return ProposeRequest(number, command)
        case _:
            raise BadInput("malformed ProposeRequest", ("expected number, command",))


def _encode_requests(message: ProposeRequests) -> Sequence[object]:
    return [(request.number, request.command) for request in message.requests]


def _decode_requests(fields: Sequence[object]) -> ProposeRequests:
    requests: list[ProposeRequest] = []
    for pair in fields:
        if not isinstance(pair, list | tuple):
            raise BadInput("malformed ProposeRequests", ("expected pairs of number and command",))
        requests.append(_decode_request(cast("Sequence[object]", pair)))
    return ProposeRequests(tuple(requests))


def _encode_reply(message: ProposeReply) -> Sequence[object]:
    return (message.number, int(message.refusal), message.leader, message.detail)


def _decode_reply(fields: Sequence[object]) -> ProposeReply:
    match fields:
        case (int(number), int(refusal), (str() | None) as leader, str(detail)) if (
            0 <= number <= _INT_MAX and refusal in set(Refusal)
        ):
            return ProposeReply(number, Refusal(refusal), None if leader is None else NodeId(leader), detail)
        case _:
            raise BadInput("malformed ProposeReply", ("expected number, refusal, leader, detail",))


def _encode_report(message: StateReport) -> Sequence[object]:
    return (message.revision, message.state_hash)


def _decode_report(fields: Sequence[object]) -> StateReport:
    match fields:
        case (int(revision), bytes(state_hash)) if 0 < revision <= _INT_MAX and 0 < len(state_hash) <= _HASH_BYTES_MAX:
            return StateReport(Revision(revision), state_hash)
        case _:
            raise BadInput("malformed StateReport", ("expected revision, state hash",))


def _encode_revision(message: StateVerdict | AskApplied | HasApplied) -> Sequence[object]:
    return (message.revision,)


_OfRevision = TypeVar("_OfRevision", StateVerdict, AskApplied, HasApplied)


def _decode_revision(cls: type[_OfRevision]) -> Callable[[Sequence[object]], _OfRevision]:
    def decode(fields: Sequence[object]) -> _OfRevision:
        match fields:
            case (int(revision),) if 0 < revision <= _INT_MAX:
                return cls(Revision(revision))
            case _:
                raise BadInput(f"malformed {cls.__name__}", ("expected revision",))

    return decode


Message: TypeAlias = (
    ProposeRequest | ProposeRequests | ProposeReply | StateReport | StateVerdict | AskApplied | HasApplied
)
Encode: TypeAlias = Callable[[Any], Sequence[object]]
Decode: TypeAlias = Callable[[Sequence[object]], Message]

MESSAGES: Final[Mapping[int, tuple[type[Any], Encode, Decode]]] = {
    20: (ProposeRequest, _encode_request, _decode_request),
    21: (ProposeReply, _encode_reply, _decode_reply),
    22: (StateReport, _encode_report, _decode_report),
    23: (StateVerdict, _encode_revision, _decode_revision(StateVerdict)),
    24: (ProposeRequests, _encode_requests, _decode_requests),
    25: (AskApplied, _encode_revision, _decode_revision(AskApplied)),
    26: (HasApplied, _encode_revision, _decode_revision(HasApplied)),
}
"""tag -> (class, encode to plain msgpack values, decode: BadInput when malformed). Tags 20 to 29 belong to kv."""
