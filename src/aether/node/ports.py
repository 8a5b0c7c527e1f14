"""The ports of one node for HTTP: that of its slices, and that of the admin API.

Knows: which of them are configured; the token of the admin API.
Never: what answers a request.
Holds: a port that was opened is drained with the others; where the node retires, its slices' port alone says so.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import trio

from aether.management.service import ManagementApi
from aether.model.limits import HTTP_MANAGEMENT_BODY_BYTES_MAX
from aether.node.config import NodeConfig
from aether.node.facts import NodeFacts
from aether.node.http_port import http_server
from aether.node.seams import Seams
from aether.node.tokens import ensure_token
from aether.security.directory_service import AUTHORITIES
from aether.web.config import WebConfig
from aether.web.service import WebServer
from aether.web.slices_service import SliceHandler

if TYPE_CHECKING:
    from aether.node.certification import Certification


class Ports:
    """Of one node. slices, management  make what answers; the latter is given the token that it asks for"""

    def __init__(
        self,
        config: NodeConfig,
        facts: NodeFacts,
        slices: Callable[[], SliceHandler],
        management: Callable[[str], ManagementApi],
        seams: Seams,
        certification: Certification | None = None,
    ) -> None:
        self._seams = seams
        self._certification = certification
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
            tls = self._certification.http() if self._certification else None
            self._http = http_server(config, self._slices(), self._seams.listen, tls)
            self._facts.http_address = await self._serve(nursery, self._http)
        if config.management_port is not None:
            token = ensure_token(config.data)
            web = WebConfig(
                bind=config.bind,
                port=config.management_port,
                option="--management-port",
                body_bytes_max=HTTP_MANAGEMENT_BODY_BYTES_MAX,
            )
            api = self._management(token)
            tls = self._certification.management() if self._certification else None
            server = WebServer(api, web, leaving=api.leaving, tls=tls, listen=self._seams.listen)
            if self._certification is not None:
                self._certification.when_revoked(server.recheck)
            self._facts.management_address = await self._serve(nursery, server)
            authorities = None if config.tls is None else config.tls / AUTHORITIES
            stack.enter_context(self._seams.publish(self._facts.management_address, token, authorities))

    async def drain(self, grace_s: float) -> None:
        """Accept nothing more; return when requests have ended, or their time is over."""
        async with trio.open_nursery() as nursery:
            for server in self._servers:
                nursery.start_soon(server.drain, grace_s)

    @property
    def connections(self) -> int:
        """Open ones, of both ports."""
        return sum(server.connections for server in self._servers)

    @property
    def in_flight(self) -> int:
        """Requests that are not answered, of both ports."""
        return sum(server.in_flight for server in self._servers)

    def retire(self, retires: bool) -> None:
        """Whether clients of slices are told to go elsewhere."""
        if self._http is not None:
            self._http.retiring = retires

    async def _serve(self, nursery: trio.Nursery, server: WebServer) -> str:
        self._servers.append(server)
        address: str = await nursery.start(server.run)
        return address
