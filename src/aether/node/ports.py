"""The ports of one node for HTTP: that of its slices, and that of the admin API.

Knows: which of them are configured; the token of the admin API.
Never: what answers a request.
Holds: a port that was opened is drained with the others; where the node retires, its slices' port alone says so.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import trio

from aether.management.service import ManagementApi
from aether.model.limits import HTTP_MANAGEMENT_BODY_BYTES_MAX
from aether.node.config import NodeConfig
from aether.node.facts import NodeFacts
from aether.node.http_port import http_server
from aether.node.tokens import ensure_token, published
from aether.web.config import WebConfig
from aether.web.service import WebServer
from aether.web.slices_service import SliceHandler


class Ports:
    """Of one node. slices, management  make what answers; the latter is given the token that it asks for"""

    def __init__(
        self,
        config: NodeConfig,
        facts: NodeFacts,
        slices: Callable[[], SliceHandler],
        management: Callable[[str], ManagementApi],
    ) -> None:
        self._config = config
        self._facts = facts
        self._slices = slices
        self._management = management
        self._servers: list[WebServer] = []
        self._http: WebServer | None = None

    async def open(self, nursery: trio.Nursery, stack: ExitStack) -> None:
        """Serve in `nursery`; the address of the admin API is published until `stack` closes. Raises AddressInUse."""
        config = self._config
        if config.http_port is not None:
            self._http = http_server(config, self._slices())
            self._facts.http_address = await self._serve(nursery, self._http)
        if config.management_port is not None:
            token = ensure_token(config.data)
            web = WebConfig(
                bind=config.bind,
                port=config.management_port,
                option="--management-port",
                body_bytes_max=HTTP_MANAGEMENT_BODY_BYTES_MAX,
            )
            self._facts.management_address = await self._serve(nursery, WebServer(self._management(token), web))
            stack.enter_context(published(self._facts.management_address, token))

    async def drain(self, grace_s: float) -> None:
        """Accept nothing more; return when requests have ended, or their time is over."""
        async with trio.open_nursery() as nursery:
            for server in self._servers:
                nursery.start_soon(server.drain, grace_s)

    def retire(self, retires: bool) -> None:
        """Whether clients of slices are told to go elsewhere."""
        if self._http is not None:
            self._http.retiring = retires

    async def _serve(self, nursery: trio.Nursery, server: WebServer) -> str:
        self._servers.append(server)
        address: str = await nursery.start(server.run)
        return address
