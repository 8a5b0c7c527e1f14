"""What crosses the seam of this room: the Transport contract, its handlers, its counters.

Knows: node ids, lanes.
Never: how a message travels.
Holds: handlers are synchronous and never block; a handler may call `send`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, Protocol

import attrs
from trio import TaskStatus

from aether.model.ids import NodeId
from aether.wire.lane import Lane
from aether.wire.session import Refused


def ignore_refusal(peer: NodeId, refused: Refused) -> None:
    """For nodes that leave refusals to the log."""


@attrs.frozen(kw_only=True)
class Handlers:
    """Whom a transport tells, given once to `run`. All synchronous, never blocking; an exception ends the transport.

    message       by class of the message: (peer, message, request id)
    connected     the peer can be sent to, and reaches us; disconnected  some of that was lost, with what was under way
    refused       the peer we dial does not want us, and why; told once per reason until it changes
    """

    message: Mapping[type, Callable[[NodeId, Any, str], None]]
    connected: Callable[[NodeId], None]
    disconnected: Callable[[NodeId], None]
    refused: Callable[[NodeId, Refused], None] = ignore_refusal


def _tell_nobody(peer: NodeId) -> None:
    """Before `run` there is nobody to tell."""


NOBODY: Final = Handlers(message=MappingProxyType({}), connected=_tell_nobody, disconnected=_tell_nobody)


@attrs.frozen(kw_only=True)
class TransportStatistics:
    """A frozen look at the counters, all since the start but one.

    sent_frames, sent_bytes, received_frames, received_bytes  payloads and their bytes, by lane
    dropped     messages given to `send` that were not sent: the mailbox was full, or its connection ended
    refused     handshakes that ended without a connection, by code, both directions
    closed      connections of peers that were ended for what they sent, by reason
    reconnects  connections made again after one was lost
    unhandled   messages that nobody was registered for
    queued_bytes  that wait for connections now
    """

    sent_frames: Mapping[Lane, int] = MappingProxyType({})
    sent_bytes: Mapping[Lane, int] = MappingProxyType({})
    received_frames: Mapping[Lane, int] = MappingProxyType({})
    received_bytes: Mapping[Lane, int] = MappingProxyType({})
    dropped: Mapping[Lane, int] = MappingProxyType({})
    refused: Mapping[str, int] = MappingProxyType({})
    closed: Mapping[str, int] = MappingProxyType({})
    reconnects: int = 0
    unhandled: int = 0
    queued_bytes: int = 0


class Transport(Protocol):
    """A mailbox per peer.

    On the consensus lane urgent messages overtake, and all others keep their order. On the other lanes those of up to
    FRAME_CHUNK_BYTES keep order, and longer ones may be overtaken.
    """

    def send(self, to: NodeId, message: object, request_id: str = "") -> bool:
        """Put `message` in the mailbox of `to`. Never waits. False: no connection, or the mailbox is full.

        True is no promise of arrival: `disconnected` means that what was under way may be lost. The consensus lane
        makes room by dropping its oldest message. Sending to oneself is a bug of the caller. Raises FrameTooLarge.
        """
        ...

    def connected(self) -> frozenset[NodeId]:
        """Peers that we reach and that reach us, on every lane."""
        ...

    def gone(self) -> frozenset[NodeId]:
        """Peers whose process has ended, as far as their hosts say: connections to every address are refused."""
        ...

    def statistics(self) -> TransportStatistics: ...

    def set_peer(self, node: NodeId, address: str) -> None:
        """Add a peer, or dial it at another address from now on; connections that are up stay."""
        ...

    def remember_peer(self, node: NodeId, address: str) -> None:
        """Add a peer that the cluster remembers at `address`; an address that was configured is tried as well."""
        ...

    def forget_peer(self, node: NodeId) -> None:
        """End the connections to `node` and do not dial it any more."""
        ...

    def set_cluster_uuid(self, uuid: str) -> None:
        """Say in later handshakes which cluster this is, once that is known."""
        ...

    def recheck(self) -> None:
        """End connections whose certificates are not accepted any more. Never blocks."""
        ...

    async def run(self, handlers: Handlers, *, task_status: TaskStatus[str] = ...) -> NoReturn:
        """Serve until cancelled; its lifetime is its caller's nursery. `started("host:port")` once peers can dial in.

        Raises AddressInUse.
        """
        ...
