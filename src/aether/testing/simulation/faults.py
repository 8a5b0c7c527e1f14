"""What goes wrong in one run, and how often: all drawn from the seed.

Knows: rates, delays in virtual microseconds, the limits of the cores (small, so that rare paths are walked).
Never: time, nodes, whether a fault has happened.
"""

from __future__ import annotations

import random

import attrs

MILLISECOND = 1_000
SECOND = 1_000_000


def stream(seed: int, purpose: str) -> random.Random:
    """A generator for one purpose: drawing more for one purpose shifts no other. Independent of PYTHONHASHSEED."""
    return random.Random(f"{seed}/{purpose}")  # a simulation wants repeatable, not secret


@attrs.frozen(kw_only=True)
class Faults:
    """Rates are probabilities per message, per write, or per second of virtual time; 0 switches a fault off.

    hunt  the probability that a new leader is crashed or cut off within hunt_us: only changing leaders make logs part
    """

    nodes: int
    clients: int
    loss: float
    duplication: float
    slow: float
    delay_us: int
    slow_delay_us: int
    disk_us: int
    disk_stall: float
    disk_stall_us: int
    crash: float
    hunt: float
    hunt_us: int
    down_us: int
    all_crash: float
    partition: float
    partition_us: int
    one_way: float
    pause: float
    pause_us: int
    closed: float
    transfer: float
    drift: float
    snapshot_every: int
    entries_kept: int
    append_bytes_max: int
    inflight_appends_max: int
    snapshot_chunk_bytes: int
    apply_bytes_max: int
    request_us: int
    think_us: int
    election_ticks_min: int
    election_ticks_max: int
    readers: int
    read_us: int

    @classmethod
    def draw(cls, seed: int) -> Faults:
        """A mixture: mostly any faults in any strength, now and then one of the hard plots."""
        plot = stream(seed, "plot").choice(
            (cls.mixed, cls.mixed, cls.mixed, cls.diverging, cls.restarting, cls.reading)
        )
        return plot(seed)

    @classmethod
    def diverging(cls, seed: int) -> Faults:
        """Leaders fall while their entries are on a minority, and come back: what Raft's figure 8 needs."""
        return attrs.evolve(
            cls.mixed(seed),
            nodes=5,
            loss=0.2,
            duplication=0.0,
            slow=0.0,
            delay_us=40 * MILLISECOND,
            disk_us=100,
            disk_stall=0.0,
            crash=0.0,
            all_crash=0.0,
            hunt=1.0,
            hunt_us=150 * MILLISECOND,
            down_us=SECOND,
            partition=0.5,
            partition_us=2 * SECOND,
            one_way=0.3,
            pause=0.0,
            transfer=0.0,
            append_bytes_max=1,
            inflight_appends_max=1,
            request_us=300 * MILLISECOND,
            think_us=100 * MILLISECOND,
            election_ticks_min=4,
            election_ticks_max=8,
            readers=0,
        )

    @classmethod
    def restarting(cls, seed: int) -> Faults:
        """Nodes crash all the time and are back at once: what was not durable is forgotten in mid-election."""
        return attrs.evolve(
            cls.mixed(seed),
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

    @classmethod
    def reading(cls, seed: int) -> Faults:
        """Leaders are cut off, and asked for reads while others lead already and old answers still arrive."""
        return attrs.evolve(
            cls.mixed(seed),
            nodes=3,
            clients=2,
            loss=0.0,
            slow=0.2,
            slow_delay_us=3 * SECOND,
            delay_us=3 * MILLISECOND,
            disk_us=20 * MILLISECOND,
            disk_stall=0.0,
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
            request_us=100 * MILLISECOND,
            think_us=50 * MILLISECOND,
            election_ticks_min=8,
            election_ticks_max=10,
            readers=3,
            read_us=30 * MILLISECOND,
        )

    @classmethod
    def installing(cls, seed: int) -> Faults:
        """Followers lag behind the log all the time; they and their leaders crash while a snapshot travels."""
        rng = stream(seed, "installing")
        return attrs.evolve(
            cls.mixed(seed),
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

    @classmethod
    def mixed(cls, seed: int) -> Faults:
        """Swarm testing: each fault is absent from many runs, so that the others can show what it would mask."""
        rng = stream(seed, "faults")

        def sometimes(probability: float, most: float) -> float:
            return rng.uniform(0, most) if rng.random() < probability else 0.0

        return cls(
            nodes=rng.choice((1, 2, 3, 3, 3, 3, 4, 5, 5, 5)),
            clients=rng.randint(1, 4),
            loss=sometimes(0.6, 0.25),
            duplication=sometimes(0.5, 0.25),
            slow=sometimes(0.5, 0.2),
            delay_us=rng.randint(1, 20) * MILLISECOND,
            slow_delay_us=rng.choice((100 * MILLISECOND, SECOND, 4 * SECOND)),
            disk_us=rng.choice((100, 2 * MILLISECOND, 50 * MILLISECOND)),
            disk_stall=sometimes(0.3, 0.05),
            disk_stall_us=rng.randint(1, 40) * 100 * MILLISECOND,
            crash=sometimes(0.7, rng.choice((0.4, 0.4, 3.0))),
            hunt=sometimes(0.6, 1.0),
            hunt_us=rng.choice((5 * MILLISECOND, 50 * MILLISECOND, SECOND)),
            down_us=rng.choice((5 * MILLISECOND, 50 * MILLISECOND, SECOND, 5 * SECOND)),
            all_crash=sometimes(0.2, 0.1),
            partition=sometimes(0.6, 0.4),
            partition_us=rng.choice((SECOND, 3 * SECOND, 10 * SECOND)),
            one_way=sometimes(0.4, 1.0),
            pause=sometimes(0.3, 0.2),
            pause_us=rng.choice((300 * MILLISECOND, 3 * SECOND)),
            closed=sometimes(0.5, 0.3),
            transfer=sometimes(0.4, 0.3),
            drift=sometimes(0.5, 0.1),
            snapshot_every=rng.choice((3, 10, 40, 1_000_000)),
            entries_kept=rng.choice((0, 2, 20)),
            append_bytes_max=rng.choice((1, 100, 10_000)),
            inflight_appends_max=rng.choice((1, 2, 16)),
            snapshot_chunk_bytes=rng.choice((16, 100, 10_000)),
            apply_bytes_max=rng.choice((1, 1_000, 100_000)),
            request_us=rng.choice((20, 100, 400)) * MILLISECOND,
            think_us=rng.choice((1, 10 * MILLISECOND, 300 * MILLISECOND)),
            election_ticks_min=(ticks := rng.choice((3, 4, 10))),
            election_ticks_max=ticks + rng.choice((2, ticks)),
            readers=rng.choice((0, 1, 1, 2)),
            read_us=rng.choice((20, 100, 400)) * MILLISECOND,
        )
