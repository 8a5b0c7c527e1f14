"""Peers over TCP: dial, accept, shake hands, read, and dial again.

Knows: sockets, the handshake, back-off.
Never: what a message means.
Holds: a node dials one connection per lane to each peer and only sends on it; an accepted one is only read. What a peer
       sends can end its own connections and nothing else.
"""

from __future__ import annotations

import functools
import logging
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

import attrs
import trio

from aether.errors import BadInput
from aether.model.ids import ClusterUuid, NodeId
from aether.model.limits import HANDSHAKE_S, PEER_SILENT_S, PEERS_MAX, RECONNECT_MAX_S
from aether.transport.accepting import accept_all
from aether.transport.address import is_wildcard, split_address
from aether.transport.contact import Contact
from aether.transport.counters import Counters
from aether.transport.dispatch import Dispatch
from aether.transport.handshake import BROKEN, answer, dial, words
from aether.transport.link import Link, listen, tune
from aether.transport.peer import Peer, back_off_s
from aether.transport.presence import Direction, Presence
from aether.transport.pulse import Listener
from aether.transport.refusals import Refusals
from aether.transport.secured import Vouched, Wrap
from aether.transport.sender import Sender
from aether.transport.sending import send_until_end
from aether.transport.values import Handlers, TransportStatistics
from aether.transport.waiting_room import WaitingRoom
from aether.wire.frames import FrameDecoder, encode_frame
from aether.wire.lane import Lane
from aether.wire.session import (
    ANYBODY,
    AcceptingSession,
    Admission,
    Hello,
    Identity,
    Refused,
    RefusedCode,
    Welcome,
    everyone,
)
from aether.wire.table import MessageTable

OTHERS_S: Final = 0.001  # handlers may compute, as a call that is served at once does: others run as often as that

_log: Final = logging.getLogger("aether.transport")
_OPENED: Final = encode_frame(b"")
"""First frame of the dialling side: it has read its welcome, so the lane carries messages in its direction."""


class TcpTransport:
    """The Transport contract over TCP.

    identity    of this node; an empty address becomes the bound one
    bind        host:port to listen on, port 0 = any; peers  where to dial each (an entry for this node is ignored)
    contacts    addresses of peers whose ids are not known: whoever answers there becomes a peer
    jitter      draws from [0, 1) for the back-off; admit  a further check of peers that dial in
    wrap        how connections are secured; None = plain
    """

    def __init__(
        self,
        identity: Identity,
        bind: str,
        peers: Mapping[NodeId, str],
        table: MessageTable,
        *,
        contacts: Sequence[str] = (),
        jitter: Callable[[], float] = random.random,
        admit: Admission = everyone,
        wrap: Wrap | None = None,
    ) -> None:
        self._identity, self._bind, self._table = identity, bind, table
        self._jitter, self._admit = jitter, admit
        self._wrap, self._vouched = wrap, Vouched(wrap)
        self._counters = Counters()
        self._peers: dict[NodeId, Peer] = {}
        self._readers: dict[tuple[NodeId, Lane], trio.CancelScope] = {}
        self._waiting_room = WaitingRoom(identity.node, self._counters)
        self._refusals = Refusals(identity.node, self._counters)
        self._nursery: trio.Nursery | None = None
        self._presence = Presence(identity.node, self._counters, self._give_up)
        for node, address in peers.items():
            self.set_peer(node, address)
        for contact in contacts:
            split_address(contact)
        self._contacts = tuple(contacts)

    # --- for callers ------------------------------------------------------------------------------------------------

    def send(self, to: NodeId, message: object, request_id: str = "") -> bool:
        """As Transport.send. Raises FrameTooLarge."""
        assert to != self._identity.node, f"{to} sends {type(message).__name__} to itself; short-cut it"
        peer = self._peers.get(to)
        if peer is None:
            return False
        table, cls = self._table, type(message)
        sender = peer.senders[table.lane_of(cls)]
        return sender is not None and sender.put(table.encode(message, request_id)[1], urgent=table.is_urgent(cls))

    def connected(self) -> frozenset[NodeId]:
        return self._presence.connected

    def gone(self) -> frozenset[NodeId]:
        return frozenset(n for n, p in self._peers.items() if p.is_refusing and not self._presence.has(n, Direction.IN))

    def statistics(self) -> TransportStatistics:
        return self._counters.snapshot(sum(peer.queued_bytes for peer in self._peers.values()))

    def set_peer(self, node: NodeId, address: str) -> None:
        """Add a peer, or dial it at `address` from now on; this node itself is ignored. Raises BadInput."""
        split_address(address)
        if node == self._identity.node:
            return
        peer = self._peers.get(node) or self._add(node)
        peer.listed, peer.configured, peer.advertised = True, address, ""
        peer.nudge.unpark_all()

    def remember_peer(self, node: NodeId, address: str) -> None:
        """As Transport.remember_peer; this node itself is ignored. Raises BadInput."""
        split_address(address)
        if node == self._identity.node:
            return
        peer = self._peers.get(node) or self._add(node)
        if not peer.listed or peer.remembered != address:
            peer.listed, peer.remembered = True, address
            peer.nudge.unpark_all()

    def forget_peer(self, node: NodeId) -> None:
        """End the connections to `node` and do not dial it any more. Nothing happens when it is unknown."""
        peer = self._peers.pop(node, None)
        if peer is not None:
            peer.scope.cancel()
            for lane in Lane:
                reader = self._readers.get((node, lane))
                if reader is not None:
                    reader.cancel()
            self._presence.forget(node, "it was removed from the peers")

    def set_cluster_uuid(self, uuid: str) -> None:
        self._identity = attrs.evolve(self._identity, cluster_uuid=ClusterUuid(uuid))

    def recheck(self) -> None:
        """As Transport.recheck."""
        self._counters.closed.update("certificate" for _ in self._vouched.recheck())

    async def run(
        self, handlers: Handlers, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """As Transport.run. Raises AddressInUse that names `--port`, BadInput."""
        listener, address = await listen(self._bind, "--port")
        try:
            if not self._identity.address and not is_wildcard(split_address(address)[0]):
                self._identity = attrs.evolve(self._identity, address=address)
            self._presence.handlers = handlers
            self._dispatch = Dispatch(self._identity.node, self._table, handlers, self._counters)
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for peer in self._peers.values():
                    self._start(peer)
                for contact in self._contacts:
                    nursery.start_soon(self._find_out, contact)
                task_status.started(address)
                await accept_all(listener, self._identity.node, functools.partial(self._let_in, nursery))
        finally:
            self._nursery = None
            trio.lowlevel.notify_closing(listener)
            listener.close()

    # --- dialling ---------------------------------------------------------------------------------------------------

    def _add(self, node: NodeId) -> Peer:
        peer = self._peers[node] = Peer(node)
        self._start(peer)
        return peer

    def _start(self, peer: Peer) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._keep_dialled, peer)

    async def _keep_dialled(self, peer: Peer) -> None:
        """Keep the lanes to `peer` up until it is forgotten."""
        with peer.scope:
            async with trio.open_nursery() as nursery:
                for lane in Lane:
                    nursery.start_soon(self._keep_lane, peer, lane)

    async def _keep_lane(self, peer: Peer, lane: Lane) -> NoReturn:
        failures = 0
        while True:
            began = trio.current_time()
            await self._dial_once(peer, lane, failures)
            if trio.current_time() - began > RECONNECT_MAX_S:
                failures = 0
            pause_s = back_off_s(failures, self._jitter())
            failures += 1
            with trio.move_on_after(pause_s):
                await peer.nudge.park()
                failures = 0  # it is up, or has another address

    async def _find_out(self, address: str) -> None:
        asked = Contact(address, self._identity, self._wrap, self._jitter, self._refused, self._complain)
        node = await asked.find_out()
        if node is not None:
            self.set_peer(node, address)

    async def _dial_once(self, peer: Peer, lane: Lane, attempt: int) -> None:
        addresses = peer.addresses
        if not addresses:
            return
        address = addresses[attempt % len(addresses)]
        link: Link | None = None
        try:
            with peer.trying(address), trio.fail_after(HANDSHAKE_S):
                link, welcome = await dial(address, Hello(self._identity, peer.node, lane), self._wrap)
            await self._hold(peer, lane, link, welcome)
        except Refused as refused:
            self._refused(peer, address, refused)
        except trio.TooSlowError:
            self._complain(peer, f"no answer from {address} within {HANDSHAKE_S} s")
        except (*BROKEN, BadInput) as error:
            self._complain(peer, f"{address}: {words(error)}")
        finally:
            if link is not None:
                link.close()

    async def _hold(self, peer: Peer, lane: Lane, link: Link, welcome: Welcome) -> None:
        """Send on `link` until it ends, from whichever side."""
        live = self._presence.live(peer.node)
        if live is not None and live.incarnation != welcome.identity.incarnation:
            raise Refused(
                RefusedCode.DUPLICATE_ID,
                f"two nodes have the id {peer.node}: {live.address} is connected, "
                f"{welcome.identity.address} answers too; give one of them its own --node-id",
            )
        key = (Direction.OUT, lane)
        self._presence.introduced(key, welcome.identity)
        try:
            await link.send(_OPENED)
        except BROKEN as error:
            self._presence.closed(key, peer.node, words(error))
            raise
        peer.senders[lane] = sender = Sender(lane, link, self._counters)
        peer.complaints.clear()
        peer.holds[lane] = scope = trio.CancelScope()
        reason = "the other lanes ended"
        try:
            with scope, self._vouched.holding(link, peer.node, scope):
                self._presence.opened(key, welcome.identity)
                reason = await send_until_end(sender, link, self._counters)
        finally:
            peer.senders[lane] = None
            del peer.holds[lane]
        carried = sender.has_carried and not scope.cancelled_caught
        self._presence.closed(key, peer.node, reason, carried=carried)

    def _give_up(self, node: NodeId) -> None:
        peer = self._peers.get(node)
        if peer is not None:
            for lane, scope in peer.holds.items():
                peer.senders[lane] = None
                scope.cancel()

    def _refused(self, peer: Peer, address: str, refused: Refused) -> None:
        self._counters.refused[refused.code.value] += 1
        if peer.is_news(refused.reason):
            _log.error("%s: %s at %s refuses us: %s", self._identity.node, peer.node, address, refused.reason)
            self._presence.handlers.refused(peer.node, refused)

    def _complain(self, peer: Peer, what: str) -> None:
        if peer.is_news(what):
            _log.info("%s: cannot reach %s: %s", self._identity.node, peer.node, what)

    # --- accepting --------------------------------------------------------------------------------------------------

    def _let_in(self, nursery: trio.Nursery, sock: socket.socket, origin: str) -> None:
        seat = self._waiting_room.enter(origin)
        if seat is not None:
            nursery.start_soon(self._serve, sock, origin, seat)
        else:
            sock.close()

    async def _serve(self, sock: socket.socket, origin: str, seat: trio.CancelScope) -> None:
        """Read one accepted connection until it ends. Nothing that arrives raises out of here."""
        answered = None
        session = AcceptingSession(self._identity, self._presence.live, self._may_enter)
        try:
            try:
                tune(sock)
                with seat, trio.fail_after(HANDSHAKE_S):
                    answered = await answer(sock, session, self._wrap)
            finally:
                self._waiting_room.leave(seat)
            if answered is None:
                return
            link, hello = answered
            if hello.to == ANYBODY:
                await link.send(session.reply)
            else:
                await self._read(link, hello, session.reply)
        except trio.TooSlowError:
            self._refusals.turned_away(origin, Refused(RefusedCode.MALFORMED, f"no handshake within {HANDSHAKE_S} s"))
        except Refused as refused:
            self._refusals.turned_away(origin, refused)
        except BROKEN as error:
            self._refusals.broke_off(origin, words(error))
        finally:
            if sock.fileno() >= 0:
                trio.lowlevel.notify_closing(sock)
                sock.close()

    def _may_enter(self, hello: Hello) -> str:
        if hello.identity.node not in self._peers and len(self._peers) >= PEERS_MAX:
            return f"{self._identity.label} has {PEERS_MAX} peers already"
        return self._admit(hello)

    async def _read(self, link: Link, hello: Hello, welcome: bytes) -> None:
        """From the decision to welcome a peer to the end of its connection.

        Nothing is awaited before it counts as live, so that a second process with its id is refused.
        """
        key, node = (Direction.IN, hello.lane), hello.identity.node
        scope, reason = trio.CancelScope(), f"it was silent for {PEER_SILENT_S} s"
        older = self._readers.get((node, hello.lane))
        self._readers[node, hello.lane] = scope
        if older is not None:  # a peer that dials again has lost the older connection, noticed or not
            older.cancel()
            self._presence.closed(key, node, "it dialled again")
        self._presence.introduced(key, hello.identity)
        self._meet(hello.identity)
        try:
            with scope, self._vouched.holding(link, node, scope):
                async with trio.open_nursery() as nursery:
                    listener = Listener()
                    if hello.lane is Lane.CONSENSUS:
                        nursery.start_soon(listener.end_when_silent, scope, self._counters)
                    reason = await self._read_until_end(link, hello, welcome, listener)
                    nursery.cancel_scope.cancel()
        finally:
            is_current = self._readers.get((node, hello.lane)) is scope
            if is_current:
                del self._readers[node, hello.lane]
        if is_current:  # neither dialled again nor forgotten
            self._presence.closed(key, node, reason)
            self._part(node)

    async def _read_until_end(self, link: Link, hello: Hello, welcome: bytes, listener: Listener) -> str:
        try:
            await link.send(welcome)
            decoder = FrameDecoder()
            while data := await link.receive():
                listener.heard = True
                try:
                    await self._take(hello, decoder, data)
                except BadInput as error:
                    self._counters.closed["malformed"] += 1
                    _log.warning("%s: ended a lane from %s: %s", self._identity.node, hello.identity.label, error)
                    return str(error)
        except BROKEN as error:
            return words(error)
        return "it ended the connection" if decoder.is_empty else "it ended the connection inside a frame"

    async def _take(self, hello: Hello, decoder: FrameDecoder, data: bytes) -> None:
        node, lane, deliver = hello.identity.node, hello.lane, self._dispatch.deliver
        others_at = trio.current_time() + OTHERS_S
        for payload in decoder.feed(data):
            if payload:
                deliver(node, lane, payload)
            else:
                self._presence.opened((Direction.IN, lane), hello.identity)
            if trio.current_time() >= others_at:
                await trio.lowlevel.checkpoint()
                others_at = trio.current_time() + OTHERS_S

    def _meet(self, identity: Identity) -> None:
        """A peer that dialled in is up: dial it back now, at the address it says it has."""
        peer = self._peers.get(identity.node) or self._add(identity.node)
        if identity.address:
            peer.advertised = identity.address
        peer.nudge.unpark_all()

    def _part(self, node: NodeId) -> None:
        peer = self._peers.get(node)
        if peer is not None and not peer.listed and not self._presence.has(node, Direction.IN):
            self.forget_peer(node)
