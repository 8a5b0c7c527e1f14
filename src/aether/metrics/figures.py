"""The figures of a node: their names, units and meaning, and what whoever reads them is promised.

Knows: every figure that a node tells of itself each second, in the order in which they travel.
Never: how one is measured, where it is kept.
Holds: a figure keeps its place and its meaning for ever; new ones are put behind the last, so that nodes of two
       versions understand each other as far as both know.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import Final, Protocol

import attrs

from aether.model.ids import NodeId


class Fold(enum.Enum):
    """What many seconds of a figure become when they are kept as one value."""

    MEAN = "mean"
    WORST = "worst"
    LAST = "last"


@attrs.frozen
class Figure:
    """One figure of a node. unit  of its values; ratio is a part of 1; per second: of the second that ended last"""

    name: str
    unit: str
    about: str
    fold: Fold = Fold.MEAN


_ALL: Final = (
    Figure("cpu.usage", "ratio", "how much of the processor time that this node can use is used: the larger of two"),
    Figure("process.cpu", "cores", "processor time of this process, its threads included"),
    Figure("machine.cpu", "ratio", "processor time used of what the container, or else the machine, has"),
    Figure("heap.used", "bytes", "memory of this process that is resident"),
    Figure("heap.max", "bytes", "memory that the container, or else the machine, has", Fold.LAST),
    Figure("heap.usage", "ratio", "heap.used of heap.max"),
    Figure("process.threads", "threads", "threads of this process"),
    Figure("process.fds", "descriptors", "open files and sockets of this process"),
    Figure("process.fds_max", "descriptors", "how many it may open", Fold.LAST),
    Figure("loop.lag_s", "seconds", "how late the event loop ran at worst", Fold.WORST),
    Figure("tasks", "tasks", "trio tasks of this process"),
    Figure("gc.collections", "per second", "garbage collections, of all generations"),
    Figure("gc.pause_s", "seconds", "time for which garbage collections stopped everything", Fold.WORST),
    Figure("raft.term", "term", "term of the consensus group", Fold.LAST),
    Figure("raft.role", "role", "0 follower or learner, 1 candidate, 2 leader", Fold.LAST),
    Figure("raft.quorum", "yes or no", "1 while a majority of the voters answers", Fold.LAST),
    Figure("raft.commit_lag", "entries", "entries in the log of this node that are not known to be committed"),
    Figure("raft.apply_lag", "entries", "committed entries that this node has not applied"),
    Figure("raft.fsync_s", "seconds", "the longest write of the log to disk", Fold.WORST),
    Figure("raft.append_s", "seconds", "the longest time from a proposal to its entry applied here", Fold.WORST),
    Figure("raft.elections", "elections", "terms begun since this node started", Fold.LAST),
    Figure("transport.peers", "nodes", "other nodes that this one reaches, and that reach it"),
    Figure("transport.queued_bytes", "bytes", "messages that wait for connections to other nodes"),
    Figure("transport.sent_bytes", "bytes per second", "messages sent to other nodes"),
    Figure("transport.received_bytes", "bytes per second", "messages received from other nodes"),
    Figure("transport.dropped", "per second", "messages that found no room or no connection"),
    Figure("calls.in_flight", "calls", "calls to slices that run on this node, and those that it waits for elsewhere"),
    Figure("calls.queued", "calls", "calls that wait for a slot of an instance on this node"),
    Figure("calls.rate", "per second", "calls to slices that callers on this node made, and that ended"),
    Figure("calls.failure_rate", "ratio", "those of them that failed"),
    Figure("calls.mean_s", "seconds", "how long they took, on average"),
    Figure("calls.p50_s", "seconds", "how long half of them took at most"),
    Figure("calls.p95_s", "seconds", "how long 95 of 100 took at most"),
    Figure("calls.p99_s", "seconds", "how long 99 of 100 took at most"),
    Figure("http.in_flight", "requests", "requests over HTTP, to slices and to the admin API, that are not answered"),
    Figure("http.connections", "connections", "connections over HTTP"),
    Figure("events", "per second", "events of the cluster that this node saw"),
    Figure("loop.lag_mean_s", "seconds", "how late the event loop ran on average"),
)

FIGURES: Final[Mapping[str, Figure]] = MappingProxyType({figure.name: figure for figure in _ALL})
"""Every figure by name, in the order in which they travel."""
PLACES: Final[Mapping[str, int]] = MappingProxyType({figure.name: place for place, figure in enumerate(_ALL)})
"""The place of each figure in a row of values."""

assert len(FIGURES) == len(_ALL), "two figures have one name"


class ClusterFigures(Protocol):
    """The figures of all nodes, as the answering node knows them. From memory: nothing here waits."""

    def nodes(
        self, names: Collection[str] | None = None, age_max_s: float = inf
    ) -> Mapping[NodeId, Mapping[str, float]]:
        """The newest figures of every live node, all or those of `names`; what a node does not know is left out.

        age_max_s  nodes whose newest ones are older are left out
        """
        ...

    def window(self, node: NodeId, name: str, span_s: float) -> Sequence[tuple[float, float]]:
        """The last `span_s` of one figure as (seconds since 1970, value), oldest first.

        One value for each second of the last ten minutes, one for each ten seconds before, up to two hours; a second
        that nobody told has none. () for a node or a name that is not known.
        """
        ...

    def age_s(self, node: NodeId) -> float:
        """Seconds since the newest figures of `node` were measured; inf when there are none."""
        ...

    @property
    def round_s(self) -> float:
        """How often a node of a cluster of this size is heard of: each second, or in turns that take so many."""
        ...
