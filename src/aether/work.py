"""Leaving the loop: the one seam through which threads, disks, processes and DNS are reached.

Knows: how to run a blocking function without blocking the loop, boundedly.
Never: what the function does. Tests run it inline at a virtual cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple

import trio

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Work(Protocol):
    """Runs blocking functions somewhere else."""

    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """The result of `function(*args)`, or its exception. Cancellation waits for the function to end."""
        ...


class ThreadWork:
    """Work in trio's worker threads, at most `threads_max` at a time."""

    def __init__(self, threads_max: int = 8) -> None:
        self._limiter = trio.CapacityLimiter(threads_max)

    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        return await trio.to_thread.run_sync(function, *args, limiter=self._limiter)


class InlineWork:
    """Work on the loop itself, after a virtual delay: for tests under a virtual clock.

    delay_s  called before each piece of work; a simulation draws it from its seed
    """

    def __init__(self, delay_s: Callable[[], float] = lambda: 0.0) -> None:
        self._delay_s = delay_s

    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        await trio.sleep(self._delay_s())
        return function(*args)
