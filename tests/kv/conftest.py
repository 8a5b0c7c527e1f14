"""A log for three stores without Raft: what consensus promises, and how it may fail, under the test's control."""

from __future__ import annotations

import random

import attrs
import pytest
import trio

from aether.consensus.entry import Entry, EntryKind
from aether.consensus.values import Role
from aether.errors import NotLeader, Overloaded
from aether.kv.commands import Apply, OpenSession, encode_command, stamped
from aether.kv.service import KvService
from aether.kv.store import Store


@attrs.frozen
class FakeStatus:
    role: Role
    term: int
    leader: str | None
    voters: tuple[str, ...]
    commit_index: int = 0
    reachable: int = 1


class FakeConsensus:
    """One node's view of the shared log."""

    def __init__(self, cluster, node):
        self.cluster, self.node = cluster, node
        self.status = FakeStatus(Role.FOLLOWER, 0, None, cluster.names)
        self.full = False
        self._changed = trio.Event()

    def propose(self, payload, *, asker=None):
        if self.status.role is not Role.LEADER:
            raise NotLeader(self.node, self.status.leader)
        if self.full:
            raise Overloaded("the log", 1)
        if self.cluster.leader == self.node:
            self.cluster.pending.append(payload)  # else it believes that it leads, and its entry will never commit

    async def read_index(self):
        """As consensus promises: confirmed once a leader is there, and can be reached."""
        while (
            self.cluster.leader is None
            or not self.cluster.committing
            or {self.node, self.cluster.leader} & self.cluster.cut
        ):
            await trio.sleep(0.01)
        await trio.sleep(self.cluster.commit_s)
        return len(self.cluster.log)

    def set(self, status):
        self.status = status
        self._changed.set()
        self._changed = trio.Event()

    async def status_changed(self, since):
        while self.status == since:
            await self._changed.wait()
        return self.status


class FakeCluster:
    """Stores, services, one log; a lossy network for forwarded proposals; everything drawn from one seed.

    stalled   nodes that apply nothing for now
    loss, duplicate   chances per forwarded message; delay_s  its longest delay
    """

    def __init__(self, names=("a", "b", "c"), seed=0):
        self.names = tuple(names)
        self.random = random.Random(seed)
        self.term, self.leader = 0, None
        self.log: list[Entry] = []
        self.pending: list[bytes] = []
        self.stalled: set[str] = set()
        self.cut: set[str] = set()
        self.loss = self.duplicate = self.delay_s = 0.0
        self.commit_s = 0.001
        self.committing = True
        self.wall_s = 1_000.0
        self.stores = {name: Store() for name in names}
        self.consensus = {name: FakeConsensus(self, name) for name in names}
        self.kv = {
            name: KvService(
                name,
                f"incarnation-{name}",
                self.consensus[name],
                self.stores[name],
                lambda to, message, name=name: self._send(name, to, message),
                lambda: self.wall_s,
            )
            for name in names
        }
        self._messages: list[tuple[float, int, str, str, object]] = []
        self._count = 0

    def elect(self, leader, *, keep=0):
        """A new leader: of what the old one had not committed, `keep` entries survive, the rest is lost."""
        self.term += 1
        survivors = [(EntryKind.COMMAND, payload) for payload in self.pending[:keep]]
        self.pending, self.leader = [], leader
        for kind, payload in [*survivors, (EntryKind.NO_OP, b"")]:
            self._append(kind, payload)
        for name in self.names:
            self.tell(name)

    def tell(self, name):
        """Let `name` know who leads."""
        role = Role.LEADER if name == self.leader else Role.FOLLOWER
        self.consensus[name].set(FakeStatus(role, self.term, self.leader, self.names, len(self.log)))

    def depose(self):
        """An election begins: nobody leads; what was not committed is lost."""
        self.term, self.leader, self.pending = self.term + 1, None, []
        for name in self.names:
            self.tell(name)

    def step(self):
        """Deliver what is due, commit what is pending, apply it everywhere."""
        now = trio.current_time()
        due = sorted(m for m in self._messages if m[0] <= now)
        self._messages = [m for m in self._messages if m[0] > now]
        for _, _, sender, to, message in due:
            self.kv[to].deliver(sender, message)
        if self.committing:
            for payload in self.pending:
                self._append(EntryKind.COMMAND, payload)
            self.pending = []
        for name in self.names:
            if name not in self.stalled:
                self.apply(name)

    def apply(self, name):
        store = self.stores[name]
        entries = self.log[store.revision :]
        if entries:
            store.apply(entries)
            self.tell(name)

    async def pump(self):
        while True:
            await trio.sleep(self.commit_s)
            self.step()

    def _append(self, kind, payload):
        self.log.append(Entry(len(self.log) + 1, self.term, kind, payload))

    def _send(self, sender, to, message):
        if sender in self.cut or to in self.cut:
            return False
        for _ in range(1 + (self.random.random() < self.duplicate)):
            if self.random.random() >= self.loss:
                self._count += 1
                at = trio.current_time() + self.random.uniform(0.0, self.delay_s)
                self._messages.append((at, self._count, sender, to, message))
        return True


@pytest.fixture
def fake_cluster():
    """Class FakeCluster."""
    return FakeCluster


@pytest.fixture
async def cluster(nursery):
    """Three stores whose log commits by itself, led by `a`. Tests ask for autojump_clock too."""
    made = FakeCluster()
    for kv in made.kv.values():
        await nursery.start(kv.run)
    nursery.start_soon(made.pump)
    made.elect("a")
    await trio.sleep(0.05)
    assert made.kv["a"].leadership is not None
    return made


class Writer:
    """Entries for a bare store, with sequences and stamps."""

    def __init__(self, store):
        self.store = store
        self.entries: list[Entry] = []

    def command(self, command, *, stamp_ms=0):
        """Apply one command as the next entry; return its entry."""
        payload = stamped(encode_command(command), stamp_ms)
        return self.entry(Entry(self.store.revision + 1, 1, EntryKind.COMMAND, payload))

    def entry(self, entry):
        self.entries.append(entry)
        self.store.apply([entry])
        return entry

    def session(self, node="n", incarnation="i", number=1, *, stamp_ms=0):
        """Open a session; return its id."""
        return self.command(OpenSession(node, incarnation, number), stamp_ms=stamp_ms).index

    def apply(self, session, sequence, *changes, compares=(), answered_below=0, stamp_ms=0):
        """Apply one request and return what the store told its listener of it."""
        told = []
        self.store._listener = told.append
        self.command(Apply(session, sequence, answered_below, tuple(compares), tuple(changes)), stamp_ms=stamp_ms)
        self.store._listener = None
        return told[-1].outcomes[-1][2] if told[-1].outcomes else None


@pytest.fixture
def write():
    """A writer over a new store: `write.store`, `write.session()`, `write.apply(...)`."""
    return Writer(Store())


@pytest.fixture(scope="session")
def writer():
    """Class Writer."""
    return Writer
