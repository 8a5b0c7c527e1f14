"""How long a deployment takes, and how long a lost node is missed: five real processes on this machine.

    python -m benchmarks deploy [--slices 100] [--instances 3] [--nodes 5]

Each node has a data directory. "ACTIVE" is what every node answers at its own management port; that a lost node is gone
is what the others answer for /nodes, in the same step of which they cease to send calls to it. Processor time is of the
nodes that run to the end, without the one that is asked all the while.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import httpx
import psutil
import trio

from aether.forge.console import Console
from aether.forge.polling import until
from aether.forge.processes import LocalPlan, LocalProcesses, open_processes
from benchmarks.figure import Figure, Goal
from benchmarks.hundred_slices import COUNT

APPS: Final = Path(__file__).parent
READY_S: Final = 60.0
LOOK_S: Final = 0.05
PATIENCE_S: Final = 120.0
GOALS_S: Final = {"active": 5.0, "gone": 1.0, "healed": 3.0}


class _Watch:
    """The nodes, as an operator sees them."""

    def __init__(self, processes: LocalProcesses, console: Console) -> None:
        self.processes = processes
        self.console = console

    async def until(self, node: str, holds: Callable[[str], Awaitable[bool]]) -> None:
        await until(lambda: holds(node), PATIENCE_S, every_s=LOOK_S)

    async def everywhere(self, holds: Callable[[str], Awaitable[bool]]) -> float:
        """Seconds until it holds at every node that runs."""
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for node in self.processes.running:
                nursery.start_soon(self.until, node, holds)
        return trio.current_time() - began

    async def states(self, node: str) -> list[tuple[str, str]]:
        """Node and state of each instance, as `node` sees it."""
        return [(row["nodeId"], row["state"]) for row in await self.console.instances(node)]


def _used_s(processes: LocalProcesses, nodes: Iterable[str]) -> float:
    """Seconds of processor time that these nodes have used so far."""
    times = [psutil.Process(processes.process_id(node)).cpu_times() for node in nodes]
    return sum(each.user + each.system for each in times)


def _blueprint(slices: int, instances: int) -> str:
    parts = [f'[[slices]]\nartifact = "bench.many:s{n:03}:1.0.0"\ninstances = {instances}\n' for n in range(slices)]
    return "\n".join(['id = "many"\n', *parts])


NODES_MIN = 3


async def measure(nodes: int, slices: int, instances: int) -> dict[str, float]:
    """Seconds by name: see `figures`."""
    with tempfile.TemporaryDirectory(prefix="aether-deploy-") as folder:
        plan = LocalPlan(nodes=nodes, apps=("hundred_slices",), app_dir=APPS, folder=Path(folder))
        async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
            async with open_processes(plan, lambda node, line: None) as processes:
                urls = {name: ports.management_url for name, ports in processes.ports.items()}
                console = Console(client, urls, lambda node: (Path(folder) / node / "admin-token").read_text().strip())
                for node in processes.ports:
                    await console.wait_ready(node, READY_S)
                return await _deploy_and_lose(_Watch(processes, console), slices, instances)


async def _deploy_and_lose(watch: _Watch, slices: int, instances: int) -> dict[str, float]:
    count = slices * instances
    edge, *_ = watch.processes.running

    async def active(node: str) -> bool:
        states = await watch.states(node)
        return len(states) == count and all(state == "ACTIVE" for _, state in states)

    leader = await watch.console.leader(edge)
    victim = next(name for name in reversed(watch.processes.running) if name not in (edge, leader))
    others = [name for name in watch.processes.running if name not in (edge, victim)]
    began, used_s = trio.current_time(), _used_s(watch.processes, others)
    await watch.console.post(edge, "/blueprint", text=_blueprint(slices, instances))
    await watch.until(edge, active)
    await watch.everywhere(active)
    found = {"active": trio.current_time() - began, "active_cpu": _used_s(watch.processes, others) - used_s}

    async def gone(node: str) -> bool:
        answer = await watch.console.get(node, "/nodes")
        return victim not in answer["nodes"]

    async def healed(node: str) -> bool:
        states = await watch.states(node)
        return len(states) == count and all(state == "ACTIVE" and host != victim for host, state in states)

    await watch.processes.kill(victim)
    killed, used_s = trio.current_time(), _used_s(watch.processes, others)
    await watch.everywhere(gone)
    found["gone"] = trio.current_time() - killed
    await watch.until(edge, healed)
    await watch.everywhere(healed)
    found["healed"] = trio.current_time() - killed
    found["healed_cpu"] = _used_s(watch.processes, others) - used_s
    return found


def figures(seconds: float, rounds: int, own: Sequence[str] = ()) -> list[Figure]:
    """Medians of `rounds` clusters."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks deploy")
    parser.add_argument("--nodes", type=int, default=5, help="at least 3: one is lost, and a majority goes on")
    parser.add_argument("--slices", type=int, default=COUNT, help=f"at most {COUNT} (default %(default)s)")
    parser.add_argument("--instances", type=int, default=3)
    options = parser.parse_args(own)
    if options.nodes < NODES_MIN:
        parser.error(f"--nodes {options.nodes}: at least {NODES_MIN}, for one is lost and a majority has to go on")
    runs = [trio.run(measure, options.nodes, options.slices, options.instances) for _ in range(rounds)]
    median = {name: sorted(run[name] for run in runs)[len(runs) // 2] for name in runs[0]}
    of = f"{options.slices} slices x {options.instances} on {options.nodes} processes"
    labels = {
        "active": f"{of}: apply until all ACTIVE at every node",
        "gone": f"{of}: kill -9 of one until no other calls it",
        "healed": f"{of}: kill -9 of one until its instances are ACTIVE elsewhere",
        "active_cpu": f"{of}: processor time of the apply, nodes that are not asked",
        "healed_cpu": f"{of}: processor time of the heal, nodes that are not asked",
    }
    goals = {name: Goal(limit_s, is_ratio=False) for name, limit_s in GOALS_S.items()}
    return [Figure(label, "s", median[name], 0.0, goals.get(name)) for name, label in labels.items()]
