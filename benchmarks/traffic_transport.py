"""The transport of a node under measurement: it notes when each heartbeat leaves and arrives, and keeps the lanes busy.

A heartbeat is noted when the core's message is handed to the transport, and when the receiver's service gets it, by the
machine's monotonic clock, which all processes share. Bodies are real requests on the calls lane, of BODY_BYTES each,
one after the other to every peer, for an instance that nobody has: the peer reads, decodes and refuses it as it would
any, and a node that has no instance yet gets them too.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

import attrs
import trio

from aether.consensus.messages import Heartbeat, SnapshotChunk
from aether.invocation.messages import CallReply, CallRequest
from aether.invocation.reply import Form
from aether.model.ids import InstanceId, NodeId
from aether.node.config import NodeConfig
from aether.transport.address import join_address
from aether.transport.tcp import TcpTransport
from aether.transport.values import Handlers
from aether.wire.session import Admission, Identity
from aether.wire.table import MessageTable

BODY_BYTES: Final = 10 * 2**20
LOST_S: Final = 10.0  # a body that is not answered by then is sent anew: its peer was killed
WATCH_S: Final = 0.005
PAUSE_S: Final = 0.05
FIRST_CALL: Final = 2**48  # far above the correlation ids of the node itself

Beat = tuple[str, int, int, float]
"""Peer, term, round, when."""


@attrs.define
class Notes:
    """stall_s  the longest that the loop kept a task waiting; turn_s  the most that it computed meanwhile."""

    sent: list[Beat] = attrs.field(factory=list)
    heard: list[Beat] = attrs.field(factory=list)
    bodies: int = 0
    snapshot_bytes: int = 0
    stall_s: float = 0.0
    turn_s: float = 0.0


class TrafficTransport(TcpTransport):
    """As TcpTransport. carries_bodies  whether bodies travel to every peer that is connected."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.carries_bodies = False
        self.notes = Notes()
        self._call_ids = itertools.count(FIRST_CALL)
        self._answered: dict[int, trio.Event] = {}

    def send(self, to: NodeId, message: object, request_id: str = "") -> bool:
        if type(message) is not Heartbeat or not message.round:
            return super().send(to, message, request_id)
        now_s = time.monotonic()
        was_sent = super().send(to, message, request_id)
        if was_sent:
            self.notes.sent.append((to, message.term, message.round, now_s))
        return was_sent

    async def run(
        self, handlers: Handlers, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_busy, nursery)
            nursery.start_soon(self._watch_loop)
            await super().run(self._watched(handlers), task_status=task_status)

    def _watched(self, handlers: Handlers) -> Handlers:
        def heartbeat(peer: NodeId, message: Heartbeat) -> None:
            if message.round:
                self.notes.heard.append((peer, message.term, message.round, time.monotonic()))

        def chunk(_: NodeId, message: SnapshotChunk) -> None:
            self.notes.snapshot_bytes += len(message.chunk)

        def reply(_: NodeId, message: CallReply) -> None:
            event = self._answered.get(message.call_id)
            if event is not None:
                event.set()

        watched = dict(handlers.message)
        for cls, note in ((Heartbeat, heartbeat), (SnapshotChunk, chunk), (CallReply, reply)):
            watched[cls] = _both(note, handlers.message[cls])
        return attrs.evolve(handlers, message=watched)

    async def _watch_loop(self) -> NoReturn:
        while True:
            due_s, began_s = time.monotonic() + WATCH_S, time.thread_time()
            await trio.sleep(WATCH_S)
            self.notes.stall_s = max(self.notes.stall_s, time.monotonic() - due_s)
            self.notes.turn_s = max(self.notes.turn_s, time.thread_time() - began_s)

    async def _keep_busy(self, nursery: trio.Nursery) -> NoReturn:
        busy: set[NodeId] = set()
        while True:
            for peer in self.connected() - busy:
                busy.add(peer)
                nursery.start_soon(self._send_bodies, peer)
            await trio.sleep(PAUSE_S)

    async def _send_bodies(self, peer: NodeId) -> NoReturn:
        body = os.urandom(BODY_BYTES)
        while True:
            if self.carries_bodies and peer in self.connected():
                await self._send_body(peer, next(self._call_ids), body)
            else:
                await trio.sleep(PAUSE_S)

    async def _send_body(self, peer: NodeId, call_id: int, body: bytes) -> None:
        event = self._answered[call_id] = trio.Event()
        request = CallRequest(call_id, "bench:sink", InstanceId("nobody"), "take", Form.WIRE, LOST_S, {"body": body})
        try:
            if not self.send(peer, request, f"body-{call_id}"):
                await trio.sleep(PAUSE_S)
                return
            with trio.move_on_after(LOST_S):
                await event.wait()
                self.notes.bodies += 1
        finally:
            del self._answered[call_id]


def _both(note: Callable[[NodeId, Any], None], handle: Callable[[NodeId, Any, str], None]) -> Any:
    def handled(peer: NodeId, message: Any, request_id: str) -> None:
        note(peer, message)
        handle(peer, message, request_id)

    return handled


def make_traffic_transport(
    config: NodeConfig, identity: Identity, table: MessageTable, admit: Admission, wrap: object = None, *, bodies: bool
) -> TrafficTransport:
    """As `aether.node.seams.make_transport`, for a node with a cluster port."""
    assert config.port is not None
    made = TrafficTransport(identity, join_address(config.bind, config.port), config.peers, table, admit=admit)
    made.carries_bodies = bodies
    return made
