"""Certificates for a cluster that lives on one machine for as long as somebody tries it.

Knows: where they are written; what each node gets.
Never: clusters that are meant to stay: there the key of the authority belongs elsewhere (`aether ca`).
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from aether.errors import BadInput
from aether.node.certify import EXTRA, INSTALL

AUTHORITY_LIFE_S: Final = 30 * 86_400.0
LIFE_S: Final = 7 * 86_400.0
CLUSTER: Final = "aether"
"""Of processes that are tried out, whatever the environment says."""
_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


@attrs.frozen
class ThrowawayAuthority:
    """home  holds ca.pem, ca.key, and a directory for each node"""

    home: Path

    @property
    def authorities(self) -> Path:
        """What clients believe."""
        return self.home / "ca.pem"

    @property
    def key(self) -> Path:
        """For `--ca-key` of one node, which renews the certificates of all."""
        return self.home / "ca.key"

    def directory(self, node: str) -> Path:
        """For `--tls` of a node."""
        return self.home / node

    def client_context(self) -> ssl.SSLContext:
        """For clients of the nodes' HTTP ports."""
        from aether.security.contexts_service import web_client

        return web_client(self.authorities)


def make_throwaway(home: Path, cluster: str, nodes: Sequence[str]) -> ThrowawayAuthority:
    """A new authority in `home` with a certificate for each node. Blocks. Raises BadInput."""
    try:
        from aether.security.authority import Authority, create_authority, new_key, public_key_of
    except ImportError as error:
        raise BadInput(EXTRA, (INSTALL,)) from error
    from aether.security.directory_service import AUTHORITIES, NODE, certificate_file, key_file, write_file
    from aether.security.identity import CertificateRole, CertifiedIdentity

    now_s = time.time()
    made = ThrowawayAuthority(home)
    key, certificate = create_authority(cluster, now_s, AUTHORITY_LIFE_S)
    authority = Authority(key, certificate)
    write_file(made.key, key, private=True)
    write_file(made.authorities, certificate)
    for node in nodes:
        own = new_key()
        identity = CertifiedIdentity(cluster, CertificateRole.NODE, node)
        directory = made.directory(node)
        write_file(directory / AUTHORITIES, certificate)
        write_file(key_file(directory, NODE), own, private=True)
        shown = authority.issue(public_key_of(own), identity, _HOSTS, now_s, LIFE_S)
        write_file(certificate_file(directory, NODE), shown)
    return made
