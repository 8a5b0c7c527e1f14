"""The networks in which many leader elections fail for ever: links that are cut for long, in a known shape.

Knows: which links are cut, and when; what availability is asked for.
Never: chance: nothing else goes wrong here.
Holds: with each of TOPOLOGIES somebody who can commit leads within ten election time-outs, and leadership stays.
Paper: Ng, Haridi, Carbone, "Omni-Paxos" (EuroSys 2023), section 2: quorum loss, constrained election, chained; the
       outage of Cloudflare in November 2020.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final

import attrs

from aether.consensus.core import RaftCore
from aether.consensus.values import Role
from aether.model.ids import NodeId
from aether.testing.simulation.faults import MILLISECOND, SECOND, TICK_US, Faults
from aether.testing.simulation.machine import SessionMachine
from aether.testing.simulation.network import Link, both_ways
from aether.testing.simulation.node import MakeCore
from aether.testing.simulation.plots import mixed
from aether.testing.simulation.schedule import Schedule
from aether.testing.simulation.world import World

_SETTLED_US: Final = 5 * SECOND
_WATCHED_US: Final = 20 * SECOND
_FLAP_US: Final = 700 * MILLISECOND
_TIMEOUTS: Final = 10
_PROVES: Final = 5  # entries: one may have been on its way to everybody already


def calm(seed: int, nodes: int) -> Faults:
    """Nothing goes wrong by chance."""
    off: dict[str, Any] = dict.fromkeys(
        (
            *("loss", "duplication", "slow", "clog", "disk_stall", "torn", "scattered", "rot", "eio", "full", "crash"),
            *("hunt", "all_crash", "partition", "one_way", "pause", "closed", "transfer", "drift", "clock_step"),
        ),
        0.0,
    )
    return attrs.evolve(
        mixed(seed),
        **off,
        nodes=nodes,
        spares=0,
        membership=0.0,
        clients=2,
        readers=0,
        delay_us=5 * MILLISECOND,
        disk_us=2 * MILLISECOND,
        path_messages_max=10_000,
        uncommitted_bytes_max=1_000_000,
        request_us=100 * MILLISECOND,
        think_us=300 * MILLISECOND,
        election_ticks_min=5,
        election_ticks_max=10,
    )


@attrs.frozen(kw_only=True)
class Availability:
    """leads_after_us  until somebody led who committed something new; None: nobody in time
    changes   of leadership after that, in `_WATCHED_US`; committed  entries in that time; terms  that passed
    """

    leads_after_us: int | None
    changes: int
    committed: int
    terms: int


Cut = Callable[[list[NodeId], NodeId], Iterable[Link]]
"""All nodes and who leads -> the links that are cut, in the directions in which they are."""


def quorum_loss(names: list[NodeId], leader: NodeId) -> set[Link]:
    """Everybody sees one node that is not the leader, and nobody else: only it can lead, and the leader still runs."""
    hub = next(name for name in names if name != leader)
    return both_ways(itertools.combinations([name for name in names if name != hub], 2))


def constrained(names: list[NodeId], leader: NodeId) -> set[Link]:
    """The leader is alone, and all others see just the one of them that is to be elected."""
    hub = next(name for name in names if name != leader)
    others = [name for name in names if name != hub]
    return both_ways(itertools.combinations(others, 2)) | both_ways([(leader, hub)])


def chained(names: list[NodeId], leader: NodeId) -> set[Link]:
    """Two ends that see the middle and not each other; the leader is one of the ends."""
    middle = next(name for name in names if name != leader)
    ends = [name for name in names if name != middle]
    return both_ways(itertools.combinations(ends, 2))


def deaf_leader(names: list[NodeId], leader: NodeId) -> set[Link]:
    """What the leader sends arrives, what it is sent does not."""
    return {(name, leader) for name in names if name != leader}


def mute_leader(names: list[NodeId], leader: NodeId) -> set[Link]:
    """What the leader is sent arrives, what it sends does not."""
    return {(leader, name) for name in names if name != leader}


def deaf_follower(names: list[NodeId], leader: NodeId) -> set[Link]:
    """One follower hears nobody, and everybody hears it: it must not disturb them."""
    follower = next(name for name in names if name != leader)
    return {(name, follower) for name in names if name != follower}


@attrs.frozen
class Topology:
    """nodes  how many; lags: first the one that can be elected misses some entries; flaps: the cut comes and goes."""

    nodes: int
    cut: Cut
    lags: bool = False
    flaps: bool = False


TOPOLOGIES: Final[Mapping[str, Topology]] = {
    "quorum loss": Topology(5, quorum_loss),
    "constrained election": Topology(5, constrained),
    "chained": Topology(3, chained),
    "deaf leader": Topology(5, deaf_leader),
    "mute leader": Topology(5, mute_leader),
    "deaf follower": Topology(5, deaf_follower),
    "follower that hears now and then": Topology(5, deaf_follower, flaps=True),
}

WEDGED: Final = Topology(5, constrained, lags=True)
"""What Raft cannot solve: who sees a quorum lacks an entry, and who has it sees no quorum."""


def watch(topology: Topology, seed: int, core: MakeCore = RaftCore) -> Availability:
    """Let a cluster settle, cut it for ever, and see how it serves. Raises AssertionError when a rule breaks."""
    world = World(seed, calm(seed, topology.nodes), core, SessionMachine, Schedule())
    _run_until(world, _SETTLED_US)
    names, leader = list(world.site.nodes), _leader(world)
    assert leader is not None, f"nobody leads {_SETTLED_US // SECOND} s after the start of a healthy cluster"
    if topology.lags:
        hub = next(each for each in names if each != leader)
        alone = both_ways((hub, each) for each in names if each != hub)
        world.site.network.block(alone)
        _run_until(world, world.loop.now_us + SECOND)
        world.site.network.unblock(alone)
    _cut(world, set(topology.cut(names, leader)), flaps=topology.flaps)
    return _look(world)


def _cut(world: World, links: set[Link], *, flaps: bool) -> None:
    """For ever, or again and again."""
    world.site.network.block(links)
    if flaps:
        world.loop.later(_FLAP_US, partial(world.site.network.unblock, links))
        world.loop.later(2 * _FLAP_US, partial(_cut, world, links, flaps=True))


def _look(world: World) -> Availability:
    begin_us, before, term = world.loop.now_us, len(world.oracle.committed), _term(world)
    limit_us = _TIMEOUTS * world.site.faults.election_ticks_max * TICK_US
    while len(world.oracle.committed) < before + _PROVES and world.loop.now_us < begin_us + limit_us:
        world.loop.next()
    if len(world.oracle.committed) < before + _PROVES:
        return Availability(leads_after_us=None, changes=0, committed=0, terms=_term(world) - term)
    after_us, leaders, served = world.loop.now_us - begin_us, len(world.oracle.leaders), len(world.oracle.committed)
    _run_until(world, world.loop.now_us + _WATCHED_US)
    return Availability(
        leads_after_us=after_us,
        changes=len(world.oracle.leaders) - leaders,
        committed=len(world.oracle.committed) - served,
        terms=_term(world) - term,
    )


def _run_until(world: World, end_us: int) -> None:
    while world.loop.now_us < end_us:
        world.loop.next()


def _leader(world: World) -> NodeId | None:
    leading: Collection[NodeId] = [n for n, node in world.site.nodes.items() if node.running.role is Role.LEADER]
    return max(leading, key=lambda name: world.site.nodes[name].running.term, default=None)


def _term(world: World) -> int:
    return max(node.running.term for node in world.site.nodes.values())
