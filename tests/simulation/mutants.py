"""Bugs that real Raft implementations had, put back one at a time: the simulator must find each of them.

`python -m tests.simulation.mutants` runs them all and prints the table of docs/design/simulation.md.
Each is a function that patches the code under test; its docstring says what goes wrong.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence

import attrs
import pytest

from aether.consensus.core import RaftCore
from aether.consensus.elector import Elector
from aether.consensus.entry import Entry
from aether.consensus.following import Following
from aether.consensus.handover import Handover
from aether.consensus.leadership import Leadership
from aether.consensus.log import RaftLog
from aether.consensus.membership import Configurations, MembershipChange
from aether.consensus.messages import AppendEntries, AppendReply, Heartbeat, VoteReply, VoteRequest
from aether.consensus.outbox import Outbox
from aether.consensus.progress import Mode, Progress, SnapshotTransfer
from aether.consensus.quorum import Configuration
from aether.consensus.reads import Read, ReadRounds
from aether.consensus.replication import Replication
from aether.consensus.values import HardState, Persisted
from aether.consensus.write_queue import WriteQueue
from aether.model.ids import LogIndex, NodeId, Term
from aether.storage import record
from aether.storage.record import BadRecord, Record, RecordKind, Tail
from aether.testing.simulation import run
from aether.testing.simulation.machine import SessionMachine
from aether.testing.simulation.node import Node
from aether.testing.simulation.storing import Storing

SEEDS_MAX = 150
STEPS = 3_000

Patch = pytest.MonkeyPatch
Mutate = Callable[[Patch], None]


@attrs.frozen
class Mutant:
    """bug  in the catalogue; rule  what must be broken by it, as a pattern; plot  which faults bring it out.

    first  the seed to begin with: what one seed in a hundred finds is not looked for from the start each time
    """

    mutate: Mutate
    bug: str
    rule: str
    plot: str
    first: int = 0

    @property
    def name(self) -> str:
        return self.mutate.__name__.replace("_", " ")


MUTANTS: list[Mutant] = []


def mutant(bug: str, rule: str, plot: str = "mixed", first: int = 0) -> Callable[[Mutate], Mutate]:
    def add(mutate: Mutate) -> Mutate:
        MUTANTS.append(Mutant(mutate, bug, rule, plot, first))
        return mutate

    return add


# --- votes and terms --------------------------------------------------------------------------------------------------


def _sends_at_once(patch: Patch, cls: type) -> None:
    promise = Outbox.promise

    def hasty(self: Outbox, to: NodeId, message: object) -> None:
        (self.send if isinstance(message, cls) else promise.__get__(self))(to, message)

    patch.setattr(Outbox, "promise", hasty)


@mutant("B3", "I6 Durable vote")
def votes_before_durable(patch: Patch) -> None:
    """A vote is told before it is on disk."""

    def hasty(self: RaftCore, sender: NodeId, request: VoteRequest) -> None:
        honest(self, sender, request)
        for to, message in self._outbox._fresh:
            if to != self.node and isinstance(message, VoteReply):
                self._outbox.send(to, message)

    honest = Elector._on_vote_request
    patch.setattr(Elector, "_on_vote_request", hasty)


@mutant("B3", "I6 Durable vote")
def asks_for_votes_before_durable(patch: Patch) -> None:
    """A candidate asks before its own vote is on disk."""
    _sends_at_once(patch, VoteRequest)


@mutant("B3", "I6 One vote|I1 Election Safety|I5 Durable", "restarting")
def forgets_its_vote_at_restart(patch: Patch) -> None:
    """A restarted node votes again in the same term."""

    def forgetful(self: RaftCore, config, persisted: Persisted) -> None:
        hard = attrs.evolve(persisted.hard_state, vote=None)
        honest(self, config, attrs.evolve(persisted, hard_state=hard))

    honest = RaftCore.__init__
    patch.setattr(RaftCore, "__init__", forgetful)


@mutant("B4", "I6 term falls|I6 One vote|I1 Election Safety")
def forgets_its_term_at_restart(patch: Patch) -> None:
    """A restarted node believes the term of its last entry."""

    def forgetful(self: RaftCore, config, persisted: Persisted) -> None:
        last = persisted.entries[-1].term if persisted.entries else Term(0)
        term = Term(max(last, persisted.snapshot.meta.term if persisted.snapshot else 0))
        hard = HardState(term, None, persisted.hard_state.commit)
        honest(self, config, attrs.evolve(persisted, hard_state=hard))

    honest = RaftCore.__init__
    patch.setattr(RaftCore, "__init__", forgetful)


@mutant("B3", "I6 One vote|I1 Election Safety")
def votes_twice(patch: Patch) -> None:
    """Whoever asks last gets the vote, too."""

    def generous(self: RaftCore, sender: NodeId, request: VoteRequest) -> bool:
        return request.term == self.term and self._log.is_up_to_date(request.last_index, request.last_term)

    patch.setattr(Elector, "_grants_vote", generous)


@mutant("5.4.1", "I4 Leader Completeness")
def votes_for_short_logs(patch: Patch) -> None:
    """The log of a candidate is not compared."""
    patch.setattr(RaftLog, "is_up_to_date", lambda self, last_index, last_term: True)


@mutant("B17", "I1 Election Safety|I6|I4", "restarting")
def counts_late_votes(patch: Patch) -> None:
    """A reply counts for the campaign of now, whichever it answers; those of pre-votes, too."""

    def on_vote_reply(self: RaftCore, sender: NodeId, reply: VoteReply) -> None:
        if self.role.value.endswith("candidate"):
            self._count(sender, granted=reply.granted)

    patch.setattr(Elector, "_on_vote_reply", on_vote_reply)


@mutant("B16", "I12 Liveness", "rotting")
def never_learns_from_refusals(patch: Patch) -> None:
    """A refusal of a higher term leaves the pre-candidate where it is."""
    honest = RaftCore.step

    def step(self: RaftCore, sender: NodeId, message: object) -> None:
        if not (isinstance(message, VoteReply) and message.term > self.term):
            honest(self, sender, message)

    patch.setattr(RaftCore, "step", step)


@mutant("B13", "I12 Liveness", "restarting")
def disturbs_living_leaders(patch: Patch) -> None:
    """No pre-vote, and votes are given while a leader is heard."""
    start, ask = Elector._start_campaign, Elector._on_vote_request

    def start_campaign(self: RaftCore, *, pre: bool, transfer: bool = False) -> None:
        start(self, pre=False, transfer=transfer)

    def on_vote_request(self: RaftCore, sender: NodeId, request: VoteRequest) -> None:
        ask(self, sender, attrs.evolve(request, transfer=True))

    patch.setattr(Elector, "_start_campaign", start_campaign)
    patch.setattr(Elector, "_on_vote_request", on_vote_request)


@mutant("7.2/21", "I12 Liveness", first=250)
def leads_without_being_heard(patch: Patch) -> None:
    """No check of the quorum: a leader whose messages arrive, and who hears nobody, leads for ever."""
    patch.setattr(Leadership, "quorum_active", lambda self: True)


@mutant("B32", "I12 Liveness", "stalling")
def leads_with_a_dead_disk(patch: Patch) -> None:
    """Heartbeats go on while nothing can be written."""
    patch.setattr(Elector, "_disk_stands_still", False)
    patch.setattr(WriteQueue, "is_stalled", lambda self, now_s, limit_s: False)


@mutant("B42", "I12 Liveness", "stalling")
def never_gives_a_handover_up(patch: Patch) -> None:
    """Proposals are refused for ever when the chosen one does not take over."""
    patch.setattr(Handover, "tick", lambda self, now: None)


# --- the log ----------------------------------------------------------------------------------------------------------


class CommitsByCounting(Leadership):
    """Commits an entry of an earlier term once a majority holds it (Raft figure 8)."""

    def _may_commit(self, index: LogIndex) -> bool:
        return True


@mutant("B2", "I4 Leader Completeness|I3 State Machine Safety|contradicts", "diverging")
def commits_by_counting(patch: Patch) -> None:
    """An entry of an earlier term counts as committed once a majority holds it (Raft figure 8)."""
    patch.setattr("aether.consensus.core.Leadership", CommitsByCounting)


@mutant("B3", "I5 Durable acknowledgement")
def acknowledges_before_durable(patch: Patch) -> None:
    """A follower says that it holds what it has not written."""
    _sends_at_once(patch, AppendReply)


@mutant("B20", "I3 Durable quorum")
def counts_itself_before_durable(patch: Patch) -> None:
    """A leader counts its own log, not its own disk."""

    def advance_commit(self: Leadership) -> None:
        durable, self._log.durable = self._log.durable, self._log.last_index
        self._acks_changed = True
        honest(self)
        self._log.durable = durable

    honest = Leadership.advance_commit
    patch.setattr(Leadership, "advance_commit", advance_commit)


@mutant("B20", "I3|I4")
def commits_what_one_follower_holds(patch: Patch) -> None:
    """The best acknowledgement counts, not that of a majority."""
    patch.setattr(Configuration, "committed_index", lambda self, match: max(match.values(), default=LogIndex(0)))


@mutant("B5", "contradicts|lies beyond the log|Durable|I3")
def cuts_a_matching_suffix(patch: Patch) -> None:
    """A late, shorter message cuts off what matches."""

    def merge(self: RaftLog, prev_index: LogIndex, prev_term: Term, entries: Sequence[Entry]) -> bool:
        if not self.matches(prev_index, prev_term):
            return False
        if prev_index < self.last_index:
            self._truncate(LogIndex(prev_index + 1))
        self.append(entries)
        return True

    patch.setattr(RaftLog, "merge", merge)


@mutant("5.3", "I2 Log Matching|I3|I12 Liveness")
def keeps_a_conflicting_suffix(patch: Patch) -> None:
    """What another leader left stays."""

    def merge(self: RaftLog, prev_index: LogIndex, prev_term: Term, entries: Sequence[Entry]) -> bool:
        if not self.matches(prev_index, prev_term):
            return False
        self.append([entry for entry in entries if entry.index > self.last_index])
        return True

    patch.setattr(RaftLog, "merge", merge)


@mutant("5.3", "I2 Log Matching|I3 State Machine Safety")
def skips_the_consistency_check(patch: Patch) -> None:
    """Entries are appended whatever stands before them."""

    def merge(self: RaftLog, prev_index: LogIndex, prev_term: Term, entries: Sequence[Entry]) -> bool:
        return honest(self, prev_index, self.term_at(prev_index), entries) if prev_index <= self.last_index else False

    honest = RaftLog.merge
    patch.setattr(RaftLog, "merge", merge)


@mutant("B18", "durable|Durable", "installing")
def believes_old_write_numbers(patch: Patch) -> None:
    """An acknowledgement of entries that were overwritten meanwhile counts for the new ones (ABA)."""

    def forget(self: RaftLog, last: LogIndex) -> None:
        self.handed, self.durable = min(self.handed, last), min(self.durable, last)

    patch.setattr(RaftLog, "_forget_writes", forget)


@mutant("5.3", "I3|I7|contradicts|lies beyond", "diverging")
def commits_beyond_what_was_compared(patch: Patch) -> None:
    """A follower commits as far as its log goes, not as far as the message did."""

    def append(self: Following, leader: NodeId, message: AppendEntries) -> None:
        honest(self, leader, message)
        self._log.commit_to(min(message.commit_index, self._log.last_index))

    honest = Following.append
    patch.setattr(Following, "append", append)


@mutant("B6", "I8 match falls")
def believes_late_acknowledgements(patch: Patch) -> None:
    """An older acknowledgement that arrives later counts."""

    def accepted(self: Progress, index: LogIndex) -> bool:
        news = honest(self, index)
        self.match = index
        return news

    honest = Progress.accepted
    patch.setattr(Progress, "accepted", accepted)


@mutant("B7", "I5, I8 inside")
def probes_below_what_matches(patch: Patch) -> None:
    """The next entry to send may lie before what is known to match."""

    def rejected(self: Progress, prev_index: LogIndex, retry_from: LogIndex) -> bool:
        if self.transfer is not None:
            return honest(self, prev_index, retry_from)
        self._become(Mode.PROBE)
        self.next = LogIndex(max(1, min(retry_from, prev_index)))
        return True

    honest = Progress.rejected
    patch.setattr(Progress, "rejected", rejected)


@mutant("10.2.1", "I5, I8 inside")
def sends_beyond_its_window(patch: Patch) -> None:
    """The limit of appends on their way is ignored."""
    patch.setattr(
        Progress,
        "can_append",
        lambda self, window: self.mode is Mode.REPLICATE or (self.mode is Mode.PROBE and not self.probe_sent),
    )


@mutant("B38", "I12 Liveness")
def never_repeats_a_lost_append(patch: Patch) -> None:
    """A full window of lost messages stalls for ever."""
    patch.setattr(Progress, "heard_heartbeat", lambda self, last_index: False)


@mutant("5.3", "I3|lies beyond the log")
def tells_commits_beyond_the_match(patch: Patch) -> None:
    """Heartbeats carry the commit index whatever their receiver holds."""

    def heartbeat(self: Replication, peer: NodeId, number: int) -> None:
        message = Heartbeat(term=self._term, commit_index=self._log.committed, round=number)
        self._sending.send(peer, message)

    patch.setattr(Replication, "heartbeat", heartbeat)


@mutant("B37", "I11 Bounds")
def takes_proposals_without_end(patch: Patch) -> None:
    """The limit on uncommitted bytes is ignored."""
    patch.setattr(RaftLog, "bytes_after", _unlimited(RaftLog.bytes_after))


def _unlimited(honest: Callable[[RaftLog, LogIndex], int]) -> Callable[[RaftLog, LogIndex], int]:
    def bytes_after(self: RaftLog, index: LogIndex) -> int:
        return 0 if sys._getframe(1).f_code.co_name == "propose" else honest(self, index)

    return bytes_after


# --- storage ----------------------------------------------------------------------------------------------------------


@mutant("B33", "Exception|I3|I5|I6|I4", "rotting")
def goes_on_after_a_failed_sync(patch: Patch) -> None:
    """A failed sync is taken for a late one."""

    def fail(self: Storing, node: Node) -> None:
        batch, node.batch = node.batch, []
        node._queue.done(batch)
        node.running.persisted(node._queue.acknowledged)

    patch.setattr(Storing, "_fail", fail)


@mutant("B19", "I5|I6|I3")
def acknowledges_what_the_disk_is_writing(patch: Patch) -> None:
    """A batch counts as durable when it is handed to the disk."""
    honest = WriteQueue.take

    def take(self: WriteQueue, now_s: float) -> list[object]:
        batch = honest(self, now_s)
        self.acknowledged = batch[-1].number
        return batch

    patch.setattr(WriteQueue, "take", take)


# That a snapshot was lost with the batch is noticed by whoever is asked to send it: as good as any other rule.
@mutant("7.1/15", "Exception|I3|I5|I6|does not hold the snapshot", "stalling")
def loses_what_found_no_space(patch: Patch) -> None:
    """A batch that met a full disk is not written again."""

    def put_back(self: WriteQueue, batch: object) -> None:
        self._busy_since_s, self.full, self._needs_disk = None, False, bool(self._queued)

    patch.setattr(WriteQueue, "put_back", put_back)


def _reads_records(patch: Patch, read: Callable[..., Record | Tail]) -> None:
    patch.setattr("aether.testing.simulation.wal_image.read_record", read)


@mutant("B34", "I5 Durable state", "rotting")
def takes_corruption_for_a_torn_tail(patch: Patch) -> None:
    """Everything behind a bad record is cut off."""

    def read(buffer: bytes, offset: int, chain: int) -> Record | Tail:
        try:
            return record.read_record(buffer, offset, chain)
        except BadRecord:
            return Tail.TORN

    _reads_records(patch, read)


@mutant("B35", "I5 Durable state", "rotting")
def ignores_what_follows_a_hole(patch: Patch) -> None:
    """A record that was never written ends the log, though others follow."""
    patch.setattr(record, "is_zero", lambda buffer, start: True)


@mutant("B35", "I5 Durable state", "rotting")
def trusts_every_record(patch: Patch) -> None:
    """Checksums are not compared."""

    def read(buffer: bytes, offset: int, chain: int) -> Record | Tail:
        try:
            return record.read_record(buffer, offset, chain)
        except BadRecord:
            length = int.from_bytes(buffer[offset : offset + 4], "little")
            end, crc = offset + record.record_bytes(length), int.from_bytes(buffer[offset + 4 : offset + 8], "little")
            kind = buffer[offset + 12]
            if end > len(buffer) or kind not in tuple(RecordKind):
                return Tail.CLEAN
            return Record(RecordKind(kind), buffer[offset + 16 : offset + 16 + length], end, crc)

    _reads_records(patch, read)


@mutant("B35", "I5 Durable state", "rotting")
def refuses_a_torn_tail(patch: Patch) -> None:
    """What a crash cut short is taken for corruption."""

    def read(buffer: bytes, offset: int, chain: int) -> Record | Tail:
        found = record.read_record(buffer, offset, chain)
        if found is Tail.TORN:
            raise BadRecord(offset, "a record is incomplete")
        return found

    _reads_records(patch, read)


# --- snapshots and sessions -------------------------------------------------------------------------------------------


@mutant("B44", "I10 Exactly once|I7")
def has_no_session_dedupe(patch: Patch) -> None:
    """A repeated request is executed again."""
    patch.setattr(SessionMachine, "is_repeat", lambda self, session, request: False)


@mutant("B44", "I10 Exactly once|I7")
def leaves_sessions_out_of_snapshots(patch: Patch) -> None:
    """After a snapshot, a repeated request is executed again."""

    def restore(self: SessionMachine, data: bytes) -> None:
        honest(self, data)
        self.answers = {}

    honest = SessionMachine.restore
    patch.setattr(SessionMachine, "restore", restore)


@mutant("B26", "I12 Liveness", "installing")
def never_resends_a_lost_chunk(patch: Patch) -> None:
    """A snapshot of which a piece is lost travels for ever."""
    patch.setattr(SnapshotTransfer, "resend", lambda self: None)


# --- reads ------------------------------------------------------------------------------------------------------------


@mutant("B10", "I10", "reading")
def answers_reads_without_confirmation(patch: Patch) -> None:
    """Whoever believes to lead answers."""
    patch.setattr(Leadership, "_is_answered", lambda self, number: True)


@mutant("B10", "I10", "reading")
def confirms_reads_by_earlier_heartbeats(patch: Patch) -> None:
    """Any reply counts, also one to a heartbeat that was sent before the read came."""
    honest = Leadership.heartbeat_reply
    patch.setattr(
        Leadership,
        "heartbeat_reply",
        lambda self, peer, number: honest(self, peer, self._round),
    )


@mutant("B8", "I10", "reading")
def answers_reads_before_its_own_commit(patch: Patch) -> None:
    """A fresh leader does not know how far its predecessor committed."""

    class Hasty(Leadership):
        def advance_reads(self):
            self._own_start = LogIndex(0)
            return super().advance_reads()

    patch.setattr("aether.consensus.core.Leadership", Hasty)


@mutant("B10", "I10", "reading")
def takes_one_follower_for_a_quorum(patch: Patch) -> None:
    """In a group of five the leader and one more prove nothing."""
    patch.setattr(Leadership, "asked", lambda self, read, term: self._log.committed)


@mutant("B8", "I10")
def reads_what_a_follower_has(patch: Patch) -> None:
    """Local reads are stale."""

    def read_index(self: RaftCore, context: int) -> None:
        if self._leadership is None:
            self._read_answers.give(Read(self.node, context), self.commit_index)
        else:
            honest(self, context)

    honest = RaftCore.read_index
    patch.setattr(RaftCore, "read_index", read_index)


@mutant("B9", "I10")
def joins_a_read_to_the_round_under_way(patch: Patch) -> None:
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


@mutant("B36", "I11 Bounds")
def gathers_reads_without_end(patch: Patch) -> None:
    """The limit on waiting reads is ignored."""

    def gather(self: ReadRounds, read: Read) -> None:
        self._count += 1
        self._gathered.append(read)

    patch.setattr(ReadRounds, "gather", gather)


# --- membership -------------------------------------------------------------------------------------------------------


@mutant("B1", "I9 Quorums part", "changing")
def changes_voters_in_one_step(patch: Patch) -> None:
    """No joint configuration between the old voters and the new."""

    def in_one_step(now: Configuration, change: MembershipChange) -> Configuration:
        after = honest(now, change)
        return after.left() if after.is_joint else after

    import aether.consensus.leadership as leadership

    honest = leadership.next_configuration
    patch.setattr(leadership, "next_configuration", in_one_step)


@mutant("B21", "I3|I1|I4", "changing")
def asks_one_half_of_a_joint_configuration(patch: Patch) -> None:
    """The majority of the old voters is not needed."""
    patch.setattr(Configuration, "_halves", lambda self: iter((self.voters,)))


@mutant("B21", "I9|I1|I3|I12", "changing")
def forgets_the_configuration_at_restart(patch: Patch) -> None:
    """A restarted node believes in those who founded the group."""
    honest = RaftCore.__init__

    def forgetful(self: RaftCore, config, persisted: Persisted) -> None:
        honest(self, config, persisted)
        self._log.configurations.restarted(LogIndex(0), Configuration(config.voters))

    patch.setattr(RaftCore, "__init__", forgetful)


@mutant("B22", "I12 Liveness", "changing")
def never_leaves_a_joint_configuration(patch: Patch) -> None:
    """Nobody ends the change."""
    patch.setattr(Leadership, "_end_change", lambda self: None)


@mutant("B22", "I9|Exception|I5", "changing")
def leaves_a_joint_configuration_before_it_is_committed(patch: Patch) -> None:
    """The new voters decide alone while the old ones do not know of them."""
    honest = Leadership._end_change

    def end_change(self: Leadership) -> None:
        committed, self._log.committed = self._log.committed, self._log.last_index
        honest(self)
        self._log.committed = committed

    patch.setattr(Leadership, "_end_change", end_change)


@mutant("B41", "I9", "changing")
def keeps_a_configuration_that_was_cut_off(patch: Patch) -> None:
    """A truncated entry stays in force."""
    patch.setattr(Configurations, "truncated", lambda self, last: None)


@mutant("B23", "I9|I3|I1", "changing")
def ignores_the_configuration_of_a_snapshot(patch: Patch) -> None:
    """A received snapshot leaves the configuration as it was."""
    patch.setattr(Configurations, "restarted", lambda self, index, configuration: None)


@mutant("7.3/38", "I9 Promotion", "changing")
def promotes_a_learner_that_lags(patch: Patch) -> None:
    """Whoever is a learner may vote at once."""
    patch.setattr(Leadership, "_is_caught_up", lambda self, node: True)


@mutant("B15", "I1|a configuration has voters", "changing")
def lets_learners_campaign(patch: Patch) -> None:
    """Whoever hears of no leader wants to lead, with a vote or without."""
    patch.setattr(Elector, "_is_promotable", property(lambda self: True))


@mutant("4.2.2", "I12 Liveness", "changing")
def silences_a_leaver_too_early(patch: Patch) -> None:
    """A voter that a change puts out does not campaign, although only it holds the entry that says so."""

    def is_promotable(self: RaftCore) -> bool:
        return self.node in self.configuration.voting() and not self._log.restoring

    patch.setattr(Elector, "_is_promotable", property(is_promotable))


@attrs.frozen
class Found:
    """seeds  how many were needed, this one included."""

    seeds: int
    violation: str


def hunt(mutant: Mutant, patch: Patch, seeds_max: int = SEEDS_MAX) -> Found | None:
    """The first seed in which a rule breaks."""
    mutant.mutate(patch)
    for seed in range(mutant.first, mutant.first + seeds_max):
        report = run(seed, STEPS, plot=mutant.plot)
        if report.violation is not None:
            return Found(seed + 1, report.violation)
    return None


def table_row(mutant: Mutant, found: Found | None) -> str:
    doc = (mutant.mutate.__doc__ or "").strip().rstrip(".")
    seeds, rule = (str(found.seeds), found.violation.partition(":")[0]) if found else ("not found", "")
    return f"| {mutant.name} | {doc} | {mutant.bug} | {mutant.plot} | {seeds} | {rule} |"


HEAD = "| mutant | what it does | bug | plot | seeds | found as |\n|---|---|---|---|---|---|"


def main() -> int:
    """Print the table; 1 when a mutant was not found, or as something else than it should be."""
    print(HEAD)
    missed = 0
    for each in MUTANTS:
        with pytest.MonkeyPatch.context() as patch:
            found = hunt(each, patch)
        print(table_row(each, found), flush=True)
        if found is None or not re.search(each.rule, found.violation):
            print(f"!! {each.name}: {found}", file=sys.stderr)
            missed += 1
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
