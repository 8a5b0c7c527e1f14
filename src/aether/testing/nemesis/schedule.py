"""What goes wrong when: drawn from a seed, before anything runs.

Knows: names of faults, how long each lasts, which ways a partition cuts.
Never: processes, sockets; who leads is known when the fault begins.
Holds: the same seed, length and choice of faults give the same schedule.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import attrs

Way: TypeAlias = tuple[str, str]
Cut: TypeAlias = Callable[[Sequence[str], str, random.Random], set[Way]]

LASTS_S = (1.0, 6.0)
CALM_S = (0.5, 2.0)
TWO_SHARE = 0.25
SETTLE_S = 4.0
"""About what a cluster takes to be well again, for planning alone."""


@attrs.frozen(kw_only=True)
class Step:
    """One fault, sometimes two at once: after calm_s of quiet, for lasts_s. draw  decides who is hit, and how hard"""

    faults: tuple[str, ...]
    calm_s: float
    lasts_s: float
    draw: int

    def __str__(self) -> str:
        return f"{' and '.join(self.faults)} for {self.lasts_s:.1f} s"


def draw_schedule(seed: int, seconds: float, faults: Sequence[str]) -> list[Step]:
    """Steps for about `seconds`. Each fault comes once before any comes again; some have another one beside them."""
    rng = random.Random(f"nemesis {seed}")
    steps: list[Step] = []
    waiting: list[str] = []
    planned_s = 0.0
    while planned_s < seconds and faults:
        if not waiting:
            waiting = list(faults)
            rng.shuffle(waiting)
        first = waiting.pop()
        others = [fault for fault in faults if fault != first]
        beside = (rng.choice(others),) if others and rng.random() < TWO_SHARE else ()
        step = Step(
            faults=(first, *beside),
            calm_s=rng.uniform(*CALM_S),
            lasts_s=rng.uniform(*LASTS_S),
            draw=rng.getrandbits(32),
        )
        steps.append(step)
        planned_s += step.calm_s + step.lasts_s + SETTLE_S
    return steps


# --- partitions: which ways are cut -----------------------------------------------------------------------------------


def both_ways(one: Sequence[str], other: Sequence[str]) -> set[Way]:
    return {(a, b) for a in one for b in other if a != b} | {(b, a) for a in one for b in other if a != b}


def isolate_leader(nodes: Sequence[str], leader: str, _: random.Random) -> set[Way]:
    return both_ways([leader], nodes)


def isolate_follower(nodes: Sequence[str], leader: str, rng: random.Random) -> set[Way]:
    return both_ways([rng.choice([n for n in nodes if n != leader])], nodes)


def halves(nodes: Sequence[str], _: str, rng: random.Random) -> set[Way]:
    """A minority and a majority."""
    shuffled = rng.sample(nodes, len(nodes))
    minority = (len(nodes) - 1) // 2
    return both_ways(shuffled[:minority], shuffled[minority:])


def deaf_leader(nodes: Sequence[str], leader: str, _: random.Random) -> set[Way]:
    """The leader sends and hears nothing."""
    return {(n, leader) for n in nodes if n != leader}


def mute_leader(nodes: Sequence[str], leader: str, _: random.Random) -> set[Way]:
    """The leader hears and cannot be heard."""
    return {(leader, n) for n in nodes if n != leader}


def deaf_follower(nodes: Sequence[str], leader: str, rng: random.Random) -> set[Way]:
    follower = rng.choice([n for n in nodes if n != leader])
    return {(n, follower) for n in nodes if n != follower}


def one_way_pair(nodes: Sequence[str], _: str, rng: random.Random) -> set[Way]:
    source, target = rng.sample(nodes, 2)
    return {(source, target)}


def bridge(nodes: Sequence[str], _: str, rng: random.Random) -> set[Way]:
    """Two halves that only one node sees both of."""
    shuffled = rng.sample(nodes, len(nodes))
    half = (len(nodes) - 1) // 2
    return both_ways(shuffled[1 : 1 + half], shuffled[1 + half :])


def bridged_by_leader(nodes: Sequence[str], leader: str, _: random.Random) -> set[Way]:
    """Everybody sees the leader and nobody else."""
    others = [n for n in nodes if n != leader]
    return both_ways(others, others)


def ring(nodes: Sequence[str], _: str, rng: random.Random) -> set[Way]:
    """Each node sees its two neighbours; of three nodes that is everybody, so one of the three links is cut there."""
    shuffled = rng.sample(nodes, len(nodes))
    if len(nodes) == 3:
        return both_ways(shuffled[:1], shuffled[1:2])
    near = {(a, b) for a, b in zip(shuffled, [*shuffled[1:], shuffled[0]], strict=True)}
    return {(a, b) for a in nodes for b in nodes if a != b and (a, b) not in near and (b, a) not in near}


CUTS: Mapping[str, Cut] = {
    "isolate-leader": isolate_leader,
    "isolate-follower": isolate_follower,
    "halves": halves,
    "deaf-leader": deaf_leader,
    "mute-leader": mute_leader,
    "deaf-follower": deaf_follower,
    "one-way-pair": one_way_pair,
    "bridge": bridge,
    "bridged-by-leader": bridged_by_leader,
    "ring": ring,
}
