"""Whole nodes in this process and in virtual time; requests are real HTTP bytes through their own servers."""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import AsyncGenerator, Collection, Mapping

import httpx
import trio
from tests.scenarios.apps.ledger_slice import Ledger
from tests.scenarios.apps.shop_slice import Shop
from tests.scenarios.registry import Scenario
from tests.scenarios.world import SHOP, Reply, Unreachable, shop_code

from aether.model.ids import NodeId
from aether.testing import MemoryCluster, memory_cluster

REQUEST_S = 45.0
STOP_S = 120.0
BRING_S = 60.0


Headers = Mapping[str, str] | None


class MemoryWorld:
    """A World over a MemoryCluster. Other HTTP clients than these do not exist: there is no socket."""

    def __init__(self, cluster: MemoryCluster, nodes: int, clients: contextlib.AsyncExitStack) -> None:
        self.nodes: tuple[str, ...] = tuple(f"node-{n + 1}" for n in range(nodes))
        self._cluster = cluster
        self._running: list[str] = []
        self._opened = clients
        self._clients: dict[tuple[str, str], httpx.AsyncClient] = {}

    def running(self) -> list[str]:
        return sorted(self._running)

    def now(self) -> float:
        return trio.current_time()

    async def request(
        self,
        node: str,
        verb: str,
        path: str,
        *,
        json: object = None,
        content: bytes | str | None = None,
        headers: Headers = None,
    ) -> Reply:
        return await self._ask(node, "management", verb, path, json=json, content=content, headers=headers)

    async def app_request(
        self,
        node: str,
        verb: str,
        path: str,
        *,
        json: object = None,
        content: bytes | str | None = None,
        headers: Headers = None,
    ) -> Reply:
        return await self._ask(node, "http", verb, path, json=json, content=content, headers=headers)

    async def _ask(
        self, node: str, kind: str, verb: str, path: str, *, json: object, content: bytes | str | None, headers: Headers
    ) -> Reply:
        client = self._clients.get((node, kind))
        if client is None:
            client = await self._opened.enter_async_context(getattr(self._cluster, kind)(node))
            client.timeout = REQUEST_S
            self._clients[node, kind] = client
        try:
            if "x-api-key" in map(str.lower, headers or {}):
                answer = await client.request(verb, path, json=json, content=content, headers=headers, auth=None)
            else:
                answer = await client.request(verb, path, json=json, content=content, headers=headers)
        except httpx.TransportError as error:
            raise Unreachable(f"{node}: {verb} {path}: {type(error).__name__} {error}") from error
        return Reply(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    async def kill(self, node: str) -> None:
        self._running.remove(node)
        await self._cluster.kill(node)

    async def stop(self, node: str) -> None:
        self._running.remove(node)
        with trio.fail_after(STOP_S):
            await self._cluster.stop(node)

    async def start(self, node: str, *, wipe: bool = False) -> None:
        assert not wipe, "a voter that comes back without its disk ends by itself: see tests/e2e"
        await self._cluster.start(NodeId(node))
        self._running.append(node)

    async def pause(self, node: str) -> None:
        self._cluster.stall(node)

    async def resume(self, node: str) -> None:
        self._cluster.resume(node)

    async def partition(self, *groups: Collection[str]) -> None:
        self._cluster.partition(*map(tuple, groups))

    async def cut(self, sender: str, receiver: str) -> None:
        self._cluster.network.partition(NodeId(sender), NodeId(receiver), one_way=True)

    async def delay(self, node: str, seconds: float) -> None:
        self._cluster.network.slow_down(NodeId(node), seconds)

    async def heal(self) -> None:
        self._cluster.heal()
        for node in self.nodes:
            self._cluster.network.slow_down(NodeId(node), 0.0)

    async def bring(self, version: str) -> None:
        with trio.fail_after(BRING_S):
            await self._cluster.offer(shop_class(version))


@functools.cache
def shop_class(version: str) -> type:
    """The class of the shop in `version`, from the very text that the trees of processes have."""
    name = f"scenario_shop_{version.replace('.', '_')}"
    module = types.ModuleType(name)
    sys.modules[name] = module  # where the types of annotations are looked up
    exec(compile(shop_code(version), f"<{SHOP}:{version}>", "exec"), module.__dict__)
    return module.Shop


@contextlib.asynccontextmanager
async def memory_world(scenario: Scenario, *, seed: int = 0) -> AsyncGenerator[MemoryWorld]:
    """The world that `scenario` begins in: with its nodes started and ready, unless it starts them itself."""
    opened = memory_cluster(
        Shop, Ledger, nodes=scenario.nodes, seed=seed, config=dict(scenario.settings), started=False
    )
    async with opened as cluster, contextlib.AsyncExitStack() as clients:
        world = MemoryWorld(cluster, scenario.nodes, clients)
        if scenario.started:
            for node in world.nodes:
                await world.start(node)
            for node in cluster.nodes:
                await node.wait_ready()
        yield world
