"""Certificates that the cluster accepts no more: rows, one for each serial number.

Knows: the rows, how many there may be.
Never: certificates: who asks has read them.
Holds: a revocation is never taken back. A row goes a day after its certificate would have ended by itself; one that
       names a key stays, as there may be younger certificates of that key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from aether.errors import QuotaExceeded, TryAgain
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.certificates import RevokedRow
from aether.model.ids import Revision
from aether.model.limits import REVOKED_MAX
from aether.security.identity import pin_text, serial_text

_DROPPED_MAX: Final = 64  # rows of certificates that have ended, with each new one
_TRIES_MAX: Final = 8
CLOCK_SKEW_S: Final = 86_400.0  # a row is kept for so long after the end: another node's clock may be behind


class Revocations:
    """Of the cluster, as this node has them. wall  seconds since the epoch"""

    def __init__(self, kv: KvService, wall: Callable[[], float]) -> None:
        self._kv, self._wall = kv, wall

    @property
    def revision(self) -> Revision:
        return self._kv.revision

    def rows(self) -> Sequence[RevokedRow]:
        """As `in_force`."""
        return in_force(self._kv, tuple(self._kv.rows(keys.REVOKED)))

    async def revoke(
        self,
        serial: str,
        *,
        identity: str = "",
        reason: str = "",
        expires_at: float | None = None,
        by: str = "",
        key: str = "",
    ) -> Revision:
        """Accept a certificate no more: connections that show it end within seconds, on every node.

        expires_at  when it ends by itself, None = not known
        key         of its public key: none of that key is accepted any more, so the row stays for good

        Raises BadInput, QuotaExceeded, and what a proposal raises.
        """
        row_key = keys.revoked(serial_text(serial))
        pin = pin_text(key)
        for _ in range(_TRIES_MAX):
            await self._kv.barrier()
            known = self._kv.get(row_key)
            if known is not None and (not pin or known.key == pin):
                return self._kv.revision
            rows, now = self.rows(), self._wall()
            ended = [row.serial for row in rows if row.serial != serial_text(serial) and has_ended(row, now)]
            if len(rows) - len(ended) >= REVOKED_MAX:
                raise QuotaExceeded("revoked certificates of the cluster", REVOKED_MAX, "certificates")
            row = RevokedRow(
                serial=serial_text(serial),
                identity=identity,
                at=now,
                by=by,
                reason=reason,
                expires_at=expires_at,
                key=pin,
            )
            changes: list[Put[Any] | Delete[Any]] = [Put(row_key, row)]
            changes += [Delete(keys.revoked(each)) for each in ended[:_DROPPED_MAX]]
            result = await self._kv.propose(Batch((Compare(row_key, self._kv.version(row_key)),), tuple(changes)))
            if result.applied:
                return result.revision
        raise TryAgain("others change the revoked certificates all the time; ask again")


def in_force(kv: KvService, readable: Sequence[RevokedRow]) -> Sequence[RevokedRow]:
    """`readable`, and those that cannot be read: they still revoke the serial number in their key."""
    hidden = sorted(key for key in kv.unreadable if key.startswith(keys.REVOKED))
    return *readable, *(RevokedRow(serial=key.removeprefix(keys.REVOKED)) for key in hidden)


def has_ended(row: RevokedRow, now_s: float) -> bool:
    """Whether the row says nothing any more that the certificate's end does not say, by any clock."""
    return not row.key and row.expires_at is not None and row.expires_at + CLOCK_SKEW_S < now_s
