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

from aether.deployment.merging import OPERATOR
from aether.deployment.revisions import next_revision
from aether.deployment.sleeping import bounded
from aether.deployment.standing import Decision, Defaults, Standing, newest_rollouts, one_instance
from aether.deployment.wishes import (
    check_instances,
    decide_apply,
    decide_deploy,
    decide_implicit,
    decide_scale,
)
from aether.errors import BadInput, Conflict
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint import APP
from aether.model.blueprint_toml import parse_blueprint, parse_target
from aether.model.ids import Revision
from aether.model.rows import Applied, DesiredRow, OverrideRow
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

    changed   False: it was so before, and nothing was written
    override  what holds against the blueprint's count
    """

    artifact: ArtifactBase
    row: DesiredRow | None
    changed: bool = True
    override: OverrideRow | None = None


class Operator:
    """Mutations of the desired state. Each answers once this node has applied it.

    wall      wall-clock seconds, stamped into blueprint rows
    defaults  a slice's own instance count, where this process knows it (else 1)

    All raise NoQuorum, NotLeader or OutcomeUnknown as the store does, and Conflict when others keep changing the same
    rows. Cancelled, a mutation may or may not happen.
    """

    def __init__(self, kv: KvService, wall: Callable[[], float], defaults: Defaults = one_instance) -> None:
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
            decision = decide_apply(blueprint, self._standing())
            number = self._kv.get(keys.blueprint_current(blueprint.id)) or 0
            row = self._kv.get(keys.blueprint(blueprint.id, number)) if number else None
            extra = Batch()
            if row is None or row.text != text:
                number, extra = next_revision(self._kv, blueprint.id, text, by=applied_by, at=self._wall())
            revision = await self._write(decision, extra)
            if revision is not None:
                slices = tuple(r.artifact for _, r in sorted(decision.desired.items()) if r is not None)
                return BlueprintApplied(revision, blueprint.id, number, slices)
        raise _busy(f"blueprint {blueprint.id!r}")

    async def deploy(self, artifact: str, instances: int | None = None) -> Wished:
        """Want `group:artifact:version` (or a range), owned by blueprint `adhoc`. Raises BadInput, Conflict.

        instances  None keeps the count in force, or takes the slice's own default
        """
        base, versions = parse_target(artifact)
        if instances is not None:
            check_instances(instances)
        return await self._one(base, lambda standing: decide_deploy(base, versions, instances, standing))

    async def scale(
        self,
        artifact: str,
        instances: int,
        *,
        by: str = "",
        for_s: float = 0.0,
        until: float = 0.0,
        reason: str = "",
    ) -> Wished:
        """Want `instances` of `group:artifact[:version]`, against the blueprint's count, until an apply names one.

        With a version, what is not wanted yet is created.
        for_s, until  seconds from now, or the wall-clock second, after which the blueprint's count holds again;
                      0 = it does not end by itself
        Raises BadInput, NotFound, Conflict (another version is in force, or an update under way).
        """
        base, version = _named(artifact)
        check_instances(instances)
        now = self._wall()
        if for_s and until:
            raise BadInput("a scale has one end", ("give `for` or `until`, not both",))
        if until and until <= now:
            raise BadInput("until: that time has passed", ("give a time to come, or none",))
        override = OverrideRow(
            artifact=base,
            instances=instances,
            owner=OPERATOR,
            reason=reason,
            by=by,
            at=now,
            until=now + for_s if for_s else until,
        )
        return await self._one(base, lambda standing: decide_scale(base, version, override, standing))

    async def undeploy(self, artifact: str) -> Wished:
        """Want none of `group:artifact[:version]` any more. What is not wanted, or in another version, is no error."""
        base, version = _named(artifact)

        def decide(standing: Standing) -> Decision:
            row = standing.desired.get(base)
            if row is not None and version not in (None, row.artifact.version):
                return Decision(desired={base: row})
            override: dict[ArtifactBase, OverrideRow | None] = {base: None} if base in standing.overrides else {}
            return Decision(desired={base: None}, overrides=override)

        return await self._one(base, decide)

    async def implicit(self, contracts: Iterable[Contract]) -> Applied:
        """Want the slices of an opening process, as blueprint `app`, where nobody wants them yet: first writer wins."""
        slices = {c.artifact: c.options for c in contracts if c.artifact is not None}
        wanted = [(artifact, options.instances) for artifact, options in slices.items()]
        await self._kv.barrier()
        for _ in range(_TRIES_MAX):
            decided = decide_implicit(wanted, self._standing().desired).desired
            rows = {base: row and bounded(row, slices[row.artifact].scale) for base, row in decided.items()}
            revision = await self._write(Decision(desired=rows), Batch())
            if revision is not None:
                return Applied(revision)
        raise _busy("the slices of this process")

    # --- reading and writing --------------------------------------------------------------------------------------

    async def _one(self, base: ArtifactBase, decide: Callable[[Standing], Decision]) -> Wished:
        await self._kv.barrier()
        for _ in range(_TRIES_MAX):
            standing = self._standing()
            decision = decide(standing)
            revision = await self._write(decision, Batch())
            if revision is not None:
                row = decision.desired[base]
                override = decision.overrides.get(base, standing.overrides.get(base))
                changed = row != standing.desired.get(base) or bool(decision.overrides)
                return Wished(revision, base, row, changed, override)
        raise _busy(str(base))

    async def _write(self, decision: Decision, extra: Batch) -> Revision | None:
        """The revision at which `decision` holds, or None when somebody was faster."""
        compares: list[Compare[Any]] = list(extra.compares)
        writes: list[Put[Any] | Delete[Any]] = list(extra.changes)
        for base, row in sorted(decision.desired.items()):
            key = keys.desired(base)
            compares.append(Compare(key, self._kv.version(key)))
            if row != self._kv.get(key):
                writes.append(Delete(key) if row is None else Put(key, row))
        for base, override in sorted(decision.overrides.items()):
            override_key = keys.override(base)
            compares.append(Compare(override_key, self._kv.version(override_key)))
            writes.append(Delete(override_key) if override is None else Put(override_key, override))
        if not writes:
            return self._kv.revision
        result = await self._kv.propose(Batch(tuple(compares), tuple(writes)))
        return result.revision if result.applied else None

    def _standing(self) -> Standing:
        return Standing(
            desired={row.artifact.base: row for row in self._kv.rows(keys.DESIRED)},
            overrides={row.artifact: row for row in self._kv.rows(keys.OVERRIDES)},
            offered=frozenset(a for member in self._kv.rows(keys.MEMBERS) for a in member.available),
            rollouts=newest_rollouts(self._kv.rows(keys.ROLLOUTS)),
            defaults=self._defaults,
            now=self._wall(),
        )


def _named(text: str) -> tuple[ArtifactBase, Version | None]:
    """Read `group:artifact` or `group:artifact:version`."""
    if text.count(":") < 2:
        return ArtifactBase.parse(text), None
    artifact = Artifact.parse(text)
    return artifact.base, artifact.version


def _busy(what: str) -> Conflict:
    return Conflict(what, f"others changed it {_TRIES_MAX} times meanwhile; look at it, then repeat")
