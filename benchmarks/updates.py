"""What clients see while a cluster is changed or loses a node: requests that failed, and the latency meanwhile.

    python -m benchmarks updates [--rate 2000] [--only scale-down,drain]

Three real nodes with data directories on this machine. Requests come at a fixed rate that waits for nobody, and their
latencies count from when they were due. Without --rate, a short calibration finds the most that is sustained, of which
SHARE is used, and at most RATE_MAX. Every failed request is printed with its answer.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from aether.forge.polling import until
from aether.forge.steady_load import SteadyLoad
from benchmarks.figure import Figure, Goal
from benchmarks.open_loop import HttpLoop
from benchmarks.updates_cluster import EDGE, SLOW, Seen, World, open_world, under_load

RATE_MAX: Final = 2_000.0
SHARE: Final = 0.6
KEYED_SHARE: Final = 0.1  # each key is a durable write of the cluster
SLOW_RATE_MAX: Final = 120.0  # of requests that take half a second: sixty under way, a third of them on the victim
CALIBRATION_S: Final = 3.0
CALIBRATION_CLIENTS: Final = 32
TRIALS_MAX: Final = 6
P99_S_MAX: Final = 0.1  # at a rate that is sustained
RATIO_MAX: Final = 3.0
FAILURES_PRINTED: Final = 10
SLEEPS: Final = 3
SLEEP_S: Final = 1.0
END_S: Final = 60.0


async def scale_down(world: World) -> None:
    """Three instances, then one."""
    await world.scale(1)
    await world.active(1)


async def scale_to_zero(world: World) -> None:
    """No instance at all, again and again, while requests come in; each time the next one wakes the slice."""
    for _ in range(SLEEPS):
        await world.scale(0)
        await trio.sleep(SLEEP_S)
    await world.scale(3)
    await world.active(3)


async def drain_by_word(world: World) -> None:
    """`aether nodes drain`: the node gives its work away and stays; then it works again."""
    node = await world.victim()
    await world.console.post(EDGE, f"/nodes/{node}/drain", body={})

    async def empty() -> bool:
        return all(row["nodeId"] != node for row in await world.console.instances(EDGE))

    await until(empty, END_S, f"{node} is empty")
    await world.console.post(EDGE, f"/nodes/{node}/activate", body={})


def update(strategy: str) -> Callable[[World], Awaitable[None]]:
    """A really different tree replaces what runs."""

    async def act(world: World) -> None:
        await world.offer("1.1.0")
        await world.apply("1.1.0", strategy=strategy)
        await world.active(3, version="1.1.0")

    return act


async def drain(world: World) -> None:
    """SIGTERM to a node: it leaves when nobody needs it any more."""
    node = await world.victim()
    world.processes.send_signal(node, signal.SIGTERM)
    await until(lambda: world.processes.exit_code(node) is not None, END_S, f"{node} ends")
    await world.restart(node)


async def kill(world: World) -> None:
    """SIGKILL to a node; it comes back once its instances run elsewhere."""
    node = await world.victim()
    await world.processes.kill(node)
    await world.active(3)
    await world.restart(node)


@attrs.frozen
class Scenario:
    """What is done to the cluster, and what must hold. failures  statuses that are promised, beside 2xx"""

    act: Callable[[World], Awaitable[None]]
    kind: str = "idempotent"
    failures: tuple[int, ...] = ()


SCENARIOS: Final = {
    "scale-down": Scenario(scale_down),
    "scale to zero and back": Scenario(scale_to_zero),
    "rolling": Scenario(update("rolling")),
    "canary": Scenario(update("canary")),
    "blue-green": Scenario(update("blue_green")),
    "drain by word": Scenario(drain_by_word),
    "drain": Scenario(drain),
    "drain, un-keyed": Scenario(drain, "unkeyed"),
    "kill, idempotent": Scenario(kill),
    "kill, keyed": Scenario(kill, "keyed"),
    "kill, un-keyed": Scenario(kill, "unkeyed", failures=(504,)),
    "kill, slow and idempotent": Scenario(kill, "slow idempotent"),
    "kill, slow and keyed": Scenario(kill, "slow keyed"),
    "kill, slow and un-keyed": Scenario(kill, "slow unkeyed", failures=(504,)),
}


def rate_of(scenario: Scenario, rate: float) -> float:
    """Of requests of its kind, where the machine carries `rate` of the plain ones."""
    most = SLOW_RATE_MAX if scenario.kind.startswith(SLOW) else rate
    return min(most, rate * (KEYED_SHARE if scenario.kind.endswith(" keyed") or scenario.kind == "keyed" else 1.0))


def calibrate(world: World) -> float:
    """Requests per second: a share of what a closed loop gets, and less until they are answered in time.

    The loop asks one instance, over and over; the requests of a scenario go to all of them.
    """
    rate = min(RATE_MAX, SHARE * HttpLoop(world.edge, "/echo/1").closed(CALIBRATION_CLIENTS, CALIBRATION_S))
    for _ in range(TRIALS_MAX):
        seen = SteadyLoad(world.requests("idempotent"), rate).run(CALIBRATION_S)
        if not seen.failed and seen.percentile(0.99) <= P99_S_MAX:
            break
        rate *= SHARE
    print(f"calibrated: {rate:.0f} requests a second", file=sys.stderr)
    return rate


async def _measure(names: Sequence[str], rate: float | None, seconds: float) -> list[Figure]:
    rows: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="aether-updates-") as folder:
        for number, name in enumerate(names):
            scenario = SCENARIOS[name]
            async with open_world(Path(folder) / str(number)) as world:
                rate = rate or await trio.to_thread.run_sync(calibrate, world)
                own_rate = rate_of(scenario, rate)
                seen = await under_load(world, scenario.act, scenario.kind, own_rate, before_s=max(1.0, seconds))
            _print(name, scenario, own_rate, seen)
            rows += _rows(name, scenario, own_rate, seen)
    return rows


def _print(name: str, scenario: Scenario, rate: float, seen: Seen) -> None:
    steady = seen.steady
    statuses = ", ".join(f"{count} x {status or 'no answer'}" for status, count in sorted(steady.statuses.items()))
    p99 = f"p99 {1e3 * seen.before_p99_s:.1f} ms before, {1e3 * seen.during_p99_s:.1f} ms during"
    p99 += f", {seen.ratio:.1f} times"
    print(f"{name}: {rate:.0f}/s for {seen.acted_s:.1f} s: {statuses}; {p99}", file=sys.stderr)
    print(f"  {steady.failed} of {steady.requests} without a 2xx", file=sys.stderr)
    print(f"  {steady.resent} sent again, the generator late by {1e3 * steady.late_max_s:.0f} ms", file=sys.stderr)
    for failure in steady.failures[:FAILURES_PRINTED]:
        print(f"  at {failure.at_s:.3f} s: {failure.status} {failure.answer}", file=sys.stderr)


def _rows(name: str, scenario: Scenario, rate: float, seen: Seen) -> list[Figure]:
    statuses = seen.steady.statuses
    unpromised = sum(n for status, n in statuses.items() if not 200 <= status < 300 and status not in scenario.failures)
    rows = [
        Figure(f"{name}: requests", "", float(seen.steady.requests), rate),
        Figure(f"{name}: requests that failed", "", float(unpromised), 0.0, Goal(0.0, is_ratio=False)),
        Figure(f"{name}: p99 to that before", "s", seen.during_p99_s, seen.before_p99_s, Goal(RATIO_MAX)),
    ]
    if scenario.failures:
        promised = sum(statuses[status] for status in scenario.failures)
        rows.append(Figure(f"{name}: requests whose outcome is unknown", "", float(promised), 0.0))
    return rows


def figures(seconds: float, rounds: int, own: Sequence[str] = ()) -> list[Figure]:
    """One round: a scenario is an event, and each takes a cluster of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks updates")
    parser.add_argument("--rate", type=float, help="requests per second; by default what this machine sustains")
    parser.add_argument("--only", default=",".join(SCENARIOS).replace(", ", "_"), help="scenarios, with commas")
    options = parser.parse_args(own)
    by_name = {name.replace(", ", "-").replace(" ", "-"): name for name in SCENARIOS}
    asked = list(by_name) if options.only == parser.get_default("only") else options.only.split(",")
    unknown = [name for name in asked if name not in by_name]
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(by_name)}")
    return trio.run(_measure, [by_name[name] for name in asked], options.rate, seconds)
