"""Hedged calls: ask a second instance when the first takes longer than most calls do.

Knows: durations of hedged calls, the budget; two legs of one call in a nursery of their own.
Never: how a leg is tried.
Holds: only idempotent methods are hedged; at most two legs; a hedge costs as much of the budget as a repeat; the leg
       that loses is cancelled, and its callee with it.
Paper: Dean, Barroso, "The Tail at Scale" (2013).
"""

from __future__ import annotations

import attrs
import trio

from aether.errors import BadInput
from aether.invocation.attempts_service import Attempts
from aether.invocation.endpoints import EndpointRegistry
from aether.invocation.latencies import LatencyTable
from aether.invocation.outgoing import OutgoingCall
from aether.invocation.reply import Reply
from aether.model.ids import InstanceId
from aether.slice_api.call import PERCENTILES


class Hedges:
    """Makes the hedged calls of one node."""

    def __init__(self, attempts: Attempts, registry: EndpointRegistry) -> None:
        self._attempts = attempts
        self._registry = registry
        self._latencies = LatencyTable()

    async def answered(self, call: OutgoingCall) -> Reply:
        """As Attempts.answered. Raises BadInput for a method that is not idempotent."""
        if not self._registry.endpoints(call.target):
            return await self._attempts.answered(call)  # it waits for an instance, and nothing is known of the method
        if call.method not in self._registry.terms(call.target, call.version).idempotent:
            rule = "mark it @aether.method(idempotent=True) if a repeat does no harm, or leave hedge_after out"
            raise BadInput(f"hedge_after: {call.span.name} is not idempotent", (rule,))
        latencies = self._latencies.of(call.target, call.method)
        wished = call.options.hedge_after
        after_s = latencies.quantile(PERCENTILES[wished]) if isinstance(wished, str) else wished
        race = _Race()
        try:
            if after_s is None or not self._second_possible(call):
                await race.run(self._attempts, call)
            else:
                await self._race(call, race, after_s)
        finally:
            latencies.add(trio.current_time() - call.began)
        return race.reply()

    async def _race(self, call: OutgoingCall, race: _Race, after_s: float) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(race.run, self._attempts, call)
            with trio.move_on_after(after_s):
                await race.over.wait()
            budget = self._attempts.budgets[call.target]
            if not race.over.is_set() and self._second_possible(call) and budget.left:
                budget.spend()
                budget.hedges += 1
                tried = call.excluded | ({call.at} if call.at is not None else set[InstanceId]())
                second = attrs.evolve(call, chosen=None, excluded=tried, full=True, cut_off="")
                nursery.start_soon(race.run, self._attempts, second)
                await race.over.wait()
                budget.hedges_won += race.winner is second
            elif not race.over.is_set():
                await race.over.wait()
            nursery.cancel_scope.cancel("another instance answered first")

    def _second_possible(self, call: OutgoingCall) -> bool:
        """Of the version that takes the call: a canary's share does not grow because it is slow."""
        endpoints = self._registry.endpoints(call.target)
        return len(endpoints) > 1 and any(
            e.instance != call.at and call.version in (None, e.artifact.version) for e in endpoints
        )


class _Race:
    """The legs of one call: over with the first reply, or when every leg has failed."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.winner: OutgoingCall | None = None
        self._reply: Reply | None = None
        self._error: Exception | None = None
        self._running = 0

    async def run(self, attempts: Attempts, leg: OutgoingCall) -> None:
        self._running += 1
        try:
            reply = await attempts.answered(leg)
        except Exception as error:  # noqa: BLE001 - raised by `reply` unless the other leg answers
            self._error = self._error or error
        else:
            if self._reply is None:
                self._reply, self.winner = reply, leg
        finally:
            self._running -= 1
        if self._reply is not None or not self._running:
            self.over.set()

    def reply(self) -> Reply:
        """What the call came to."""
        if self._reply is None:
            assert self._error is not None, "a race is over with a reply or an error"
            raise self._error
        return self._reply
