"""Which of several instances takes a call: what a balancer is told, what it promises, and the one built in.

Knows: how many calls each instance has in flight from here, how long its calls lasted lately, how near it is.
Never: clocks, where the numbers come from; randomness is passed in. Versions, ejection, keys and locality were decided
       before (`chooser`): every candidate that a balancer sees may take the call.
Paper: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from aether.invocation.endpoints import Endpoint, Nearness
from aether.metrics.method_counters import MethodCounter
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import InstanceId, NodeId

if TYPE_CHECKING:
    from random import Random

LATENCY_WEIGHT: Final = 0.2  # of the newest call in the moving average
EXPLORE: Final = 1 / 16  # share of choices that ignore latency, so that an old bad figure is measured again


class Uniform(Protocol):
    """The part of random.Random that a choice needs."""

    def random(self) -> float: ...


@attrs.define
class Load:
    """What this node knows of one instance.

    latency_s   a moving average; 0.0 until the first call ended
    busy_until  it refused a call as full; until then others are asked first
    streams    those in flight that are open streams, which may last for days
    methods    counters of its version by method; None until its first call
    """

    in_flight: int = 0
    latency_s: float = 0.0
    busy_until: float = 0.0
    streams: int = 0
    methods: Mapping[str, MethodCounter] | None = None

    def opened(self) -> None:
        """A stream was opened; it counts as in flight until it is left."""
        self.in_flight += 1
        self.streams += 1

    def left(self) -> None:
        """An open stream was left."""
        self.in_flight -= 1
        self.streams -= 1


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


@attrs.frozen(kw_only=True)
class Candidate:
    """An instance that may take the call.

    in_flight  calls from this node to it that have not ended; latency_s  moving average of theirs, 0.0 = none ended yet
    nearness   HERE (this process), HOST (this machine), ZONE, FAR
    """

    instance: InstanceId
    node: NodeId
    artifact: Artifact
    in_flight: int = 0
    latency_s: float = 0.0
    nearness: Nearness = Nearness.FAR


@attrs.frozen(kw_only=True)
class CallFacts:
    """What is known of the call that looks for an instance.

    node          where the caller runs
    affinity_key  the value that calls of one kind share, "" = none
    priority      "low", "normal" or "high"; attempt  1 for the first try of the call
    """

    target: ArtifactBase
    method: str
    node: NodeId
    affinity_key: str = ""
    priority: str = "normal"
    attempt: int = 1


class Balancer(Protocol):
    """Chooses one of several candidates. Called for each try of a call, in the loop: it must not wait.

    candidates  never empty, in the order of instance ids; the answer is one of them
    random      the node's: what it draws can be replayed by a test from a seed
    """

    def pick(self, candidates: Sequence[Candidate], facts: CallFacts, random: Random) -> Candidate: ...


class PowerOfTwo:
    """Of two different candidates drawn at random, the less busy, then the faster: what the built-in choice does."""

    def pick(self, candidates: Sequence[Candidate], facts: CallFacts, random: Random) -> Candidate:
        if len(candidates) < 2:
            return candidates[0]
        first, second = _two(len(candidates), random)
        a, b = candidates[first], candidates[second]
        return a if _better(a.in_flight, a.latency_s, b.in_flight, b.latency_s, random) else b


class LeastBusy:
    """The candidate with the fewest calls in flight from here, then the nearest; the first of equals.

    Of use to a lone caller of few instances. Many callers that do so meet at the same instance.
    """

    def pick(self, candidates: Sequence[Candidate], facts: CallFacts, random: Random) -> Candidate:
        return min(candidates, key=lambda c: (c.in_flight, c.nearness))


def candidate(endpoint: Endpoint, load: Load) -> Candidate:
    """What a balancer is told of `endpoint`."""
    return Candidate(
        instance=endpoint.instance,
        node=endpoint.node,
        artifact=endpoint.artifact,
        in_flight=load.in_flight,
        latency_s=load.latency_s,
        nearness=endpoint.nearness,
    )


def choose(
    endpoints: Sequence[Endpoint], loads: Loads, random: Uniform, exclude: AbstractSet[InstanceId] = frozenset()
) -> Endpoint | None:
    """PowerOfTwo without making candidates: the choice of nearly every call. None = nobody left."""
    if exclude:
        endpoints = [e for e in endpoints if e.instance not in exclude]
    if len(endpoints) < 2:
        return endpoints[0] if endpoints else None
    first, second = _two(len(endpoints), random)
    a, b = endpoints[first], endpoints[second]
    mine, other = loads.of(a.instance), loads.of(b.instance)
    return a if _better(mine.in_flight, mine.latency_s, other.in_flight, other.latency_s, random) else b


def _better(in_flight: int, latency_s: float, in_flight_b: int, latency_b_s: float, random: Uniform) -> bool:
    if in_flight != in_flight_b:
        return in_flight < in_flight_b
    return random.random() < EXPLORE or latency_s <= latency_b_s


def _two(count: int, random: Uniform) -> tuple[int, int]:
    first = int(random.random() * count)
    second = int(random.random() * (count - 1))
    return first, second + (second >= first)
