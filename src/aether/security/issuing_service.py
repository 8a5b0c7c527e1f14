"""An issuer: a node that holds the authority's key, and signs for newcomers and for certificates that grow old.

Knows: the authority, spent tokens, who was removed.
Never: sockets, files.
Holds: a join token certifies one public key; what a certificate says comes from the token or from the certificate that
       it follows, never from the request; who was removed or revoked gets none.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection
from typing import Any, Final

from aether.errors import BadInput, Rejected, TryAgain
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.certificates import SpentTokenRow
from aether.model.ids import NodeId
from aether.security.authority import Authority
from aether.security.certificates import (
    check_issued,
    pin_of,
    public_key_in,
    read_bundle,
    read_certificate,
    read_public_key,
    requested_key,
)
from aether.security.enrolment import Enrolment, Issued
from aether.security.identity import CertificateRole
from aether.security.join_token import check_token

_log: Final = logging.getLogger("aether.security")

LIFE_S: Final = 7 * 86_400.0
SPENT_DROPPED_MAX: Final = 64  # rows of expired tokens, with each new one
SPENT_KEPT_S: Final = 86_400.0  # after the end of their token: the clock of another issuer may be behind
ATTEMPTS_MAX: Final = 8
ALWAYS_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


class Issuer:
    """Of one node. authorities  PEM, as they are now; revoked, revoked_keys  serial numbers, digests of keys"""

    def __init__(
        self,
        key: bytes,
        authorities: Callable[[], bytes],
        kv: KvService,
        wall: Callable[[], float],
        revoked: Callable[[], Collection[str]],
        cluster: str,
        life_s: float = LIFE_S,
        revoked_keys: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._key, self._authorities, self._kv, self._wall = key, authorities, kv, wall
        self._revoked, self._revoked_keys, self._cluster, self._life_s = revoked, revoked_keys, cluster, life_s
        self.authority: Authority = Authority(key, authorities())

    async def enrol(self, enrolment: Enrolment) -> Issued:
        """The first certificate of whoever holds a token. Raises BadInput, Rejected, TryAgain, OutcomeUnknown."""
        now_s = self._wall()
        token = check_token(enrolment.token, self.authority, now_s)
        if token.identity.cluster != self._cluster:  # another one of the same authority: its own issuers count its use
            raise BadInput(f"the join token is for the cluster {token.identity.cluster}; this is {self._cluster}")
        public_key = requested_key(enrolment.request)
        self._check_key(public_key)
        if token.identity.role is CertificateRole.NODE:
            self._check_member(NodeId(token.identity.name))
        await self._spend(token.id, hashlib.sha256(public_key).digest(), float(token.expires_at))
        hosts = tuple(dict.fromkeys((*ALWAYS_HOSTS, *token.hosts)))
        certificate = self.authority.issue(public_key, token.identity, hosts, now_s, self._life_s)
        _log.info("issued a certificate to %s, by the join token %s", token.identity.uri, token.id)
        return Issued(certificate, self._authorities())

    def renew(self, certificate_pem: bytes, node: NodeId) -> Issued:
        """The successor of the certificate of `node`, with the same key and hosts. Raises BadInput."""
        now_s = self._wall()
        old = read_certificate(certificate_pem)
        check_issued(old, read_bundle(self._authorities()), now_s)
        who = old.shown.identity
        if who.role is not CertificateRole.NODE or who.name != node:
            raise BadInput(f"{node} asks to renew the certificate of {who.uri}")
        if old.shown.serial in self._revoked():
            raise BadInput(f"the certificate {old.shown.serial} is revoked and is not renewed")
        self._check_key(public_key_in(old))
        self._check_member(node)
        certificate = self.authority.issue(public_key_in(old), who, old.hosts, now_s, self._life_s)
        _log.info("renewed the certificate of %s", node)
        return Issued(certificate, self._authorities())

    def _check_key(self, public_key: bytes) -> None:
        if pin_of(read_public_key(public_key)) in self._revoked_keys():
            raise BadInput("a certificate of this key was revoked: it is never certified again; make another key")

    def _check_member(self, node: NodeId) -> None:
        if self._kv.get(keys.removed(node)) is not None:
            raise BadInput(f"{node} was removed from this cluster, and its id is never used again")

    async def _spend(self, token: str, digest: bytes, expires_at: float) -> None:
        """Record that `token` certified the key of this digest; the same key may come again."""
        key, now_s = keys.spent_token(token), self._wall()
        for _ in range(ATTEMPTS_MAX):
            await self._kv.barrier()
            known = self._kv.get(key)
            if known is not None:
                if known.key != digest:
                    raise Rejected("this join token was used already, by another node; `aether ca token` makes another")
                return
            row = SpentTokenRow(id=token, key=digest, expires_at=expires_at)
            ended = [r.id for r in self._kv.rows(keys.SPENT_TOKENS) if r.expires_at + SPENT_KEPT_S < now_s]
            old = ended[:SPENT_DROPPED_MAX]
            changes: list[Put[Any] | Delete[Any]] = [Put(key, row), *(Delete(keys.spent_token(each)) for each in old)]
            if (await self._kv.propose(Batch((Compare(key, self._kv.version(key)),), tuple(changes)))).applied:
                return
        raise TryAgain("others change the join tokens all the time; ask again")
