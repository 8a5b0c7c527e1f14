"""Opening nodes and waiting for their slices.

Knows: storage's life around a node, what "ACTIVE" means for whoever opened it, how a type names a slice.
Never: typed access (embedded, local).
Holds: an error of the body leaves the block as itself; failures of the node come as a group.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from aether.errors import ContractError, NoInstance
from aether.kv import keys
from aether.model.artifact import ArtifactBase
from aether.model.ids import NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import InstanceRow
from aether.node.config import NodeConfig
from aether.node.node import Node
from aether.node.seams import OpenedStorage, Seams
from aether.slice_api.binding import Binding, choose, missing
from aether.slice_api.contract import Contract, contract_of


def new_node_name() -> NodeId:
    """A name for a node that nobody will look for: ephemeral nodes get a new one at each start."""
    return NodeId(f"node-{secrets.token_hex(3)}")


@asynccontextmanager
async def open_node(
    config: NodeConfig,
    slices: Sequence[type],
    bind: Sequence[Binding],
    seams: Seams,
    storage: OpenedStorage | None = None,
) -> AsyncGenerator[Node]:
    """A running node whose ports accept; it may not be ready yet. Leaving drains it, unless by cancellation.

    storage  one that outlives the node; else it is opened and closed here
    """
    opened = storage if storage is not None else await seams.work.run(seams.open_storage, config)
    try:
        node = Node(config, slices, opened, seams, bind=bind)
        async with unwrapped_body() as nursery:
            await nursery.start(node.run)
            yield node
            await node.drain()
            nursery.cancel_scope.cancel()
    finally:
        if storage is None:
            with trio.CancelScope(shield=True):
                await seams.work.run(opened.storage.close)


@asynccontextmanager
async def unwrapped_body() -> AsyncGenerator[trio.Nursery]:
    """A nursery whose body's own error leaves as itself, not inside a group."""
    error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except trio.Cancelled:
                raise
            except BaseException as raised:
                error = raised
                raise
    except BaseExceptionGroup as group:
        if error is not None and group.exceptions == (error,):
            raise error from error.__cause__
        raise


async def deploy_own(nodes: Sequence[Node], slices: Sequence[type]) -> None:
    """Write the implicit blueprint where nothing is wanted yet, then wait until the slices are ACTIVE.

    Raises NoInstance when this cluster has one node only and a slice FAILED or waits for a slice that nobody brings.
    """
    if not slices:
        return
    contracts = [contract_of(each) for each in slices]
    await nodes[0].operator.implicit(contracts)
    bases = [contract.artifact.base for contract in contracts if contract.artifact is not None]
    for node in nodes:
        await _wait_active(node, bases, alone=len(node.config.voters) == 1)


async def _wait_active(node: Node, bases: Sequence[ArtifactBase], *, alone: bool) -> None:
    async with node.kv.watch(keys.INSTANCES, keys.DESIRED) as watch:
        while True:
            rows = list(node.kv.rows(keys.INSTANCES))
            if all(_is_active(node, base, rows) for base in bases):
                return
            if alone:
                _raise_failed([r for r in rows if r.artifact.base in bases and r.incarnation == node.incarnation])
            await watch.changed()


def _is_active(node: Node, base: ArtifactBase, rows: Sequence[InstanceRow]) -> bool:
    desired = node.kv.get(keys.desired(base))
    active = sum(row.artifact == desired.artifact and row.state is SliceState.ACTIVE for row in rows) if desired else 0
    return desired is None or active >= desired.instances


def _raise_failed(rows: Sequence[InstanceRow]) -> None:
    for row in rows:
        if row.state is SliceState.FAILED or (row.state is SliceState.ACTIVATING and row.reason):
            raise NoInstance(str(row.artifact), row.state, row.reason)


def resolve(node: Node, target: Any, bind: Sequence[Binding]) -> tuple[Contract, ArtifactBase]:
    """The contract that `target` promises and the artifact that keeps it. Raises ContractError."""
    contract = contract_of(target)
    if contract.artifact is not None:
        return contract, contract.artifact.base
    choice = choose(target, node.contracts.values(), bind)
    if choice is None or choice.contract.artifact is None:
        raise ContractError(missing(target, node.contracts.values()))
    return contract, choice.contract.artifact.base


def dotted(config: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in config.items()}
