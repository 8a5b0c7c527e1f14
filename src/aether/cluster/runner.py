"""A node as the main program: signals, one line with every URL, exit codes.

Knows: SIGTERM drains, Ctrl-C leaves quickly, a second signal leaves at once; what a supervisor is told, and when.
Never: argument parsing (room cli).
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Generator, Mapping, Sequence

import attrs
import trio

from aether.cluster.opening import only_leaf, open_node
from aether.cluster.orphans import FIRST_PROCESS, bury_orphans
from aether.cluster.own_slices import deploy_own
from aether.cluster.replaced import Parts, replaced
from aether.cluster.supervisor import Supervisor
from aether.errors import AddressInUse, AetherError
from aether.failpoints import VARIABLE, from_environment, nothing
from aether.model.ids import NodeId
from aether.model.security import Verify
from aether.node.config import NodeConfig
from aether.node.config_sources import flatten
from aether.node.facts import NodeFacts
from aether.node.node import Node
from aether.node.seams import Seams, open_storage
from aether.node.settings_table import HTTP_PORT, MANAGEMENT_PORT

_log = logging.getLogger("aether.cluster")

YOUNG_VALUES = (
    10_000  # a batch of writes makes thousands, and none in a cycle: the default of 700 costs a tenth of the time
)
INTERRUPTED = 130
INTERRUPT_DRAIN_S = 0.4
FORCED_S = 0.3  # after Ctrl-C, what does not end in this time is left behind
UNFORCED_S = 5.0  # after SIGTERM and its drain


def run(
    *slices: type,
    http: int | None = HTTP_PORT,
    management: int | None = MANAGEMENT_PORT,
    host: str = "127.0.0.1",
    config: Mapping[str, object] | None = None,
    secrets: Mapping[str, object] | None = None,
    insecure: bool = False,
    verify: Verify | None = None,
) -> None:
    """Run `slices` on one node as this script's main job, until Ctrl-C or SIGTERM; then exit the process.

    config, secrets   what slices read, as for `Cluster.open`
    verify            says who makes a request to a route that is not public, as for `Cluster.open`
    http, management  ports; 0 = any free one, None = closed. Prints one line with every URL once the slices are ACTIVE.
    What its user can mend (a taken port, a dependency that nobody brings) ends the process with 1 and one line.
    """
    settings = NodeConfig(
        node=NodeId("node-1"),
        bind=host,
        http_port=http,
        management_port=management,
        settings=flatten(config or {}),
        secrets=flatten(secrets or {}),
        insecure=insecure,
    )
    try:
        code = trio.run(_main, settings, slices, True, Parts(verify=verify))
    except AetherError as error:
        sys.exit(f"aether: {_as_parameter(error)}")
    except KeyboardInterrupt:  # before or after the time in which signals are heard
        code = INTERRUPTED
    if code:
        sys.exit(code)


def _as_parameter(error: AetherError) -> AetherError:
    """`error` in the words of `run`, which has parameters where the command line has options."""
    if isinstance(error, AddressInUse):
        return attrs.evolve(error, option="management" if error.option == "--management-port" else "http")
    return error


def run_node(config: NodeConfig, slices: Sequence[type], parts: Parts | None = None) -> int:
    """Run one node that deploys nothing by itself, until a signal ends it. The exit code: 0, or 130 after Ctrl-C."""
    return trio.run(_main, config, slices, False, parts)


@attrs.define
class _Ending:
    """How the process ends: set by the first signal.

    heard_s  monotonic time of the first signal; its handler runs even while a slice keeps the loop busy
    """

    code: int = 0
    drain_s: float = float("inf")
    heard_s: float | None = None
    asked: trio.Event = attrs.field(factory=trio.Event)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def ask(self, number: int) -> None:
        """The first signal asks the node to leave, a later one cancels, and the exit code says so."""
        if self.asked.is_set():
            self.code = 128 + number
            self.cancel(FORCED_S)
            return
        self.code = INTERRUPTED if number == signal.SIGINT else 0
        self.drain_s = INTERRUPT_DRAIN_S if number == signal.SIGINT else float("inf")
        self.asked.set()

    def cancel(self, within_s: float) -> None:
        """Cancel everything; what does not end by cancellation, such as a blocking method, is left behind."""
        signal.signal(signal.SIGALRM, self._abandon)
        signal.setitimer(signal.ITIMER_REAL, within_s)
        self.scope.cancel()

    def _abandon(self, *_: object) -> None:
        os.write(2, b"aether: something blocks and does not end; leaving without it\n")
        os._exit(self.code)


def _seams() -> Seams:
    """The production ones, with the failures that a test armed by environment variables. Raises BadInput."""
    reach = from_environment(os.environ, random.SystemRandom())
    if reach is nothing:
        return Seams()
    _log.warning("failpoints are armed by %s: this node fails on purpose", VARIABLE)
    return Seams(reach=reach, open_storage=lambda config: open_storage(config, reach))


async def _main(config: NodeConfig, slices: Sequence[type], deploys: bool, parts: Parts | None = None) -> int:
    ending = _Ending()
    seams = _seams() if parts is None else replaced(_seams(), parts, slices)
    supervisor = Supervisor(os.environ, os.getpid())
    try:
        with _signals(ending), ending.scope:
            async with open_node(config, slices, (), seams) as node, trio.open_nursery() as nursery:
                nursery.start_soon(supervisor.keep, ending.asked)
                if os.getpid() == FIRST_PROCESS:
                    nursery.start_soon(bury_orphans)
                nursery.start_soon(_leave, node, ending, supervisor)
                nursery.start_soon(_hear_operator, node, ending)
                supervisor.starting()
                if not deploys:
                    _say(node.facts, config)  # it may wait for peers, and its management port answers meanwhile
                await node.ready.wait()
                if deploys:
                    await deploy_own([node], slices, (), closed=True)
                    _say(node.facts, config)  # who reads it asks at once, and shall not be told 404
                if not ending.asked.is_set():
                    supervisor.ready()
                settle_heap()
                await trio.sleep_forever()
    except BaseExceptionGroup as group:
        raise only_leaf(group) from None
    return ending.code


def settle_heap() -> None:
    """Have the collector leave alone what lives until the end of the process: shorter pauses. For who owns it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_VALUES)


@contextlib.contextmanager
def _signals(ending: _Ending) -> Generator[None]:
    """SIGINT and SIGTERM are heard while the block runs, also by a process whose loop is kept busy by a slice."""
    token = trio.lowlevel.current_trio_token()

    def hear(number: int, _: object) -> None:
        now = time.monotonic()
        if ending.heard_s is None:
            ending.heard_s = now
        elif not ending.asked.is_set() and now - ending.heard_s > FORCED_S:
            os._exit(128 + number)  # the loop has not even taken up the first signal
        token.run_sync_soon(ending.ask, number)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


async def _hear_operator(node: Node, ending: _Ending) -> None:
    """`aether nodes shutdown` of this node is like a first SIGTERM."""
    await node.asked_to_leave.wait()
    if not ending.asked.is_set():
        ending.ask(signal.SIGTERM)


async def _leave(node: Node, ending: _Ending, supervisor: Supervisor) -> None:
    await ending.asked.wait()
    supervisor.stopping()
    with trio.move_on_after(ending.drain_s):
        await node.leave()
    ending.cancel(FORCED_S if ending.code else UNFORCED_S)


def _say(facts: NodeFacts, config: NodeConfig) -> None:
    secured = "http://" if config.tls is None else "https://"
    schemes = {"http": "http://" if config.plain_http else secured, "management": secured, "cluster": ""}
    parts = [f"aether {facts.node}"]
    for name, scheme in schemes.items():
        address = getattr(facts, f"{name}_address")
        if address:
            parts.append(f"{name} {scheme}{address}")
    with contextlib.suppress(BrokenPipeError):
        print("  ".join(parts), flush=True)  # noqa: T201 - the one line a runner owes its user
