"""The HTTP server: sockets to handlers and back.

Knows: listeners, connections, time limits, drain.
Never: who answers (the handler is passed in), routing.
"""

from __future__ import annotations

from typing import NoReturn

import attrs
import trio

from aether.model import limits
from aether.web.request import Handler


@attrs.frozen(kw_only=True)
class WebConfig:
    """How one listener is opened and bounded.

    bind, port         numeric address (or localhost) and port; 0 = any free one
    option             option that sets the port, named when the port is taken
    header_bytes_max   request line and header fields together; more is 431
    body_bytes_max     body after de-chunking; more is 413
    """

    bind: str = "127.0.0.1"
    port: int = 0
    option: str = "--http-port"
    header_bytes_max: int = limits.HTTP_HEADER_BYTES_MAX
    body_bytes_max: int = limits.HTTP_BODY_BYTES_MAX
    header_s: float = limits.HTTP_HEADER_S
    body_s: float = limits.HTTP_BODY_S
    idle_s: float = limits.HTTP_IDLE_S
    connections_max: int = limits.HTTP_CONNECTIONS_MAX


class WebServer:
    """One listener and its connections. `run` serves, `drain` ends it without a cut answer."""

    def __init__(self, handler: Handler, config: WebConfig) -> None:
        self._handler = handler
        self._config = config

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled; started("host:port"). Raises AddressInUse, BadInput (address unknown here)."""
        raise NotImplementedError

    async def serve_stream(self, stream: trio.abc.Stream, client: str = "") -> None:
        """Serve one connection until it ends."""
        raise NotImplementedError

    async def drain(self, grace_s: float) -> None:
        """Stop accepting, close idle connections, let running requests end; at most `grace_s`."""
        raise NotImplementedError


async def serve(
    handler: Handler, config: WebConfig, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> NoReturn:
    """Serve `handler` until cancelled; started("host:port"). Raises AddressInUse, BadInput."""
    await WebServer(handler, config).run(task_status=task_status)
