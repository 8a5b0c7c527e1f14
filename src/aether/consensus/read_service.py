"""Callers that wait for a read index: they share questions, which are repeated until somebody confirms them.

Knows: who waits, which question was put to whom, when to put it again.
Never: how a leader confirms it (core), what is read.
Holds: a question stands only for callers that came before it was put, and its context is never used twice; so no late
       or doubled answer is too old for anybody. One question at a time goes to another node. Under a lease nobody
       is asked, and its end is measured by this node's own clock, which a pause does not stop.
Paper: dissertation 6.4, 6.4.1.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.lease import LeaseClock, lease_s
from aether.consensus.values import Ready, Role
from aether.errors import Draining, NotLeader, Overloaded
from aether.model import limits
from aether.model.ids import LogIndex, NodeId, Term


class _Callers:
    """They came in one turn of the loop, and get one answer. index  None while they wait."""

    def __init__(self) -> None:
        self.count = 0
        self.answered = trio.Event()
        self.index: LogIndex | None = None

    def answer(self, index: LogIndex | None) -> None:
        self.index = index
        self.answered.set()


class ReadDesk:
    """`read_index` is for callers; `put` and `take` are for the task that owns the core. wake  has it take a turn."""

    def __init__(self, config: RaftConfig, wake: Callable[[], None]) -> None:
        self._node = config.node
        self._wake = wake
        # An answer to an earlier life of this node may still arrive: contexts of two lives must not meet.
        self._context = config.random.randrange(0, 2**31) << 31
        self._gathering = _Callers()
        self._asked: dict[int, list[_Callers]] = {}
        self._again: list[_Callers] = []  # their question was refused or lost
        self._asked_of: tuple[Term, NodeId | None] | None = None
        self._resend_at_s = 0.0
        self._not_before_s = 0.0
        self._waiting = 0
        self._closed = False
        duration_s = lease_s(config.election_ticks_min, limits.TICK_S) if config.lease_reads else 0.0
        self._lease = LeaseClock(duration_s)
        self._leases = config.lease_reads
        self._core: RaftCore | None = None
        self._turn_began_s = 0.0

    async def read_index(self) -> LogIndex:
        """See ConsensusService.read_index."""
        if self._leases and (index := self._leased_index()) is not None:
            await trio.lowlevel.checkpoint()
            return index
        if self._closed:
            await trio.lowlevel.checkpoint()
            raise Draining(self._node)
        if self._waiting >= limits.READS_WAITING_MAX:
            await trio.lowlevel.checkpoint()
            raise Overloaded("reads", self._waiting)
        callers = self._gathering
        callers.count += 1
        self._waiting += 1
        if callers.count == 1:
            self._wake()
        try:
            await callers.answered.wait()
        finally:
            callers.count -= 1
            self._waiting -= 1
        if callers.index is None:
            raise Draining(self._node)
        return callers.index

    def _leased_index(self) -> LogIndex | None:
        """What to read at while a quorum keeps its promise to this leader: all that is committed anywhere."""
        core = self._core
        if core is None or self._closed:
            return None
        holds = self._lease.holds(core.term, core.leased_round, trio.current_time())
        return core.commit_index if holds else None

    # --- the loop's side ----------------------------------------------------------------------------------------------

    def begin_turn(self, core: RaftCore) -> None:
        """The loop's turn begins. A round of heartbeats that was news in the last one began after that one did."""
        if not self._leases:
            return
        self._core = core
        self._lease.note(core.term, core.begun_round, self._turn_began_s)
        self._turn_began_s = trio.current_time()

    def put(self, core: RaftCore) -> None:
        """Put what waits to the leader, here or elsewhere; once in each turn of the loop."""
        if not self._waiting:
            return
        now_s = trio.current_time()
        leads = core.role is Role.LEADER
        if (core.term, core.leader) != self._asked_of:
            self._ask_again(list(self._asked))
            self._not_before_s = now_s
        elif not leads and now_s >= self._resend_at_s:
            self._ask_again(list(self._asked))
        if core.leader is None or now_s < self._not_before_s or (self._asked and not leads):
            return
        callers = [group for group in (*self._again, self._gathering) if group.count]
        if callers:
            self._ask(core, callers, now_s)

    def _ask(self, core: RaftCore, callers: list[_Callers], now_s: float) -> None:
        self._context += 1
        try:
            core.read_index(self._context)
        except (NotLeader, Overloaded):
            return  # they wait on; each turn tries again
        self._asked[self._context] = callers
        self._asked_of = (core.term, core.leader)
        self._resend_at_s = now_s + limits.READ_RESEND_S
        self._again = []
        self._gathering = _Callers()

    def _ask_again(self, contexts: list[int]) -> None:
        for context in contexts:
            self._again += self._asked.pop(context, ())

    def take(self, core: RaftCore, ready: Ready) -> None:
        """Wake whom the core has an answer for; who came meanwhile is next."""
        if not ready.reads and not ready.reads_refused:
            return
        for context, index in ready.reads:
            for callers in self._asked.pop(context, ()):
                callers.answer(index)
        refused = [context for context in ready.reads_refused if context in self._asked]
        if refused:
            self._ask_again(refused)
            # Not at once: two nodes that take each other for the leader must not spin.
            self._not_before_s = trio.current_time() + limits.TICK_S
        self.put(core)

    def close(self) -> None:
        """The node stops: nobody will be answered any more."""
        self._closed = True
        self._ask_again(list(self._asked))
        for callers in (*self._again, self._gathering):
            callers.answer(None)
