"""Hours of customers in minutes: three nodes in one process, in virtual time, and whether its memory comes to rest.

Knows: what fills by number fills as in a process that lives so long: the log that is held, audit, history, traces.
Never: disks, sockets, disturbances; the soak on processes has them.
Holds: the verdict is that of the soak, on the resident memory of three nodes together and on the objects in it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import psutil
import trio
import trio.testing
from examples.order_demo import CancelOrder, GetOrderStatus, InventoryService, PlaceOrder, PricingService

from aether.testing import MemoryCluster, memory_cluster
from benchmarks.soak.flatness import Bound, Finding, Point, Trend, judge
from benchmarks.soak.load import MIX, Customers, read_orders

SLICES: Final = (CancelOrder, GetOrderStatus, InventoryService, PlaceOrder, PricingService)
NODES: Final = ("node-1", "node-2", "node-3")
ORDERS: Final = Path(__file__).parents[2] / "examples" / "order_demo" / "orders.jsonl"
LOOKS: Final = 60
MIB: Final = 2**20
BOUNDS: Final[Mapping[str, Bound]] = {
    "resident memory, MiB": Bound(per_hour=3 * 2.0, slack=3.0, watched_s=1_200.0),
    "objects": Bound(per_hour=3 * 4_000.0, slack=3 * 4_000.0, watched_s=1_200.0),
}
"""Of three nodes. The log that each holds saws by several times a thousand entries."""


@attrs.frozen
class InMemory:
    """The nodes' own servers, by the first word of a URL: `http:node-1/path`, `management:node-1/path`."""

    clients: Mapping[str, httpx.AsyncClient]

    async def request(self, method: str, url: str, /, *, json: Any, headers: Mapping[str, str]) -> httpx.Response:
        """As httpx.AsyncClient; by right of the local administrator."""
        where, slash, path = url.partition("/")
        own = {name: value for name, value in headers.items() if name != "Authorization"}
        return await self.clients[where].request(method, slash + path, json=json, headers=own)


def main(hours: float, rate: float, say: Callable[[str], None]) -> int:
    """0 flat; 1 something grows, or a request failed; 3 too short to say."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(live, hours, rate, say, clock=clock)


async def live(hours: float, rate: float, say: Callable[[str], None]) -> int:
    """As main, in a running loop."""
    seen: dict[str, list[Point]] = {name: [] for name in BOUNDS}
    began_s, virtual_s, requests = time.monotonic(), trio.current_time(), 0.0
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(memory_cluster(*SLICES, nodes=len(NODES)))
        customers = await _customers(cluster, stack, rate)
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(customers.run)
        for number in range(1, LOOKS + 1):
            await trio.sleep_until(virtual_s + hours * 3_600 * number / LOOKS)
            requests += customers.next_tally().figures()["requests"]
            found = dict(zip(BOUNDS, look(), strict=True))
            for name, value in found.items():
                seen[name].append(Point(trio.current_time() - virtual_s, value))
            figures = ", ".join(f"{value:,.1f} {name}" for name, value in found.items())
            say(
                f"{hours * 60 * number / LOOKS:6.1f} min {requests:9,.0f} requests: {figures} "
                f"({time.monotonic() - began_s:.0f} s)"
            )
        nursery.cancel_scope.cancel()
    for problem in customers.wrong:
        say(f"WRONG {problem}")
    return told({name: judge(points, BOUNDS[name]) for name, points in seen.items()}, bool(customers.wrong), say)


def told(findings: Mapping[str, Finding], is_wrong: bool, say: Callable[[str], None]) -> int:
    """Say what was found; the exit status."""
    for name, finding in findings.items():
        say(f"{name}: {finding.trend}, {finding.per_hour:+.1f} an hour over the last {finding.watched_s / 60:.0f} min")
    trends = {finding.trend for finding in findings.values()}
    if is_wrong or Trend.GROWS in trends:
        return 1
    return 3 if Trend.TOO_SHORT in trends else 0


def look() -> tuple[float, float]:
    """MiB that are resident, and objects that the collector knows."""
    gc.collect()
    return psutil.Process().memory_info().rss / MIB, float(len(gc.get_objects()))


async def _customers(cluster: MemoryCluster, stack: AsyncExitStack, rate: float) -> Customers:
    clients = {f"http:{node}": await stack.enter_async_context(cluster.http(node)) for node in NODES}
    for node in NODES:
        clients[f"management:{node}"] = await stack.enter_async_context(cluster.management(node))
    return Customers(
        InMemory(clients),
        urls={node: f"http:{node}" for node in NODES},
        management={node: f"management:{node}" for node in NODES},
        tokens=dict.fromkeys(NODES, ""),
        orders=read_orders(await trio.Path(ORDERS).read_text()),
        rate=rate,
        mix={kind: weight for kind, weight in MIX.items() if kind != "price"},  # the shop needs processes
    )
