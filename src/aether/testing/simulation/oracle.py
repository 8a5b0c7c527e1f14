"""The rules that must hold after every step, checked from outside the cores.

Knows: what all nodes together have ever done: leaders, entries, commits, votes, configurations, promises.
Never: changes anything.
Holds: raises AssertionError with the rule's number, name and facts. The numbers I1 to I12 stand in
       docs/design/simulation.md; I10 is kept by clients and readers, I12 by the liveness phase.
Paper: Raft figure 3 (the five properties), 5.2 (one vote per term, durable); dissertation 4 (membership),
       6.3 (sessions).
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import chain, combinations

from aether.consensus.core import RaftCore
from aether.consensus.entry import Entry, EntryKind
from aether.consensus.log import RaftLog
from aether.consensus.membership import decode_configuration
from aether.consensus.messages import AppendReply, Message, VoteReply, VoteRequest
from aether.consensus.quorum import Configuration
from aether.consensus.values import Persisted, Role
from aether.model.ids import LogIndex, NodeId, Term
from aether.testing.simulation.disk import Snapshot
from aether.testing.simulation.inside import log_of, pending_reads_of
from aether.testing.simulation.machine import SessionMachine
from aether.testing.simulation.node import Node
from aether.testing.simulation.trace import NodeState

_NOTHING_SEEN = (Term(0), Role.FOLLOWER, LogIndex(0), LogIndex(0))
_LETTERS = {Role.FOLLOWER: "F", Role.PRE_CANDIDATE: "P", Role.CANDIDATE: "C", Role.LEADER: "L"}


class Oracle:
    """Remembers the whole history of one group."""

    def __init__(self, nodes: Mapping[NodeId, Node], founders: Configuration) -> None:
        self._nodes = nodes
        self._founders = founders
        self._leaders: dict[Term, NodeId] = {}
        self._entries: dict[tuple[LogIndex, Term], tuple[Term, bytes]] = {}  # -> term before it, payload
        self._committed: list[Entry] = []  # of index 1, 2, ...
        self._committed_in: list[Term] = []  # the term in which each was committed first: it never falls
        self._votes: dict[tuple[NodeId, Term], NodeId] = {}
        self._durable_terms: dict[NodeId, Term] = {}
        self._digests: dict[int, str] = {}
        self._snapshots: dict[LogIndex, bytes] = {}
        self._last: dict[NodeId, tuple[Term, Role, LogIndex, LogIndex]] = {}  # term, role, last index, commit index
        self._configured: dict[NodeId, tuple[LogIndex, Configuration, Term | None]] = {}
        self._match: dict[tuple[NodeId, Term], dict[NodeId, LogIndex]] = {}
        self._seen: dict[NodeId, dict[str, tuple[int, set[str]]]] = {}

    @property
    def committed(self) -> Sequence[Entry]:
        return self._committed

    @property
    def leaders(self) -> Mapping[Term, NodeId]:
        return self._leaders

    # --- one node after one step --------------------------------------------------------------------------------------

    def observe(self, node: Node) -> NodeState:
        """Everything about one node that can be seen after it took one input."""
        core = node.running
        log = log_of(core)
        name = node.name
        try:
            core.check()
        except AssertionError as broken:
            raise AssertionError(f"I5, I8 inside {name}: {broken}") from broken
        term, role, last, commit = core.term, core.role, log.last_index, log.committed
        term_before, role_before, last_before, commit_before = self._last.get(name, _NOTHING_SEEN)
        assert term >= term_before, f"I6 term falls: {name} from {term_before} to {term}"
        assert commit >= commit_before, f"I3 commit index falls: {name} from {commit_before} to {commit}"
        assert log.restoring or log.snapshot_index <= log.applied <= commit <= last >= log.durable, (
            f"I5 State Ordering: {name} snapshot {log.snapshot_index} applied {log.applied} committed {commit} "
            f"durable {log.durable} last {last}"
        )
        self._in_force(core, log, last)
        if role is Role.LEADER:
            if role_before is Role.LEADER and term == term_before:
                assert last >= last_before, f"I4 Leader Append-Only: {name} had {last_before} entries, now {last}"
            else:
                self._elected(core, log)
            self._progress(core)
            self._bounds(node, core, log)
        if commit > commit_before:
            self._commits(core, log, commit_before)
        self._last[name] = (term, role, last, commit)
        return NodeState(_LETTERS[role], term, last, commit, log.applied, node.disk.last_index)

    def restarted(self, node: Node, found: Persisted, expected: Persisted) -> None:
        """Volatile state may fall back: the commit index and the role. What was durable is there, bit for bit."""
        assert found == expected, f"I5 Durable state: {node.name} starts with {found}, it had written {expected}"
        self._last[node.name] = (node.disk.hard.term, Role.FOLLOWER, LogIndex(0), LogIndex(0))
        self._seen.pop(node.name, None)
        self._configured.pop(node.name, None)

    def refused(self, node: Node) -> None:
        """A node did not start."""
        assert node.disk.damage, f"I5 Durable state: {node.name} refuses a disk that nothing damaged: {node.refused}"

    def _in_force(self, core: RaftCore, log: RaftLog, last: LogIndex) -> None:
        """The configuration is one that stands in the log, or was compacted with what is committed."""
        index, configuration = log.configurations.index, core.configuration
        term = log.term_at(index)
        known = self._configured.get(core.node)
        if known is None or known[0] != index or known[1] is not configuration:
            self._configured[core.node] = (index, configuration, term)
            newest = log.configurations.at(last)
            assert newest == (index, configuration), f"I9 {core.node} obeys {configuration}, not {newest}"
        elif term is not None and known[2] is not None:
            assert term == known[2], f"I9 {core.node} obeys the configuration of entry {index}, which was overwritten"
        assert index <= last, f"I9 {core.node} obeys the configuration of entry {index}, which was cut off"

    def _elected(self, core: RaftCore, log: RaftLog) -> None:
        other = self._leaders.setdefault(core.term, core.node)
        assert other == core.node, f"I1 Election Safety: {other} and {core.node} both lead term {core.term}"
        voting = {*core.configuration.voting(), *log.configurations.at(core.commit_index)[1].voting()}
        assert core.node in voting, f"I1 {core.node} leads term {core.term}; those who vote are {sorted(voting)}"
        # Votes may arrive so late that a later term has committed more: that, this leader need not have.
        count = bisect.bisect_left(self._committed_in, core.term)
        assert core.last_index >= count, (
            f"I4 Leader Completeness: {core.node} leads term {core.term} with {core.last_index} entries, "
            f"{count} were committed in earlier terms"
        )
        for entry in self._committed[log.first_index - 1 : count]:
            assert log.matches(entry.index, entry.term), (
                f"I4 Leader Completeness: {core.node} leads term {core.term} without committed entry {entry.index} "
                f"of term {entry.term}; it has term {log.term_at(entry.index)} there"
            )

    def _commits(self, core: RaftCore, log: RaftLog, before: LogIndex) -> None:
        node, term, now = core.node, core.term, core.commit_index
        for entry in log.slice(LogIndex(max(before + 1, log.first_index)), 2**60, now):
            if entry.index <= len(self._committed):
                known = self._committed[entry.index - 1]
                assert entry == known, f"I3 State Machine Safety: {node} commits {entry}, another committed {known}"
                continue
            assert entry.index == len(self._committed) + 1, f"I3 {node} commits {entry.index}, nobody the one before"
            self._is_on_quorum(entry, core.configuration, node)
            self._committed.append(entry)
            self._committed_in.append(term)

    def _is_on_quorum(self, entry: Entry, configuration: Configuration, node: NodeId | str) -> None:
        holders = [name for name, each in self._nodes.items() if each.disk.holds(entry.index, entry.term)]
        assert has_quorum(configuration, holders), (
            f"I3 Durable quorum: {node} commits {entry.index} of term {entry.term}, durable only on {holders} "
            f"of {configuration}"
        )

    def durability_scan(self, configuration: Configuration) -> None:
        """At the end: every entry that was ever committed is on the disks of a quorum."""
        for entry in self._committed:
            self._is_on_quorum(entry, configuration, "somebody")

    # --- leaders ------------------------------------------------------------------------------------------------------

    def _progress(self, core: RaftCore) -> None:
        """core.check has seen that next > match, and that windows are kept."""
        known = self._match.setdefault((core.node, core.term), {})
        for peer, state in core.followers.items():
            before = known.get(peer, 0)
            assert state.match >= before, f"I8 match falls: {core.node} has {peer} at {state.match}, had {before}"
            known[peer] = state.match

    @staticmethod
    def _bounds(node: Node, core: RaftCore, log: RaftLog) -> None:
        reads, reads_max = pending_reads_of(core), node.config.reads_pending_max
        assert reads <= reads_max, f"I11 Bounds: {reads} reads wait on {core.node}, {reads_max} may"
        if core.last_index - core.commit_index > 1:
            limit = node.config.uncommitted_bytes_max
            if log.bytes_after(core.commit_index) > limit:
                waiting = [e for e in log.slice(LogIndex(core.commit_index + 1), 2**60) if e.kind is EntryKind.COMMAND]
                total = sum(len(entry.payload) for entry in waiting)
                assert total <= limit or len(waiting) == 1, (
                    f"I11 Bounds: {total} bytes of commands are uncommitted on {core.node}, {limit} may be"
                )

    # --- what leaves a node -------------------------------------------------------------------------------------------

    def writes(self, node: Node, entries: Sequence[Entry]) -> None:
        """Entries that entered a log: each is the same everywhere, and so is what precedes it."""
        core = node.running
        log = log_of(core)
        last = self._last.get(core.node)
        if entries and last and last[1] is Role.LEADER is core.role and last[0] == core.term:
            assert entries[0].index > last[2], f"I4 Leader Append-Only: {core.node} rewrites entry {entries[0].index}"
        for position, entry in enumerate(entries):
            if entry.kind is EntryKind.CONFIGURATION:
                self._reconfigures(node, core, log, entry)
            before = entries[position - 1].term if position else log.term_at(LogIndex(entry.index - 1))
            if before is None:
                continue
            known = self._entries.setdefault((entry.index, entry.term), (before, entry.payload))
            assert known == (before, entry.payload), (
                f"I2 Log Matching: entry {entry.index} of term {entry.term} is {(before, entry.payload)} "
                f"on {core.node}, {known} elsewhere (term before it, payload)"
            )

    def _reconfigures(self, node: Node, core: RaftCore, log: RaftLog, entry: Entry) -> None:
        index, before = log.configurations.at(LogIndex(entry.index - 1))
        after = decode_configuration(entry.payload)
        parted = not before.voters or quorums_intersect(before, after)
        assert parted, f"I9 Quorums part: {core.node} goes from {before} to {after} in entry {entry.index}"
        if core.role is Role.LEADER and entry.term == core.term:
            assert not before.outgoing or index <= core.commit_index, (
                f"I9 Joint: {core.node} leaves the configuration of entry {index}, committed is {core.commit_index}"
            )
            self._promotes(node, core, log, set(after.voters) - set(before.voting()), entry)

    @staticmethod
    def _promotes(node: Node, core: RaftCore, log: RaftLog, newcomers: Collection[NodeId], entry: Entry) -> None:
        for voter in sorted(newcomers):
            behind = log.bytes_after(core.followers[voter].match) - log.bytes_after(LogIndex(entry.index - 1))
            assert behind <= node.config.append_bytes_max, (
                f"I9 Promotion: {core.node} makes {voter} a voter, which lags {behind} bytes behind"
            )

    def sends(self, node: Node, to: NodeId, message: Message) -> None:
        """Promises: what is said must be durable already."""
        disk = node.disk
        if isinstance(message, VoteReply) and message.granted and not message.pre:
            self._voted(node, to, message.term)
        elif isinstance(message, VoteRequest) and not message.pre:
            self._voted(node, node.name, message.term)
        elif isinstance(message, AppendReply) and not message.rejected and disk.hard.term == message.term:
            assert disk.last_index >= message.match_index, (
                f"I5 Durable acknowledgement: {node.name} acknowledges {message.match_index}, "
                f"durable is {disk.last_index}"
            )

    def _voted(self, node: Node, candidate: NodeId, term: Term) -> None:
        known = self._votes.setdefault((node.name, term), candidate)
        assert known == candidate, f"I6 One vote: {node.name} votes for {known} and {candidate} in term {term}"
        hard = node.disk.hard
        assert hard.term > term or (hard.term == term and hard.vote == candidate), (
            f"I6 Durable vote: {node.name} votes for {candidate} in term {term}, durable is {hard}"
        )

    def persists(self, node: Node) -> None:
        """A disk took a write."""
        term = node.disk.hard.term
        before = self._durable_terms.get(node.name, 0)
        assert term >= before, f"I6 durable term of {node.name} falls from {before} to {term}"
        self._durable_terms[node.name] = term

    # --- state machines -----------------------------------------------------------------------------------------------

    def saves(self, snapshot: Snapshot) -> None:
        """A node froze its state."""
        assert snapshot.meta.configuration.voters, f"I9 Snapshot: that at {snapshot.meta.index} knows no voters"
        digest = hashlib.sha256(snapshot.data).digest()
        known = self._snapshots.setdefault(snapshot.meta.index, digest)
        assert known == digest, f"I7 Snapshot: two nodes have different states at {snapshot.meta.index}"

    def restores(self, node: Node, snapshot: Snapshot) -> None:
        """A received snapshot goes to the state machine: what arrived is what was taken, and is durable."""
        known = self._snapshots.get(snapshot.meta.index)
        digest = hashlib.sha256(snapshot.data).digest()
        assert known == digest, (
            f"I7 Snapshot: {node.name} installs other bytes than were saved at {snapshot.meta.index}"
        )
        assert node.disk.snapshot_index >= snapshot.meta.index, (
            f"I5 Durable snapshot: {node.name} installs {snapshot.meta.index}, durable is {node.disk.snapshot_index}"
        )
        entry = self._committed[snapshot.meta.index - 1]
        assert entry.term == snapshot.meta.term, f"I3 {node.name} installs a snapshot of {snapshot.meta}, not {entry}"

    def applied(self, node: NodeId, machine: SessionMachine) -> None:
        """Two machines at one index are equal, and no request was executed twice."""
        known = self._digests.setdefault(machine.index, machine.digest)
        assert known == machine.digest, f"I7 State Machine Safety: {node} differs from another at {machine.index}"
        lists = self._seen.setdefault(node, {})
        for key, values in machine.lists.items():
            count, seen = lists.get(key, (0, set[str]()))
            if count > len(values) or (count and values[count - 1] not in seen):
                count, seen = 0, set[str]()
            seen.update(values[count:])
            assert len(seen) == len(values), f"I10 Exactly once: {key} on {node} holds a value twice: {values}"
            lists[key] = (len(values), seen)


def has_quorum(configuration: Configuration, names: Collection[NodeId]) -> bool:
    """Whether `names` are a majority of the voters, and of the outgoing ones: the checker counts by itself."""
    halves = (configuration.voters, configuration.outgoing)
    return all(2 * sum(voter in names for voter in half) > len(half) for half in halves if half)


@lru_cache(maxsize=4096)
def quorums_intersect(before: Configuration, after: Configuration) -> bool:
    """Whether every quorum of the one has a node in common with every quorum of the other: by trying all."""
    everybody = sorted({*before.voting(), *after.voting()})
    subsets = chain.from_iterable(combinations(everybody, count) for count in range(len(everybody) + 1))
    return not any(
        has_quorum(before, some) and has_quorum(after, [name for name in everybody if name not in some])
        for some in subsets
    )
