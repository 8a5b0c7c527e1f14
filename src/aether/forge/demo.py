"""The main job: a cluster of processes takes orders, loses a node, heals, and is audited.

Knows: the steps of the demo and what counts as success.
Never: how results look on a terminal (room cli).
Holds: success is failed = 0, a clean audit of every node, at least 8 orders in flight at the kill, and heal <= 5 s.
"""

from __future__ import annotations

import importlib.resources
import json
import secrets
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import attrs
import httpx
import tomli
import trio

from aether.errors import BadInput, NotFound, OutcomeUnknown
from aether.forge.audit import Audit, audit
from aether.forge.console import Console
from aether.forge.load import BURSTS_MAX, IN_FLIGHT_MAX, OrderOutcome, OrderStream
from aether.forge.processes import LocalPlan, LocalProcesses, open_processes

READY_S = 60.0
HEAL_S_MAX = 5.0
IN_FLIGHT_AT_KILL = 8
BURST = 24
REQUEST_S = 10.0
CATCH_UP_S = 15.0
POLL_S = 0.02
INITIAL_STOCK = 1_000_000

Victim = Literal["follower", "leader", "none"]
Placement = tuple[tuple[str, str, str], ...]  # (artifact, node, state), sorted


class Display(Protocol):
    """Where progress is shown."""

    def step(self, text: str) -> None: ...
    def progress(self, outcomes: Sequence[OrderOutcome], total: int) -> None: ...
    def log(self, node: str, line: str) -> None: ...


@attrs.frozen(kw_only=True)
class DemoPlan:
    nodes: int = 3
    rate: float = 100.0
    seconds: float = 20.0
    kill: Victim = "follower"

    def check(self) -> None:
        problems: list[str] = []
        if not 0 < self.rate <= 2_000:
            problems.append(f"--rate {self.rate}: 1 to 2000 orders per second")
        if not 2 <= self.seconds <= 3_600:
            problems.append(f"--seconds {self.seconds}: 2 to 3600")
        if self.kill != "none" and self.nodes < 3:
            problems.append(
                f"--kill {self.kill} with --nodes {self.nodes}: a majority must survive; use 3 nodes or more"
            )
        if problems:
            raise BadInput("the demo cannot run", problems)


@attrs.frozen(kw_only=True)
class Disturbance:
    """The kill, on the clock of the order stream. healed_s is None when the instances never came back."""

    node: str
    was_leader: bool
    in_flight: int
    killed_s: float
    healed_s: float | None
    placement_during: Placement

    @property
    def heal_s(self) -> float:
        return float("inf") if self.healed_s is None else self.healed_s - self.killed_s


@attrs.frozen(kw_only=True)
class DemoResult:
    plan: DemoPlan
    outcomes: tuple[OrderOutcome, ...]
    audits: tuple[Audit, ...]
    before: Placement
    after: Placement
    disturbance: Disturbance | None
    held_s: float = 0.0

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the demo is no success; empty when it is."""
        failed = [o for o in self.outcomes if o.failed]
        problems = [f"order {o.key} failed: {o.status} {o.problem}" for o in failed[:5]]
        problems += [f"{len(failed)} orders failed"] * (len(failed) > 5)
        problems += [f"audit of {a.node} is not clean: {audit_text(a)}" for a in self.audits if not a.clean]
        problems += ["no order was placed"] * (not any(o.placed for o in self.outcomes))
        if len(self.audits) < self.plan.nodes:
            there = ", ".join(a.node for a in self.audits) or "no node"
            problems.append(f"{self.plan.nodes} nodes were started, but only {there} was there for the audit")
        if self.disturbance is not None:
            hit = self.disturbance
            if self.plan.kill == "leader" and not hit.was_leader:
                problems.append(f"{hit.node} was killed, but it did not lead: no leader could be found")
            if not hit.heal_s <= HEAL_S_MAX:
                problems.append(f"healing took {hit.heal_s:.1f} s, more than {HEAL_S_MAX} s")
            if hit.in_flight < IN_FLIGHT_AT_KILL:
                problems.append(f"only {hit.in_flight} orders were in flight at the kill, wanted {IN_FLIGHT_AT_KILL}")
        return tuple(problems)


def audit_text(result: Audit) -> str:
    return (
        f"{result.acknowledged} acknowledged, {len(result.missing)} missing, {len(result.duplicated)} duplicated, "
        f"{len(result.undecided)} undecided, stock taken {sum(result.taken.values())}, "
        f"sold {sum(result.sold.values())}, reserved {sum(result.reserved.values())}"
    )


def order_demo() -> Path:
    """The folder of the order demo: the repository's examples, else what the wheel ships."""
    shipped = Path(str(importlib.resources.files("aether.forge"))) / "order_demo"
    repository = Path(__file__).parents[3] / "examples" / "order_demo"
    for folder in (repository, shipped):
        if (folder / "blueprint.toml").is_file():
            return folder
    raise NotFound("folder", str(shipped), "install aether again: the wheel ships the order demo")


@asynccontextmanager
async def open_demo(
    plan: DemoPlan,
    folder: Path,
    display: Display,
    *,
    tls: Mapping[str, Path] | None = None,
    ca_key: Path | None = None,
    arguments: Sequence[str] = (),
    context: ssl.SSLContext | None = None,
) -> AsyncGenerator[Demo]:
    """The demo's nodes as running processes with the blueprint ACTIVE on all of them; leaving the block ends them.

    tls, ca_key, arguments  as in LocalPlan; context  how clients check the nodes then
    """
    plan.check()
    verify = True if context is None else context
    application = order_demo()
    local = LocalPlan(
        nodes=plan.nodes,
        apps=(application.name,),
        app_dir=application.parent,
        folder=folder,
        settings={"inventory.initial": str(INITIAL_STOCK)},
        tls=tls or {},
        ca_key=ca_key,
        arguments=arguments,
    )
    asking = httpx.AsyncClient(timeout=REQUEST_S, trust_env=False, verify=verify)
    async with order_client(verify) as client, asking as console:
        async with open_processes(local, display.log) as processes:
            demo = Demo(plan, processes, client, console, display, application)
            await demo.prepare()
            yield demo


def order_client(verify: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    """A client with a connection for each order that may be in flight.

    The console has another one: queued behind orders, it would see a cluster as slow to heal that is not.
    """
    limits = httpx.Limits(max_connections=IN_FLIGHT_MAX + BURST * BURSTS_MAX, max_keepalive_connections=64)
    return httpx.AsyncClient(timeout=REQUEST_S, limits=limits, trust_env=False, verify=verify)


class Demo:
    """One run against running nodes. Made by `open_demo`."""

    def __init__(
        self,
        plan: DemoPlan,
        processes: LocalProcesses,
        client: httpx.AsyncClient,
        console: httpx.AsyncClient,
        display: Display,
        application: Path,
    ) -> None:
        self.plan = plan
        self.processes = processes
        self._client = client
        self._display = display
        self._blueprint = (application / "blueprint.toml").read_text()
        self._orders = [json.loads(line) for line in (application / "orders.jsonl").read_text().splitlines()]
        urls = {name: ports.management_url for name, ports in processes.ports.items()}
        self.console: Console = Console(console, urls, self._token)

    @property
    def wanted(self) -> dict[str, int]:
        """Artifact -> instances, as the blueprint says."""
        return {each["artifact"]: each["instances"] for each in tomli.loads(self._blueprint)["slices"]}

    async def prepare(self) -> None:
        self._display.step(f"starting {self.plan.nodes} nodes as processes")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.processes.watch)
            for node in self.processes.ports:
                await self.console.wait_ready(node, READY_S)
            self._display.step(f"deploying {len(self.wanted)} slices from blueprint.toml")
            await self.console.post(self._first, "/blueprint", text=self._blueprint)
            for node in self.processes.ports:
                await self.console.wait_active(node, self.wanted, READY_S)
            nursery.cancel_scope.cancel()

    async def run(self) -> DemoResult:
        """Send the orders, disturb, audit."""
        plan = self.plan
        before = await self.placement(self._first)
        urls = [ports.http_url for ports in self.processes.ports.values()]
        stream = OrderStream(self._client, urls, self._orders, f"demo-{secrets.token_hex(4)}")
        total = round(plan.rate * plan.seconds) + (BURST if plan.kill != "none" else 0)
        stream.on_outcome = lambda _: self._display.progress(stream.outcomes, total)
        self._display.step(f"sending {plan.rate:g} orders per second for {plan.seconds:g} s to all nodes")
        disturbance: Disturbance | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.run, plan.rate, plan.seconds)
            if plan.kill != "none":
                await trio.sleep(plan.seconds / 2)
                disturbance = await self._disturb(stream, nursery)
        self._display.step("auditing the replicated state of every node")
        audits = [await self._audit(node, stream.outcomes) for node in self.processes.running]
        after = await self.placement(self._first)
        return DemoResult(
            plan=plan,
            outcomes=tuple(stream.outcomes),
            audits=tuple(audits),
            before=before,
            after=after,
            disturbance=disturbance,
            held_s=stream.held_s,
        )

    async def placement(self, node: str) -> Placement:
        """(artifact, node, state) of every instance, as `node` sees it."""
        return tuple(sorted((i["artifact"], i["nodeId"], i["state"]) for i in await self.console.instances(node)))

    @property
    def _first(self) -> str:
        running = self.processes.running
        if not running:
            raise NotFound("running node", "any", "all processes of the demo have ended; `--verbose` shows their logs")
        return running[0]

    def _token(self, node: str) -> str:
        return (self.processes.directory(node) / "admin-token").read_text().strip()

    async def _disturb(self, stream: OrderStream, nursery: trio.Nursery) -> Disturbance:
        leader = await self._leader()
        followers = [node for node in self.processes.running if node != leader]
        node = leader if self.plan.kill == "leader" and leader else followers[-1]
        in_flight = await stream.burst(nursery, BURST, IN_FLIGHT_AT_KILL)
        killed_s = stream.now_s
        await self.processes.kill(node)
        self._display.step(
            f"killed {node} ({'the leader' if node == leader else 'a follower'}), {in_flight} orders in flight"
        )
        survivor = self._first
        healed_s = await self._healed(survivor, node, stream)
        during = await self.placement(survivor)
        if healed_s is None:
            self._display.step("the instances did not come back")
        else:
            self._display.step(f"healed in {healed_s - killed_s:.2f} s; starting {node} again")
        await self.processes.start(node)
        await self.console.wait_ready(node, READY_S)
        self._display.step(f"{node} is back")
        return Disturbance(
            node=node,
            was_leader=node == leader,
            in_flight=in_flight,
            killed_s=killed_s,
            healed_s=healed_s,
            placement_during=during,
        )

    async def _leader(self) -> str | None:
        """Who leads; None when nobody does for READY_S."""
        with trio.move_on_after(READY_S):
            while True:
                leader = await self.console.leader(self._first)
                if leader in self.processes.running:
                    return leader
                await trio.sleep(POLL_S)
        return None

    async def _healed(self, survivor: str, dead: str, stream: OrderStream) -> float | None:
        """When every wanted instance was ACTIVE on living nodes, as a survivor sees it; None after 4 x HEAL_S_MAX."""
        with trio.move_on_after(4 * HEAL_S_MAX):
            while True:
                try:
                    instances = await self.console.instances(survivor)
                except httpx.HTTPError:  # a busy machine: ask again
                    instances = []
                alive = Counter(i["artifact"] for i in instances if i["state"] == "ACTIVE" and i["nodeId"] != dead)
                if all(alive[artifact] >= count for artifact, count in self.wanted.items()):
                    return stream.now_s
                await trio.sleep(POLL_S)
        return None

    async def _audit(self, node: str, outcomes: Sequence[OrderOutcome]) -> Audit:
        await self._caught_up(node)
        orders = await self.console.map_rows(node, "orders")
        inventory = await self.console.map_rows(node, "inventory")
        return audit(node, outcomes, orders, inventory, INITIAL_STOCK)

    async def _caught_up(self, node: str) -> None:
        """Wait until `node`'s own copy includes everything that any node has applied by now."""
        answers: list[Mapping[str, Any]] = [await self.console.get(n, "/status") for n in self.processes.running]
        goal = max(int(answer["revision"]) for answer in answers)
        with trio.move_on_after(CATCH_UP_S):
            while int((await self.console.get(node, "/status"))["revision"]) < goal:
                await trio.sleep(POLL_S)
            return
        raise OutcomeUnknown(f"{node} has not applied revision {goal} after {CATCH_UP_S:g} s, so it cannot be audited")
