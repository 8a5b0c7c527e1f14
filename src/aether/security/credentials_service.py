"""What one node shows and whom it believes: read from its directory, and again when the files change.

Knows: the directory, contexts, which certificates are revoked.
Never: tasks (renewal_manager.py looks again), sockets.
Holds: every port asks the same lists; files that do not fit together leave what was in force.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection
from pathlib import Path

import attrs

from aether.errors import BadInput
from aether.model.ids import NodeId
from aether.security import contexts_service, identity
from aether.security.certificates import (
    Certificate,
    check_issued,
    key_pin,
    pin_in,
    read_bundle,
    read_certificate,
    revoked_serials,
)
from aether.security.directory_service import (
    AUTHORITIES,
    NODE,
    REVOKED,
    certificate_file,
    key_file,
    marks,
    read_file,
    read_key,
    read_optional,
)
from aether.security.identity import DER, CertificateRole, Described


@attrs.frozen
class _Loaded:
    """One state of the files."""

    authorities: bytes
    certificate: Certificate
    revoked: frozenset[str]
    peer_server: ssl.SSLContext
    peer_client: ssl.SSLContext
    management: ssl.SSLContext
    http: ssl.SSLContext


class Credentials:
    """Of the node `node` of `cluster`.

    enrols  it lets newcomers without a certificate speak to it; http  another certificate, with its key, for HTTP
    wall    seconds since the epoch; revoked  serial numbers that the cluster has revoked
    Blocks while it reads. Raises BadInput: files are missing, do not fit together, or are somebody else's.
    """

    def __init__(
        self,
        directory: Path,
        cluster: str,
        node: NodeId,
        wall: Callable[[], float],
        *,
        enrols: bool = False,
        http: tuple[Path, Path] | None = None,
    ) -> None:
        self.directory: Path = directory
        self.cluster: str = cluster
        self.node: NodeId = node
        self.revoked: Callable[[], Collection[str]] = frozenset
        self.revoked_keys: Callable[[], Collection[str]] = frozenset
        """Digests of public keys that the cluster has revoked."""
        self.newest: Callable[[str], Certificate | None] = lambda _: None
        """The newest certificate that a node has told of, checked when it came."""
        self._wall, self._enrols, self._http = wall, enrols, http
        self._paths = {
            "ca": directory / AUTHORITIES,
            "crl": directory / REVOKED,
            "certificate": certificate_file(directory, NODE),
            "key": key_file(directory, NODE),
        }
        if http is not None:
            self._paths |= {"http certificate": http[0], "http key": http[1]}
        self._marks = marks(self._paths)
        self._loaded = self._load()

    def reload(self) -> bool:
        """Read the files again when they have changed; whether they had. Blocks.

        Raises BadInput: the old ones hold, and the next call reads them once more, as they may fit by then: a file that
        could not be opened for a moment may be the list of those who are revoked.
        """
        now = marks(self._paths)
        if now == self._marks:
            return False
        self._loaded = self._load()
        self._marks = now
        return True

    # --- what is in force ---

    @property
    def certificate(self) -> Certificate:
        """Of this node."""
        return self._loaded.certificate

    @property
    def authorities(self) -> bytes:
        """PEM."""
        return self._loaded.authorities

    def peer_server(self) -> ssl.SSLContext:
        return self._loaded.peer_server

    def peer_client(self) -> ssl.SSLContext:
        return self._loaded.peer_client

    def management(self) -> ssl.SSLContext:
        return self._loaded.management

    def http(self) -> ssl.SSLContext:
        return self._loaded.http

    def judge_peer(self, described: Described, node: NodeId) -> str:
        """As identity.judge_peer, and for as long as the certificate holds, or one that follows it with its key."""
        reason = identity.judge_peer(described, self.cluster, node, self.all_revoked)
        if reason:
            return reason
        try:
            if self._has_revoked_key(described):
                return "the key of its certificate is revoked; `aether ca issue` or a join token gives it another"
            if self._has_ended(described) and not self._is_followed(described):
                return "its certificate has expired; `aether ca renew` makes the next one"
        except BadInput as error:
            return str(error)
        return ""

    def identify_client(self, described: Described) -> str:
        """As identity.identify_client, and for as long as the certificate holds.

        TLS looks at its end when a connection begins, or the session that it goes on with.
        """
        uri = identity.identify_client(described, self.cluster, self.all_revoked)
        if uri and self._has_revoked_key(described):
            raise BadInput(f"the key of the certificate of {uri} is revoked")
        if uri and self._has_ended(described):
            raise BadInput(f"the certificate of {uri} has expired", ("`aether ca issue` makes another",))
        return uri

    @property
    def all_revoked(self) -> Collection[str]:
        """Serial numbers, of the list in the directory and of the cluster's rows."""
        here, everywhere = self._loaded.revoked, self.revoked()
        return here.union(everywhere) if here else everywhere

    def _has_revoked_key(self, described: Described) -> bool:
        revoked = self.revoked_keys()
        return bool(revoked) and key_pin(described[DER]) in revoked

    def _has_ended(self, described: Described) -> bool:
        return self._wall() > ssl.cert_time_to_seconds(str(described["notAfter"]))

    def _is_followed(self, described: Described) -> bool:
        newest = self.newest(identity.read_shown(described).identity.name)
        return (
            newest is not None
            and newest.not_after >= self._wall()
            and newest.shown.serial not in self.all_revoked
            and pin_in(newest) == key_pin(described[DER])
        )

    # --- reading ---

    def _load(self) -> _Loaded:
        paths = self._paths
        authorities = read_file(paths["ca"])
        certificate = read_certificate(read_file(paths["certificate"]))
        read_key(paths["key"])
        self._check(certificate, authorities)
        crl = read_optional(paths["crl"])
        shown, key = paths["certificate"], paths["key"]
        http = self._http or (shown, key)
        return _Loaded(
            authorities,
            certificate,
            frozenset() if crl is None else revoked_serials(crl, authorities),
            contexts_service.peer_server(authorities, shown, key, enrols=self._enrols),
            contexts_service.peer_client(authorities, shown, key),
            contexts_service.web_server(shown, key, authorities),
            contexts_service.web_server(*http),
        )

    def _check(self, certificate: Certificate, authorities: bytes) -> None:
        check_issued(certificate, read_bundle(authorities), self._wall())
        who = certificate.shown.identity
        if (who.cluster, who.role, who.name) != (self.cluster, CertificateRole.NODE, self.node):
            raise BadInput(
                f"{self._paths['certificate']} is the certificate of {who.uri}",
                (f"this is the node {self.node} of the cluster {self.cluster}; `aether ca issue` makes its own",),
            )


def certificate_expiry(directory: Path, owner: str = NODE) -> float:
    """When the certificate in a directory ends, in seconds since the epoch. Blocks. Raises BadInput."""
    return read_certificate(read_file(certificate_file(directory, owner))).not_after
