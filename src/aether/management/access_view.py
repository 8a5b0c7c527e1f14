"""What the admin API needs of whoever keeps tokens and the audit, as small protocols.

Knows: the reads and mutations it passes on.
Never: how they are answered (room security).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from aether.model.access import ApiTokenRow, Role
from aether.model.certificates import RevokedRow
from aether.model.ids import Revision
from aether.security.audit_log import AuditPage
from aether.security.denials import Denial
from aether.security.token_keeper import IssuedToken


class Tokens(Protocol):
    """Tokens of the cluster (security.token_keeper.TokenKeeper)."""

    @property
    def revision(self) -> Revision: ...
    def rows(self) -> Sequence[ApiTokenRow]: ...
    async def create(
        self,
        role: Role,
        *,
        name: str = "",
        life_s: float | None = None,
        roles: Sequence[str] = (),
        note: str = "",
        by: str = "",
    ) -> IssuedToken: ...
    async def revoke(self, identity: str) -> Revision: ...


class Audit(Protocol):
    """What was changed, and what was refused (security.audit_log.AuditLog)."""

    def page(self, since: Revision | None, limit: int) -> AuditPage: ...
    def refused_here(self) -> Sequence[Denial]: ...
    def refused_by_minute(self) -> Mapping[int, int]: ...


class Certificates(Protocol):
    """Certificates that are accepted no more (security.revocations.Revocations)."""

    @property
    def revision(self) -> Revision: ...
    def rows(self) -> Sequence[RevokedRow]: ...
    async def revoke(
        self,
        serial: str,
        *,
        identity: str = "",
        reason: str = "",
        expires_at: float | None = None,
        by: str = "",
        key: str = "",
    ) -> Revision: ...
