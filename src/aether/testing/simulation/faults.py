"""What goes wrong in one run, and how often.

Knows: rates, delays in virtual microseconds, the limits of the cores (small, so that rare paths are walked).
Never: time, nodes, whether a fault has happened; how the numbers are drawn (plots).
"""

from __future__ import annotations

import random

import attrs

MILLISECOND = 1_000
SECOND = 1_000_000
TICK_US = 100 * MILLISECOND


def stream(seed: int, purpose: str) -> random.Random:
    """A generator for one purpose: drawing more for one purpose shifts no other. Independent of PYTHONHASHSEED."""
    return random.Random(f"{seed}/{purpose}")  # a simulation wants repeatable, not secret


@attrs.frozen(kw_only=True)
class Faults:
    """Rates are probabilities per message, per sync, or per second of virtual time; 0 switches a fault off.

    path_messages_max  on their way on one path; what comes on top is dropped
    shapes       the partitions to choose from
    sector_bytes what a disk writes as one
    torn         probability that a crash in mid-write leaves a part of it; scattered: any sectors, instead of the first
    rot          bit flips, lost and misdirected writes, within the fault atlas
    eio          a sync fails, and ends the node; full: the disk has no space for a while
    lying        syncs report success and keep the bytes in a cache: no correct system survives that
    hunt         a new leader is crashed or cut off within hunt_us: only changing leaders make logs part
    spares       nodes that are started without being members; membership  changes asked for
    core_only    after the safety phase only a random quorum is healed, everything else stays broken for ever
    """

    nodes: int
    clients: int
    loss: float
    duplication: float
    slow: float
    delay_us: int
    slow_delay_us: int
    clog: float
    clog_us: int
    path_messages_max: int
    disk_us: int
    disk_stall: float
    disk_stall_us: int
    sector_bytes: int
    torn: float
    scattered: float
    rot: float
    eio: float
    full: float
    full_us: int
    lying: float
    crash: float
    hunt: float
    hunt_us: int
    down_us: int
    all_crash: float
    partition: float
    partition_us: int
    shapes: tuple[str, ...]
    one_way: float
    pause: float
    pause_us: int
    closed: float
    transfer: float
    drift: float
    clock_step: float
    clock_step_us: int
    spares: int
    membership: float
    core_only: bool
    snapshot_every: int
    entries_kept: int
    append_bytes_max: int
    inflight_appends_max: int
    uncommitted_bytes_max: int
    reads_pending_max: int
    snapshot_chunk_bytes: int
    apply_bytes_max: int
    request_us: int
    think_us: int
    election_ticks_min: int
    election_ticks_max: int
    readers: int
    read_us: int
    lease_reads: bool = False
