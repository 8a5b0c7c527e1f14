"""The certificate of one node through time: files that change, its renewal, revocations that take effect at once.

Knows: when a certificate is due; whom to ask.
Never: sockets; what ends connections (told through functions).
Holds: a certificate is renewed at two thirds of its life, by this node itself when it is an issuer, else by the members
       in turn until one is; nothing restarts, and whom this node believes never changes by an answer. A revocation ends
       connections within LOOK_S, the end of a certificate within EXPIRED_LOOK_S, unless its node has told of the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any, Final, NoReturn

import trio

from aether.errors import AetherError, BadInput
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.service import KvService
from aether.model.ids import NodeId
from aether.security.certificates import (
    Certificate,
    check_issued,
    public_key_in,
    read_bundle,
    read_certificate,
)
from aether.security.credentials_service import Credentials
from aether.security.directory_service import NODE, certificate_file, write_file
from aether.security.enrolment import Issued
from aether.security.identity import CertificateRole
from aether.security.issuing_service import Issuer
from aether.security.messages import CertificateTold, RenewalReply, RenewalRequest
from aether.security.revocations import in_force
from aether.work import Work

_log: Final = logging.getLogger("aether.security")

LOOK_S: Final = 1.0
DUE_SHARE: Final = 2 / 3
ASK_S: Final = 2.0  # for which one member is waited for
EXPIRED_LOOK_S: Final = 30.0  # how often connections are looked at whose certificates may have ended
AGAIN_S: Final = 60.0  # after all members were asked in vain
WARN_SHARE: Final = 0.9


class CertificateKeeper:
    """Of one node.

    issuer    of this node, None = it is none; send, connected  of the transport
    recheck   ends connections whose certificates are not accepted any more
    """

    def __init__(
        self,
        credentials: Credentials,
        kv: KvService,
        work: Work,
        wall: Callable[[], float],
        issuer: Issuer | None,
        send: Callable[[NodeId, object], bool],
        connected: Callable[[], Collection[NodeId]],
        recheck: Callable[[], None],
    ) -> None:
        self._credentials, self._kv, self._work, self._wall = credentials, kv, work, wall
        self._issuer, self._send, self._connected, self._recheck = issuer, send, connected, recheck
        self._revoked_rows = CachedRows(kv, keys.REVOKED)
        self._serials: frozenset[str] = frozenset()
        self._keys: frozenset[str] = frozenset()
        self._told: dict[str, Certificate] = {}  # of nodes that were connected when they said so
        self._began_with = credentials.certificate.shown.serial
        self._answer: tuple[NodeId, RenewalReply] | None = None
        self._answered = trio.Event()
        self._asks_again_at = float("-inf")
        self._misfit: str = ""  # what is wrong with the files, as the log heard it
        credentials.revoked = lambda: self._serials
        credentials.revoked_keys = lambda: self._keys
        credentials.newest = self._told.get

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Until cancelled; started once what the cluster has revoked is known here."""
        self._follow_rows()
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            nursery.start_soon(self._look_for_expired)
            while True:
                await self._look_at_files()
                if self._is_due() and (self._issuer is not None or self._connected()):
                    await self._renew()
                await trio.sleep(LOOK_S)
        raise AssertionError("the keeper ends only by cancellation")

    # --- messages: never blocking ---

    def asked(self, sender: NodeId, request: RenewalRequest) -> None:
        """A member wants its certificate signed anew."""
        if self._issuer is None:
            self._send(sender, RenewalReply(b"", b"", f"{self._credentials.node} is no issuer"))
            return
        try:
            issued = self._issuer.renew(request.certificate, sender)
        except BadInput as error:
            _log.warning("the certificate of %s is not renewed: %s", sender, error)
            self._send(sender, RenewalReply(b"", b"", str(error)))
        else:
            self._send(sender, RenewalReply(issued.certificate, issued.authorities))

    def answered(self, sender: NodeId, reply: RenewalReply) -> None:
        """Counts only while this node waits for that member."""
        self._answer = (sender, reply)
        self._answered.set()

    def told(self, sender: NodeId, message: CertificateTold) -> None:
        """A member has another certificate than the one that it opened its lanes with."""
        try:
            new = read_certificate(message.certificate)
            check_issued(new, read_bundle(self._credentials.authorities), self._wall())
            who = new.shown.identity
            if (who.cluster, who.role, who.name) != (self._credentials.cluster, CertificateRole.NODE, sender):
                raise BadInput(f"it is the certificate of {who.uri}")
        except BadInput as error:
            _log.warning("%s tells of a certificate that does not count: %s", sender, error)
            return
        connected = self._connected()
        for gone in [name for name in self._told if name not in connected]:
            del self._told[gone]
        self._told[sender] = new

    # --- revocations ---

    async def _look_for_expired(self) -> NoReturn:
        while True:
            self._tell()
            await trio.sleep(EXPIRED_LOOK_S)
            self._recheck()

    def _tell(self) -> None:
        """Whoever holds lanes that this node opened with an older certificate learns of the one in force."""
        held = self._credentials.certificate
        if held.shown.serial != self._began_with:
            for member in self._connected():
                self._send(member, CertificateTold(held.pem))

    async def _watch(self) -> NoReturn:
        async with self._kv.watch(keys.REVOKED) as watch:
            while True:
                await watch.changed()
                self._follow_rows()

    def _follow_rows(self) -> None:
        rows = in_force(self._kv, self._revoked_rows.look())
        before = self._serials, self._keys
        self._serials = frozenset(row.serial for row in rows)
        self._keys = frozenset(row.key for row in rows if row.key)
        if (self._serials, self._keys) != before:
            self._recheck()

    # --- files ---

    async def _look_at_files(self) -> None:
        try:
            changed = await self._work.run(self._credentials.reload)
        except BadInput as error:
            if str(error) != self._misfit:  # they are read again and again: told once
                _log.error(
                    "the files in %s do not fit, the ones before still count: %s", self._credentials.directory, error
                )
            self._misfit = str(error)
            return
        self._misfit = ""
        if changed:
            ends_s = self._credentials.certificate.not_after - self._wall()
            _log.info("certificates were read again; that of this node holds for %.1f days", ends_s / 86_400)
            self._tell()
            self._recheck()

    # --- renewal ---

    def _is_due(self) -> bool:
        held = self._credentials.certificate
        due_at = held.not_before + (held.not_after - held.not_before) * DUE_SHARE
        return self._wall() >= due_at and trio.current_time() >= self._asks_again_at

    async def _renew(self) -> None:
        try:
            issued = await self._ask_around()
            if issued is not None:
                await self._work.run(self._store, issued)
                await self._look_at_files()
        except AetherError as error:
            _log.error("the certificate of this node is not renewed: %s", error)
        self._asks_again_at = trio.current_time() + AGAIN_S
        if self._is_late():
            ends_s = self._credentials.certificate.not_after - self._wall()
            _log.warning(
                "the certificate of this node ends in %.1f h and no member renews it; start one with --ca-key, "
                "or use `aether ca renew`", ends_s / 3_600
            )  # fmt: skip

    def _is_late(self) -> bool:
        held = self._credentials.certificate
        return self._wall() > held.not_before + (held.not_after - held.not_before) * WARN_SHARE

    async def _ask_around(self) -> Issued | None:
        mine = self._credentials.certificate.pem
        if self._issuer is not None:
            return self._issuer.renew(mine, self._credentials.node)
        for member in sorted(self._connected()):
            self._answer, self._answered = None, trio.Event()
            if not self._send(member, RenewalRequest(mine)):
                continue
            with trio.move_on_after(ASK_S):
                await self._answered.wait()
            found = self._answer
            if found is not None and found[0] == member and not found[1].refused:
                try:
                    self._check_successor(found[1].certificate)
                except BadInput as error:  # the next one may be an honest issuer
                    _log.error("%s answered with a certificate that this node does not take: %s", member, error)
                else:
                    return Issued(found[1].certificate, found[1].authorities)
        return None

    def _check_successor(self, certificate: bytes) -> None:
        """By the authorities in ca.pem alone: a member must not name whom this node believes. Raises BadInput."""
        new, old = read_certificate(certificate), self._credentials.certificate
        check_issued(new, read_bundle(self._credentials.authorities), self._wall())
        if new.shown.identity != old.shown.identity or public_key_in(new) != public_key_in(old):
            raise BadInput("an issuer answered with a certificate of somebody else")
        if new.not_after <= old.not_after:
            raise BadInput("an issuer answered with a certificate that ends no later")

    def _store(self, issued: Issued) -> None:
        """Blocks. Raises BadInput: it is not the successor of ours."""
        self._check_successor(issued.certificate)
        write_file(certificate_file(self._credentials.directory, NODE), issued.certificate)


def handlers(keeper: CertificateKeeper) -> dict[type, Callable[[NodeId, Any, str], None]]:
    """Whom the transport gives the messages about certificates."""
    return {
        RenewalRequest: lambda sender, message, _: keeper.asked(sender, message),
        RenewalReply: lambda sender, message, _: keeper.answered(sender, message),
        CertificateTold: lambda sender, message, _: keeper.told(sender, message),
    }
