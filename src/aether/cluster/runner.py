"""A node as the main program: signals, one line with every URL, exit codes.

Knows: SIGTERM drains, Ctrl-C leaves quickly, a second signal leaves at once.
Never: argument parsing (room cli).
"""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from collections.abc import Mapping, Sequence

import attrs
import trio

from aether.cluster.opening import deploy_own, open_node
from aether.errors import AddressInUse, AetherError
from aether.model.ids import NodeId
from aether.node.config import HTTP_PORT, MANAGEMENT_PORT, NodeConfig
from aether.node.facts import NodeFacts
from aether.node.node import Node
from aether.node.seams import Seams

INTERRUPTED = 130
INTERRUPT_DRAIN_S = 0.5


def run(
    *slices: type,
    http: int | None = HTTP_PORT,
    management: int | None = MANAGEMENT_PORT,
    host: str = "127.0.0.1",
    config: Mapping[str, object] | None = None,
    insecure: bool = False,
) -> None:
    """Run `slices` on one node as this script's main job, until Ctrl-C or SIGTERM; then exit the process.

    http, management  ports; 0 = any free one, None = closed. Prints one line with every URL.
    What its user can mend (a taken port, a dependency that nobody brings) ends the process with 1 and one line.
    """
    settings = NodeConfig(
        node=NodeId("node-1"),
        bind=host,
        http_port=http,
        management_port=management,
        settings={key: str(value) for key, value in (config or {}).items()},
        insecure=insecure,
    )
    try:
        code = trio.run(_main, settings, slices, True)
    except AetherError as error:
        sys.exit(f"aether: {_as_parameter(error)}")
    if code:
        sys.exit(code)


def _as_parameter(error: AetherError) -> AetherError:
    """`error` in the words of `run`, which has parameters where the command line has options."""
    if isinstance(error, AddressInUse):
        return attrs.evolve(error, option="management" if error.option == "--management-port" else "http")
    return error


def run_node(config: NodeConfig, slices: Sequence[type]) -> int:
    """Run one node that deploys nothing by itself, until a signal ends it. The exit code: 0, or 130 after Ctrl-C."""
    return trio.run(_main, config, slices, False)


@attrs.define
class _Ending:
    """How the process ends: set by the first signal."""

    code: int = 0
    drain_s: float = float("inf")
    asked: trio.Event = attrs.field(factory=trio.Event)


async def _main(config: NodeConfig, slices: Sequence[type], deploys: bool) -> int:
    ending = _Ending()
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_signals, ending, nursery.cancel_scope)
            async with open_node(config, slices, (), Seams()) as node:
                nursery.start_soon(_leave, node, ending, nursery.cancel_scope)
                _say(node.facts)
                await node.ready.wait()
                if deploys:
                    await deploy_own([node], slices)
                gc.collect()
                gc.freeze()  # what lives until the end is not looked at again: shorter pauses
                await trio.sleep_forever()
    except BaseExceptionGroup as group:
        raise _single(group) from None
    return ending.code


async def _signals(
    ending: _Ending, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """The first signal asks the node to leave, the second leaves at once."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if ending.asked.is_set():
                scope.cancel()
                continue
            ending.code = INTERRUPTED if number == signal.SIGINT else 0
            ending.drain_s = INTERRUPT_DRAIN_S if number == signal.SIGINT else float("inf")
            ending.asked.set()


async def _leave(node: Node, ending: _Ending, scope: trio.CancelScope) -> None:
    await ending.asked.wait()
    with trio.move_on_after(ending.drain_s):
        await node.drain()
    scope.cancel()


def _single(error: BaseException) -> BaseException:
    """The only error inside nested groups, else the group: people read one line better than a tree."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return _single(inner[0]) if len(inner) == 1 else error


def _say(facts: NodeFacts) -> None:
    parts = [f"aether {facts.node}"]
    for name in ("http", "management", "cluster"):
        address = getattr(facts, f"{name}_address")
        if address:
            parts.append(f"{name} {'' if name == 'cluster' else 'http://'}{address}")
    with contextlib.suppress(BrokenPipeError):
        print("  ".join(parts), flush=True)  # noqa: T201 - the one line a runner owes its user
