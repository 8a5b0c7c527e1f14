"""The first certificate of a node that joins with a token.

Knows: the cluster ports to ask, the files to write.
Never: what is checked (room security).
Holds: the private key is made here, with mode 0600, and never leaves; a start that was cut off asks again with the same
       key, which the token still certifies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import trio

from aether.errors import BadInput
from aether.model.limits import HANDSHAKE_S
from aether.node.certification import read_line
from aether.node.config import NodeConfig
from aether.security.authority import new_key
from aether.security.contexts_service import newcomer_client
from aether.security.directory_service import (
    AUTHORITIES,
    NODE,
    certificate_file,
    key_file,
    read_file,
    read_key,
    write_file,
)
from aether.security.enrolment import Issued, Newcomer
from aether.security.identity import CertificateRole
from aether.transport.address import split_address
from aether.transport.handshake import BROKEN, words
from aether.transport.link import connect
from aether.transport.secured import TlsLink, secure
from aether.wire.session import Refused
from aether.work import Work

_log: Final = logging.getLogger("aether.security")

ASK_AGAIN_S: Final = 1.0
GIVE_UP_S: Final = 60.0


async def ensure_certificate(config: NodeConfig, work: Work, wall: Callable[[], float]) -> None:
    """Get a certificate by the join token when there is none yet. Raises BadInput, also after GIVE_UP_S in vain."""
    if config.tls is None or certificate_file(config.tls, NODE).exists():
        return
    if config.join_token is None:
        raise BadInput(
            f"there is no certificate in {config.tls}",
            ("`aether ca issue --out DIR` makes one, or a token of `aether ca token` gets one: --join-token FILE",),
        )
    newcomer = await work.run(_prepare, config)
    issued = await _ask(newcomer, config.join, wall)
    await work.run(_store, config, issued)
    _log.info("%s has its first certificate, by the join token %s", config.node, newcomer.token.id)


def _prepare(config: NodeConfig) -> Newcomer:
    assert config.tls is not None
    assert config.join_token is not None
    text = read_file(config.join_token).decode("ascii", errors="replace")
    path = key_file(config.tls, NODE)
    if not path.exists():
        write_file(path, new_key(), private=True)
    newcomer = Newcomer(text, read_key(path))
    who = newcomer.token.identity
    if (who.cluster, who.role, who.name) != (config.cluster, CertificateRole.NODE, config.node):
        raise BadInput(
            f"the join token is for {who.uri}",
            (f"this is the node {config.node} of the cluster {config.cluster} (--node-id, --cluster)",),
        )
    return newcomer


def _store(config: NodeConfig, issued: Issued) -> None:
    assert config.tls is not None
    write_file(config.tls / AUTHORITIES, issued.authorities)
    write_file(certificate_file(config.tls, NODE), issued.certificate)  # last: it says that all is there


async def _ask(newcomer: Newcomer, addresses: Sequence[str], wall: Callable[[], float]) -> Issued:
    """Each of `addresses` in turn, until one signs or one refuses."""
    said: dict[str, str] = {}
    with trio.move_on_after(GIVE_UP_S):
        while True:
            for address in addresses:
                try:
                    with trio.fail_after(HANDSHAKE_S):
                        return await _enrol(address, newcomer, wall)
                except (*BROKEN, trio.TooSlowError, Refused) as error:
                    said[address] = words(error) if isinstance(error, BROKEN) else str(error) or "no answer in time"
                    _log.info("no certificate from %s yet: %s", address, said[address])
            await trio.sleep(ASK_AGAIN_S)
    raise BadInput(
        f"nobody signed a certificate within {GIVE_UP_S:g} s; --join must name a node that runs with --ca-key",
        [f"{address}: {why}" for address, why in said.items()],
    )


async def _enrol(address: str, newcomer: Newcomer, wall: Callable[[], float]) -> Issued:
    link = await secure(await connect(address), newcomer_client(), split_address(address)[0])
    assert isinstance(link, TlsLink)
    try:
        offer = await read_line(link)
        await link.send(newcomer.request_for(offer, link.certificate(), wall()))
        return newcomer.accept(await read_line(link), wall())
    finally:
        link.close()
