"""The certificates of one node, wired to its ports.

Knows: which port asks what of them; newcomers at the cluster port.
Never: X.509 (room security).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import trio

from aether.errors import AetherError, BadInput
from aether.kv.service import KvService
from aether.model.ids import NodeId
from aether.node.config import NodeConfig
from aether.security import renewal_manager
from aether.security.contexts_service import ENROLMENT
from aether.security.credentials_service import Credentials
from aether.security.directory_service import read_key
from aether.security.enrolment import LINE_BYTES_MAX, read_enrolment, spell_answer, spell_offer
from aether.security.issuing_service import Issuer
from aether.security.renewal_manager import CertificateKeeper
from aether.transport.secured import TlsLink, Wrap
from aether.transport.values import Transport
from aether.web.tls_service import Tls
from aether.wire.session import Refused, RefusedCode
from aether.work import Work


class Certification:
    """Of a node with `config.tls`. Built before its transport; `attach` once its store is there.

    Reads the files at once. Raises BadInput.
    """

    def __init__(self, config: NodeConfig, wall: Callable[[], float]) -> None:
        assert config.tls is not None
        self._config, self._wall = config, wall
        http = (config.http_cert, config.http_key) if config.http_cert and config.http_key else None
        self.credentials: Credentials = Credentials(
            config.tls, config.cluster, config.node, wall, enrols=config.ca_key is not None, http=http
        )
        self._key = read_key(config.ca_key) if config.ca_key is not None else None
        self._issuer: Issuer | None = None
        self._rechecks: list[Callable[[], None]] = []
        self.wrap: Wrap = Wrap(
            server=self.credentials.peer_server,
            client=self.credentials.peer_client,
            check=self.credentials.judge_peer,
            aside={ENROLMENT: self._serve_newcomer} if self._key is not None else {},
        )

    def attach(self, kv: KvService, transport: Transport, work: Work) -> None:
        """What signs and renews. Raises BadInput: the key is not that of an authority in ca.pem."""
        credentials = self.credentials
        if self._key is not None:
            self._issuer = Issuer(
                self._key,
                lambda: credentials.authorities,
                kv,
                self._wall,
                lambda: credentials.all_revoked,
                self._config.cluster,
                revoked_keys=lambda: credentials.revoked_keys(),
            )
        self._keeper = CertificateKeeper(
            credentials, kv, work, self._wall, self._issuer, transport.send, transport.connected, self._recheck
        )
        self._rechecks.append(transport.recheck)

    @property
    def handlers(self) -> dict[type, Callable[[NodeId, Any, str], None]]:
        """Whom the transport gives the messages about certificates."""
        return renewal_manager.handlers(self._keeper)

    async def begin(self, nursery: trio.Nursery) -> None:
        """Follow files and rows from now on."""
        await nursery.start(self._keeper.run)

    def management(self) -> Tls:
        """How the management port speaks TLS: with the certificates of clients, for those who have one."""
        return Tls(self.credentials.management, self.credentials.identify_client)

    def http(self) -> Tls | None:
        """How the HTTP port does; None = it does not."""
        return None if self._config.plain_http else Tls(self.credentials.http, lambda _: "")

    def when_revoked(self, recheck: Callable[[], None]) -> None:
        """Call `recheck` whenever certificates may have ceased to be accepted."""
        self._rechecks.append(recheck)

    def _recheck(self) -> None:
        for recheck in self._rechecks:
            recheck()

    # --- newcomers ---

    async def _serve_newcomer(self, link: TlsLink) -> None:
        """One enrolment over a connection of somebody who has no certificate. The transport bounds its time, and what
        the log hears of those who get none. Raises Refused, BadInput, OSError.
        """
        assert self._issuer is not None, "ENROLMENT is offered by issuers alone"
        await link.send(spell_offer(self.credentials.authorities))
        line = await read_line(link)
        try:
            issued = await self._issuer.enrol(read_enrolment(line))
        except AetherError as error:
            await link.send(spell_answer(str(error)))
            raise Refused(RefusedCode.CERTIFICATE, f"a newcomer gets no certificate: {error}") from error
        await link.send(spell_answer(issued))


async def read_line(link: TlsLink) -> bytes:
    """Up to the first line break, which nothing may follow. Raises OSError, BadInput."""
    line = b""
    while not line.endswith(b"\n"):
        more = await link.receive()
        line += more
        if not more:
            raise ConnectionResetError(errno.ECONNRESET, "closed during an enrolment; only nodes with --ca-key enrol")
        if b"\n" in line[:-1]:
            raise BadInput("more was said in an enrolment than was asked")
        if len(line) > LINE_BYTES_MAX:
            raise BadInput(f"a line of an enrolment has more than {LINE_BYTES_MAX} bytes")
    return line
