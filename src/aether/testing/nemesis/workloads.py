"""What clients do in a run, and what must be true of it afterwards: registers of the store, or orders of the demo.

Knows: how each is started, settled, read for a last time and judged.
Never: faults, how nodes are started.
Holds: a workload that has nothing to judge says so to the harness, and proves nothing.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import attrs
import httpx
import tomli
import trio

from aether.forge.demo import INITIAL_STOCK, order_demo
from aether.forge.polling import until
from aether.testing.linearizability import Operation, Outcome
from aether.testing.linearizability.models import Model, Register
from aether.testing.nemesis.client import REQUEST_S, HarnessError, RegisterClient
from aether.testing.nemesis.cluster import READY_S, ClusterPlan, NemesisCluster, NotWell
from aether.testing.nemesis.order_client import OrderClient
from aether.testing.nemesis.order_workload import demo_orders, order_under
from aether.testing.nemesis.orders import Copies, OrderModel, order_ids, unsettled, wrong_copies

LAST_READ_TRIES: Final = 5
READERS: Final = 8
SETTLE_S: Final = 60.0
CAUGHT_UP_S: Final = 60.0


class Workload(Protocol):
    """Made for one run. module  of the processes of clients"""

    module: str
    model: Model

    def ground(self, plan: ClusterPlan) -> ClusterPlan:
        """`plan` with what the nodes have to load."""
        ...

    async def prepare(self, cluster: NemesisCluster) -> None:
        """Deploy it. Raises NotWell, httpx.HTTPError."""
        ...

    def urls(self, cluster: NemesisCluster) -> Mapping[str, str]: ...

    async def last_look(self, cluster: NemesisCluster, history: Sequence[Operation]) -> list[Operation]:
        """More operations, when all is well and no client asks any more. Raises NotWell, HarnessError."""
        ...

    async def wrong_rows(self, cluster: NemesisCluster, history: Sequence[Operation]) -> list[str]:
        """What the rows of the nodes have against `history`."""
        ...


class Registers:
    """Keys of one map, by /kv of the management API."""

    module: str = "aether.testing.nemesis.workload"
    model: Model = Register()

    def ground(self, plan: ClusterPlan) -> ClusterPlan:
        return plan

    async def prepare(self, cluster: NemesisCluster) -> None:
        await trio.lowlevel.checkpoint()

    def urls(self, cluster: NemesisCluster) -> Mapping[str, str]:
        return cluster.urls

    async def last_look(self, cluster: NemesisCluster, history: Sequence[Operation]) -> list[Operation]:
        """A linearizable read of every key: an acknowledged write that is gone contradicts it."""
        tokens = {node: cluster.token(node) for node in cluster.nodes}
        async with httpx.AsyncClient(timeout=REQUEST_S, trust_env=False) as http:
            client = RegisterClient("last", http, cluster.urls, tokens)

            async def read(key: str, number: int) -> Operation:
                for attempt in range(LAST_READ_TRIES):
                    operation = await client.get(cluster.nodes[(number + attempt) % len(cluster.nodes)], key)
                    if operation.outcome is Outcome.OK:
                        return operation
                    await trio.sleep(1.0)
                raise NotWell(LAST_READ_TRIES * 1.0, f"key {key} cannot be read")

            return await _each(sorted({o.key for o in history}), read)

    async def wrong_rows(self, cluster: NemesisCluster, history: Sequence[Operation]) -> list[str]:
        await trio.lowlevel.checkpoint()
        return []


class Orders:
    """Orders of the order demo, over HTTP: a slice that calls two others by typed calls, and keeps two maps."""

    module: str = "aether.testing.nemesis.order_workload"
    model: Model = OrderModel()

    def ground(self, plan: ClusterPlan) -> ClusterPlan:
        application = order_demo()
        settings = {"inventory.initial": str(INITIAL_STOCK)}
        return attrs.evolve(plan, apps=(application.name,), app_dir=application.parent, settings=settings)

    async def prepare(self, cluster: NemesisCluster) -> None:
        blueprint = (order_demo() / "blueprint.toml").read_text()
        wanted = {each["artifact"]: each["instances"] for each in tomli.loads(blueprint)["slices"]}
        await cluster.console.post(cluster.nodes[0], "/blueprint", text=blueprint)
        for node in cluster.nodes:
            await cluster.console.wait_active(node, wanted, READY_S)

    def urls(self, cluster: NemesisCluster) -> Mapping[str, str]:
        return {name: ports.http_url for name, ports in cluster.processes.ports.items()}

    async def last_look(self, cluster: NemesisCluster, history: Sequence[Operation]) -> list[Operation]:
        """Orders of unknown outcome are placed again under their keys; every acknowledged one is read."""
        orders = demo_orders()
        async with httpx.AsyncClient(timeout=SETTLE_S, trust_env=False) as http:
            client = OrderClient("last", http, self.urls(cluster), order_s=SETTLE_S)

            async def settle(key: str, number: int) -> Operation:
                operation = await client.place(key, order_under(key, orders), random.Random(number))
                if operation.outcome is not Outcome.OK:
                    raise NotWell(SETTLE_S, f"the order of {key} cannot be placed")
                return operation

            async def read(key: str, number: int) -> Operation:
                operation = await client.read(key, ids[key], random.Random(number))
                if operation.outcome is not Outcome.OK:
                    raise NotWell(SETTLE_S, f"order {ids[key]} of {key} cannot be read")
                return operation

            settled = await _each(unsettled(history), settle)
            ids = order_ids([*history, *settled])
            return settled + await _each(sorted(ids), read)

    async def wrong_rows(self, cluster: NemesisCluster, history: Sequence[Operation]) -> list[str]:
        if not order_ids(history):
            raise HarnessError("no order was acknowledged; the run proves nothing")
        copies: dict[str, Any] = {}
        await _caught_up(cluster)
        for node in cluster.nodes:
            copies[node] = [await cluster.console.map_rows(node, name) for name in ("orders", "inventory")]
        found: Copies = {node: (rows[0], rows[1]) for node, rows in copies.items()}
        return wrong_copies(history, found, INITIAL_STOCK)


WORKLOADS: Final[Mapping[str, Callable[[], Workload]]] = {"registers": Registers, "orders": Orders}


async def _each(keys: Sequence[str], ask: Callable[[str, int], Awaitable[Operation]]) -> list[Operation]:
    """`ask` of every key, READERS at a time."""
    found: list[Operation] = []
    waiting = list(enumerate(keys))

    async def work() -> None:
        while waiting:
            number, key = waiting.pop()
            found.append(await ask(key, number))

    async with trio.open_nursery() as nursery:
        for _ in range(READERS):
            nursery.start_soon(work)
    return found


async def _caught_up(cluster: NemesisCluster) -> None:
    """Until every node has applied what any has. Raises NotWell."""
    goal = 0
    for node in cluster.nodes:
        goal = max(goal, int((await cluster.console.get(node, "/status"))["revision"]))

    async def has_all() -> bool:
        told = [int((await cluster.console.get(node, "/status"))["revision"]) for node in cluster.nodes]
        return min(told) >= goal

    try:
        await until(has_all, CAUGHT_UP_S, f"every node has applied revision {goal}")
    except trio.TooSlowError as error:
        raise NotWell(CAUGHT_UP_S, str(error)) from error
