"""Heartbeats beside megabytes: a snapshot and large bodies between the same nodes, over links that carry little.

Three processes, each in a network namespace with a link of its own to one switch. The kernel limits each link to
RATE_BYTES_S in each direction (`tc tbf`), all lanes and all peers of a node together, in front of buffers that hold
what real ones do: a user-space proxy would limit each connection for itself, and its sockets would swallow what the
nodes' kernels queue. Without the privilege, or the tools, it says so and measures nothing.

A follower is killed, misses more than the log keeps, and gets the snapshot while bodies of 10 MiB travel between all
nodes in all directions. The same heartbeats over the same links with nothing beside them stand as the bare limit: what
a busy machine adds is in both.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from aether.model.limits import LOG_ENTRIES_BETWEEN_SNAPSHOTS
from aether.testing.nemesis.namespaces import Namespaces, open_namespaces, why_not
from benchmarks.consensus_group import NODE_NAMES, Group, Process, group, tell_all
from benchmarks.figure import Figure, Goal

NODES: Final = NODE_NAMES[:3]
RATE_BYTES_S: Final = 20_000_000
BURST_BYTES: Final = 32 * 1024
NODE_BUFFER_BYTES: Final = 8 * 2**20
"""Of a node's own way out: deep, so that whatever its kernel queues is felt."""

PORT_BUFFER_BYTES: Final = 1 * 2**20
"""Of the switch's way to a node, where those of two others meet: 52 ms, when it is full."""

ROWS: Final = 16_384
MISSED_AT_ONCE: Final = 1_000
PROBE_PORT: Final = 777
CONGESTION: Final = "reno"
"""It fills buffers until they overflow, as what most kernels come with does; any namespace may choose it."""


@attrs.define(eq=False)
class Links:
    """The links of all nodes: `limit` and `free` change all of them."""

    spaces: Namespaces

    def prepare(self) -> None:
        for node in NODES:
            setting = f"net.ipv4.tcp_congestion_control={CONGESTION}"
            _run("ip", "netns", "exec", self.spaces.name(node), "sysctl", "-q", "-w", setting)

    def limit(self) -> None:
        for number, node in enumerate(NODES):
            _run("tc", "-n", self.spaces.name(node), *_shape("eth0", NODE_BUFFER_BYTES))
            _run("tc", *_shape(f"{self.spaces.tag}v{number}", PORT_BUFFER_BYTES))

    def free(self) -> None:
        for number, node in enumerate(NODES):
            _run("tc", "-n", self.spaces.name(node), "qdisc", "del", "dev", "eth0", "root")
            _run("tc", "qdisc", "del", "dev", f"{self.spaces.tag}v{number}", "root")


def _shape(device: str, buffer_bytes: int) -> list[str]:
    rate = ["rate", f"{8 * RATE_BYTES_S}bit", "burst", str(BURST_BYTES), "limit", str(buffer_bytes)]
    return ["qdisc", "replace", "dev", device, "root", "tbf", *rate]


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


class TrafficGroup(Group):
    """Each node where `spaces` put it. bodies  whether nodes that start send bodies at once."""

    def __init__(self, folder: Path, size: int, spaces: Namespaces) -> None:
        super().__init__(folder, size)
        self._spaces = spaces
        self.bodies = False

    def command(self, name: str) -> list[str]:
        places = self._spaces.places
        hosts = [places[node].dialled for node in self.names]
        traffic = "bodies" if self.bodies else "quiet"
        return [*places[name].prefix, *super().command(name), "--traffic", traffic, "--hosts", *hosts]


@attrs.frozen
class Delays:
    """In milliseconds, sorted. missing  sent, and not heard by the end."""

    ms: Sequence[float]
    missing: int

    @staticmethod
    def between(leader: Process, found: dict[str, dict[str, Any]]) -> Delays:
        """Of the heartbeats that `leader` sent."""
        sent = {(to, term, number): at_s for to, term, number, at_s in found[leader.name]["sent"]}
        heard = {
            (name, term, number): at_s
            for name, one in found.items()
            for peer, term, number, at_s in one["heard"]
            if peer == leader.name
        }
        delays = sorted(1e3 * (heard[beat] - at_s) for beat, at_s in sent.items() if beat in heard)
        return Delays(delays, len(sent) - len(delays))

    def at(self, share: float) -> float:
        return self.ms[min(len(self.ms) - 1, int(share * len(self.ms)))]

    def __str__(self) -> str:
        p50, p99, longest = self.at(0.5), self.at(0.99), self.ms[-1]
        shape = f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {longest:.2f} ms"
        return f"{len(self.ms)} messages, {shape}, {self.missing} not heard"


@contextlib.contextmanager
def _probe(spaces: Namespaces, source: str, target: str) -> Iterator[list[float]]:
    """Delays of bare messages between two nodes' places, in milliseconds, sorted: filled when the block ends."""
    delays: list[float] = []
    program = [sys.executable, "-m", "benchmarks.traffic_probe"]
    places = spaces.places
    hear = [*places[target].prefix, *program, "hear", str(PROBE_PORT)]
    say = [*places[source].prefix, *program, "say", places[target].dialled, str(PROBE_PORT)]
    with subprocess.Popen(hear, stdout=subprocess.PIPE, text=True) as hearing:
        assert hearing.stdout is not None
        hearing.stdout.readline()
        with subprocess.Popen(say) as saying:
            try:
                yield delays
            finally:
                saying.kill()
                said, _ = hearing.communicate(timeout=10.0)
        delays += sorted(map(float, said.split()))


@attrs.frozen
class Measured:
    """What happened: on idle links, beside bodies alone, and beside the snapshot as well."""

    idle: Delays
    bodies: Delays
    busy: Delays
    bare: Delays  # of the probe, meanwhile
    sent_bodies: int
    snapshot_bytes: int
    serving_s: float
    turns: dict[str, tuple[float, float]]  # of each node the longest stall, and the most processor time of a turn
    terms: int
    leader: str


def _listen(ours: TrafficGroup, *, bodies: bool) -> dict[str, dict[str, Any]]:
    processes = list(ours.processes.values())
    return dict(zip(ours.processes, tell_all(processes, "traffic", bodies=bodies), strict=True))


def _write_past_the_log(leader: Process, written: dict[str, int]) -> None:
    """Until a snapshot has taken the place of the entries that who was killed just now needs."""
    missing = leader.ask("look")["revision"] + 1
    for _ in range(3 * LOG_ENTRIES_BETWEEN_SNAPSHOTS // MISSED_AT_ONCE):
        leader.ask("fill", entries=MISSED_AT_ONCE, **written)
        if leader.ask("look")["log_begins"] > missing:
            return
    raise RuntimeError("the leader takes no snapshot")


def _measure(folder: Path, links: Links, state_bytes: int, seconds: float) -> Measured:
    idle_s, warm_s = (10.0, 5.0) if seconds >= 1 else (1.0, 1.0)
    written = {"live_keys": ROWS, "value_bytes": state_bytes // ROWS}

    def make(place: Path, size: int) -> TrafficGroup:
        return TrafficGroup(place, size, links.spaces)

    with group(folder, len(NODES), make) as ours:
        assert isinstance(ours, TrafficGroup)
        leader = ours.leader()
        term = leader.ask("look")["term"]
        leader.ask("fill", entries=ROWS, **written)
        links.limit()
        _listen(ours, bodies=False)
        time.sleep(idle_s)
        idle = Delays.between(leader, _listen(ours, bodies=False))
        links.free()

        lagging = ours.followers()[0].name
        ours.kill(lagging)
        _write_past_the_log(leader, written)
        links.limit()
        _listen(ours, bodies=True)
        time.sleep(warm_s)
        bodies = Delays.between(leader, _listen(ours, bodies=True))
        ours.bodies = True
        with _probe(links.spaces, leader.name, lagging) as bare:
            ours.start(lagging, serving=True)
            found = _listen(ours, bodies=False)
        serving_s = ours.processes[lagging].opening["serving_s"]
        terms = leader.ask("look")["term"] - term
        links.free()
    return Measured(
        idle=idle,
        bodies=bodies,
        busy=Delays.between(leader, found),
        bare=Delays(bare, 0),
        sent_bodies=sum(one["bodies"] for one in found.values()),
        snapshot_bytes=found[lagging]["snapshot_bytes"],
        serving_s=serving_s,
        turns={name: (one["stall_s"], one["turn_s"]) for name, one in found.items()},
        terms=terms,
        leader=leader.name,
    )


def _rows(found: Measured, state_bytes: int) -> Iterator[Figure]:
    if found.snapshot_bytes < state_bytes:
        raise RuntimeError(f"a snapshot of {state_bytes} bytes was to travel, and {found.snapshot_bytes} bytes did")
    for name in ("idle", "bodies", "busy", "bare"):
        print(f"traffic, {name}: {getattr(found, name)}", file=sys.stderr)
    print(f"traffic: {found.sent_bodies} bodies beside {found.snapshot_bytes:,} bytes", file=sys.stderr)
    for name, (stall_s, turn_s) in found.turns.items():
        node = f"{name} (leader)" if name == found.leader else name
        turn = f"longest stall {1e3 * stall_s:.0f} ms, turn {1e3 * turn_s:.0f} ms"
        print(f"traffic, {node}: {turn}", file=sys.stderr, flush=True)
    of, bare = f"heartbeat beside {state_bytes // 2**20} MiB and bodies", found.bare
    yield Figure(f"{of}, p50, to a bare message", "ms", found.busy.at(0.5), bare.at(0.5))
    yield Figure(f"{of}, p99, to a bare message", "ms", found.busy.at(0.99), bare.at(0.99), Goal(50.0, is_ratio=False))
    yield Figure(f"{of}, longest, to a bare message", "ms", found.busy.ms[-1], bare.ms[-1])
    yield Figure("heartbeat on idle links, p99", "ms", found.idle.at(0.99), 0.0)
    yield Figure("heartbeat beside bodies alone, p99", "ms", found.bodies.at(0.99), 0.0)
    yield Figure(f"{of}: leadership changes", "", found.terms, 0.0, Goal(0.0, is_ratio=False))
    bare_s = found.snapshot_bytes / RATE_BYTES_S
    yield Figure(f"{of}: start to serving, to the snapshot alone", "s", found.serving_s, bare_s)
    yield Figure(f"{of}: longest stall of a loop, to its processor time", "s", *max(found.turns.values()))


def traffic(folder: Path, state_mib: int, seconds: float) -> list[Figure]:
    """The rows; none when this machine does not let us limit a link."""
    problem = why_not()
    if problem:
        print(f"traffic is left out: {problem}", file=sys.stderr, flush=True)
        return []
    found = trio.run(_in_namespaces, folder, state_mib * 2**20, seconds)
    return list(_rows(found, state_mib * 2**20))


async def _in_namespaces(folder: Path, state_bytes: int, seconds: float) -> Measured:
    async with open_namespaces(NODES) as spaces:
        links = Links(spaces)
        links.prepare()
        return await trio.to_thread.run_sync(_measure, folder, links, state_bytes, seconds)
