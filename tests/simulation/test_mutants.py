"""Bugs that real Raft implementations had, put back one at a time: the simulator must find each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import attrs
import pytest

from aether.consensus.core import RaftCore
from aether.consensus.entry import Entry
from aether.consensus.following import Following
from aether.consensus.leadership import Leadership
from aether.consensus.log import RaftLog
from aether.consensus.messages import AppendEntries, AppendReply, VoteReply, VoteRequest
from aether.consensus.outbox import Outbox
from aether.consensus.progress import Progress
from aether.consensus.reads import Read, ReadRounds
from aether.consensus.values import HardState, Persisted
from aether.model.ids import LogIndex, NodeId, Term
from aether.testing.simulation import run
from aether.testing.simulation.faults import Faults
from aether.testing.simulation.machine import SessionMachine

SEEDS_MAX = 150
STEPS = 3_000


class CommitsByCounting(Leadership):
    """Commits an entry of an earlier term once a majority holds it (Raft figure 8)."""

    def _may_commit(self, index: LogIndex) -> bool:
        return True


def commits_by_counting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("aether.consensus.core.Leadership", CommitsByCounting)


def _sends_at_once(patch: pytest.MonkeyPatch, cls: type) -> None:
    promise = Outbox.promise

    def hasty(self: Outbox, to: NodeId, message: object) -> None:
        (self.send if isinstance(message, cls) else promise.__get__(self))(to, message)

    patch.setattr(Outbox, "promise", hasty)


def acknowledges_before_durable(patch: pytest.MonkeyPatch) -> None:
    _sends_at_once(patch, AppendReply)


def votes_before_durable(patch: pytest.MonkeyPatch) -> None:
    def hasty(self: RaftCore, sender: NodeId, request: VoteRequest) -> None:
        honest(self, sender, request)
        for to, message in self._outbox._fresh:
            if to != self.node and isinstance(message, VoteReply):
                self._outbox.send(to, message)

    honest = RaftCore._on_vote_request
    patch.setattr(RaftCore, "_on_vote_request", hasty)


def asks_for_votes_before_durable(patch: pytest.MonkeyPatch) -> None:
    _sends_at_once(patch, VoteRequest)


def forgets_its_vote_at_restart(patch: pytest.MonkeyPatch) -> None:
    def forgetful(self: RaftCore, config, persisted: Persisted) -> None:
        hard = attrs.evolve(persisted.hard_state, vote=None)
        honest(self, config, attrs.evolve(persisted, hard_state=hard))

    honest = RaftCore.__init__
    patch.setattr(RaftCore, "__init__", forgetful)


def forgets_its_term_at_restart(patch: pytest.MonkeyPatch) -> None:
    def forgetful(self: RaftCore, config, persisted: Persisted) -> None:
        last = persisted.entries[-1].term if persisted.entries else Term(0)
        term = Term(max(last, persisted.snapshot.meta.term if persisted.snapshot else 0))
        hard = HardState(term, None, persisted.hard_state.commit)
        honest(self, config, attrs.evolve(persisted, hard_state=hard))

    honest = RaftCore.__init__
    patch.setattr(RaftCore, "__init__", forgetful)


def votes_twice(patch: pytest.MonkeyPatch) -> None:
    def generous(self: RaftCore, sender: NodeId, request: VoteRequest) -> bool:
        return request.term == self.term and self._log.is_up_to_date(request.last_index, request.last_term)

    patch.setattr(RaftCore, "_grants_vote", generous)


def votes_for_short_logs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RaftLog, "is_up_to_date", lambda self, last_index, last_term: True)


def cuts_a_matching_suffix(patch: pytest.MonkeyPatch) -> None:
    def merge(self: RaftLog, prev_index: LogIndex, prev_term: Term, entries: Sequence[Entry]) -> bool:
        if not self.matches(prev_index, prev_term):
            return False
        if prev_index < self.last_index:
            self._truncate(LogIndex(prev_index + 1))
        self.append(entries)
        return True

    patch.setattr(RaftLog, "merge", merge)


def keeps_a_conflicting_suffix(patch: pytest.MonkeyPatch) -> None:
    def merge(self: RaftLog, prev_index: LogIndex, prev_term: Term, entries: Sequence[Entry]) -> bool:
        if not self.matches(prev_index, prev_term):
            return False
        self.append([entry for entry in entries if entry.index > self.last_index])
        return True

    patch.setattr(RaftLog, "merge", merge)


def skips_the_consistency_check(patch: pytest.MonkeyPatch) -> None:
    def merge(self: RaftLog, prev_index: LogIndex, prev_term: Term, entries: Sequence[Entry]) -> bool:
        return honest(self, prev_index, self.term_at(prev_index), entries) if prev_index <= self.last_index else False

    honest = RaftLog.merge
    patch.setattr(RaftLog, "merge", merge)


def counts_itself_before_durable(patch: pytest.MonkeyPatch) -> None:
    def advance_commit(self: Leadership) -> None:
        durable, self._log.durable = self._log.durable, self._log.last_index
        self._acks_changed = True
        honest(self)
        self._log.durable = durable

    honest = Leadership.advance_commit
    patch.setattr(Leadership, "advance_commit", advance_commit)


def believes_old_write_numbers(patch: pytest.MonkeyPatch) -> None:
    """An acknowledgement of entries that were overwritten meanwhile counts for the new ones (ABA)."""

    def forget(self: RaftLog, last: LogIndex) -> None:
        self.handed, self.durable = min(self.handed, last), min(self.durable, last)

    patch.setattr(RaftLog, "_forget_writes", forget)


def commits_beyond_what_was_compared(patch: pytest.MonkeyPatch) -> None:
    def append(self: Following, leader: NodeId, message: AppendEntries) -> None:
        honest(self, leader, message)
        self._log.commit_to(min(message.commit_index, self._log.last_index))

    honest = Following.append
    patch.setattr(Following, "append", append)


def never_repeats_a_lost_append(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Progress, "heard_heartbeat", lambda self, last_index: False)


def has_no_session_dedupe(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SessionMachine, "is_repeat", lambda self, session, request: False)


def leaves_sessions_out_of_snapshots(patch: pytest.MonkeyPatch) -> None:
    def restore(self: SessionMachine, data: bytes) -> None:
        honest(self, data)
        self.answers = {}

    honest = SessionMachine.restore
    patch.setattr(SessionMachine, "restore", restore)


def answers_reads_without_confirmation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Leadership, "_is_answered", lambda self, number: True)


def confirms_reads_by_earlier_heartbeats(patch: pytest.MonkeyPatch) -> None:
    """Any reply counts, also one to a heartbeat that was sent before the read came (etcd 20418)."""
    honest = Leadership.heartbeat_reply
    patch.setattr(Leadership, "heartbeat_reply", lambda self, peer, number: honest(self, peer, self._round))


def answers_reads_before_its_own_commit(patch: pytest.MonkeyPatch) -> None:
    """A fresh leader does not know how far its predecessor committed (Redis-Raft 19)."""

    class Hasty(Leadership):
        def advance_reads(self):
            self._own_start = LogIndex(0)
            return super().advance_reads()

    patch.setattr("aether.consensus.core.Leadership", Hasty)


def takes_one_follower_for_a_quorum(patch: pytest.MonkeyPatch) -> None:
    """In a group of five the leader and one more prove nothing."""
    patch.setattr(Leadership, "asked", lambda self, read, term: self._log.committed)


def reads_what_a_follower_has(patch: pytest.MonkeyPatch) -> None:
    """Local reads are stale."""

    def read_index(self: RaftCore, context: int) -> None:
        if self._leadership is None:
            self._read_answers.give(Read(self.node, context), self.commit_index)
        else:
            honest(self, context)

    honest = RaftCore.read_index
    patch.setattr(RaftCore, "read_index", read_index)


def joins_a_read_to_the_round_under_way(patch: pytest.MonkeyPatch) -> None:
    """Its index is of before the read, and so may be the replies."""

    def gather(self: ReadRounds, read: Read) -> None:
        if self._rounds:
            last = self._rounds.pop()
            self._rounds.append(attrs.evolve(last, reads=(*last.reads, read)))
            self._count += 1
        else:
            honest(self, read)

    honest = ReadRounds.gather
    patch.setattr(ReadRounds, "gather", gather)


MUTANTS: dict[Callable[[pytest.MonkeyPatch], None], tuple[str, Callable[[int], Faults]]] = {
    acknowledges_before_durable: ("Durable acknowledgement", Faults.draw),
    asks_for_votes_before_durable: ("Durable vote", Faults.draw),
    answers_reads_before_its_own_commit: ("Stale read", Faults.reading),
    answers_reads_without_confirmation: ("Stale read", Faults.reading),
    believes_old_write_numbers: ("durable", Faults.draw),
    commits_beyond_what_was_compared: ("State Machine Safety|contradicts|Durable quorum", Faults.diverging),
    commits_by_counting: ("Leader Completeness|State Machine Safety|contradicts", Faults.diverging),
    confirms_reads_by_earlier_heartbeats: ("Stale read", Faults.reading),
    counts_itself_before_durable: ("Durable quorum", Faults.draw),
    cuts_a_matching_suffix: ("contradicts|lies beyond the log|Durable", Faults.draw),
    forgets_its_term_at_restart: ("term falls|One vote|Election Safety", Faults.draw),
    forgets_its_vote_at_restart: ("One vote|Election Safety", Faults.restarting),
    has_no_session_dedupe: ("Exactly once", Faults.draw),
    joins_a_read_to_the_round_under_way: ("Stale read", Faults.draw),
    keeps_a_conflicting_suffix: ("Log Matching|State Machine Safety|Durable quorum|Liveness", Faults.draw),
    leaves_sessions_out_of_snapshots: ("Exactly once", Faults.draw),
    never_repeats_a_lost_append: ("Liveness", Faults.draw),
    reads_what_a_follower_has: ("Stale read", Faults.draw),
    takes_one_follower_for_a_quorum: ("Stale read", Faults.reading),
    skips_the_consistency_check: ("Log Matching|State Machine Safety", Faults.draw),
    votes_before_durable: ("Durable vote", Faults.draw),
    votes_for_short_logs: ("Leader Completeness", Faults.draw),
    votes_twice: ("One vote|Election Safety", Faults.draw),
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_simulator_finds(mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker that finds nothing proves nothing: each planted bug must break a rule in few seeds."""
    rule, faults = MUTANTS[mutant]
    mutant(monkeypatch)
    for seed in range(SEEDS_MAX):
        report = run(seed, STEPS, faults=faults(seed))
        if report.violation is not None:
            assert re.search(rule, report.violation), f"seed {seed}: {report.violation}"
            return
    pytest.fail(f"not found in {SEEDS_MAX} seeds")
