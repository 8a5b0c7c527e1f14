"""How the faults of a seed are drawn: one mixture of everything, and plots that go for one kind of bug.

Knows: ranges, and which faults have to come together for a bug to show.
Never: time, nodes.
Holds: swarm testing: every number comes from the seed, and each fault is absent from many runs, so that the others can
       show what it would mask.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from aether.testing.simulation.faults import MILLISECOND, SECOND, Faults, stream
from aether.testing.simulation.network import SHAPES

Plot = Callable[[int], Faults]


def _sometimes(rng: random.Random, probability: float, most: float) -> float:
    return rng.uniform(0, most) if rng.random() < probability else 0.0


def mixed(seed: int) -> Faults:
    """Any faults in any strength."""
    rng = stream(seed, "faults")
    ticks = rng.choice((3, 4, 10))
    shapes = tuple(SHAPES)
    return Faults(
        nodes=rng.choice((1, 2, 3, 3, 3, 3, 4, 5, 5, 5)),
        clients=rng.randint(1, 4),
        loss=_sometimes(rng, 0.6, 0.25),
        duplication=_sometimes(rng, 0.5, 0.25),
        slow=_sometimes(rng, 0.5, 0.2),
        delay_us=rng.randint(1, 20) * MILLISECOND,
        slow_delay_us=rng.choice((100 * MILLISECOND, SECOND, 4 * SECOND)),
        clog=_sometimes(rng, 0.3, 0.3),
        clog_us=rng.choice((300 * MILLISECOND, SECOND, 5 * SECOND)),
        path_messages_max=rng.choice((rng.randint(2, 20), 10_000)),
        disk_us=rng.choice((100, 2 * MILLISECOND, 50 * MILLISECOND)),
        disk_stall=_sometimes(rng, 0.3, 0.05),
        disk_stall_us=rng.randint(1, 40) * 100 * MILLISECOND,
        sector_bytes=rng.choice((16, 64, 512)),
        torn=rng.choice((0.0, 0.5, 1.0)),
        scattered=_sometimes(rng, 0.2, 0.3),
        rot=_sometimes(rng, 0.3, 0.3),
        eio=_sometimes(rng, 0.2, 0.01),
        full=_sometimes(rng, 0.2, 0.1),
        full_us=rng.choice((500 * MILLISECOND, 3 * SECOND)),
        lying=0.0,
        crash=_sometimes(rng, 0.7, rng.choice((0.4, 0.4, 3.0))),
        hunt=_sometimes(rng, 0.6, 1.0),
        hunt_us=rng.choice((5 * MILLISECOND, 50 * MILLISECOND, SECOND)),
        down_us=rng.choice((5 * MILLISECOND, 50 * MILLISECOND, SECOND, 5 * SECOND)),
        all_crash=_sometimes(rng, 0.2, 0.1),
        partition=_sometimes(rng, 0.6, 0.4),
        partition_us=rng.choice((SECOND, 3 * SECOND, 10 * SECOND)),
        shapes=tuple(sorted(rng.sample(shapes, rng.randint(1, len(shapes))))),
        one_way=_sometimes(rng, 0.4, 1.0),
        pause=_sometimes(rng, 0.3, 0.2),
        pause_us=rng.choice((300 * MILLISECOND, 3 * SECOND)),
        closed=_sometimes(rng, 0.5, 0.3),
        transfer=_sometimes(rng, 0.4, 0.3),
        drift=_sometimes(rng, 0.5, 0.1),
        clock_step=_sometimes(rng, 0.3, 0.2),
        clock_step_us=rng.choice((300 * MILLISECOND, 5 * SECOND)),
        spares=(spares := rng.choice((0, 0, 1, 3))),
        membership=rng.choice((0.2, 1.0)) if spares else 0.0,
        core_only=rng.random() < 0.5,
        snapshot_every=rng.choice((3, 10, 40, 1_000_000)),
        entries_kept=rng.choice((0, 2, 20)),
        append_bytes_max=rng.choice((1, 100, 10_000)),
        inflight_appends_max=rng.choice((1, 2, 16)),
        uncommitted_bytes_max=rng.choice((60, 300, 1_000_000)),
        reads_pending_max=rng.choice((1, 3, 1_000)),
        snapshot_chunk_bytes=rng.choice((16, 100, 10_000)),
        apply_bytes_max=rng.choice((1, 1_000, 100_000)),
        request_us=rng.choice((20, 100, 400)) * MILLISECOND,
        think_us=rng.choice((1, 10 * MILLISECOND, 300 * MILLISECOND)),
        election_ticks_min=ticks,
        election_ticks_max=ticks + rng.choice((2, ticks)),
        readers=rng.choice((0, 1, 1, 2)),
        read_us=rng.choice((20, 100, 400)) * MILLISECOND,
    )


def _plain(faults: Faults) -> Faults:
    """Without what masks other bugs: whole disks, long paths, always the same members."""
    return attrs.evolve(
        faults,
        disk_stall=0.0,
        rot=0.0,
        scattered=0.0,
        eio=0.0,
        full=0.0,
        path_messages_max=10_000,
        spares=0,
        membership=0.0,
    )


def diverging(seed: int) -> Faults:
    """Leaders fall while their entries are on a minority, and come back: what Raft's figure 8 needs."""
    return attrs.evolve(
        _plain(mixed(seed)),
        nodes=5,
        loss=0.2,
        duplication=0.0,
        slow=0.0,
        delay_us=40 * MILLISECOND,
        clog=0.0,
        disk_us=100,
        crash=0.0,
        all_crash=0.0,
        hunt=1.0,
        hunt_us=150 * MILLISECOND,
        down_us=SECOND,
        partition=0.5,
        partition_us=2 * SECOND,
        shapes=("halves",),
        one_way=0.3,
        pause=0.0,
        transfer=0.0,
        uncommitted_bytes_max=1_000_000,
        append_bytes_max=1,
        inflight_appends_max=1,
        request_us=300 * MILLISECOND,
        think_us=100 * MILLISECOND,
        election_ticks_min=4,
        election_ticks_max=8,
        readers=0,
    )


def restarting(seed: int) -> Faults:
    """Nodes crash all the time and are back at once: what was not durable is forgotten in mid-election."""
    return attrs.evolve(
        _plain(mixed(seed)),
        nodes=5,
        slow=0.2,
        slow_delay_us=SECOND,
        disk_us=2 * MILLISECOND,
        crash=3.0,
        down_us=5 * MILLISECOND,
        hunt=1.0,
        hunt_us=50 * MILLISECOND,
        closed=0.0,
        think_us=300 * MILLISECOND,
        election_ticks_min=4,
        election_ticks_max=6,
    )


def reading(seed: int) -> Faults:
    """Leaders are cut off, and asked for reads while others lead already and old answers still arrive."""
    return attrs.evolve(
        _plain(mixed(seed)),
        nodes=3,
        clients=2,
        loss=0.0,
        slow=0.2,
        slow_delay_us=3 * SECOND,
        delay_us=3 * MILLISECOND,
        clog=0.0,
        disk_us=20 * MILLISECOND,
        crash=0.0,
        all_crash=0.0,
        hunt=1.0,
        hunt_us=300 * MILLISECOND,
        down_us=50 * MILLISECOND,
        partition=0.0,
        partition_us=3 * SECOND,
        one_way=0.0,
        pause=0.1,
        pause_us=SECOND,
        closed=0.01,
        drift=0.3,
        reads_pending_max=1_000,
        request_us=100 * MILLISECOND,
        think_us=50 * MILLISECOND,
        election_ticks_min=8,
        election_ticks_max=10,
        readers=3,
        read_us=30 * MILLISECOND,
    )


def leasing(seed: int) -> Faults:
    """As `reading`, with leases: clocks at the bounds that they are made for, partitions, transfers, restarts."""
    return attrs.evolve(
        reading(seed),
        nodes=stream(seed, "leasing").choice((3, 5)),
        lease_reads=True,
        hunt_us=2 * SECOND,
        crash=0.1,
        partition=0.5,
        one_way=0.3,
        pause=0.2,
        closed=0.2,
        transfer=0.2,
        drift=0.1,
        clock_step=0.0,
        slow_delay_us=SECOND,
        election_ticks_min=10,
        election_ticks_max=20,
    )


def installing(seed: int) -> Faults:
    """Followers lag behind the log all the time; they and their leaders crash while a snapshot travels."""
    rng = stream(seed, "installing")
    return attrs.evolve(
        _plain(mixed(seed)),
        nodes=rng.choice((3, 5)),
        loss=rng.choice((0.0, 0.1)),
        duplication=0.2,
        slow=0.2,
        slow_delay_us=rng.choice((100 * MILLISECOND, SECOND)),
        delay_us=rng.choice((5 * MILLISECOND, 40 * MILLISECOND)),
        disk_us=rng.choice((2 * MILLISECOND, 50 * MILLISECOND, 200 * MILLISECOND)),
        crash=1.0,
        down_us=rng.choice((50 * MILLISECOND, 2 * SECOND)),
        hunt=0.5,
        hunt_us=SECOND,
        partition=0.5,
        partition_us=2 * SECOND,
        snapshot_every=3,
        entries_kept=0,
        snapshot_chunk_bytes=rng.choice((16, 100)),
        request_us=100 * MILLISECOND,
        think_us=1,
        election_ticks_min=4,
        election_ticks_max=8,
    )


def rotting(seed: int) -> Faults:
    """Disks lose, confuse and flip what they hold, tear what they write, fail and fill up; nodes read it again."""
    rng = stream(seed, "rotting")
    return attrs.evolve(
        mixed(seed),
        nodes=rng.choice((3, 3, 5)),
        loss=0.0,
        disk_us=rng.choice((2 * MILLISECOND, 20 * MILLISECOND)),
        sector_bytes=rng.choice((16, 64)),
        torn=1.0,
        scattered=rng.choice((0.0, 0.2)),
        rot=rng.choice((0.2, 1.0)),
        eio=rng.choice((0.0, 0.02)),
        full=rng.choice((0.0, 0.1)),
        crash=rng.choice((0.5, 2.0)),
        down_us=50 * MILLISECOND,
        snapshot_every=rng.choice((10, 40, 1_000_000)),
        think_us=10 * MILLISECOND,
        election_ticks_min=4,
        election_ticks_max=8,
    )


def clogging(seed: int) -> Faults:
    """Nodes are clogged one by one and freed in another order; short paths overflow."""
    rng = stream(seed, "clogging")
    return attrs.evolve(
        _plain(mixed(seed)),
        nodes=rng.choice((3, 5)),
        clog=0.5,
        clog_us=rng.choice((SECOND, 3 * SECOND)),
        path_messages_max=rng.randint(2, 20),
        crash=0.0,
        all_crash=0.0,
        inflight_appends_max=16,
        think_us=10 * MILLISECOND,
    )


def stalling(seed: int) -> Faults:
    """Disks stand still while the network is well, for ever where the liveness phase finds them outside its core."""
    rng = stream(seed, "stalling")
    return attrs.evolve(
        _plain(mixed(seed)),
        nodes=rng.choice((3, 5)),
        loss=0.0,
        partition=0.0,
        crash=0.0,
        all_crash=0.0,
        pause=0.0,
        disk_us=2 * MILLISECOND,
        disk_stall=0.02,
        disk_stall_us=4 * SECOND,
        full=rng.choice((0.0, 0.2)),
        full_us=5 * SECOND,
        transfer=rng.choice((0.0, 1.0)),
        core_only=True,
    )


def changing(seed: int) -> Faults:
    """Members come, are promoted, demoted, replaced and removed all the time, while leaders fall."""
    rng = stream(seed, "changing")
    return attrs.evolve(
        _plain(mixed(seed)),
        nodes=rng.choice((1, 2, 2, 3, 3, 4)),
        loss=rng.choice((0.0, 0.1)),
        delay_us=rng.choice((2, 20)) * MILLISECOND,
        disk_us=2 * MILLISECOND,
        crash=rng.choice((0.0, 0.5, 3.0)),
        all_crash=0.0,
        hunt=rng.choice((0.0, 0.5, 1.0)),
        hunt_us=rng.choice((50 * MILLISECOND, 300 * MILLISECOND)),
        down_us=SECOND,
        partition=rng.choice((0.0, 0.3)),
        partition_us=2 * SECOND,
        pause=0.0,
        spares=rng.choice((0, 1, 3)),
        membership=rng.choice((1.0, 5.0)),
        snapshot_every=rng.choice((3, 10, 1_000_000)),
        uncommitted_bytes_max=1_000_000,
        think_us=50 * MILLISECOND,
        election_ticks_min=4,
        election_ticks_max=8,
    )


def lying(seed: int) -> Faults:
    """Negative test: disks that promise and do not keep. The checker must find fault with every such run."""
    return attrs.evolve(rotting(seed), rot=0.0, eio=0.0, lying=0.2, crash=2.0)


PLOTS: Final[Mapping[str, Plot]] = {
    plot.__name__: plot
    for plot in (mixed, diverging, restarting, reading, leasing, installing, rotting, clogging, stalling, changing)
}
"""By name; `lying` is left out, for no correct system survives it. `leasing` is played when it is asked for."""

_DRAWN: Final = (*["mixed"] * 5, *sorted(PLOTS.keys() - {"mixed", "leasing"}))


def plot_of(seed: int) -> str:
    """The plot that a seed plays when none is asked for: mostly `mixed`."""
    return stream(seed, "plot").choice(_DRAWN)
