"""Leaving the loop: the one seam through which threads, disks, processes and DNS are reached.

Knows: how to run a blocking function without blocking the loop, boundedly.
Never: what the function does. Tests run it inline at a virtual cost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple, cast, runtime_checkable

import outcome
import trio

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Work(Protocol):
    """Runs blocking functions somewhere else."""

    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """The result of `function(*args)`, or its exception. Cancellation waits for the function to end."""
        ...


@runtime_checkable
class StartingWork(Work, Protocol):
    """Work whose results a task need not wait for, which spares two task switches."""

    def run_then(self, function: Callable[[], R], then: Callable[[outcome.Outcome[R]], None]) -> None:
        """Begin `function` now; its outcome goes to `then`, on the loop, which must not raise. Nothing cancels it."""
        ...


class ThreadWork:
    """Work of users in trio's worker threads, at most `threads_max` at a time: with context variables, and with
    trio.from_thread.
    """

    def __init__(self, threads_max: int = 8) -> None:
        self._limiter = trio.CapacityLimiter(threads_max)

    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        return await trio.to_thread.run_sync(function, *args, limiter=self._limiter)


class LimitedWork:
    """A share of `work`: at most `threads_max` of its threads at a time, whoever else uses it."""

    def __init__(self, work: Work, threads_max: int) -> None:
        self._work = work
        self._limiter = trio.CapacityLimiter(threads_max)

    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        borrower = object()  # not the task: what runs in a thread may come back to it, and from there here
        await self._limiter.acquire_on_behalf_of(borrower)
        try:
            return await self._work.run(function, *args)
        finally:
            self._limiter.release_on_behalf_of(borrower)


class BareThreadWork:
    """The runtime's own work in trio's worker threads, at most `threads_max` at a time, at half the price: without
    context variables, names for the threads, and trio.from_thread. A replicated write waits for two of these in a row.
    """

    def __init__(self, threads_max: int = 8) -> None:
        self._limiter = trio.CapacityLimiter(threads_max)

    @trio.lowlevel.enable_ki_protection  # between starting the thread and waiting for it nothing may interrupt
    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._limiter.acquire_nowait()
        except trio.WouldBlock:
            await self._limiter.acquire()
        try:
            return await _in_thread(functools.partial(function, *args))
        finally:
            self._limiter.release()

    def run_then(self, function: Callable[[], R], then: Callable[[outcome.Outcome[R]], None]) -> None:
        """As StartingWork.run_then. Beside `threads_max`: who starts one piece after the other has one thread."""
        token = trio.lowlevel.current_trio_token()

        def deliver(result: outcome.Outcome[R]) -> None:
            token.run_sync_soon(then, result)

        trio.lowlevel.start_thread_soon(function, deliver)


async def _in_thread(function: Callable[[], R]) -> R:
    task, token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()

    def deliver(result: outcome.Outcome[R]) -> None:
        token.run_sync_soon(trio.lowlevel.reschedule, task, result)

    trio.lowlevel.start_thread_soon(function, deliver)
    return cast("R", await trio.lowlevel.wait_task_rescheduled(_wait_for_its_end))


def _wait_for_its_end(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED


class AbandoningWork:
    """Work of somebody whom nobody waits for: cancelled, it goes on in its thread and its result is dropped.

    At most `threads_max` at a time, those that were left alone included: whoever comes then waits.
    """

    def __init__(self, threads_max: int = 1) -> None:
        self._limiter = trio.CapacityLimiter(threads_max)

    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        return await trio.to_thread.run_sync(function, *args, limiter=self._limiter, abandon_on_cancel=True)


class InlineWork:
    """Work on the loop itself, after a virtual delay: for tests under a virtual clock.

    delay_s  called before each piece of work; a simulation draws it from its seed
    """

    def __init__(self, delay_s: Callable[[], float] = lambda: 0.0) -> None:
        self._delay_s = delay_s

    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        await trio.sleep(self._delay_s())
        return function(*args)
