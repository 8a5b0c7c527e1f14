"""A world of real processes: signals, sockets, data directories, and cuts by the kernel where that is allowed.

Scenarios that cut ways run each node in a network namespace of its own (veth and nftables); without the privilege, and
where ways are to be slow, all ways go through the faulty proxy of aether.forge.proxy, where a cut way stalls.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import AsyncGenerator, Collection, Mapping
from pathlib import Path

import attrs
import httpx
import trio
from tests.scenarios.registry import Network, Scenario
from tests.scenarios.world import APPS, SHOP, Reply, Unreachable, get, ready, shop_code, until

from aether.forge.processes import LocalPlan, LocalProcesses, NodePlace
from aether.forge.proxy import FaultyNetwork, Place, Way, WayFault
from aether.forge.socket_owner import owner
from aether.testing.nemesis.cluster import ENTRANCE
from aether.testing.nemesis.namespaces import Namespaces, open_namespaces, why_not
from aether.testing.trees import write_tree

REQUEST_S = 45.0
CONNECT_S = 5.0
LEAVE_S = 60.0
OFFERED_S = 60.0
LINES_SHOWN = 80


class NodeDied(Exception):
    """A node ended that was neither killed nor stopped: no condition will come true any more."""


class ProcessWorld:
    """A World. Made by `open_world`."""

    def __init__(self, processes: LocalProcesses, client: httpx.AsyncClient, ways: Ways, slices: Path) -> None:
        self.nodes = tuple(processes.ports)
        self.processes = processes
        self._client = client
        self._ways = ways
        self._slices = slices
        self._up: set[str] = set()

    def running(self) -> list[str]:
        return sorted(self._up)

    def now(self) -> float:
        return trio.current_time()

    def token(self, node: str) -> str:
        return (self.processes.directory(node) / "admin-token").read_text().strip()

    async def request(
        self,
        node: str,
        verb: str,
        path: str,
        *,
        json: object = None,
        content: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if not {"authorization", "x-api-key"} & set(given):
            try:
                given["authorization"] = f"Bearer {self.token(node)}"
            except OSError as error:
                self.nobody_died()
                raise Unreachable(f"{node} has no token yet") from error
        return await self._ask(node, verb, self.processes.ports[node].management_url + path, json, content, given)

    async def app_request(
        self,
        node: str,
        verb: str,
        path: str,
        *,
        json: object = None,
        content: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        return await self._ask(node, verb, self.processes.ports[node].http_url + path, json, content, headers or {})

    async def _ask(
        self, node: str, verb: str, url: str, json: object, content: bytes | str | None, headers: Mapping[str, str]
    ) -> Reply:
        try:
            answer = await self._client.request(verb, url, json=json, content=content, headers=dict(headers))
        except httpx.HTTPError as error:
            self.nobody_died()
            raise Unreachable(f"{verb} {url} of {node}: {error!r}") from error
        return Reply(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    async def kill(self, node: str) -> None:
        assert node in self._up, f"{node} does not run"
        self._up.discard(node)
        await self.processes.kill(node)

    async def stop(self, node: str) -> None:
        assert node in self._up, f"{node} does not run"
        self._up.discard(node)
        self.processes.send_signal(node, signal.SIGTERM)

        async def ended() -> bool:
            return self.processes.exit_code(node) is not None

        await until(ended, LEAVE_S, f"{node} ends after SIGTERM")
        assert self.processes.exit_code(node) == 0, f"{node} ended with exit code {self.processes.exit_code(node)}"

    async def start(self, node: str, *, wipe: bool = False) -> None:
        assert node not in self._up, f"{node} runs already"
        if wipe:
            await trio.to_thread.run_sync(shutil.rmtree, self.processes.directory(node), True)
        await self.processes.start(node)
        self._up.add(node)

    async def pause(self, node: str) -> None:
        self.processes.send_signal(node, signal.SIGSTOP)
        await trio.lowlevel.checkpoint()

    async def resume(self, node: str) -> None:
        self.processes.send_signal(node, signal.SIGCONT)
        await trio.lowlevel.checkpoint()

    async def partition(self, *groups: Collection[str]) -> None:
        apart = [(a, b) for one in groups for other in groups if one is not other for a in one for b in other]
        await self._ways.cut(*apart)

    async def cut(self, sender: str, receiver: str) -> None:
        await self._ways.cut((sender, receiver))

    async def delay(self, node: str, seconds: float) -> None:
        await self._ways.delay(node, seconds)

    async def heal(self) -> None:
        await self._ways.heal()

    async def bring(self, version: str) -> None:
        artifact = f"{SHOP}:{version}"
        write_tree(self._slices, artifact, {"shop_slice.py": shop_code(version)})

        async def offered() -> bool:
            for node in self.running():
                members = (await get(self, node, "/members"))["members"]
                offering = [each["id"] for each in members if artifact in each["available"]]
                assert set(self.running()) <= set(offering), f"{node} knows that {offering} offer {artifact}"
                known = (await get(self, node, "/contracts"))["contracts"]
                assert artifact in [each["artifact"] for each in known], f"{node} does not know its contract"
            return True

        await until(offered, OFFERED_S, f"all nodes offer {artifact}")

    def nobody_died(self) -> None:
        codes = {node: self.processes.exit_code(node) for node in self.running()}
        died = [f"{node} ended by itself with exit code {code}" for node, code in codes.items() if code is not None]
        if died:
            raise NodeDied(*died)


# --- the ways between nodes -------------------------------------------------------------------------------------------


@attrs.define
class Ways:
    """Ways between nodes; `words` say what cuts them. One of `spaces` and `proxy`, or none where nothing is cut."""

    nodes: tuple[str, ...]
    spaces: Namespaces | None = None
    proxy: FaultyNetwork | None = None
    _cut: set[Way] = attrs.field(factory=set)

    @property
    def words(self) -> str:
        if self.spaces is not None:
            return "each node in a network namespace; cuts by nftables"
        return "cuts by the proxy" if self.proxy is not None else "nothing between nodes"

    async def cut(self, *ways: Way) -> None:
        self._cut |= set(ways)
        if self.spaces is not None:
            await self.spaces.cut(self._cut)
        elif self.proxy is not None:
            for way in ways:
                self.proxy.set_fault(*way, WayFault(is_stalled=True))
        else:
            raise AssertionError('a scenario that cuts ways says network="cut"')

    async def delay(self, node: str, seconds: float) -> None:
        assert self.proxy is not None, 'a scenario that slows ways says network="delay"'
        for other in self.nodes:
            if other != node:
                self.proxy.set_fault(node, other, WayFault(delay_s=seconds))
                self.proxy.set_fault(other, node, WayFault(delay_s=seconds))
        await trio.lowlevel.checkpoint()

    async def heal(self) -> None:
        self._cut.clear()
        if self.spaces is not None:
            await self.spaces.mend()
        elif self.proxy is not None:
            self.proxy.heal()


def names(scenario: Scenario) -> tuple[str, ...]:
    return tuple(f"node-{n + 1}" for n in range(scenario.nodes))


@contextlib.asynccontextmanager
async def _ways(scenario: Scenario) -> AsyncGenerator[tuple[Ways, dict[str, NodePlace]]]:
    nodes = names(scenario)
    if scenario.network is Network.SOUND:
        yield Ways(nodes), {}
    elif scenario.network is Network.CUT and not why_not():
        async with open_namespaces(nodes) as spaces:
            yield Ways(nodes, spaces), spaces.places
    else:
        yield Ways(nodes), dict.fromkeys(nodes, NodePlace(dialled=ENTRANCE))


async def _behind_proxy(processes: LocalProcesses, nursery: trio.Nursery) -> FaultyNetwork:
    def who(origin: Place, at: Place) -> str | None:
        pids = {processes.process_id(node): node for node in processes.running}
        found = owner(pids, origin[1], at[1])
        return None if found is None else pids[found]

    network = FaultyNetwork({name: ("127.0.0.1", ports.cluster) for name, ports in processes.ports.items()}, who)
    await nursery.start(network.run, {name: (ENTRANCE, ports.cluster) for name, ports in processes.ports.items()})
    return network


@contextlib.asynccontextmanager
async def open_world(scenario: Scenario, folder: Path) -> AsyncGenerator[ProcessWorld]:
    """The world of `scenario`; a failure inside prints the last lines of every node.

    Raises AssertionError when a node ended by itself, or printed an error.
    """
    lines: dict[str, list[str]] = {node: [] for node in names(scenario)}
    slices = folder / "slices"
    slices.mkdir()
    limits, bounds = httpx.Limits(max_keepalive_connections=0), httpx.Timeout(REQUEST_S, connect=CONNECT_S)
    async with (
        _ways(scenario) as (ways, places),
        httpx.AsyncClient(trust_env=False, timeout=bounds, limits=limits) as client,
        trio.open_nursery() as nursery,
    ):
        plan = LocalPlan(
            nodes=scenario.nodes,
            apps=("shop_slice", "ledger_slice"),
            app_dir=APPS,
            folder=folder,
            settings=dict(scenario.settings),
            arguments=("--slices", str(slices), *(["--insecure"] if ways.spaces is not None else [])),
            places=places,
        )
        with contextlib.closing(
            LocalProcesses(plan, lambda node, line: lines[node].append(line), nursery)
        ) as processes:
            if places and ways.spaces is None:
                ways.proxy = await _behind_proxy(processes, nursery)
            world = ProcessWorld(processes, client, ways, slices)
            try:
                if scenario.started:
                    for node in world.nodes:
                        await world.start(node)
                    await ready(world)
                yield world
                world.nobody_died()
            except BaseException:
                print(f"--- {ways.words}")
                for node, said in lines.items():
                    print(f"--- {node}: {len(said)} lines", *said[-LINES_SHOWN:], sep="\n")
                raise
            for node in processes.running:
                await processes.kill(node)
        nursery.cancel_scope.cancel()
