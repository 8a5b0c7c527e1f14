"""Links under TLS: who is at the other end is asked right after the handshake, and again when the answer may change.

Knows: TLS as `ssl` does it in memory, what its errors mean to an operator.
Never: which certificates are good: contexts and the verdict are passed in.
Holds: of whoever dials in nothing but a hello is read before its certificate is found good, so that it can be told why
       not; whoever is dialled is told nothing before; a link whose certificate is not accepted any more ends.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
import trio

from aether.model.ids import NodeId
from aether.transport.link import READ_BYTES, Link, PlainLink
from aether.wire.session import Refused, RefusedCode

_log: Final = logging.getLogger("aether.transport")

Described = Mapping[str, Any]
"""A certificate as `ssl.SSLObject.getpeercert` describes it, and as bytes under "der"; empty without one."""

PeerCheck = Callable[[Described, NodeId], str]
"""Why whoever shows this certificate is not the node, "" when it is. ANYBODY: it has not said yet which node it is."""


class TlsLink:
    """TLS over a socket that we drive ourselves: a message alone is encrypted and written at once, by no other task.

    All that is encrypted leaves through one buffer, in order, whoever encrypted it. trio's TLS stream would take a turn
    of its own for each write, and closes after a failed handshake without the alert that tells the other side why.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._plain = PlainLink(sock)
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_hostname is None, server_hostname=server_hostname
        )
        self._unsent: bytearray = bytearray()
        self._flushing = False
        self._may_hold = True  # bytes that came with the end of the handshake
        self.described: Described = {}
        self.protocol: str = ""

    async def shake_hands(self) -> None:
        """Raises OSError, ssl.SSLError among them; the other side is told by an alert."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                raw = await self._plain.receive()
                if not raw:
                    raise ConnectionResetError(errno.ECONNRESET, "closed during the TLS handshake") from None
                self._incoming.write(raw)
            except ssl.SSLError:
                self._push()
                raise
            else:
                break
        await self._flush()
        described = self._tls.getpeercert()
        self.described = {**described, "der": self.certificate()} if described else {}
        self.protocol = self._tls.selected_alpn_protocol() or ""

    def certificate(self) -> bytes:
        """What the other side showed, in DER, whatever was thought of it; b"" for nothing."""
        return self._tls.getpeercert(binary_form=True) or b""

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def send_now(self, data: bytes | memoryview) -> int:
        if self._unsent:
            return 0
        self._tls.write(data)
        self._push()
        return len(data)

    async def send(self, data: bytes) -> None:
        if data:
            self._tls.write(data)
        await self._flush()

    async def receive(self) -> bytes:
        while True:
            if self._may_hold:
                await trio.lowlevel.checkpoint()
                self._may_hold = False
            else:
                raw = await self._plain.receive()
                if not raw:
                    return b""  # no goodbye is needed: our framing notices a cut
                self._incoming.write(raw)
            data, is_over = self._decrypted()
            if data or is_over:
                return data

    def _decrypted(self) -> tuple[bytes, bool]:
        """All that can be read without more, and whether the other side said goodbye."""
        parts: list[bytes] = []
        over = False
        try:
            while part := self._tls.read(READ_BYTES):
                parts.append(part)
                if not self._incoming.pending and not self._tls.pending():  # cheaper than to be told by an exception
                    break
            over = not part
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            over = True
        if self._outgoing.pending and not self._flushing:  # an answer of TLS itself, such as to a new key
            self._push()
        return (parts[0] if len(parts) == 1 else b"".join(parts)), over

    def _push(self) -> None:
        """Write what the socket takes without waiting; the rest is left in `_unsent`."""
        raw = self._outgoing.read()
        if self._unsent or self._flushing:
            self._unsent += raw
            return
        written = self._plain.send_now(raw)
        if written < len(raw):
            self._unsent += memoryview(raw)[written:]

    async def _flush(self) -> None:
        self._unsent += self._outgoing.read()
        self._flushing = True
        try:
            while self._unsent:
                written = self._plain.send_now(self._unsent)
                del self._unsent[:written]
                if self._unsent:
                    await trio.lowlevel.wait_writable(self._socket)
                self._unsent += self._outgoing.read()
        finally:
            self._flushing = False

    def close(self) -> None:
        self._plain.close()


@attrs.frozen(kw_only=True)
class Wrap:
    """How lanes are secured.

    server, client  contexts for the next connection: certificates change while the transport runs
    check           who shows which certificate
    aside           by ALPN protocol: connections that are no lanes are served by these, and closed when they return
    """

    server: Callable[[], ssl.SSLContext]
    client: Callable[[], ssl.SSLContext]
    check: PeerCheck
    aside: Mapping[str, Callable[[TlsLink], Awaitable[None]]] = MappingProxyType({})

    def vouch(self, link: Link, node: NodeId) -> None:
        """Raise Refused unless `link` shows the certificate of `node`, or of any node for ANYBODY."""
        assert isinstance(link, TlsLink)
        reason = self.check(link.described, node)
        if reason:
            raise Refused(RefusedCode.CERTIFICATE, reason)


def voucher(wrap: Wrap | None, link: Link) -> Callable[[NodeId], None]:
    """What a session asks before it believes that a node is at the other end of `link`."""
    return (lambda node: None) if wrap is None else lambda node: wrap.vouch(link, node)


async def secure(
    sock: socket.socket, context: ssl.SSLContext | None, server_hostname: str | None = None
) -> PlainLink | TlsLink:
    """`sock` as a Link; with `context`, after the TLS handshake. The client side names the host it dialled.

    Raises OSError, or Refused for what TLS itself finds wrong, with the socket closed.
    """
    if context is None:
        return PlainLink(sock)
    link = TlsLink(sock, context, server_hostname)
    try:
        await link.shake_hands()
    except ssl.SSLError as error:
        link.close()
        raise_refusal(error)
        raise
    except BaseException:
        link.close()
        raise
    return link


def raise_refusal(error: ssl.SSLError) -> None:
    """Raise Refused when `error` tells of a certificate that one side does not accept, or of no TLS at all."""
    if isinstance(error, ssl.SSLCertVerificationError):
        raise Refused(RefusedCode.CERTIFICATE, f"its certificate is not accepted: {error.verify_message}") from error
    reason = (error.reason or "").replace("_", " ").lower()
    if reason == "peer did not return a certificate":
        raise Refused(RefusedCode.CERTIFICATE, "it showed no certificate; start it with --tls") from error
    if "certificate" in reason or "unknown ca" in reason:
        raise Refused(RefusedCode.CERTIFICATE, f"it does not accept the certificate shown to it: {reason}") from error
    if reason in ("wrong version number", "http request", "unknown protocol", "record layer failure"):
        raise Refused(RefusedCode.MALFORMED, f"it does not speak TLS ({reason}); start it with --tls") from error


class Vouched:
    """The links that are up, each with the node whose certificate it showed."""

    def __init__(self, wrap: Wrap | None) -> None:
        self._wrap = wrap
        self._held: dict[Link, tuple[NodeId, trio.CancelScope]] = {}

    @contextlib.contextmanager
    def holding(self, link: Link, node: NodeId, scope: trio.CancelScope) -> Generator[None]:
        """While the block runs, `recheck` may cancel `scope`."""
        self._held[link] = (node, scope)
        try:
            yield
        finally:
            del self._held[link]

    def recheck(self) -> frozenset[NodeId]:
        """End the links whose certificates are not accepted any more; whose they were. Never blocks."""
        ended: set[NodeId] = set()
        if self._wrap is None:
            return frozenset()
        for link, (node, scope) in tuple(self._held.items()):
            try:
                self._wrap.vouch(link, node)
            except Refused as refused:
                ended.add(node)
                scope.cancel()
                _log.warning("ended a lane of %s: %s", node, refused.reason)
        return frozenset(ended)
