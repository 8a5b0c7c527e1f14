"""Who may do what, and who did: the parts of a node that keep it.

Knows: constructors.
Never: checks anybody.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import trio

from aether.kv.service import KvService
from aether.security.audit_log import AuditLog
from aether.security.audit_manager import AuditManager
from aether.security.denials import Denials
from aether.security.denials_manager import DenialsManager
from aether.security.revocations import Revocations
from aether.security.token_keeper import TokenKeeper


class AccessParts:
    """Of one node. wall  seconds since the epoch"""

    def __init__(self, kv: KvService, wall: Callable[[], float]) -> None:
        self.denials: Denials = Denials()
        self.tokens: TokenKeeper = TokenKeeper(kv, wall, secrets.token_bytes)
        self.certificates: Revocations = Revocations(kv, wall)
        self.audit: AuditLog = AuditLog(kv, self.denials)
        self._audit_manager = AuditManager(kv)
        self._denials_manager = DenialsManager(kv, self.denials, wall)

    async def begin(self, nursery: trio.Nursery) -> None:
        """Start what runs, in `nursery`."""
        await nursery.start(self._audit_manager.run)
        await nursery.start(self._denials_manager.run)
