"""The rules that must hold after every step, checked from outside the cores.

Knows: what all nodes together have ever done: leaders, entries, commits, votes, answers to clients.
Never: changes anything.
Holds: raises AssertionError with the rule's name and the facts.
Paper: Raft figure 3 (the five properties), 5.2 (one vote per term, durable), 6.3 of the dissertation (sessions).
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

from aether.consensus.core import RaftCore
from aether.consensus.entry import Entry
from aether.consensus.log import RaftLog
from aether.consensus.messages import AppendReply, Message, VoteReply, VoteRequest
from aether.consensus.values import Role
from aether.model.ids import LogIndex, NodeId, Term
from aether.testing.simulation.disk import Disk
from aether.testing.simulation.machine import SessionMachine


class Oracle:
    """Remembers the whole history of one group with `voters`."""

    def __init__(self, disks: Mapping[NodeId, Disk]) -> None:
        self._disks = disks
        self._leaders: dict[Term, NodeId] = {}
        self._entries: dict[tuple[LogIndex, Term], tuple[Term, bytes]] = {}  # -> term before it, payload
        self._committed: list[Entry] = []  # of index 1, 2, ...
        self._committed_in: list[Term] = []  # the term in which each was committed first: it never falls
        self._votes: dict[tuple[NodeId, Term], NodeId] = {}
        self._durable_terms: dict[NodeId, Term] = {}
        self._digests: dict[int, str] = {}
        self._last: dict[NodeId, tuple[Term, Role, LogIndex, LogIndex]] = {}  # term, role, last index, commit index

    @property
    def committed_index(self) -> int:
        return len(self._committed)

    @property
    def leaders(self) -> Mapping[Term, NodeId]:
        return self._leaders

    # --- one node after one step --------------------------------------------------------------------------------------

    def observe(self, core: RaftCore, log: RaftLog) -> None:
        """Everything about one node that can be seen after it took one input."""
        core.check()
        node = core.node
        term, role, last, commit = self._last.get(node, (Term(0), Role.FOLLOWER, LogIndex(0), LogIndex(0)))
        assert core.term >= term, f"term falls: {node} from {term} to {core.term}"
        assert core.commit_index >= commit, f"commit index falls: {node} from {commit} to {core.commit_index}"
        if core.role is Role.LEADER:
            if role is Role.LEADER and core.term == term:
                assert core.last_index >= last, f"Leader Append-Only: {node} had {last} entries, now {core.last_index}"
            else:
                self._elected(core, log)
        if core.commit_index > commit:
            self._commits(core, log, commit)
        self._last[node] = (core.term, core.role, core.last_index, core.commit_index)

    def restarted(self, node: NodeId) -> None:
        """Volatile state may fall back: the commit index and the role."""
        self._last[node] = (self._disks[node].hard.term, Role.FOLLOWER, LogIndex(0), LogIndex(0))

    def _elected(self, core: RaftCore, log: RaftLog) -> None:
        other = self._leaders.setdefault(core.term, core.node)
        assert other == core.node, f"Election Safety: {other} and {core.node} both lead term {core.term}"
        # Votes may arrive so late that a later term has committed more: that, this leader need not have.
        count = bisect.bisect_left(self._committed_in, core.term)
        assert core.last_index >= count, (
            f"Leader Completeness: {core.node} leads term {core.term} with {core.last_index} entries, "
            f"{count} were committed in earlier terms"
        )
        for entry in self._committed[log.first_index - 1 : count]:
            assert log.matches(entry.index, entry.term), (
                f"Leader Completeness: {core.node} leads term {core.term} without committed entry {entry.index} "
                f"of term {entry.term}; it has term {log.term_at(entry.index)} there"
            )

    def _commits(self, core: RaftCore, log: RaftLog, before: LogIndex) -> None:
        node, term, now = core.node, core.term, core.commit_index
        for entry in log.slice(LogIndex(max(before + 1, log.first_index)), 2**60, now):
            if entry.index <= len(self._committed):
                known = self._committed[entry.index - 1]
                assert entry == known, f"State Machine Safety: {node} commits {entry}, another committed {known}"
                continue
            assert entry.index == len(self._committed) + 1, f"{node} commits {entry.index}, nobody the one before"
            holders = [name for name, disk in self._disks.items() if disk.holds(entry.index, entry.term)]
            assert 2 * len(holders) > len(self._disks), (
                f"Durable quorum: {node} commits {entry.index} of term {entry.term}, durable only on {holders}"
            )
            self._committed.append(entry)
            self._committed_in.append(term)

    # --- what leaves a node -------------------------------------------------------------------------------------------

    def writes(self, core: RaftCore, log: RaftLog, entries: Sequence[Entry]) -> None:
        """Entries that entered a log: each is the same everywhere, and so is what precedes it."""
        last = self._last.get(core.node)
        if entries and last and last[1] is Role.LEADER is core.role and last[0] == core.term:
            assert entries[0].index > last[2], f"Leader Append-Only: {core.node} rewrites entry {entries[0].index}"
        for position, entry in enumerate(entries):
            before = entries[position - 1].term if position else log.term_at(LogIndex(entry.index - 1))
            if before is None:
                continue
            known = self._entries.setdefault((entry.index, entry.term), (before, entry.payload))
            assert known == (before, entry.payload), (
                f"Log Matching: entry {entry.index} of term {entry.term} is {(before, entry.payload)} on {core.node}, "
                f"{known} elsewhere (term before it, payload)"
            )

    def sends(self, node: NodeId, to: NodeId, message: Message) -> None:
        """Promises: what is said must be durable already."""
        disk = self._disks[node]
        if isinstance(message, VoteReply) and message.granted and not message.pre:
            self._voted(node, to, message.term)
        elif isinstance(message, VoteRequest) and not message.pre:
            self._voted(node, node, message.term)
        elif isinstance(message, AppendReply) and not message.rejected and disk.hard.term == message.term:
            assert disk.last_index >= message.match_index, (
                f"Durable acknowledgement: {node} acknowledges {message.match_index}, durable is {disk.last_index}"
            )

    def _voted(self, node: NodeId, candidate: NodeId, term: Term) -> None:
        known = self._votes.setdefault((node, term), candidate)
        assert known == candidate, f"One vote: {node} votes for {known} and {candidate} in term {term}"
        hard = self._disks[node].hard
        assert hard.term > term or (hard.term == term and hard.vote == candidate), (
            f"Durable vote: {node} votes for {candidate} in term {term}, durable is {hard}"
        )

    def persists(self, node: NodeId) -> None:
        """A disk took a write."""
        term = self._disks[node].hard.term
        assert term >= self._durable_terms.get(node, 0), f"durable term of {node} falls to {term}"
        self._durable_terms[node] = term

    # --- state machines -----------------------------------------------------------------------------------------------

    def applied(self, node: NodeId, machine: SessionMachine) -> None:
        """Two machines at one index are equal, and no request was executed twice."""
        known = self._digests.setdefault(machine.index, machine.digest)
        assert known == machine.digest, f"State Machine Safety: {node} differs from another at index {machine.index}"

    def executed_once(self, node: NodeId, machine: SessionMachine) -> None:
        """Every value in the lists was asked for once, so it stands there once."""
        for key, values in machine.lists.items():
            assert len(set(values)) == len(values), f"Exactly once: {key} on {node} holds a value twice: {values}"
