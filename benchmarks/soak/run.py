"""One soak: nodes, customers, looks, disturbances, and what came of it.

Knows: in which order all that happens, where it is written down.
Never: verdicts on growth (flatness), how a report looks.
Holds: every look, disturbance and failure is in `soak.jsonl` and `events.jsonl` of the folder as soon as it happened.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

import attrs
import trio

from aether.errors import AetherError
from aether.failpoints import LOG_VARIABLE
from aether.forge.demo import INITIAL_STOCK, order_demo
from aether.testing.nemesis.cluster import ClusterPlan, NemesisCluster, open_cluster
from benchmarks.soak.chaos import BLUEPRINT, Chaos, NotDone, offer
from benchmarks.soak.load import LoadPlan
from benchmarks.soak.samples import Sample, look, write_sample

ROOT: Final = Path(__file__).parents[2]
SAMPLES: Final = "soak.jsonl"
EVENTS: Final = "events.jsonl"
CUSTOMERS: Final = "customers"
"""In the place of a node: what clients saw since the sample before."""

WANTED: Final = {
    "org.pragmatica-lite.aether.demo:inventory-service": 2,
    "org.pragmatica-lite.aether.demo:pricing-service": 2,
    "org.pragmatica-lite.aether.demo:place-order": 3,
    "org.pragmatica-lite.aether.demo:get-order-status": 2,
    "org.pragmatica-lite.aether.demo:cancel-order": 2,
    "e2e:shop": 3,
}
"""Artifact -> instances, as the two blueprints say."""

SNAPSHOT_ENTRIES: Final = 2_000


@attrs.frozen(kw_only=True)
class SoakPlan:
    """rate  requests per second; every_s  between two looks; calm_s  between two disturbances

    deadline_s  a request without a definite answer has failed by then
    """

    minutes: float = 60.0
    rate: float = 30.0
    nodes: int = 3
    every_s: float = 10.0
    calm_s: float = 45.0
    deadline_s: float = 20.0


@attrs.frozen(kw_only=True)
class Event:
    """A disturbance. well_s  from its end until the cluster was well again; wrong  what went against a promise"""

    at_s: float
    words: str
    well_s: float = 0.0
    wrong: str = ""


@attrs.define
class Soaked:
    """What one run was. wrong  what no healthy cluster does; failures of requests among them"""

    plan: SoakPlan
    samples: list[Sample] = attrs.field(factory=list[Sample])
    events: list[Event] = attrs.field(factory=list[Event])
    wrong: list[str] = attrs.field(factory=list[str])


async def soak(plan: SoakPlan, folder: Path, say: Callable[[str], None]) -> Soaked:
    """Run `plan`, with everything written below `folder`."""
    logs = {f"node-{n + 1}": (folder / f"node-{n + 1}.log").open("a") for n in range(plan.nodes)}

    def log(node: str, line: str) -> None:
        logs[node].write(line + "\n")

    application, slices = order_demo(), folder / "slices"
    offer(slices)
    ground = ClusterPlan(
        nodes=plan.nodes,
        folder=folder,
        apps=(application.name,),
        app_dir=application.parent,
        settings={"inventory.initial": str(INITIAL_STOCK)},
        arguments=("--slices", str(slices)),
        environment={LOG_VARIABLE: "", "AETHER_SNAPSHOT_ENTRIES": str(SNAPSHOT_ENTRIES)},
    )
    found = Soaked(plan)
    try:
        async with open_cluster(ground, log) as cluster:
            await _Soak(plan, folder, cluster, found, say).run(application)
    finally:
        for file in logs.values():
            file.close()
    return found


class _Soak:
    """What the tasks of one run share."""

    def __init__(
        self,
        plan: SoakPlan,
        folder: Path,
        cluster: NemesisCluster,
        found: Soaked,
        say: Callable[[str], None],
    ) -> None:
        self._plan, self._folder, self._cluster = plan, folder, cluster
        self._found, self._say = found, say
        self._chaos = Chaos(cluster, WANTED)
        self._began = trio.current_time()

    @property
    def _now_s(self) -> float:
        return trio.current_time() - self._began

    async def run(self, application: Path) -> None:
        cluster, chaos = self._cluster, self._chaos
        await chaos.offered()
        for blueprint in ((application / "blueprint.toml").read_text(), BLUEPRINT):
            await cluster.console.post(cluster.nodes[0], "/blueprint", text=blueprint)
        await chaos.well()
        self._began = trio.current_time()
        self._say(f"{self._plan.rate:g} requests/s to {self._plan.nodes} nodes for {self._plan.minutes:g} minutes")
        with (self._folder / SAMPLES).open("a") as samples, (self._folder / EVENTS).open("a") as events:
            async with self._customers(application / "orders.jsonl", samples), trio.open_nursery() as nursery:
                nursery.start_soon(self._look, samples)
                await self._disturb(events)
                nursery.cancel_scope.cancel()
        cluster.note_ended()
        self._found.wrong += dict.fromkeys(cluster.ended)

    @asynccontextmanager
    async def _customers(self, orders: Path, file: TextIO) -> AsyncGenerator[None]:
        """Their process, running while the block does; what they say is kept."""
        cluster = self._cluster
        plan = LoadPlan(
            urls={name: ports.http_url for name, ports in cluster.processes.ports.items()},
            management=cluster.urls,
            tokens={node: cluster.token(node) for node in cluster.nodes},
            orders=str(orders),
            rate=self._plan.rate,
            deadline_s=self._plan.deadline_s,
            every_s=self._plan.every_s,
        )
        command = [sys.executable, "-m", "benchmarks.soak.load", json.dumps(attrs.asdict(plan))]
        with (self._folder / "customers.err").open("w") as errors:
            process = await trio.lowlevel.open_process(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT
            )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear, process, file)
            try:
                yield
            finally:
                with trio.CancelScope(shield=True):
                    if process.poll() is None:
                        process.send_signal(signal.SIGTERM)
                    if await process.wait() != 0:
                        said = (self._folder / "customers.err").read_text()[-2_000:]
                        self._found.wrong.append(f"customers ended with {process.returncode}: {said}")

    async def _hear(self, process: trio.Process, file: TextIO) -> None:
        """Each line of the customers, until their process has ended."""
        assert process.stdout is not None
        rest = b""
        with trio.CancelScope(shield=True):  # ends with the process, which is ended in any case
            async for piece in process.stdout:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._told(json.loads(line), file)

    def _told(self, told: dict[str, Any], file: TextIO) -> None:
        if "seen" in told:
            sample = Sample(at_s=self._now_s, node=CUSTOMERS, life="run", seen=told["seen"])
            write_sample(sample, file)
            self._found.samples.append(sample)
            return
        self._found.wrong += told["wrong"]
        if told["total"] > len(told["wrong"]):
            self._found.wrong.append(f"{told['total'] - len(told['wrong'])} more of that kind")

    async def _look(self, file: TextIO) -> NoReturn:
        for number in range(1, 1 << 62):
            await trio.sleep_until(self._began + number * self._plan.every_s)
            self._cluster.note_ended()
            found = await look(self._cluster, self._now_s)
            for sample in found:
                write_sample(sample, file)
            self._found.samples += found
        raise AssertionError("it looks until it is cancelled")

    async def _disturb(self, file: TextIO) -> None:
        """Until the time is over, one thing after the other; the last rest is as long as the others."""
        turns, ends_s = self._chaos.turns(), 60.0 * self._plan.minutes
        for number in range(math.ceil(ends_s)):
            await trio.sleep(min(self._plan.calm_s, max(0.0, ends_s - self._now_s)))
            if self._now_s + self._plan.calm_s > ends_s:
                break
            self._cluster.note_ended()
            event = await self._suffer(turns[number % len(turns)])
            file.write(json.dumps(attrs.asdict(event)) + "\n")
            file.flush()
            self._found.events.append(event)
            after = event.wrong or f"well again after {event.well_s:.1f} s"
            self._say(f"{event.at_s:7.0f} s  {event.words}; {after}")
            if event.wrong:
                self._found.wrong.append(f"at {event.at_s:.0f} s, {event.words}: {event.wrong}")
                return
        await trio.sleep(max(0.0, ends_s - self._now_s))

    async def _suffer(self, turn: Callable[[], Awaitable[str]]) -> Event:
        at_s, words = self._now_s, getattr(turn, "__name__", str(turn)).replace("_", " ")
        try:
            words = await turn()
            well_s = await self._chaos.well()
        except (AetherError, NotDone, trio.TooSlowError) as problem:
            return Event(at_s=at_s, words=words, wrong=f"{type(problem).__name__}: {problem}")
        return Event(at_s=at_s, words=words, well_s=well_s)


def fresh_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="aether-soak-"))
