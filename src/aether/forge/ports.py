"""Ports of this machine for processes that start later: any that are free, or the usual ones.

Knows: loopback sockets that are bound and do not listen.
Never: who listens there in the end.
Holds: the kernel gives a kept port to nobody else, and two runs that want the usual one do not both get it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from typing import Final

LOOPBACK: Final = "127.0.0.1"
ANY: Final = 0


def free_ports(count: int) -> list[int]:
    """`count` different loopback ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        return keep_ports([ANY] * count, stack)


def keep_ports(wanted: Sequence[int], stack: contextlib.ExitStack) -> list[int]:
    """As many different loopback ports, kept while `stack` is open. One that is taken, and ANY, becomes a free one.

    Each is bound without listening, so that a process of ours that allows it (SO_REUSEADDR) can still listen there.
    """
    return [(_keep(port, stack) if port else None) or _keep_any(stack) for port in wanted]


def _keep_any(stack: contextlib.ExitStack) -> int:
    kept = stack.enter_context(socket.socket())
    kept.bind((LOOPBACK, ANY))
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port: int = kept.getsockname()[1]
    return port


def _keep(port: int, stack: contextlib.ExitStack) -> int | None:
    """`port`, also when connections of a run before still linger there; None when somebody has it.

    Who may reuse a port cannot see that another like it is about to listen there. So the same number of UDP, where
    nothing lingers, is held too: it stands for the right to the port.
    """
    with contextlib.ExitStack() as tried:
        right = tried.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        kept = tried.enter_context(socket.socket())
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            right.bind((LOOPBACK, port))
            kept.bind((LOOPBACK, port))
        except OSError:
            return None
        stack.push(tried.pop_all())
    return port
