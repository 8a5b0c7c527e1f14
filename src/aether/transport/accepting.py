"""The listening socket: takes every connection that arrives, and outlives a shortage of files.

Knows: what the kernel may answer to `accept`.
Never: handshakes, who may come in.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final, NoReturn

import trio

from aether.model.ids import NodeId
from aether.model.limits import RECONNECT_MIN_S
from aether.model.shortage import OUT_OF_FILES
from aether.transport.address import join_address
from aether.transport.handshake import words

_log: Final = logging.getLogger("aether.transport")


async def accept_all(listener: socket.socket, node: NodeId, let_in: Callable[[socket.socket, str], None]) -> NoReturn:
    """Give each connection to `let_in`, with its origin `host:port`, until cancelled."""
    while True:
        await trio.lowlevel.wait_readable(listener)
        try:
            sock, place = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            continue
        except OSError as error:
            if error.errno not in OUT_OF_FILES:
                raise
            _log.error("%s: cannot accept a connection: %s", node, words(error))
            await trio.sleep(RECONNECT_MIN_S)
            continue
        let_in(sock, join_address(place[0], place[1]))
