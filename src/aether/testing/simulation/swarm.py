"""Many seeds, on several processes: what a night of simulation is.

Knows: how to hand out seeds, when time is up.
Never: what a seed does.
Holds: seeds are handed out in order, a few ahead; results come as they are done.
"""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

import attrs

from aether.testing.simulation.runner import run

_AHEAD = 4


@attrs.frozen(kw_only=True)
class SeedResult:
    """cpu_s  processor time that it took."""

    seed: int
    plot: str
    violation: str | None
    events: int
    cpu_s: float
    counts: Mapping[str, int]


def run_seed(seed: int, steps: int, plot: str | None) -> SeedResult:
    """One seed, measured."""
    began_s = time.process_time()
    report = run(seed, steps, plot=plot)
    return SeedResult(
        seed=seed,
        plot=report.plot,
        violation=report.violation,
        events=report.events,
        cpu_s=time.process_time() - began_s,
        counts=report.counts,
    )


def swarm(
    seeds: Iterable[int], steps: int, plot: str | None = None, *, processes: int = 1, seconds: float | None = None
) -> Iterator[SeedResult]:
    """Run `seeds`, until they or the seconds are over."""
    end_s = time.monotonic() + seconds if seconds is not None else None
    left = itertools.takewhile(lambda _: end_s is None or time.monotonic() < end_s, seeds)
    if processes == 1:
        yield from (run_seed(seed, steps, plot) for seed in left)
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit whatever the caller has open
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        running: set[Future[SeedResult]] = set()
        while True:
            wanted = _AHEAD * processes - len(running)
            running |= {pool.submit(run_seed, seed, steps, plot) for seed in itertools.islice(left, wanted)}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in done)
