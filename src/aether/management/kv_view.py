"""The rows that the admin API shows, read from the replicated store.

Knows: which prefix holds which rows.
Never: writes; how rows are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from aether.kv import keys
from aether.kv.service import KvService
from aether.kv.watch_service import Watch
from aether.model.duty import DutyRow
from aether.model.ids import Revision
from aether.model.rows import (
    ApplyRow,
    BlueprintRow,
    ContractRow,
    DesiredRow,
    InstanceRow,
    MemberRow,
    RemovedRow,
    RoleRow,
    RouteRow,
    UnsatisfiedRow,
)
from aether.model.serving import published, serving
from aether.model.setting import SettingRow


class KvClusterView:
    """A ClusterView over a KvService: each call reads the rows as applied here at that moment."""

    def __init__(self, kv: KvService) -> None:
        self._kv = kv

    @property
    def revision(self) -> Revision:
        return self._kv.revision

    def members(self) -> Iterable[MemberRow]:
        return self._kv.rows(keys.MEMBERS)

    @property
    def cluster_uuid(self) -> str:
        row = self._kv.get(keys.cluster)
        return row.uuid if row is not None else ""

    def removed(self) -> Iterable[RemovedRow]:
        return self._kv.rows(keys.REMOVED)

    def duties(self) -> Iterable[DutyRow]:
        return self._kv.rows(keys.DUTIES)

    def roles(self) -> Iterable[RoleRow]:
        return self._kv.rows(keys.ROLES)

    def desired(self) -> Iterable[DesiredRow]:
        return self._kv.rows(keys.DESIRED)

    def instances(self) -> Iterable[InstanceRow]:
        return self._kv.rows(keys.INSTANCES)

    def contracts(self) -> Iterable[ContractRow]:
        return self._kv.rows(keys.CONTRACTS)

    def settings(self) -> Iterator[tuple[str, SettingRow]]:
        for text, row in self._kv.items(keys.SETTINGS):
            yield str(keys.parse(text).parts[0]), row

    def routes(self) -> Iterable[RouteRow]:
        for row in self._kv.rows(keys.ROUTES):
            base = row.artifact
            versions = serving(row, self._kv.get(keys.desired(base)), self._kv.get(keys.traffic(base)))
            yield from published(versions)

    def unsatisfied(self) -> Iterable[UnsatisfiedRow]:
        return self._kv.rows(keys.UNSATISFIED)

    def blueprints(self) -> Iterator[BlueprintRow]:
        for text, _, _ in self._kv.scan(keys.BLUEPRINTS_CURRENT):
            row = self.blueprint(str(keys.parse(text).parts[0]), None)
            if row is not None:
                yield row

    def blueprint(self, blueprint: str, number: int | None) -> BlueprintRow | None:
        chosen = number or self._kv.get(keys.blueprint_current(blueprint))
        return self._kv.get(keys.blueprint(blueprint, chosen)) if chosen else None

    def blueprint_history(self, blueprint: str) -> Iterable[BlueprintRow]:
        return self._kv.rows(keys.blueprints_of(blueprint))

    def applies(self) -> Iterable[ApplyRow]:
        return self._kv.rows(keys.APPLIES)

    def map_rows(self, name: str) -> Iterable[tuple[bytes, bytes, Revision]] | None:
        prefix = keys.map_entries(name)
        rows = [(_user_key(text), prefix.codec.decode(raw), version) for text, raw, version in self._kv.scan(prefix)]
        return rows if rows or self._kv.get(keys.map_definition(name)) is not None else None

    def watch_instances(self) -> Watch:
        return self._kv.watch(
            *(keys.INSTANCES, keys.DESIRED, keys.ROLLOUTS, keys.BLUEPRINTS_CURRENT, keys.APPLIES),
            *(keys.UNSATISFIED, keys.MEMBERS),
        )

    async def barrier(self) -> Revision:
        return await self._kv.barrier()

    async def wait_applied(self, revision: Revision) -> None:
        await self._kv.wait_applied(revision)


def _user_key(text: str) -> bytes:
    return cast("bytes", keys.parse(text).parts[1])
