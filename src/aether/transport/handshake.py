"""The handshake over a socket: drives a session until it is decided.

Knows: links, the two sessions.
Never: clocks (callers bound it by HANDSHAKE_S), what becomes of the connection.
Holds: a socket that does not become a connection is closed on every way out.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Final

import trio

from aether.errors import BadInput
from aether.transport.address import split_address
from aether.transport.link import Link, connect
from aether.transport.secured import TlsLink, Wrap, raise_refusal, secure, voucher
from aether.wire.session import AcceptingSession, DiallingSession, Hello, Refused, RefusedCode, Welcome

BROKEN: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


async def dial(address: str, hello: Hello, wrap: Wrap | None) -> tuple[Link, Welcome]:
    """A connection to `address` on which we were welcomed. Raises Refused, BadInput, or one of BROKEN."""
    sock = await connect(address)
    try:
        link = await secure(sock, wrap.client() if wrap else None, split_address(address)[0] if wrap else None)
        vouch = voucher(wrap, link)
        vouch(hello.to)  # before it is told who we are
        session = DiallingSession(hello, vouch)
        await link.send(session.opening())
        while True:
            welcome = session.feed(await _more(link))
            if welcome is not None:
                return link, welcome
    except ssl.SSLError as error:  # TLS 1.3 tells only now that our certificate is not accepted
        close_socket(sock)
        raise_refusal(error)
        raise
    except BaseException:
        close_socket(sock)
        raise


async def answer(sock: socket.socket, session: AcceptingSession, wrap: Wrap | None) -> tuple[Link, Hello] | None:
    """Who dialled us, found acceptable; `session.reply` is still to be sent. Raises Refused or BROKEN.

    None: it was no lane, and `wrap.aside` has served it; its BadInput is a refusal.
    """
    link = await secure(sock, wrap.server() if wrap else None)
    if wrap is not None:
        assert isinstance(link, TlsLink)
        if link.protocol in wrap.aside:
            try:
                await wrap.aside[link.protocol](link)
            except BadInput as error:
                raise Refused(RefusedCode.MALFORMED, str(error)) from error
            return None
        session.vouch = voucher(wrap, link)
    try:
        while True:
            hello = session.feed(await _more(link))
            if hello is not None:
                return link, hello
    except Refused:
        await link.send(session.reply)
        raise


async def _more(link: Link) -> bytes:
    data = await link.receive()
    if not data:
        raise ConnectionResetError(errno.ECONNRESET, "closed during the handshake")
    return data


def close_socket(sock: socket.socket) -> None:
    """Close `sock` and let trio know. Nothing happens when it is closed."""
    if sock.fileno() >= 0:
        trio.lowlevel.notify_closing(sock)
        sock.close()


def words(error: BaseException) -> str:
    """`error` in a few words for the log, without the library's wrapping."""
    if isinstance(error, trio.BrokenResourceError) and error.__cause__ is not None:
        error = error.__cause__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
