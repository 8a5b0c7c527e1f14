"""How soon a node answers `GET /status` while it is busy with the requests of its users.

    python -m benchmarks management

Three real nodes on this machine; the rate of the users' requests is found as `benchmarks updates` finds it: SHARE of
what a closed loop gets. Both kinds of request come from one open loop to one node, and latencies count from when they
were due; bare is the latency of the users' own requests in the same seconds.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from aether.forge.steady_load import Request, Steady, SteadyLoad, http_request
from benchmarks.figure import Figure, Goal, medians
from benchmarks.updates import FAILURES_PRINTED, calibrate
from benchmarks.updates_cluster import EDGE, WARM_S, World, open_world

STATUS_RATE: Final = 20.0  # a second: some dashboards and scripts at once
P99_S_MAX: Final = 0.02
SECONDS_MIN: Final = 5.0


@attrs.frozen
class Mixed:
    """The `every`th request asks the node for its status, all others are of users."""

    status: Request
    users: Callable[[int], Request]
    every: int

    def __call__(self, number: int) -> Request:
        return self.status if number % self.every == 0 else self.users(number)

    def split(self, seen: Steady, rate: float) -> tuple[list[float], list[float]]:
        """Latencies of /status and of users, in seconds, without those of the first WARM_S."""
        parts: tuple[list[float], list[float]] = ([], [])
        for due_s, latency_s in seen.latencies:
            if due_s >= WARM_S:
                parts[round(due_s * rate) % self.every != 0].append(latency_s)
        return parts


def percentile(latencies: list[float], share: float) -> float:
    ordered = sorted(latencies)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _status(world: World) -> Request:
    ports = world.processes.ports[EDGE]
    token = (world.processes.directory(EDGE) / "admin-token").read_text().strip()
    return http_request(
        "status", f"{ports.host}:{ports.management}", "GET /status", (f"Authorization: Bearer {token}",)
    )


async def _measure(seconds: float, rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="aether-management-") as folder:
        async with open_world(Path(folder)) as world:
            rate = await trio.to_thread.run_sync(calibrate, world)
            found: list[tuple[float, ...]] = []
            failed = 0
            for _ in range(rounds):
                mixed = Mixed(_status(world), world.requests("idempotent"), max(2, round(rate / STATUS_RATE)))
                seen = await trio.to_thread.run_sync(SteadyLoad(mixed, rate).run, WARM_S + max(SECONDS_MIN, seconds))
                failed += seen.failed
                parts = mixed.split(seen, rate)
                found.append(tuple(percentile(part, share) for share in (0.5, 0.99) for part in parts))
                for failure in seen.failures[:FAILURES_PRINTED]:
                    print(f"at {failure.at_s:.3f} s: {failure.kind} {failure.status} {failure.answer}", file=sys.stderr)
    p50, users_p50, p99, users_p99 = medians(found)
    return [
        Figure("GET /status of a busy node, p50", "s", p50, users_p50),
        Figure("GET /status of a busy node, p99", "s", p99, users_p99, Goal(P99_S_MAX, is_ratio=False)),
        Figure("GET /status of a busy node, requests that failed", "", float(failed), 0.0, Goal(0.0, is_ratio=False)),
    ]


def figures(seconds: float, rounds: int) -> list[Figure]:
    return trio.run(_measure, seconds, rounds)
