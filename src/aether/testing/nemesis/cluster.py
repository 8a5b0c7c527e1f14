"""The nodes of one run, the network between them, and an operator who asks how they are.

Knows: processes, the faulty network in front of them, the management API.
Never: which fault comes when, what clients do.
Holds: a node that ends without having been told to is remembered; `wait_well` is bounded.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import attrs
import httpx
import trio

from aether.errors import AetherError
from aether.failpoints import LOG_VARIABLE
from aether.forge.console import Console
from aether.forge.processes import LocalPlan, LocalProcesses, NodePlace, open_processes
from aether.forge.proxy import FaultyNetwork, Place, WayFault
from aether.forge.socket_owner import owner
from aether.testing.linearizability import Outcome
from aether.testing.nemesis.client import RegisterClient
from aether.testing.nemesis.clocks import Clocks, make_clocks
from aether.testing.nemesis.schedule import Way

ENTRANCE = "127.0.0.2"
"""Peers dial here; the nodes themselves listen on 127.0.0.1, on the same ports."""

WELL_S = 30.0
POLL_S = 0.1
REQUEST_S = 4.0
READY_S = 60.0
REACHED = "failpoints.reached"
BULK_VALUE_BYTES = 500_000


class Cuts(Protocol):
    """A means to cut ways between nodes: the faulty network, or a packet filter."""

    async def cut(self, ways: Iterable[Way]) -> None: ...
    async def mend(self) -> None: ...


@attrs.frozen
class ProxyCuts:
    """Cut ways are stalled: connections stay open and nothing arrives."""

    network: FaultyNetwork

    async def cut(self, ways: Iterable[Way]) -> None:
        for way in ways:
            self.network.set_fault(*way, WayFault(is_stalled=True))
        await trio.lowlevel.checkpoint()

    async def mend(self) -> None:
        self.network.heal()
        await trio.lowlevel.checkpoint()


@attrs.frozen
class NotWell(AetherError):
    """The cluster did not become well within its bound after the last fault was gone."""

    waited_s: float
    missing: str

    def __str__(self) -> str:
        return f"{self.waited_s:g} s after everything was healed: {self.missing}"


class NemesisCluster:
    """Made by `open_cluster`."""

    def __init__(
        self, processes: LocalProcesses, network: FaultyNetwork, http: httpx.AsyncClient, clocks: Clocks
    ) -> None:
        self.processes: LocalProcesses = processes
        self.network: FaultyNetwork = network
        self.clocks: Clocks = clocks
        self.nodes: tuple[str, ...] = tuple(processes.ports)
        self.urls: dict[str, str] = {name: ports.management_url for name, ports in processes.ports.items()}
        self.console: Console = Console(http, self.urls, self.token)
        self.cuts: Cuts = ProxyCuts(network)
        self.ended: list[str] = []
        self.may_end: set[str] = set()
        self.http: httpx.AsyncClient = http
        self.well_s: float = WELL_S
        self._probes = 0

    def token(self, node: str) -> str:
        return (self.processes.directory(node) / "admin-token").read_text().strip()

    def reached(self) -> set[str]:
        """Places of failpoints that any node came by, armed or not."""
        log = self.processes.plan.folder / REACHED
        return set(log.read_text().split()) if log.exists() else set()

    async def leader(self) -> str:
        """Who leads in the newest term that any running node knows; any running node when nobody says."""
        best: tuple[int, str] = (0, "")
        for node in self.processes.running:
            with trio.move_on_after(1.0):
                try:
                    status = await self.console.get(node, "/status")
                except httpx.HTTPError:
                    continue
                best = max(best, (int(status.get("term") or 0), status.get("leader") or ""))
        return best[1] if best[1] in self.nodes else self.nodes[0]

    async def kill(self, *nodes: str) -> None:
        for node in nodes:
            if node in self.processes.running:
                await self.processes.kill(node)

    async def start_missing(self, environment: Mapping[str, str] | None = None) -> None:
        for node in self.nodes:
            if node not in self.processes.running:
                await self.processes.start(node, environment)

    def signal(self, node: str, number: signal.Signals) -> None:
        if node in self.processes.running:
            self.processes.send_signal(node, number)

    def note_ended(self) -> None:
        """Remember nodes that ended by themselves, unless a fault was to end them."""
        for node in self.nodes:
            if node not in self.processes.running and node not in self.may_end:
                self.ended.append(f"{node} ended by itself with exit code {self.processes.exit_code(node)}")

    async def wait_well(self, within_s: float | None = None) -> float:
        """Return how long it took until every node runs, is ready and carries a write. Raises NotWell.

        within_s  None = `well_s`, which a run may set: a crowded machine takes that long to start a process
        """
        within_s = self.well_s if within_s is None else within_s
        began, missing = trio.current_time(), "nothing was looked at"
        with trio.move_on_after(within_s):
            while missing:
                missing = await self._missing()
                if missing:
                    await trio.sleep(POLL_S)
            return trio.current_time() - began
        raise NotWell(within_s, missing)

    async def write_much(self, total_bytes: int, within_s: float) -> int:
        """Write `total_bytes` of log, through whoever takes them, all under one key; how many were taken in time."""
        taken, value = 0, "x" * BULK_VALUE_BYTES
        with trio.move_on_after(within_s):
            while taken < total_bytes:
                for node in self.processes.running:
                    written = await self.client().put(node, "bulk", value)
                    taken += len(value) if written.outcome is Outcome.OK else 0
                await trio.lowlevel.checkpoint()
        return taken

    def client(self) -> RegisterClient:
        """A client whose operations belong to no history."""
        return RegisterClient("probe", self.http, self.urls, {node: self.token(node) for node in self.nodes})

    async def _missing(self) -> str:
        down = sorted({*self.nodes} - {*self.processes.running})
        if down:
            codes = {n: self.processes.exit_code(n) for n in down}
            return ", ".join(f"{n} ended with exit code {code}" for n, code in codes.items())
        for node in self.nodes:
            if not await self.console.is_ready(node):
                return f"{node} is not ready"
        client = self.client()
        for node in self.nodes:
            self._probes += 1
            written = await client.put(node, "probe", f"probe.{self._probes}")
            if written.outcome is not Outcome.OK:
                return f"{node} does not take a write"
        return ""


SNAPSHOT_ENTRIES: Final = "200"
"""So that logs are compacted, and snapshots taken, sent and installed, all the time."""


@attrs.frozen(kw_only=True)
class ClusterPlan:
    """places  where nodes are put, when not on loopback behind the faulty network; the rest as in LocalPlan"""

    nodes: int
    folder: Path
    places: Mapping[str, NodePlace] | None = None
    apps: Sequence[str] = ()
    app_dir: Path | None = None
    settings: Mapping[str, str] = attrs.field(factory=dict[str, str])
    arguments: Sequence[str] = ("--log-level", "info")
    environment: Mapping[str, str] = attrs.field(factory=dict[str, str])


@asynccontextmanager
async def open_cluster(plan: ClusterPlan, log: Callable[[str, str], None]) -> AsyncGenerator[NemesisCluster]:
    """The nodes of `plan`, all of them well. Leaving the block ends them."""
    names = [f"node-{n + 1}" for n in range(plan.nodes)]
    entrance, clocks = NodePlace(dialled=ENTRANCE), make_clocks(plan.folder / "clocks", names)
    local = LocalPlan(
        nodes=plan.nodes,
        apps=plan.apps,
        app_dir=plan.app_dir or plan.folder,
        folder=plan.folder,
        settings=plan.settings,
        arguments=(*plan.arguments, *(["--insecure"] if plan.places else [])),
        environment={
            LOG_VARIABLE: str(plan.folder / REACHED),
            "AETHER_SNAPSHOT_ENTRIES": SNAPSHOT_ENTRIES,
            **clocks.environment(),
            **plan.environment,
        },
        places=dict.fromkeys(names, entrance) if plan.places is None else plan.places,
    )
    async with httpx.AsyncClient(timeout=REQUEST_S, trust_env=False) as http, trio.open_nursery() as nursery:
        async with open_processes(local, log) as processes:

            def who(origin: Place, at: Place) -> str | None:
                pids = {processes.process_id(node): node for node in processes.running}
                found = owner(pids, origin[1], at[1])
                return None if found is None else pids[found]

            targets = {name: ("127.0.0.1", ports.cluster) for name, ports in processes.ports.items()}
            network = FaultyNetwork(targets, who)
            if plan.places is None:
                entrances = {name: (ENTRANCE, ports.cluster) for name, ports in processes.ports.items()}
                await nursery.start(network.run, entrances)
            cluster = NemesisCluster(processes, network, http, clocks)
            await cluster.wait_well(READY_S)
            yield cluster
        nursery.cancel_scope.cancel()


def every_way(nodes: Iterable[str]) -> list[Way]:
    known = list(nodes)
    return [(a, b) for a in known for b in known if a != b]
