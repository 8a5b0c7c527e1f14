"""Orders where single instances live, for a cluster whose manager places none by itself.

Knows: how place, move and unplace become one compare-and-set of a desired row; which manager the leader runs.
Never: instances; the manual manager turns orders into those.
Holds: an order is taken only where it will be carried out; nobody orders more than a blueprint wants; `min_available`
       holds against an order too, unless it is forced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import attrs

from aether.deployment.budget import spare
from aether.deployment.manual import NO_SINGLETONS
from aether.deployment.manual_manager import MANUAL
from aether.deployment.writing import TRIES_MAX, busy
from aether.errors import BadInput, Conflict, NotFound
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint import ADHOC
from aether.model.ids import InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import INSTANCES_MAX
from aether.model.rows import Applied, DesiredRow, InstanceRow


@attrs.frozen(kw_only=True)
class Placed(Applied):
    """What an order came to. instance  its id, and that of the first instance it leads to; count  orders in force"""

    artifact: Artifact
    instance: InstanceId
    node: NodeId
    count: int


class PlacementOperator:
    """Each answers once this node has applied it. Raises Conflict where the cluster places by itself, or others keep
    changing the row; NotFound, BadInput; what the store raises.
    """

    def __init__(self, kv: KvService, new_id: Callable[[], InstanceId]) -> None:
        self._kv = kv
        self._new_id = new_id

    async def place(self, artifact: str, node: str) -> Placed:
        """Order one more instance of `group:artifact[:version]` on `node`."""
        base, given = _named(artifact)
        order, at = self._new_id(), NodeId(node)

        def decide() -> tuple[DesiredRow, NodeId]:
            row = self._kv.get(keys.desired(base))
            wanted = given or (None if row is None else row.artifact)
            if wanted is None:
                raise NotFound("deployment", str(base), "say its version, as group:artifact:version")
            if row is not None and row.artifact != wanted:
                raise Conflict(str(base), f"version {row.artifact.version} is in force, not {wanted.version}")
            self._check_node(at, wanted)
            row = row or DesiredRow(artifact=wanted, instances=0, blueprint=ADHOC)
            if row.blueprint != ADHOC and len(row.placed) >= row.instances:
                what = f"blueprint {row.blueprint!r} wants {row.instances}, and as many are placed; scale it first"
                raise Conflict(str(base), what)
            if row.singleton:
                raise Conflict(str(base), NO_SINGLETONS)
            if len(row.placed) >= INSTANCES_MAX:
                raise BadInput(f"{base} has {INSTANCES_MAX} instances, which is the most")
            return _with(row, {**row.placed, order: at}), at

        return await self._write(order, base, decide)

    async def move(self, instance: str, to: str) -> Placed:
        """Order the instance elsewhere: it goes when the one on `to` is ACTIVE."""
        row, at, order = self._found(instance), NodeId(to), self._new_id()

        def decide() -> tuple[DesiredRow, NodeId]:
            desired, old = self._ordered(row)
            self._check_node(at, desired.artifact)
            return _with(desired, {**_without(desired.placed, old), order: at}), at

        return await self._write(order, row.artifact.base, decide)

    async def unplace(self, instance: str, *, force: bool = False) -> Placed:
        """Take the order for an instance back. force  also below `min_available`"""
        row = self._found(instance)

        def decide() -> tuple[DesiredRow, NodeId]:
            desired, old = self._ordered(row)
            if not force and row.state is SliceState.ACTIVE and spare(self._staying(desired), desired) < 1:
                what = f"min_available = {desired.min_available} leaves no instance to spare; place another first"
                raise Conflict(str(row.artifact.base), f"{what}, or say --force")
            return _with(desired, _without(desired.placed, old)), row.node

        return await self._write(row.instance, row.artifact.base, decide)

    # --- parts --------------------------------------------------------------------------------------------------------

    async def _write(
        self, order: InstanceId, base: ArtifactBase, decide: Callable[[], tuple[DesiredRow, NodeId]]
    ) -> Placed:
        await self._kv.barrier()
        key = keys.desired(base)
        for _ in range(TRIES_MAX):
            self._check_manager()
            row, node = decide()
            result = await self._kv.propose(Batch((Compare(key, self._kv.version(key)),), (Put(key, row),)))
            if result.applied:
                return Placed(
                    revision=result.revision, artifact=row.artifact, instance=order, node=node, count=len(row.placed)
                )
        raise busy(str(base))

    def _check_manager(self) -> None:
        leadership = self._kv.get(keys.leadership)
        leader = None if leadership is None else self._kv.get(keys.member(leadership.node))
        name = "" if leader is None else leader.cluster_manager
        if name != MANUAL:
            fix = "start every node with --cluster-manager manual, or let a blueprint say how many there shall be"
            raise Conflict("placement", f"the cluster's manager {name!r} places instances by itself; {fix}")

    def _check_node(self, node: NodeId, artifact: Artifact) -> None:
        member = self._kv.get(keys.member(node))
        if member is None:
            names = ", ".join(sorted(row.node for row in self._kv.rows(keys.MEMBERS)))
            raise NotFound("node", node, f"there are {names}")
        if artifact not in member.available:
            offered = ", ".join(map(str, member.available)) or "nothing"
            raise BadInput(f"{node} cannot run {artifact}", (f"it offers {offered}",))

    def _found(self, instance: str) -> InstanceRow:
        for row in self._kv.rows(keys.INSTANCES):
            if row.instance == instance:
                return row
        raise NotFound("instance", instance, "aether instances lists all")

    def _ordered(self, row: InstanceRow) -> tuple[DesiredRow, InstanceId]:
        """The row whose order led to this instance, and the order: the one of its name, or one of its node's."""
        desired = self._kv.get(keys.desired(row.artifact.base))
        if desired is None or row.node not in desired.placed.values():
            raise NotFound("order for instance", row.instance, "it leaves already")
        placed = desired.placed
        if placed.get(row.instance) == row.node:
            return desired, row.instance
        others = {r.instance for r in self._kv.rows(keys.instances_of(row.artifact.base))}
        free = [order for order, node in placed.items() if node == row.node and order not in others]
        return desired, min(free or [order for order, node in placed.items() if node == row.node])

    def _staying(self, desired: DesiredRow) -> list[InstanceRow]:
        """The instances that live and that no order has been taken back from yet."""
        left = Counter(desired.placed.values())
        rows = [r for r in self._kv.rows(keys.instances_of(desired.artifact.base)) if self._lives(r)]
        rows.sort(key=lambda r: (r.state is not SliceState.ACTIVE, r.instance not in desired.placed, r.instance))
        staying: list[InstanceRow] = []
        for row in rows:
            if left[row.node] > 0:
                left[row.node] -= 1
                staying.append(row)
        return staying

    def _lives(self, row: InstanceRow) -> bool:
        member = self._kv.get(keys.member(row.node))
        return member is not None and member.incarnation == row.incarnation


def _with(row: DesiredRow, placed: Mapping[InstanceId, NodeId]) -> DesiredRow:
    """`row` with these orders; what nobody else counts is wanted as often as it is ordered."""
    if row.blueprint != ADHOC:
        return attrs.evolve(row, placed=placed)
    return attrs.evolve(row, placed=placed, instances=len(placed), wished=len(placed))


def _without(placed: Mapping[InstanceId, NodeId], order: InstanceId) -> dict[InstanceId, NodeId]:
    return {each: node for each, node in placed.items() if each != order}


def _named(text: str) -> tuple[ArtifactBase, Artifact | None]:
    if text.count(":") < 2:
        return ArtifactBase.parse(text), None
    artifact = Artifact.parse(text)
    return artifact.base, artifact
