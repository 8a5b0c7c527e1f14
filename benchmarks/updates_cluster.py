"""Three real nodes under a steady load, and what can be done to them meanwhile.

Knows: node processes, the management API, the load.
Never: which scenarios there are.
Holds: clients hold their connections to EDGE, which nothing is done to; so what they see is what the cluster promises.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import attrs
import httpx
import trio

from aether.forge.console import Console
from aether.forge.polling import until
from aether.forge.processes import LocalPlan, LocalProcesses, open_processes
from aether.forge.steady_load import Request, Steady, SteadyLoad, http_request
from aether.testing.trees import write_tree

APPS: Final = Path(__file__).parent
APP: Final = "zero_slice"
ARTIFACT: Final = "bench.zero:echo"
EDGE: Final = "node-1"
SLOW: Final = "slow "
READY_S: Final = 60.0
WARM_S: Final = 1.0
BEFORE_S: Final = 3.0
AFTER_S: Final = 2.0
SECONDS_MAX: Final = 120.0

BLUEPRINT: Final = """
id = "zero"

[deployment]
strategy = "{strategy}"

[[slices]]
artifact = "bench.zero:echo:{version}"
instances = {{ min = 0, max = 9 }}
"""
"""Without a number, so that the slice's own default counts: three."""


@attrs.define
class World:
    """What a scenario may touch. lines  what each node printed; slices  the directory of trees of every node"""

    processes: LocalProcesses
    console: Console
    lines: dict[str, list[str]]
    slices: Path

    @property
    def edge(self) -> str:
        ports = self.processes.ports[EDGE]
        return f"{ports.host}:{ports.http}"

    async def active(self, count: int, node: str = EDGE, *, version: str = "1.0.0") -> None:
        """Until `node` sees so many ACTIVE instances, and no other."""

        async def seen() -> bool:
            rows = [row for row in await self.console.instances(node) if row["artifact"].startswith(ARTIFACT + ":")]
            fit = [r for r in rows if r["state"] == "ACTIVE" and r["artifact"].endswith(":" + version)]
            return len(rows) == len(fit) == count

        await until(seen, READY_S, f"{count} of {version} at {node}")

    async def apply(self, version: str, *, strategy: str = "rolling") -> None:
        """Put the slice in force; an update begins when another version is."""
        await self.console.post(EDGE, "/blueprint", text=BLUEPRINT.format(strategy=strategy, version=version))

    async def offer(self, version: str) -> None:
        """Give every node a tree with other code, and wait until all of them have seen it."""
        artifact = f"{ARTIFACT}:{version}"
        code = (APPS / f"{APP}.py").read_text().replace(f"{ARTIFACT}:1.0.0", artifact)
        write_tree(self.slices, artifact, {f"{APP}.py": code.replace('f"{number}"', f'f"{{number}} of {version}"')})

        async def seen() -> bool:
            members = (await self.console.get(EDGE, "/members"))["members"]
            return all(artifact in member["available"] for member in members)

        await until(seen, READY_S, f"every node offers {artifact}")

    async def scale(self, count: int) -> None:
        await self.console.post(EDGE, "/scale", body={"artifact": f"{ARTIFACT}:1.0.0", "instances": count})

    async def victim(self) -> str:
        """A node that neither leads nor holds connections of clients."""
        leader = await self.console.leader(EDGE)
        return next(name for name in self.processes.running if name not in (EDGE, leader))

    async def restart(self, node: str) -> None:
        await self.processes.start(node)
        await self.console.wait_ready(node, READY_S)

    def requests(self, kind: str) -> Callable[[int], Request]:
        """Makes the requests of one kind, each another one. "slow ...": many are under way at any moment.

        Keyed ones call a method that may be repeated: what may not, and was cut off, is unknown whatever its key.
        """
        to, slow = self.edge, kind.startswith(SLOW)

        def make(number: int) -> Request:
            if kind.endswith("idempotent"):
                return http_request(kind, to, f"GET /{'slow' if slow else 'echo'}/{number}")
            body, keyed = json.dumps({"number": number}).encode(), not kind.endswith("unkeyed")
            key = [f'Idempotency-Key: "steady-{id(self)}-{number}"'] if keyed else []
            line = f"POST /{'slow-' if slow else ''}{'notes' if keyed else 'orders'}"
            return http_request(kind, to, line, key, body, repeatable=keyed)

        return make


@contextlib.asynccontextmanager
async def open_world(folder: Path, *, nodes: int = 3, arguments: Sequence[str] = ()) -> AsyncGenerator[World]:
    """A cluster whose slice is ACTIVE three times."""
    lines: dict[str, list[str]] = {f"node-{n + 1}": [] for n in range(nodes)}
    slices = folder / "slices"
    slices.mkdir(parents=True)
    options = ("--slices", str(slices), *arguments)
    plan = LocalPlan(nodes=nodes, apps=(APP,), app_dir=APPS, folder=folder, arguments=options)
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        async with open_processes(plan, lambda node, line: lines[node].append(line)) as processes:
            urls = {name: ports.management_url for name, ports in processes.ports.items()}
            console = Console(client, urls, lambda node: (folder / node / "admin-token").read_text().strip())
            world = World(processes, console, lines, slices)
            for node in processes.ports:
                await console.wait_ready(node, READY_S)
            await world.apply("1.0.0")
            for node in processes.ports:
                await world.active(3, node)
            yield world


@attrs.frozen
class Seen:
    """What clients saw of one scenario. p99 in seconds; acted_s  how long it was under way"""

    steady: Steady
    before_p99_s: float
    during_p99_s: float
    acted_s: float

    @property
    def ratio(self) -> float:
        return self.during_p99_s / self.before_p99_s


async def under_load(
    world: World,
    act: Callable[[World], Awaitable[None]],
    kind: str,
    rate: float,
    *,
    before_s: float = BEFORE_S,
    after_s: float = AFTER_S,
) -> Seen:
    """Requests of `kind` at `rate` a second while `act` is carried out, some seconds before it and some after."""
    load = SteadyLoad(world.requests(kind), rate)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, load.run, SECONDS_MAX)
        try:
            await trio.sleep(WARM_S + before_s)
            began_s = load.now_s
            await act(world)
            acted_s = load.now_s - began_s
            await trio.sleep(after_s)
        finally:
            load.stop()
    seen = load.seen
    before = seen.percentile(0.99, WARM_S, began_s)
    return Seen(seen, before, seen.percentile(0.99, began_s), acted_s)
