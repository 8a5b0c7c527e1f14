"""The slices that an opening process brings: checked, wanted, and awaited until they are ACTIVE.

Knows: dependencies among registered slices, the implicit blueprint, what "ACTIVE" means for whoever opened a node.
Never: placing instances.
Holds: where no further node can come, what cannot become ACTIVE is an error that says why, not a wait; with peers it
       is waited for, and said once in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import trio

from aether.deployment.slice_store import SliceStore, route_claims
from aether.errors import ContractError, NoInstance
from aether.hosting.injection import newest_slices
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow
from aether.node.node import Node
from aether.slice_api.binding import Binding, missing
from aether.slice_api.contract import Contract, contract_of
from aether.slice_api.described import AnySlice
from aether.slice_api.field_spec import FieldSpec
from aether.slice_api.matching import choose_slice
from aether.slice_api.routes import check_routes

_log = logging.getLogger("aether.cluster")

SETTLE_S = 1.5  # a row `unsatisfied` of an earlier run may stand until the leader has looked again


async def deploy_own(nodes: Sequence[Node], slices: Sequence[type], bind: Sequence[Binding], *, closed: bool) -> None:
    """Write the implicit blueprint where nothing is wanted yet, then wait until the slices are ACTIVE.

    closed  no other node can come: one alone, or all of a local cluster
    Raises ContractError for a dependency that is ambiguous, or that nobody brings (closed), and for a route that
    another slice has; NoInstance when a slice FAILED or cannot be placed (closed).
    """
    if not slices:
        return
    contracts = [contract_of(each) for each in slices]
    await nodes[0].kv.barrier()
    await check_dependencies(nodes[0].kv, nodes[0].store, contracts, bind, closed=closed)
    check_claims(nodes[0].kv, contracts)
    await nodes[0].operator.implicit(contracts)
    bases = [contract.artifact.base for contract in contracts if contract.artifact is not None]
    for node in nodes:
        await _OwnSlices(node, nodes, bases, closed).wait_active()
        node.see_instances()  # whoever calls next finds all of them, whichever task woke first


def check_claims(kv: KvService, contracts: Sequence[Contract]) -> None:
    """Raise ContractError when a route of `contracts` is one that another slice of the cluster serves, naming both."""
    own = {contract.artifact.base for contract in contracts if contract.artifact is not None}
    others = [(str(row.artifact), row.routes) for row in kv.rows(keys.ROUTES) if row.artifact not in own]
    check_routes([*others, *route_claims(contracts)])


# --- dependencies -----------------------------------------------------------------------------------------------------


async def check_dependencies(
    kv: KvService, store: SliceStore, contracts: Sequence[Contract], bind: Sequence[Binding], *, closed: bool
) -> None:
    """Raise ContractError for the first dependency that no instance could ever get."""
    newest = {each.artifact.base: each for each in await newest_slices(store) if each.artifact is not None}
    for contract in contracts:
        assert contract.artifact is not None, "slices have artifacts"
        desired = kv.get(keys.desired(contract.artifact.base))
        for field in contract.fields:
            if field.kind != "dependency" or field.has_default or _bound_by_blueprint(field, desired):
                continue
            choice = choose_slice(field, newest.values(), bind)
            base = _base(choice[0] if choice is not None else contract_of(field.type))
            known = base is not None and (base in newest or kv.get(keys.desired(base)) is not None)
            if closed and not known and not field.optional:
                raise ContractError(_unknown(contract, field, base, newest.values()))


def _base(contract: AnySlice) -> ArtifactBase | None:
    return None if contract.artifact is None else contract.artifact.base


def _bound_by_blueprint(field: FieldSpec, desired: DesiredRow | None) -> bool:
    return desired is not None and (getattr(field.type, "__name__", "") in desired.bind or field.name in desired.bind)


def _unknown(contract: Contract, field: FieldSpec, base: ArtifactBase | None, known: Any) -> str:
    where = f"{contract.name}.{field.name}"
    if base is None:
        return f"{where}: {missing(field.type, (each for each in known if isinstance(each, Contract)))}"
    name = field.type.__name__
    return f"{where} needs {name} ({base}), which nobody brings; open it too: Cluster.open(..., {name})"


# --- waiting ----------------------------------------------------------------------------------------------------------


class _OwnSlices:
    """The slices `bases` as `node` sees them. `nodes`: all that this process opened."""

    def __init__(self, node: Node, nodes: Sequence[Node], bases: Sequence[ArtifactBase], closed: bool) -> None:
        self._node = node
        self._nodes = nodes
        self._bases = bases
        self._closed = closed
        self._said = ""

    async def wait_active(self) -> None:
        """Return once all are ACTIVE, or as many as can be placed. Raises NoInstance."""
        seen, since = "", trio.current_time()
        async with self._node.kv.watch(keys.INSTANCES, keys.DESIRED, keys.UNSATISFIED) as watch:
            while True:
                waiting = [base for base in self._bases if self._lacking(base)]
                if not waiting:
                    self._say_crowded()
                    return
                self._check_failed(waiting)
                short = self._short(waiting)
                if short != seen:
                    seen, since = short, trio.current_time()
                if short and trio.current_time() - since >= SETTLE_S and self._settled_short(waiting):
                    return
                with trio.move_on_after(SETTLE_S):
                    await watch.changed()

    def _active(self, base: ArtifactBase, desired: DesiredRow) -> int:
        """Instances of living processes: rows of an earlier run may say ACTIVE until the leader forgets them."""
        kv = self._node.kv
        living = {member.node: member.incarnation for member in kv.rows(keys.MEMBERS)}
        return sum(
            row.artifact == desired.artifact
            and row.state is SliceState.ACTIVE
            and row.incarnation == living.get(row.node)
            for row in kv.rows(keys.instances_of(base))
        )

    def _lacking(self, base: ArtifactBase) -> int:
        desired = self._node.kv.get(keys.desired(base))
        return 0 if desired is None else max(0, desired.instances - self._active(base, desired))

    def _check_failed(self, waiting: Sequence[ArtifactBase]) -> None:
        ours = {node.incarnation for node in self._nodes}
        for base in waiting:
            for row in self._node.kv.rows(keys.instances_of(base)):
                if row.incarnation not in ours:
                    continue
                waits = row.state is SliceState.ACTIVATING and row.reason
                if self._closed and (waits or row.state is SliceState.FAILED):
                    raise NoInstance(str(row.artifact), row.state, row.reason)
                if waits or row.state is SliceState.FAILED:
                    self._say(f"{row.artifact} is {row.state}: {row.reason}")

    def _short(self, waiting: Sequence[ArtifactBase]) -> str:
        rows = [row for row in map(self._node.kv.get, map(keys.unsatisfied, waiting)) if row is not None]
        return "; ".join(f"{row.artifact}: {row.missing} cannot be placed: {row.reason}" for row in rows)

    def _settled_short(self, waiting: Sequence[ArtifactBase]) -> bool:
        """Whether what is ACTIVE is all there can be. Raises NoInstance when that is nothing, and no node can come."""
        self._say(self._short(waiting))
        for base in waiting:
            desired, row = self._node.kv.get(keys.desired(base)), self._node.kv.get(keys.unsatisfied(base))
            if desired is None:
                continue
            if row is None or self._lacking(base) > row.missing:
                return False
            if self._active(base, desired) == 0:
                if self._closed:
                    raise NoInstance(str(desired.artifact), "unsatisfied", row.reason)
                return False
        return True

    def _say_crowded(self) -> None:
        for base in self._bases if self._closed and len(self._nodes) == 1 else ():
            desired = self._node.kv.get(keys.desired(base))
            if desired is not None and desired.instances > 1:
                _log.info("%d instances of %s run on this one node", desired.instances, base)

    def _say(self, text: str) -> None:
        if text != self._said:
            _log.warning("%s waits for its slices: %s", self._node.config.node, text)
            self._said = text
