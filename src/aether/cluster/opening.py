"""Opening nodes: their storage, their errors, and how a type names a slice.

Knows: storage's life around a node, which errors leave as themselves.
Never: typed access (embedded, local), waiting for slices (own_slices).
Holds: an error of the body leaves the block as itself; a lone failure while opening too; later failures of the node
       come as a group.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import attrs
import trio

from aether.errors import ContractError
from aether.model.artifact import ArtifactBase
from aether.model.ids import NodeId
from aether.node.certify import first_certificate
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
    """A running node whose ports accept; it may not be ready yet. Leaving drains it, but for an error or cancellation.

    storage  one that outlives the node; else it is opened and closed here
    """
    await first_certificate(config, seams.work, seams.wall)
    opened = storage if storage is not None else await seams.work.run(seams.open_storage, config)
    try:
        node = Node(config, slices, opened, seams, bind=bind)
        async with unwrapped_body() as nursery:
            await nursery.start(node.run)
            yield node
            await node.leave()
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


@attrs.define
class Opening:
    """`done` is set when the block is handed to its user."""

    done: bool = False


@contextmanager
def opening() -> Generator[Opening]:
    """Until `done`, the only error inside nested groups leaves as itself: `except AddressInUse` works around `open`."""
    state = Opening()
    try:
        yield state
    except BaseExceptionGroup as group:
        leaf = only_leaf(group)
        if state.done or isinstance(leaf, BaseExceptionGroup):
            raise
        raise leaf from leaf.__cause__


def only_leaf(error: BaseException) -> BaseException:
    """The only error inside nested groups, else the innermost group that holds several."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return only_leaf(inner[0]) if len(inner) == 1 else error


def resolve(node: Node, target: Any, bind: Sequence[Binding]) -> tuple[Contract, ArtifactBase]:
    """The contract that `target` promises and the artifact that keeps it. Raises ContractError."""
    contract = contract_of(target)
    if contract.artifact is not None:
        return contract, contract.artifact.base
    choice = choose(target, node.contracts.values(), bind)
    if choice is None or choice.contract.artifact is None:
        raise ContractError(missing(target, node.contracts.values()))
    return contract, choice.contract.artifact.base
