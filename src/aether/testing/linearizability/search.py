"""The search for an order of one key's operations that their results allow.

Knows: which operations may come next by their times; a model says what they do.
Never: keys, how a failure is told.
Holds: each configuration (what was ordered, in which state) is looked at once; steps are counted against a budget.
Paper: Wing & Gong 1993; Lowe 2017, "Testing for linearizability": depth first, remembering configurations as bit sets.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import attrs

from aether.testing.linearizability.facts import OpenWrite
from aether.testing.linearizability.models import Model, State
from aether.testing.linearizability.operation import Operation, Outcome
from aether.testing.linearizability.zones import contradiction


class Found(enum.Enum):
    ORDER = "an order exists"
    NONE = "no order exists"
    GAVE_UP = "the budget of steps is spent"


@attrs.define
class Budget:
    """Steps that are left. Shared by searches, so that many of them together stay bounded."""

    steps: int

    @property
    def is_spent(self) -> bool:
        return self.steps <= 0


@attrs.frozen
class Reached:
    """The furthest that any order got: what it left `state` in, and who could have come next but could not."""

    count: int
    state: State
    stuck: tuple[Operation, ...]


class _Place(NamedTuple):
    """A configuration: operations before `first` are ordered, and `first + i` for each bit i of `done`.

    used    bits of the open-ended operations that were ordered
    before  the state before the last one, when that was open-ended: it must make a difference to whoever comes next
    """

    first: int
    done: int
    used: int
    state: State
    before: State | None


class Search:
    """One key. Times are closed intervals: who is called at the instant when another returns is concurrent with it."""

    def __init__(self, operations: Iterable[Operation], model: Model, budget: Budget) -> None:
        happened = [o for o in operations if o.outcome is not Outcome.FAILED]
        by_call = sorted(happened, key=lambda o: (o.called, o.returned))
        self._model, self._budget = model, budget
        self._certain = [o for o in by_call if o.outcome is Outcome.OK]
        self._open = [o for o in by_call if o.outcome is Outcome.UNKNOWN and not model.only_reads(o)]
        self._reads = [model.only_reads(o) for o in self._certain]
        self._facts = model.facts(self._certain, self._open)
        self._twin = _twins(self._open, self._facts.opened)
        self.reached: Reached = Reached(-1, model.initial, ())

    def contradiction(self) -> tuple[Operation, ...]:
        """A few operations that need no search to be refused; empty when there are none such."""
        return contradiction(self._certain, self._open, self._facts)

    def run(self) -> Found:
        seen: set[_Place] = set()
        stack = [iter((_Place(0, 0, 0, self._model.initial, None),))]
        while stack:
            place = next(stack[-1], None)
            if place is None:
                stack.pop()
                continue
            if self._budget.is_spent:
                return Found.GAVE_UP
            place, following = self._take_silent(place)
            if place.first == len(self._certain):
                return Found.ORDER
            if place not in seen:
                seen.add(place)
                stack.append(self._next(place, following))
        return Found.NONE

    def _take_silent(self, place: _Place) -> tuple[_Place, list[int]]:
        """Order at once the reads that may come next and fit: later they could only fit worse.

        Then the writes that nobody waits for, when nobody waits for what they replace either.
        """
        certain, reads, blind = self._certain, self._reads, self._facts.blind
        while True:
            following = self._following(place)
            silent = [i for i in following if reads[i] and self._step(place.state, certain[i]) == place.state]
            state = place.state
            if not silent and blind and state[0] in self._facts.settled and not self._awaited(place):
                silent = [i for i in following if i in blind]
                for i in silent:
                    state = self._step(state, certain[i])
            if not silent:
                return place, following
            done = place.done
            for i in silent:
                done |= 1 << (i - place.first)
            place = self._settle(place.first, done, place.used, state, None)

    def _awaited(self, place: _Place) -> list[int]:
        """Who still has to find the present value, which no other write can bring back."""
        readers = self._facts.readers
        if not readers:
            return []
        first, done = place.first, place.done
        return [i for i in readers.get(place.state[0], ()) if i >= first and not done >> (i - first) & 1]

    def _following(self, place: _Place) -> list[int]:
        """Who may come next: called before all who are not ordered yet have returned."""
        found: list[int] = []
        horizon, i, done, certain = math.inf, place.first, place.done, self._certain
        while i < len(certain) and certain[i].called <= horizon:
            if not done & 1:
                found.append(i)
                horizon = min(horizon, certain[i].returned)
            done >>= 1
            i += 1
        versions = self._facts.versions
        return sorted(found, key=lambda i: (versions.get(i, 0), certain[i].returned))

    def _next(self, place: _Place, following: list[int]) -> Iterator[_Place]:
        count = place.first + place.done.bit_count()
        if count > self.reached.count:
            self.reached = Reached(count, place.state, tuple(self._certain[i] for i in following))
        horizon = min(self._certain[i].returned for i in following)
        awaited = self._awaited(place)
        if awaited:  # a write may end the present value only as the last who finds it
            following = [i for i in following if i in awaited and (self._reads[i] or len(awaited) == 1)]
        for i in following:
            after = self._step_that_matters(place, self._certain[i])
            if after is not None:
                yield self._settle(place.first, place.done | 1 << (i - place.first), place.used, after, None)
        if awaited:
            return
        for i in self._open_now(place, horizon, frozenset(following)):
            after = self._step_that_matters(place, self._open[i])
            if after is not None and after != place.state:
                yield _Place(place.first, place.done, place.used | 1 << i, after, place.state)

    def _open_now(self, place: _Place, horizon: float, following: frozenset[int]) -> Iterator[int]:
        """Open-ended operations that may come next and make a difference to who comes after."""
        known = self._facts.opened
        any_missed = not following.isdisjoint(self._facts.missed)  # any change may be the reason
        for i, operation in enumerate(self._open):
            if operation.called > horizon:
                return
            twin = self._twin[i]
            if place.used >> i & 1 or (twin is not None and not place.used >> twin & 1):
                continue
            if known and place.before is not None and known[i].overwrites:
                continue
            if known and not any_missed and known[i].readers and following.isdisjoint(known[i].readers or ()):
                continue
            yield i

    def _step_that_matters(self, place: _Place, operation: Operation) -> State | None:
        """The state after `operation`; None too when the open-ended one just before it could as well be left out."""
        after = self._step(place.state, operation)
        if after is None or place.before is None:
            return after
        return None if self._step(place.before, operation) == after else after

    def _settle(self, first: int, done: int, used: int, state: State, before: State | None) -> _Place:
        while done & 1:
            done >>= 1
            first += 1
        return _Place(first, done, used, state, before)

    def _step(self, state: State, operation: Operation) -> State | None:
        self._budget.steps -= 1
        return self._model.step(state, operation)


def _twins(operations: Sequence[Operation], known: Sequence[OpenWrite]) -> list[int | None]:
    """For each open-ended operation the one called before it that does the same: without that one, it is not needed."""
    last: dict[object, int] = {}
    twins: list[int | None] = []
    for i, operation in enumerate(operations):
        same = "idle" if known and known[i].is_idle else (operation.kind, operation.argument)
        twins.append(last.get(same))
        last[same] = i
    return twins
