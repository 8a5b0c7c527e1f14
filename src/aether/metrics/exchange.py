"""What one node tells the others of how it and they are doing, and what it takes from them.

Knows: own rows and snapshots, what it heard since it last told, whom it tells.
Never: how figures are measured, when a second is over; it is told both.
Holds: what a node could not tell for up to FIGURES_REPEATED_MAX seconds it tells whoever it reaches next. A row that
       waited is told with the age that it has by then. All that waits is bounded; what comes twice changes nothing.

A node of an earlier version tells only the leader, and only when that asks: whoever stays quiet is asked.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from aether.errors import BadInput
from aether.metrics.figures_messages import (
    FiguresPing,
    FiguresPong,
    NodeFigures,
    SnapshotsTold,
    read_told,
    spell_told,
)
from aether.metrics.methods import CallFigures
from aether.metrics.passing import Parcels, Rows, Turns, Waiting, round_s, server_of, servers
from aether.metrics.view import FiguresView
from aether.model.ids import NodeId
from aether.model.limits import (
    CALL_SNAPSHOT_EVERY_S,
    CALL_SNAPSHOTS_BYTES_MAX,
    FIGURE_NODES_MAX,
    FIGURES_PASSED_MAX,
    FIGURES_QUIET_S,
    FIGURES_REPEATED_MAX,
    FIGURES_SERVED_S,
    SNAPSHOTS_PASSED_BYTES_MAX,
    SNAPSHOTS_PASSED_MAX,
)

_log = logging.getLogger("aether.metrics")


class Neighbours(Protocol):
    """The other nodes, as this one reaches them."""

    def send(self, to: NodeId, message: object) -> bool:
        """Never waits; False when it is lost already."""
        ...

    def connected(self) -> Collection[NodeId]: ...
    def voters(self) -> Collection[NodeId]:
        """Of the cluster, whether or not they are reached; this node may be one."""
        ...

    def leader(self) -> NodeId | None:
        """Who leads, as far as this node knows."""
        ...

    def leads(self) -> bool:
        """Whether this node does."""
        ...


class Exchange:
    """Of one node. clock  seconds that only go forward; calls  None when nobody counts any"""

    def __init__(
        self,
        node: NodeId,
        view: FiguresView,
        neighbours: Neighbours,
        clock: Callable[[], float],
        calls: CallFigures | None = None,
    ) -> None:
        self._node = node
        self._view = view
        self._neighbours = neighbours
        self._clock = clock
        self._calls = calls
        self._own: deque[Waiting] = deque(maxlen=FIGURES_REPEATED_MAX)
        self._told: dict[NodeId, int] = {}  # the stamp of the last own row that a node was told, while it is reached
        self._rows = Rows()  # of workers that told this node
        self._heard: deque[Waiting] = deque(maxlen=FIGURES_PASSED_MAX * FIGURES_REPEATED_MAX)  # for its workers
        self._served: dict[NodeId, float] = {}  # until when
        self._reached: dict[NodeId, float] = {}  # since when, while this node leads
        self._asked, self._shown = Turns(), Turns()
        self._for_voters, self._for_workers = Parcels(CALL_SNAPSHOTS_BYTES_MAX), Parcels(CALL_SNAPSHOTS_BYTES_MAX)
        self._asker: tuple[NodeId | None, float] = (None, 0.0)  # who asked this node last, and until when that counts
        self._complained: set[NodeId] = set()

    @property
    def handlers(self) -> Mapping[type, Callable[[NodeId, Any, str], None]]:
        """For the transport. None of them blocks."""
        return {FiguresPing: self._pinged, FiguresPong: self._ponged, SnapshotsTold: self._snapshots_told}

    # --- this node ----------------------------------------------------------------------------------------------------

    def measured(self, row: NodeFigures) -> None:
        """This node is like that now; its stamp is higher than any before. A worker tells its voter at once."""
        own = Waiting.since(row, self._clock())
        self._own.append(own)
        self._heard.append(own)
        self._view.take(row)
        server = self._server()
        if server is not None:
            self._tell_own((server,), ())

    @property
    def last_stamp(self) -> int:
        """Of the last own row; -1 before the first."""
        return self._own[-1].stamp if self._own else -1

    def counted(self, snapshot: bytes) -> None:
        """What this node counted of calls; to its voter, or to all the other ones."""
        server, (asker, until) = self._server(), self._asker
        to = {server, asker if self._clock() < until else None}
        if self._votes():
            self._for_workers.put(self._node, snapshot)
            to.update(self._other_voters())
        message = SnapshotsTold(((self._node, snapshot),))
        for node in to:
            if node is not None:
                self._neighbours.send(node, message)

    # --- as voter -----------------------------------------------------------------------------------------------------

    def tell(self) -> None:
        """A second is over: tell the other voters, and the workers of this one."""
        neighbours, now = self._neighbours, self._clock()
        connected = neighbours.connected()
        self._forget(connected, now)
        if not self._votes():
            self._rows.clear()
            self._heard.clear()
            self._for_voters.clear()
            self._for_workers.clear()
            return
        self._rows.keep(self._served)  # the others tell another voter
        voters = self._other_voters()
        sharing = len(servers({*voters, self._node}, neighbours.leader()))
        passed = sorted(self._rows.take(max(1, FIGURES_PASSED_MAX // sharing)), key=lambda row: row.at_s)
        self._tell_own(voters, passed)
        self._heard.extend(passed)
        if self._heard and self._served:
            message = FiguresPong(spell_told([row.told(now) for row in self._heard]))
            for node in self._served:
                neighbours.send(node, message)
        self._heard.clear()
        self._pass_on(self._for_voters, voters, max(1, SNAPSHOTS_PASSED_MAX // sharing))
        self._pass_on(self._for_workers, list(self._served), FIGURE_NODES_MAX)
        if neighbours.leads():
            self._ask(connected, now)

    def _tell_own(self, to: Collection[NodeId], passed: Sequence[Waiting]) -> None:
        """Own rows that each of them was not told yet, and those of others."""
        now, spelled = self._clock(), dict[int, FiguresPong]()
        for node in to:
            since = self._told.get(node, -1)
            if since not in spelled:
                rows = [*(row for row in self._own if row.stamp > since), *passed]
                spelled[since] = FiguresPong(spell_told([row.told(now) for row in rows]))
            if self._neighbours.send(node, spelled[since]):
                self._told[node] = self.last_stamp

    def _pass_on(self, parcels: Parcels, receivers: Sequence[NodeId], count: int) -> None:
        taken = parcels.take(SNAPSHOTS_PASSED_BYTES_MAX // max(1, len(receivers)), count)
        if taken:
            message = SnapshotsTold(taken)
            for node in receivers:
                self._neighbours.send(node, message)

    def _ask(self, connected: Collection[NodeId], now: float) -> None:
        """As leader: those of whom nothing is heard, though they are reached."""
        patience_s = round_s(len(connected) + 1) + FIGURES_QUIET_S
        for node in connected:
            self._reached.setdefault(node, now)
        view = self._view
        heard = view.heard_within(patience_s)
        quiet = [node for node, since in self._reached.items() if node not in heard and now - since > patience_s]
        if not quiet:
            return
        shown = self._shown.take([self._node, *connected], FIGURES_PASSED_MAX)
        ping = FiguresPing(spell_told([row for node in shown if (row := view.newest(node)) is not None]))
        for node in self._asked.take(quiet, FIGURES_PASSED_MAX):
            self._served[node] = now + 2 * patience_s
            self._neighbours.send(node, ping)

    def _forget(self, connected: Collection[NodeId], now: float) -> None:
        """Who is not reached any more, or tells another voter."""
        self._told = {node: stamp for node, stamp in self._told.items() if node in connected}
        self._served = {node: until for node, until in self._served.items() if node in connected and until > now}
        leads = self._neighbours.leads()
        self._reached = {node: since for node, since in self._reached.items() if leads and node in connected}

    # --- what others tell ---------------------------------------------------------------------------------------------

    def _pinged(self, peer: NodeId, message: FiguresPing, _: str) -> None:
        if self._neighbours.leader() not in (peer, None):
            return  # it led once
        self._asker = (peer, self._clock() + CALL_SNAPSHOT_EVERY_S)
        self._heard.extend(self._take(self._read(peer, message.told)))
        self._tell_own((peer,), ())

    def _ponged(self, peer: NodeId, message: FiguresPong, _: str) -> None:
        """A voter may speak for others, a worker for itself."""
        told = self._read(peer, message.told)
        if not self._is_voter(peer):
            told = [row for row in told if row.node == peer][-FIGURES_REPEATED_MAX:]
        passes = self._is_served(peer)
        for row in self._take(told):
            if passes and row.node == peer:
                self._rows.put(row)
            else:
                self._heard.append(row)

    def _take(self, told: Iterable[NodeFigures]) -> list[Waiting]:
        """Keep rows of others; those that are new to this node."""
        now, new = self._clock(), list[Waiting]()
        for row in told:
            if row.node != self._node and self._view.take(row):
                new.append(Waiting.since(row, now))
        return new

    def _is_served(self, peer: NodeId) -> bool:
        """Whether this node passes on what `peer` tells: a worker's rows, and whoever had to be asked."""
        if not self._votes():
            return False
        if not self._is_voter(peer):
            self._served[peer] = max(self._served.get(peer, 0.0), self._clock() + FIGURES_SERVED_S)
        return peer in self._served

    def _snapshots_told(self, peer: NodeId, message: SnapshotsTold, _: str) -> None:
        if self._calls is None:
            return
        passes, speaks = self._is_served(peer), self._is_voter(peer)
        for node, snapshot in message.snapshots:
            if node != self._node and (node == peer or speaks):
                try:
                    self._calls.take(node, snapshot)
                except BadInput as error:
                    self._complain(peer, error)
                    continue
                self._for_workers.put(node, snapshot)
                if passes and node == peer:
                    self._for_voters.put(node, snapshot)

    def _read(self, peer: NodeId, raw: bytes) -> Sequence[NodeFigures]:
        try:
            return read_told(raw)
        except BadInput as error:
            self._complain(peer, error)
            return ()

    def _complain(self, peer: NodeId, error: BadInput) -> None:
        if peer not in self._complained:
            _log.warning("%s tells figures that cannot be read, and are left out: %s", peer, error)
            self._complained.add(peer)

    # --- who is who ---------------------------------------------------------------------------------------------------

    def _is_voter(self, node: NodeId) -> bool:
        return node in self._neighbours.voters()

    def _votes(self) -> bool:
        return self._is_voter(self._node)

    def _other_voters(self) -> Sequence[NodeId]:
        voting = self._neighbours.voters()
        return [node for node in self._neighbours.connected() if node in voting]

    def _server(self) -> NodeId | None:
        """Whom this node tells, as worker; None for a voter, and for one that reaches no voter."""
        neighbours = self._neighbours
        voting = neighbours.voters()
        if self._node in voting:
            return None
        return server_of(self._node, neighbours.connected(), voting, neighbours.leader())
