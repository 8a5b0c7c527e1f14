"""Where connections come from: listening sockets, unless whoever assembles a server brings something else.

Knows: addresses and ports.
Never: what is done with a connection.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import attrs
import trio

from aether.errors import AddressInUse, BadInput
from aether.web.accept_service import EagerListener
from aether.web.config import WebConfig
from aether.web.pressure_service import PressureGate


@attrs.frozen
class Listening:
    """What a server accepts from.

    address    host:port; client_of  says where a stream comes from, "" = not known
    real_time  whether the loop can be late for who comes: in virtual time nobody has to look
    """

    listeners: Sequence[trio.abc.Listener[Any]]
    address: str
    client_of: Callable[[Any], str]
    real_time: bool = True


Listen: TypeAlias = Callable[[WebConfig, PressureGate], Awaitable[Listening]]
"""Opens what a server accepts from; a closed gate holds new connections up. Raises AddressInUse, BadInput."""


async def listen_tcp(config: WebConfig, gate: PressureGate) -> Listening:
    """Sockets. Raises AddressInUse, BadInput (address unknown here)."""
    listeners = await _open_listeners(config)
    return Listening([EagerListener(each, gate) for each in listeners], _address_of(listeners[0]), _client_of)


def _client_of(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:  # it left before it was accepted
        return ""


async def _open_listeners(config: WebConfig) -> list[trio.SocketListener]:
    where = f"{config.bind}:{config.port}"
    try:
        listeners = await trio.open_tcp_listeners(config.port, host=config.bind)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(where, config.option) from error
        raise BadInput(
            f"cannot listen on {where}", (f"{error.strerror or error}; check the address and the port",)
        ) from error
    listeners.sort(key=lambda listener: listener.socket.family)  # of two that localhost has, IPv4 first
    if config.port == 0:  # two families would get two different free ports: keep the first
        for extra in listeners[1:]:
            await extra.aclose()
        del listeners[1:]
    return listeners


def _address_of(listener: trio.SocketListener) -> str:
    host, port = listener.socket.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
