"""The store as its users see it: propose from any node, read here, watch.

Knows: the store of this node process, its fence while it leads, who waits for which revision.
Never: what a batch means; which transport carries messages.
Holds: reads are of what is applied here; `leadership` is not None only while this node leads and its row is applied.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

import trio
from trio import TaskStatus

from aether.consensus.durations import Durations
from aether.consensus.values import Role
from aether.errors import Draining, NotLeader, Overloaded
from aether.kv import keys
from aether.kv.agreement_service import StateWatch
from aether.kv.applied_service import AppliedWatch
from aether.kv.commands import Apply, Batch, BatchResult, Compare, encode_command
from aether.kv.decoded_rows import DecodedRows
from aether.kv.escort import ESCORT
from aether.kv.history import ChangeHistory
from aether.kv.key_kinds import Key, Prefix
from aether.kv.keys import ClusterRow
from aether.kv.messages import (
    AskApplied,
    HasApplied,
    ProposeReply,
    ProposeRequest,
    ProposeRequests,
    StateReport,
    StateVerdict,
)
from aether.kv.ports import Consensus
from aether.kv.propose_service import RETRY_TICK_S, Proposer
from aether.kv.store import AppliedEntries, Row, RowChange, Store
from aether.kv.watch import WatcherSet
from aether.kv.watch_service import Watch
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.limits import PROPOSE_DEADLINE_S
from aether.model.rows import LeadershipRow

T = TypeVar("T")


class RowObserver(Protocol):
    """Sees what was done to rows here. Called as part of applying: it must be quick, and neither block nor raise."""

    def changed(self, changes: Sequence[RowChange]) -> None:
        """These changes have been applied, in this order; the entries that they belong to are whole."""
        ...

    def restored(self) -> None:
        """The whole state was replaced by that of a snapshot: what changed is not known. Read the rows now."""
        ...


class KvService:
    """The replicated store of one node process. `propose` and `wait_applied` work while `run` does."""

    def __init__(
        self,
        node: NodeId,
        incarnation: Incarnation,
        consensus: Consensus,
        store: Store,
        send: Callable[[NodeId, object], bool],
        wall: Callable[[], float],
        new_cluster: Callable[[], ClusterRow] | None = None,
    ) -> None:
        """store  the state machine that `consensus` drives, nobody else's.

        send  to a peer, without blocking: False = it certainly did not leave; wall  seconds since the epoch

        new_cluster  draws an identity for a cluster that has none: the first leader's first entry
        """
        self._node = node
        self._new_cluster = new_cluster
        self._consensus = consensus
        self._store = store
        self._watchers = WatcherSet()
        self._history = ChangeHistory()
        self._decoded = DecodedRows()
        self._proposer = Proposer(node, incarnation, consensus, store, send, wall)
        self._states = StateWatch(node, consensus, store, send)
        self._reached = AppliedWatch(node, store, send)
        self._observer: RowObserver | None = None
        self._closed = False
        self._claimed_term = 0
        self._barriers: set[trio.CancelScope] = set()
        self._revision_waits: list[tuple[int, int, trio.Event]] = []
        self._ticket = itertools.count()
        self._leadership: tuple[Revision, LeadershipRow | None] = (Revision(0), None)
        store.listen(self._on_applied)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled: leadership rows, repeats, deadlines. Then whoever waits here gets an error.

        Raises StateDiverged when the state of this node is found to be another one than the majority's.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_leaders)
                nursery.start_soon(self._proposer.run)
                nursery.start_soon(self._states.run)
                task_status.started()
        finally:
            self._close()
        raise AssertionError("the tasks of the store never return")

    def deliver(self, sender: NodeId, message: object) -> None:
        """Take a message of the table `aether.kv.messages.MESSAGES`. Never blocks."""
        if isinstance(message, ProposeRequest):
            self._proposer.take_forwarded(sender, message)
        elif isinstance(message, ProposeRequests):
            for request in message.requests:
                self._proposer.take_forwarded(sender, request)
        elif isinstance(message, ProposeReply):
            self._proposer.take_refusal(message)
        elif isinstance(message, StateReport):
            self._states.take_report(sender, message)
        elif isinstance(message, StateVerdict):
            self._states.take_verdict(sender, message)
        elif isinstance(message, AskApplied):
            self._reached.take_question(sender, message)
        elif isinstance(message, HasApplied):
            self._reached.take_answer(sender, message)
        else:
            raise TypeError(f"{type(message).__name__} is no message of the store")

    # --- reading here -----------------------------------------------------------------------------------------------

    @property
    def revision(self) -> Revision:
        """The last log index applied here."""
        return self._store.revision

    @property
    def log_time_ms(self) -> int:
        """The highest time that the log has told here, milliseconds since the epoch by the leaders' clocks."""
        return self._store.log_time_ms

    def get(self, key: Key[T]) -> T | None:
        """The value as applied here, perhaps stale (see `barrier`); None also for a row that cannot be read.

        That is said once, in the log; its `version` is that of any row.
        """
        row = self._store.get(key.text)
        found = row and self._decoded.readable(key.text, row.value, row.version, key.codec.decode)
        return found[0] if found else None

    def version(self, key: Key[T]) -> Revision:
        """The revision of the row's last change; 0 = absent."""
        return self._store.version(key.text)

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes, Revision]]:
        """Key text, stored value and version of each row under `prefix`, in order, as they are at this call."""
        return ((key, row.value, row.version) for key, row in self._store.scan(prefix))

    def rows(self, prefix: Prefix[T]) -> Iterator[T]:
        """The values under `prefix` in the order of keys, as they are at this call, without what `get` misses."""
        return (value for _, value in self.items(prefix))

    def items(self, prefix: Prefix[T]) -> Iterator[tuple[str, T]]:
        """As `rows`, with the text of the key."""
        return self._items(prefix, self._store.scan(prefix))

    def _items(self, prefix: Prefix[T], found: Iterable[tuple[str, Row]]) -> Iterator[tuple[str, T]]:
        for key, row in found:
            read = self._decoded.readable(key, row.value, row.version, prefix.codec.decode)
            if read:
                yield key, read[0]

    @property
    def unreadable(self) -> Iterable[str]:
        """Keys of rows that somebody asked for on this node, and that it cannot read: what they say stays unknown."""
        return self._decoded.unreadable

    def follow(self, prefix: Prefix[Any]) -> None:
        """Rows under `prefix` are read time and again: decode each once for all readers, as long as it stands."""
        self._decoded.follow(prefix)

    def versioned(self, text: str, prefix: Prefix[T]) -> tuple[Revision, T] | None:
        """Version and value of the row under `prefix` with this text as key; None as `get`."""
        row = self._store.get(text)
        found = row and self._decoded.readable(text, row.value, row.version, prefix.codec.decode)
        return (row.version, found[0]) if row and found else None

    def page(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes, Revision]]:
        """As `scan`, but at most `limit` rows, those whose keys follow `after` ("" = from the first one)."""
        return [(key, row.value, row.version) for key, row in self._store.page(prefix, after, limit)]

    def changed_after(self, revision: Revision, prefix: str) -> dict[str, Revision]:
        """Keys under `prefix` whose rows changed after `revision`, deleted ones too (see ChangeHistory.after).

        Raises Compacted when so old a change is not remembered.
        """
        return self._history.after(revision, prefix)

    def freeze(self) -> tuple[Revision, Iterator[bytes]]:
        """The whole state as applied here, held fast, with its revision: pieces that are made as they are asked for."""
        return self._store.revision, self._store.freeze()

    def watch(self, *prefixes: str) -> Watch:
        """A watch of all rows under any of `prefixes`; `""` is everything. Enter it before reading."""
        return Watch(self._watchers, prefixes)

    def observe(self, prefixes: Iterable[str], observer: RowObserver) -> None:
        """From now on `observer` is told of every applied change of rows under `prefixes`: in the order of the log,
        once each, with the value before. There is one observer. Rows of other kinds cost it nothing.
        """
        assert self._observer is None, "a store has one observer"
        self._observer = observer
        self._store.observe(prefixes)

    async def wait_applied(self, revision: Revision) -> None:
        """Return once everything up to `revision` is applied here. The caller's scope is the bound; cancelling is free.

        Raises Draining when the node stops first.
        """
        if self._store.revision >= revision:
            await trio.lowlevel.checkpoint()
            return
        if self._closed:
            raise Draining(self._node)
        wait = (revision, next(self._ticket), trio.Event())
        heapq.heappush(self._revision_waits, wait)
        try:
            await wait[2].wait()
        finally:
            if not wait[2].is_set():
                self._revision_waits.remove(wait)
                heapq.heapify(self._revision_waits)
        if self._store.revision < revision:
            raise Draining(self._node)

    def behind(self, nodes: Iterable[NodeId], revision: Revision) -> frozenset[NodeId]:
        """Those of `nodes` that have not said yet that they applied `revision`. They are asked; never blocks."""
        return self._reached.behind(nodes, revision)

    async def heard(self) -> None:
        """Return at the next word of another node on what it has applied; see `behind`."""
        await self._reached.heard()

    # --- proposing --------------------------------------------------------------------------------------------------

    def propose(self, batch: Batch, *, fence: LeadershipRow | None = None) -> Coroutine[Any, Any, BatchResult]:
        """Have `batch` decided exactly once, from any node; return once that is applied here.

        An escort (aether.kv.escort) sees it first.

        fence  `leadership` of the caller: the batch is decided only while that row stands, and is never forwarded.

        It did not happen: BadInput, QuotaExceeded, SessionFull, Overloaded, Draining, with a fence NotLeader, and
        NoQuorum (PROPOSE_DEADLINE_S passed before it was sent anywhere).
        It may have happened: OutcomeUnknown, SessionExpired.
        Cancelled, it may have happened, or still happen shortly after.
        Paper: Ongaro's dissertation, section 6.3.
        """
        escort = ESCORT.get()
        if escort is not None:
            batch = escort(batch)
        return self._proposer.propose(batch, None) if fence is None else self._propose_fenced(batch, fence)

    async def _propose_fenced(self, batch: Batch, fence: LeadershipRow) -> BatchResult:
        version = self._store.version(keys.leadership.text)
        if self.leadership != fence:
            raise self._not_leader()
        guarded = Batch((Compare(keys.leadership, version), *batch.compares), batch.changes)
        result = await self._proposer.propose(guarded, version)
        if result.conflict == keys.leadership.text:
            raise self._not_leader()
        return result

    async def barrier(self) -> Revision:
        """Everything acknowledged anywhere before this call is applied here on return. Writes nothing to the log.

        Raises NoQuorum when nobody confirmed it within PROPOSE_DEADLINE_S, Draining, Overloaded. Cancelling is free.
        Paper: Ongaro's dissertation, section 6.4.
        """
        scope = trio.CancelScope(deadline=trio.current_time() + PROPOSE_DEADLINE_S)
        self._barriers.add(scope)
        try:
            with scope:
                if self._closed:
                    raise Draining(self._node)
                index = Revision(await self._consensus.read_index())
                if self._store.revision < index:
                    await self.wait_applied(index)
                return index
        finally:
            self._barriers.discard(scope)
        if self._closed:
            raise Draining(self._node)
        raise self._proposer.no_quorum()

    @property
    def proposals(self) -> Durations:
        """From asking for a change to its entry applied here, of the changes that this node asked for."""
        return self._proposer.durations

    def end_session(self) -> None:
        """Ask once, unanswered, to forget this process's session. For a node that leaves, as its last proposal."""
        self._proposer.end_session()

    # --- leading ----------------------------------------------------------------------------------------------------

    @property
    def leadership(self) -> LeadershipRow | None:
        """This node's own fence: while it leads and its row is applied here, else None."""
        status = self._consensus.status
        if status.role is not Role.LEADER:
            return None
        version = self._store.version(keys.leadership.text)
        if version != self._leadership[0]:
            self._leadership = (version, self.get(keys.leadership))
        row = self._leadership[1]
        return row if row is not None and row.node == self._node and row.term == status.term else None

    def _not_leader(self) -> NotLeader:
        return NotLeader(self._node, self._consensus.status.leader)

    async def _follow_leaders(self) -> NoReturn:
        known: tuple[int, NodeId | None] = (0, None)
        while True:
            status = self._consensus.status
            if (status.term, status.leader) != known:
                known = (status.term, status.leader)
                self._proposer.leader_changed(*known)
                self._states.leader_changed()
            claimed = status.role is not Role.LEADER or self._claim(status.term)
            with trio.move_on_after(math.inf if claimed else RETRY_TICK_S):
                await self._consensus.status_changed(status)
            await trio.lowlevel.checkpoint()  # it may return at once, time and again, until consensus gets its turn

    def _claim(self, term: int) -> bool:
        """Propose the leadership row of our own term, once; False = the queue was full.

        Before it the identity of the cluster, unless it is known here; the log decides whether it was the first.
        """
        if self._claimed_term == term:
            return True
        value = keys.leadership.encode(LeadershipRow(term=term, node=self._node))
        try:
            if self._new_cluster is not None and self.version(keys.cluster) == 0:
                named = ((keys.cluster.text, keys.cluster.encode(self._new_cluster())),)
                self._proposer.propose_own(encode_command(Apply(0, 0, 0, ((keys.cluster.text, 0),), named)))
            self._proposer.propose_own(encode_command(Apply(0, 0, 0, (), ((keys.leadership.text, value),))))
        except NotLeader:
            return True  # the next status says so
        except Overloaded:
            return False
        self._claimed_term = term
        return True

    def _claim_again(self) -> None:
        """Nobody could act for this term, were its row left as what cannot be read."""
        status = self._consensus.status
        if status.role is Role.LEADER and status.term == self._claimed_term and self.get(keys.leadership) is None:
            self._claimed_term = 0
            self._claim(status.term)

    # --- what was applied here --------------------------------------------------------------------------------------

    def _on_applied(self, applied: AppliedEntries) -> None:
        self._proposer.applied(applied)
        self._states.applied()
        self._reached.applied()
        if applied.restored:
            self._decoded.clear()
            self._history.restored(self._store.revision)
            if self._observer is not None:
                self._observer.restored()
            self._watchers.mark_all()
        elif applied.changed:
            self._decoded.changed(applied.changed)
            self._history.applied(self._store.revision, applied.changed, applied.deleted)
            if applied.observed and self._observer is not None:
                self._observer.changed(applied.observed)
            if keys.leadership.text in applied.changed:
                self._claim_again()
            self._watchers.mark(applied.changed)
        while self._revision_waits and self._revision_waits[0][0] <= self._store.revision:
            heapq.heappop(self._revision_waits)[2].set()

    def _close(self) -> None:
        self._closed = True
        self._proposer.close()
        for scope in self._barriers:
            scope.cancel()
        for _, _, event in self._revision_waits:
            event.set()
        self._revision_waits.clear()
