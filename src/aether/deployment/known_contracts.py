"""The contracts that one node knows, and whom a change of version would break by them.

Knows: rows of contracts, and the versions whose code this process has.
Never: which change is asked for; whether a break is wanted anyway (`--force`).
Holds: everybody who asks on one node gets the same answer; a contract that cannot be read counts as not known.
"""

from __future__ import annotations

from collections.abc import Callable

from aether.deployment.compatibility import breaks, described
from aether.deployment.standing import no_contract
from aether.errors import BadInput
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.artifact import Artifact
from aether.slice_api.description import ContractDescription

Own = Callable[[Artifact], ContractDescription | None]


class KnownContracts:
    """own  of the versions whose code this process has; those of others are read from their rows"""

    def __init__(self, kv: KvService, own: Own = no_contract) -> None:
        self._kv = kv
        self._own = own

    def of(self, artifact: Artifact) -> ContractDescription | None:
        """None when nobody published it, or a release of aether that writes contracts otherwise."""
        own = self._own(artifact)
        if own is not None:
            return own
        row = self._kv.get(keys.contract(artifact))
        if row is None:
            return None
        try:
            return described(row)
        except BadInput:
            return None

    def breaks(self, old: Artifact, new: Artifact) -> list[str]:
        """What an update breaks of the slices in force and of HTTP clients, a line each."""
        before, after = self.of(old), self.of(new)
        if before is None or after is None:
            return []
        callers = [self.of(row.artifact) for row in self._kv.rows(keys.DESIRED)]
        return breaks(before, after, [caller for caller in callers if caller is not None])
