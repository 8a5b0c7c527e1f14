"""Which endpoint takes a call: power of two choices.

Knows: how many calls each instance has in flight from here, and how long its calls lasted lately.
Never: clocks, where the numbers come from; randomness is passed in.
Paper: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

import attrs

from aether.invocation.endpoints import Endpoint
from aether.model.ids import InstanceId

LATENCY_WEIGHT: Final = 0.2  # of the newest call in the moving average
EXPLORE: Final = 1 / 16  # share of choices that ignore latency, so that an old bad figure is measured again


class Uniform(Protocol):
    """The part of random.Random that a choice needs."""

    def random(self) -> float: ...


@attrs.define
class Load:
    """What this node knows of one instance. `latency_s` is a moving average; 0.0 until the first call ended."""

    in_flight: int = 0
    latency_s: float = 0.0


class Loads:
    """Loads by instance. Owned by the one Invoker that counts into it."""

    def __init__(self) -> None:
        self._loads: dict[InstanceId, Load] = {}

    def of(self, instance: InstanceId) -> Load:
        load = self._loads.get(instance)
        if load is None:
            load = self._loads[instance] = Load()
        return load

    def ended(self, load: Load, latency_s: float | None) -> None:
        """One call less in flight; `latency_s` is counted unless the call failed."""
        load.in_flight -= 1
        if latency_s is not None:
            load.latency_s += (latency_s - load.latency_s) * (LATENCY_WEIGHT if load.latency_s else 1.0)

    def keep(self, instances: Iterable[InstanceId]) -> None:
        """Forget idle instances that are not in `instances`."""
        known = set(instances)
        self._loads = {i: load for i, load in self._loads.items() if i in known or load.in_flight}

    def view(self) -> Mapping[InstanceId, Load]:
        return self._loads


def choose(
    endpoints: Sequence[Endpoint], loads: Loads, random: Uniform, exclude: AbstractSet[InstanceId] = frozenset()
) -> Endpoint | None:
    """Of two different endpoints drawn at random, the less busy, then the faster; None = nobody left."""
    if exclude:
        endpoints = [e for e in endpoints if e.instance not in exclude]
    if len(endpoints) < 2:
        return endpoints[0] if endpoints else None
    first, second = _two(len(endpoints), random)
    a, b = endpoints[first], endpoints[second]
    mine, other = loads.of(a.instance), loads.of(b.instance)
    if mine.in_flight != other.in_flight:
        return a if mine.in_flight < other.in_flight else b
    if random.random() < EXPLORE:
        return a
    return a if mine.latency_s <= other.latency_s else b


def _two(count: int, random: Uniform) -> tuple[int, int]:
    first = int(random.random() * count)
    second = int(random.random() * (count - 1))
    return first, second + (second >= first)
