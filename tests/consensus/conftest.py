"""A group of real cores, driven by hand: time, network and disks move only when a test says so."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest
from tests.consensus.simple_disk import Disk, LocalSnapshot, stored

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.entry import Entry, EntryKind, new_entry
from aether.consensus.membership import MembershipChange, decode_configuration
from aether.consensus.messages import (
    AppendEntries,
    AppendReply,
    HeartbeatReply,
    Message,
    SnapshotChunk,
    SnapshotReply,
    VoteReply,
    VoteRequest,
)
from aether.consensus.quorum import Configuration
from aether.consensus.spelling import MESSAGES
from aether.consensus.values import HardState, Persisted, Ready, Role, StorageWrite
from aether.model.ids import LogIndex, NodeId, Term

M = TypeVar("M", bound=Message)

_CODECS = {cls: (encode, decode) for cls, encode, decode in MESSAGES.values()}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write the answers of conversation files anew")


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether `pytest tests/consensus --rewrite` asked for new answers: then read the diff before committing."""
    return bool(request.config.getoption("--rewrite", default=False))


class Group:
    """Cores, their disks, and the messages between them, which wait in `wire` until delivered."""

    def __init__(self, names: Iterable[str], **settings: object) -> None:
        self.names = [NodeId(name) for name in names]
        self.founders = tuple(self.names)
        self.settings = settings
        self.cores: dict[NodeId, RaftCore] = {}
        self.disks = {name: Disk() for name in self.names}
        self.applied: dict[NodeId, list[Entry]] = {name: [] for name in self.names}
        self.wire: list[tuple[NodeId, NodeId, Message]] = []
        self.held: set[NodeId] = set()  # nodes whose disks do not finish
        self.priorities: dict[str, int] = {}  # from the next start on
        self.slow: set[NodeId] = set()  # nodes whose machines take their time with a snapshot
        self.cut: set[tuple[NodeId, NodeId]] = set()
        self.loses: Callable[[NodeId, NodeId, Message], bool] = lambda source, target, message: False
        self.said: list[str] = []
        self.reads: list[tuple[str, int, int]] = []  # node, context, index (0: refused)
        for name in self.names:
            self.start(name)

    # --- one node -----------------------------------------------------------------------------------------------------

    def start(self, name: str, persisted: Persisted | None = None) -> RaftCore:
        node = NodeId(name)
        voters = self.founders if node in self.founders else ()
        config = RaftConfig(
            node=node, voters=voters, random=random.Random(node), priority=self.priorities.get(node, 0), **self.settings
        )
        if persisted is not None:
            self.disks[node].hard = persisted.hard_state
            self.disks[node].snapshot = persisted.snapshot
            self.disks[node]._entries = list(persisted.entries)
        self.cores[node] = RaftCore(config, self.disks[node].load())
        self.applied[node] = []
        return self.cores[node]

    def join(self, name: str) -> RaftCore:
        """A newcomer with an empty store, which waits to be added."""
        node = NodeId(name)
        self.names.append(node)
        self.disks[node] = Disk()
        return self.start(name)

    def change(self, name: str, **change: Iterable[str]) -> None:
        """`change("a", add="d", promote="c")`, against the configuration that `a` has in force."""
        core = self[name]
        wanted = MembershipChange(**{kind: tuple(NodeId(node) for node in nodes) for kind, nodes in change.items()})
        core.propose_change(wanted, core.configuration_index)
        self.drive(NodeId(name))

    def crash(self, name: str) -> None:
        node = NodeId(name)
        self.disks[node].crash(0)
        del self.cores[node]
        self.wire = [item for item in self.wire if item[0] != node]

    def drive(self, name: NodeId) -> bool:
        """Carry out what a core wants; True when it wanted something."""
        core = self.cores.get(name)
        if core is None:
            return False
        busy = False
        while (ready := core.ready()) is not None:
            busy = True
            self._carry_out(name, core, ready)
        core.check()
        return busy

    def _carry_out(self, name: NodeId, core: RaftCore, ready: Ready) -> None:
        self.wire += [(name, to, message) for to, message in ready.messages]
        if ready.write is not None:
            self.disks[name].queue.append(ready.write)
            if ready.write.entries:
                self.said.append(f"  {name} writes {_entries(ready.write.entries)}")
        for order in ready.chunks:
            content = self.disks[name].contents.get(order.snapshot)
            if content is None:
                core.snapshot_gone(order.snapshot)
            else:
                chunk = content[order.offset : order.offset + order.length]
                self.wire.append((name, order.to, order.fill(chunk)))
        if ready.restore is not None:
            self.said.append(f"  {name} restores the snapshot at {ready.restore.meta.index}")
            if name not in self.slow:
                core.restored(ready.restore)
        if ready.committed:
            self.applied[name] += ready.committed
            self.said.append(f"  {name} applies {_entries(ready.committed)}")
            core.applied(ready.committed[-1].index)
        for context, index in ready.reads:
            self.reads.append((name, context, index))
            self.said.append(f"  {name} may answer read {context} at {index}")
        for context in ready.reads_refused:
            self.reads.append((name, context, 0))
            self.said.append(f"  {name} must ask again for read {context}")
        if name not in self.held:
            self.persist(name)

    def persist(self, name: str, count: int = 2**31) -> bool:
        """The disk of `name` finishes `count` of the writes that are queued."""
        node = NodeId(name)
        done = self.disks[node].persist(count)
        for job in done:
            if isinstance(job, StorageWrite):
                self.cores[node].persisted(job.number)
            elif isinstance(job, LocalSnapshot):
                self.cores[node].compacted(job.snapshot)
        return bool(done)

    def snapshot(self, name: str) -> None:
        """Take a local snapshot at the applied index."""
        core = self.cores[NodeId(name)]
        content = b"state at %d" % core.applied_index
        snapshot = stored(core.snapshot_meta(), content)
        keep_from = LogIndex(core.applied_index - core._config.entries_kept + 1)
        self.disks[NodeId(name)].queue.append(LocalSnapshot(snapshot, content, keep_from))
        self.persist(name)

    # --- the network --------------------------------------------------------------------------------------------------

    def take(self, sender: str | None = None, to: str | None = None) -> list[tuple[NodeId, NodeId, Message]]:
        """Remove the waiting messages of one direction (all when not given)."""
        for node in self.names:
            self.drive(node)
        chosen = [m for m in self.wire if sender in (None, m[0]) and to in (None, m[1])]
        self.wire = [m for m in self.wire if not (sender in (None, m[0]) and to in (None, m[1]))]
        return chosen

    def sent(self, kind: type[M], sender: str | None = None, to: str | None = None) -> list[M]:
        """Remove the waiting messages of one direction; those of one kind."""
        return [message for _, _, message in self.take(sender, to) if isinstance(message, kind)]

    def deliver(self, sender: str | None = None, to: str | None = None) -> int:
        """Deliver what waits now; what that causes waits for the next call. Over the real encoding."""
        messages = self.take(sender, to)
        for source, target, message in messages:
            if (source, target) in self.cut or self.loses(source, target, message):
                self.said.append(f"  {source}>{target} lost: {describe(message)}")
            elif target in self.cores:
                self.said.append(f"  {source}>{target} {describe(message)}")
                encode, decode = _CODECS[type(message)]
                was = self.cores[target].role
                self.cores[target].step(source, decode(encode(message)))
                self.drive(target)
                if self.cores[target].role is not was:
                    self.said.append(f"  {target} is {self.cores[target].role} in term {self.cores[target].term}")
        return len(messages)

    def stabilize(self, rounds_max: int = 200) -> None:
        """Deliver until nobody has anything to say."""
        for _ in range(rounds_max):
            busy = sum(self.drive(node) for node in self.names)
            if not self.deliver() and not busy:
                return
        raise AssertionError(f"still talking after {rounds_max} rounds: {self.said[-4:]}")

    # --- short cuts ---------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> RaftCore:
        return self.cores[NodeId(name)]

    def tick(self, name: str, count: int = 1) -> None:
        for _ in range(count):
            self[name].tick()
            self.drive(NodeId(name))

    def campaign(self, name: str) -> None:
        """The election time-out of `name` is over."""
        self[name]._start_campaign(pre=True)

    def elect(self, name: str) -> RaftCore:
        """Make `name` leader and let everybody hear of it."""
        self.campaign(name)
        self.stabilize()
        assert self[name].role is Role.LEADER, f"{name} is {self[name].role}"
        return self[name]

    def propose(self, name: str, *payloads: str) -> None:
        self[name].propose([payload.encode() for payload in payloads])
        self.drive(NodeId(name))

    def read(self, name: str, context: int) -> None:
        self[name].read_index(context)
        self.drive(NodeId(name))

    def log(self, name: str) -> str:
        return _entries(tuple(self[name]._log.entries()))

    def terms(self, name: str) -> list[int]:
        return [entry.term for entry in self[name]._log.entries()]


def _entries(entries: Iterable[Entry]) -> str:
    return " ".join(f"{e.index}/{e.term}:{_payload(e)}" for e in entries) or "nothing"


def _payload(entry: Entry) -> str:
    if entry.kind is EntryKind.CONFIGURATION:
        return configuration_text(decode_configuration(entry.payload))
    return entry.payload.decode(errors="backslashreplace") or "-"


def configuration_text(configuration: Configuration) -> str:
    """`{ab}`; joint `{ab}{abc}`, the future half first; learners behind `+`, those who will be learners behind `-`."""
    halves = [configuration.voters, configuration.outgoing] if configuration.is_joint else [configuration.voters]
    learners = "+" + "".join(configuration.learners) if configuration.learners else ""
    demoted = "-" + "".join(configuration.demoted) if configuration.demoted else ""
    return "".join("{" + "".join(sorted(half)) + "}" for half in halves) + learners + demoted


def describe(message: Message) -> str:
    """One message in one line, entries and all."""
    match message:
        case AppendEntries():
            return (
                f"AppendEntries term={message.term} prev={message.prev_index}/{message.prev_term} "
                f"commit={message.commit_index} [{_entries(message.entries)}]"
            )
        case SnapshotReply():
            gap = " gap" if message.gap else ""
            return f"SnapshotReply term={message.term} index={message.index} offset={message.offset}{gap}"
        case SnapshotChunk():
            return f"SnapshotChunk term={message.term} index={message.index} offset={message.offset}"
        case VoteRequest():
            kind = "PreVote" if message.pre else "Vote"
            wished = f" priority={message.priority}" if message.priority else ""
            return f"{kind}Request term={message.term} last={message.last_index}/{message.last_term}{wished}"
        case VoteReply():
            verdict = "granted" if message.granted else "refused"
            return f"{'PreVote' if message.pre else 'Vote'}Reply term={message.term} {verdict}"
        case AppendReply() if message.rejected:
            hint = f"hint={message.hint_index}/{message.hint_term}"
            return f"AppendReply term={message.term} rejected prev={message.match_index} {hint}"
        case AppendReply():
            return f"AppendReply term={message.term} match={message.match_index}"
        case HeartbeatReply():
            return f"HeartbeatReply term={message.term} round={message.round}" + " leases" * message.leases
        case _:
            fields = {attribute.name: getattr(message, attribute.name) for attribute in type(message).__attrs_attrs__}
            return f"{type(message).__name__} " + " ".join(f"{k}={v}" for k, v in fields.items())


@pytest.fixture
def spell_configuration() -> Callable[[Configuration], str]:
    """A configuration in few letters."""
    return configuration_text


@pytest.fixture
def make_group() -> Callable[..., Group]:
    return Group


@pytest.fixture(scope="session")
def group_class() -> type[Group]:
    """For tests that draw many examples."""
    return Group


@pytest.fixture
def group() -> Group:
    """Three voters: a, b, c."""
    return Group("abc")


@pytest.fixture
def entries_of() -> Callable[..., tuple[Entry, ...]]:
    """`entries_of(1, 1, 2)`: entries 1, 2, 3 of these terms, with payloads that say so."""

    def make(*terms: int, start: int = 1) -> tuple[Entry, ...]:
        return tuple(
            new_entry(LogIndex(start + i), Term(term), EntryKind.COMMAND, f"e{start + i}t{term}".encode())
            for i, term in enumerate(terms)
        )

    return make


@pytest.fixture
def persisted_with(entries_of: Callable[..., tuple[Entry, ...]]) -> Callable[..., Persisted]:
    """`persisted_with(1, 1, 2)`: a store whose log has these terms."""

    def make(*terms: int, term: int | None = None, vote: str | None = None, commit: int = 0) -> Persisted:
        hard = HardState(
            Term(max(terms, default=0) if term is None else term), NodeId(vote) if vote else None, LogIndex(commit)
        )
        return Persisted(hard, None, entries_of(*terms))

    return make


@pytest.fixture
def in_role(make_group: Callable[..., Group]) -> Callable[..., Group]:
    """`in_role("candidate", "abcde")`: a group whose node a has this role in term 1; nothing is on its way."""

    def build(role: str, names: str = "abc") -> Group:
        group = make_group(names)
        if role == "leader":
            group.elect("a")
        elif role == "candidate":
            group.campaign("a")
            group.deliver("a")
            for peer in names[1:]:
                group.deliver(peer, "a")
        else:
            group.elect("b")
        group.take()
        assert (group["a"].role, group["a"].term) == (role, 1)
        return group

    return build
