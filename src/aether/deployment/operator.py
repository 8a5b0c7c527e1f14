"""The mutations an operator can ask for, from any node.

Knows: how blueprints, deploy, scale and undeploy become one compare-and-set batch of wishes.
Never: instances; reconcile turns wishes into those.
Holds: each decision is made on a state at least as new as the request, and written only if it still holds;
       asking for what is already so writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import attrs

from aether.deployment.wishes import (
    Changes,
    Defaults,
    check_instances,
    decide_apply,
    decide_deploy,
    decide_implicit,
    decide_scale,
)
from aether.errors import Conflict
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint import APP
from aether.model.blueprint_toml import parse_blueprint, parse_target
from aether.model.ids import Revision
from aether.model.limits import BLUEPRINTS_KEPT
from aether.model.rows import Applied, BlueprintRow, DesiredRow
from aether.model.version import Version

if TYPE_CHECKING:
    from aether.slice_api.contract import Contract

_TRIES_MAX: Final = 8


@attrs.frozen
class BlueprintApplied(Applied):
    """`slices` as resolved; `number` of the blueprint in force."""

    id: str
    number: int
    slices: tuple[Artifact, ...]


@attrs.frozen
class Wished(Applied):
    """The wish in force for one `group:artifact`: row None when nothing is wanted.

    changed  False: it was so before, and nothing was written
    """

    artifact: ArtifactBase
    row: DesiredRow | None
    changed: bool = True


class Operator:
    """Mutations of the desired state. Each answers once this node has applied it.

    wall      wall-clock seconds, stamped into blueprint rows
    defaults  a slice's own instance count, where this process knows it (else 1)

    All raise NoQuorum, NotLeader or OutcomeUnknown as the store does, and Conflict when others keep changing the same
    rows. Cancelled, a mutation may or may not happen.
    """

    def __init__(self, kv: KvService, wall: Callable[[], float], defaults: Defaults = lambda artifact: 1) -> None:
        self._kv = kv
        self._wall = wall
        self._defaults = defaults

    async def apply(self, text: str, applied_by: str = "", default_id: str = APP) -> BlueprintApplied:
        """Put a blueprint in force; slices that it named before and no longer does are wanted no more.

        Raises BadInput (every problem at once), Conflict (another blueprint owns a slice). The same text gets no new
        number; rows that were scaled since come back to what it says.
        """
        blueprint = parse_blueprint(text, default_id)
        await self._kv.barrier()
        for _ in range(_TRIES_MAX):
            desired = self._desired()
            changes = decide_apply(blueprint, desired, self._offered(), self._defaults)
            number = self._kv.get(keys.blueprint_current(blueprint.id)) or 0
            row = self._kv.get(keys.blueprint(blueprint.id, number)) if number else None
            extra = Batch()
            if row is None or row.text != text:
                number += 1
                extra = self._numbered(blueprint.id, number, text, applied_by)
            revision = await self._write(changes, extra)
            if revision is not None:
                slices = tuple(r.artifact for _, r in sorted(changes.items()) if r is not None)
                return BlueprintApplied(revision, blueprint.id, number, slices)
        raise _busy(f"blueprint {blueprint.id!r}")

    async def deploy(self, artifact: str, instances: int | None = None) -> Wished:
        """Want `group:artifact:version` (or a range), owned by blueprint `adhoc`. Raises BadInput, Conflict.

        instances  None keeps the count in force, or takes the slice's own default
        """
        base, versions = parse_target(artifact)
        if instances is not None:
            check_instances(instances)
        return await self._one(
            base,
            lambda desired: decide_deploy(base, versions, instances, desired, self._offered(), self._defaults),
        )

    async def scale(self, artifact: str, instances: int) -> Wished:
        """Want `instances` of `group:artifact[:version]`. With a version, what is not wanted yet is created.

        Raises BadInput, NotFound, Conflict (another version is in force).
        """
        base, version = _named(artifact)
        check_instances(instances)
        return await self._one(base, lambda desired: decide_scale(base, version, instances, desired, self._offered()))

    async def undeploy(self, artifact: str) -> Wished:
        """Want none of `group:artifact[:version]` any more. What is not wanted, or in another version, is no error."""
        base, version = _named(artifact)

        def decide(desired: dict[ArtifactBase, DesiredRow]) -> DesiredRow | None:
            row = desired.get(base)
            return row if row is not None and version not in (None, row.artifact.version) else None

        return await self._one(base, decide)

    async def implicit(self, contracts: Iterable[Contract]) -> Applied:
        """Want the slices of an opening process, as blueprint `app`, where nobody wants them yet: first writer wins."""
        wanted = [(c.artifact, c.options.instances) for c in contracts if c.artifact is not None]
        await self._kv.barrier()
        for _ in range(_TRIES_MAX):
            changes = decide_implicit(wanted, self._desired())
            revision = await self._write(changes, Batch())
            if revision is not None:
                return Applied(revision)
        raise _busy("the slices of this process")

    # --- reading and writing --------------------------------------------------------------------------------------

    async def _one(
        self, base: ArtifactBase, decide: Callable[[dict[ArtifactBase, DesiredRow]], DesiredRow | None]
    ) -> Wished:
        await self._kv.barrier()
        for _ in range(_TRIES_MAX):
            desired = self._desired()
            row = decide(desired)
            revision = await self._write({base: row}, Batch())
            if revision is not None:
                return Wished(revision, base, row, row != desired.get(base))
        raise _busy(str(base))

    async def _write(self, changes: Changes, extra: Batch) -> Revision | None:
        """The revision at which `changes` hold, or None when somebody was faster."""
        compares: list[Compare[Any]] = list(extra.compares)
        writes: list[Put[Any] | Delete[Any]] = list(extra.changes)
        for base, row in sorted(changes.items()):
            key = keys.desired(base)
            compares.append(Compare(key, self._kv.version(key)))
            if row != self._kv.get(key):
                writes.append(Delete(key) if row is None else Put(key, row))
        if not writes:
            return self._kv.revision
        result = await self._kv.propose(Batch(tuple(compares), tuple(writes)))
        return result.revision if result.applied else None

    def _numbered(self, identity: str, number: int, text: str, applied_by: str) -> Batch:
        current, key = keys.blueprint_current(identity), keys.blueprint(identity, number)
        row = BlueprintRow(id=identity, number=number, text=text, applied_by=applied_by, applied_at=self._wall())
        changes: list[Put[Any] | Delete[Any]] = [Put(current, number), Put(key, row)]
        if number > BLUEPRINTS_KEPT:
            changes.append(Delete(keys.blueprint(identity, number - BLUEPRINTS_KEPT)))
        return Batch((Compare(current, self._kv.version(current)),), tuple(changes))

    def _desired(self) -> dict[ArtifactBase, DesiredRow]:
        return {row.artifact.base: row for row in self._kv.rows(keys.DESIRED)}

    def _offered(self) -> frozenset[Artifact]:
        return frozenset(a for member in self._kv.rows(keys.MEMBERS) for a in member.available)


def _named(text: str) -> tuple[ArtifactBase, Version | None]:
    """Read `group:artifact` or `group:artifact:version`."""
    if text.count(":") < 2:
        return ArtifactBase.parse(text), None
    artifact = Artifact.parse(text)
    return artifact.base, artifact.version


def _busy(what: str) -> Conflict:
    return Conflict(what, f"others changed it {_TRIES_MAX} times meanwhile; look at it, then repeat")
